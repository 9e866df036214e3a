"""From pictures to what the forest decides on: statistics of detectors' maps over segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.samples import GOOD
from flawscope.data.synthetic.segment_defects import segment_defect
from flawscope.methods.detector import Detector
from flawscope.methods.segad.statistics import SegmentStatistics, Statistic
from flawscope.methods.segad.table import Table
from flawscope.nn.moments import Moments
from flawscope.nn.run import Run, full_float32
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.segmenters import Segmenter

SYNTHETIC = "synthetic"
_BATCH = 8
_DEFECTS = 0xDEFEC7


class SegmentReader(nn.Module):
    """Statistics of detectors' heatmaps over segments (section 4).

    Args:
        bases: the detectors, K of them; each has a heatmap.
        segmenter: divides each picture into L segments.
        names: of the S statistics.
        scores: whether the detectors' image scores join the statistics.
    """

    def __init__(
        self, bases: Sequence[Detector], segmenter: Segmenter, names: Sequence[Statistic], *, scores: bool
    ) -> None:
        super().__init__()
        self.bases, self.segmenter = nn.ModuleList(bases), segmenter
        self.names, self.scores = tuple(names), scores
        self.statistics: SegmentStatistics | None = None
        self.register_load_state_dict_post_hook(_prepared)  # type: ignore[no-untyped-call]

    def prepare(self) -> None:
        """Make the statistics for the fitted segmenter's segments, and for its map where it has one."""
        labels = self.static_labels()
        self.statistics = SegmentStatistics(self.segmenter.count, self.names, labels)
        self.statistics.to(self.segmenter.shares.device)

    def static_labels(self) -> Tensor | None:
        """The one label map (H, W) of a static segmenter; None of any other."""
        if not self.segmenter.static:
            return None
        frame = self.segmenter.frame
        labels: Tensor = self.segmenter(self.segmenter.shares.new_zeros(1, 3, frame.height, frame.width))[0]
        return labels

    def read(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps (N, K, H, W) and image scores (N, K) of the detectors."""
        answers = [base(pixels) for base in self.bases]
        maps = torch.stack([answer["heatmap"] for answer in answers], 1)
        return maps, torch.stack([answer["score"] for answer in answers], 1)

    def features(self, maps: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """(N, F): by detector, segment, statistic; then the detectors' scores where they join."""
        if self.statistics is None:
            raise RuntimeError("a segment reader is used before its segmenter is fitted or restored")
        features = self.statistics(maps, labels).flatten(1)  # (N, K, L, S) -> (N, K * L * S)
        return torch.cat([features, scores], 1) if self.scores else features

    def feature_names(self, segments: int) -> tuple[str, ...]:
        """What the features (F,) are with so many segments, as `flawscope.runtime.explain` reads names."""
        methods = [base.name for base in self.bases if isinstance(base, Detector)]
        owners = [
            f"{name} {methods[: index + 1].count(name)}" if methods.count(name) > 1 else name
            for index, name in enumerate(methods)
        ]
        return (
            *(
                f"{owner}/{segment}/{statistic}"
                for owner in owners
                for segment in range(segments)
                for statistic in self.names
            ),
            *(f"{owner}/score of the picture" for owner in owners if self.scores),
        )


def _prepared(reader: nn.Module, keys: object) -> None:
    """After tensors of a trained reader came in, the segmenter's among them."""
    del keys
    if isinstance(reader, SegmentReader):
        reader.prepare()


@torch.inference_mode()
@full_float32()
def read_table(
    reader: SegmentReader, pictures: Pictures, run: Run, watch: Watch = UNWATCHED, *, synthetic: bool = False
) -> tuple[Table, Moments]:
    """Features of all pictures, and the moments of each detector's maps.

    With `synthetic` each picture gets a defect first, drawn by seed and by the picture's place.

    Raises:
        Stopped: the stop signal was set.
    """
    reader.eval().to(run.torch_device())
    rows: list[Tensor] = []
    whole: list[Tensor] = []
    moments = Moments()
    for pixels in batches(pictures, run, watch, "reading anomaly maps", _BATCH):
        if synthetic:
            pixels = _damaged(reader.segmenter, pixels, stop=sum(map(len, rows)), run=run)  # noqa: PLW2901
        maps, scores = reader.read(pixels)
        moments.add(maps)
        whole.append(scores.cpu())
        rows.append(reader.features(maps, scores, reader.segmenter(pixels)).cpu())
    kinds = [SYNTHETIC if synthetic else sample.kind for sample in pictures.samples]
    defective = np.array([kind != GOOD for kind in kinds])
    features, image = (torch.cat(parts).numpy().astype(np.float32) for parts in (rows, whole))
    return Table(features, defective, tuple(kinds), image), moments


def _damaged(segmenter: Segmenter, pixels: Tensor, *, stop: int, run: Run) -> Tensor:
    """Pictures (N, 3, H, W) with a synthetic defect each; `stop` pictures came before them."""
    labels = segmenter(pixels).cpu().numpy()
    damaged = [
        segment_defect(picture, own, np.random.default_rng((run.seed, _DEFECTS, stop + index)))[0]
        for index, (picture, own) in enumerate(zip(pixels.cpu().numpy(), labels, strict=True))
    ]
    return torch.from_numpy(np.stack(damaged)).to(pixels.device)
