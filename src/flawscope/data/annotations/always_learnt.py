"""Which annotated pictures are learnt from whatever a split draws: they are few, and cost a person's time."""

from __future__ import annotations

from collections import Counter

from flawscope.data.samples import Dataset, Sample, ordered
from flawscope.data.splits import FEWEST_NORMALS

FEW = 10  # annotated pictures of a product (SADSeM, section 4.1)


def always_learnt(dataset: Dataset) -> tuple[Sample, ...]:
    """Annotated good training pictures that no draw takes away, with the other views of their pieces.

    Up to ten of them or a tenth of the good training pictures, whichever is more, those that show the rarest
    components first; half of the good pictures, and as many as a split needs, stay to be drawn from.
    """
    good = dataset.select(split="train", defective=False)
    annotated = [sample for sample in ordered(good) if sample.parts]
    most = min(max(FEW, len(good) // 10), len(good) // 2, max(len(good) - FEWEST_NORMALS, 0))
    shown = Counter(name for sample in annotated for name in {part.name for part in sample.parts})
    rarest = sorted(annotated, key=lambda sample: min(shown[part.name] for part in sample.parts))[:most]
    paths = {sample.path for sample in rarest}
    pieces = {sample.group for sample in rarest if sample.group is not None}
    return tuple(sample for sample in ordered(good) if sample.path in paths or sample.group in pieces)
