"""From pictures to what the forest decides on: statistics of detectors' maps over segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.samples import GOOD
from flawscope.data.synthetic.segment_defects import segment_defect
from flawscope.data.tiles import sources
from flawscope.methods.detector import Detector, SmoothsCells
from flawscope.methods.segad.statistics import SegmentStatistics, Statistic
from flawscope.metrics import auroc
from flawscope.nn.moments import Moments
from flawscope.nn.run import Run, full_float32
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.runtime.groups import numbered
from flawscope.segmenters import Segmenter

Value = TypeVar("Value", np.float32, np.bool_, np.int64)

FAR_APART = 0.8  # share by which one group's maps must lie above or below the other's to be called far apart


@dataclass(frozen=True, slots=True)
class Table:
    """Features of pictures, or of their tiles, that no detector has seen.

    Attributes:
        features: (N, F) float32.
        defective: (N,) truth.
        kinds: N kinds, `good`, or the defect's as its folder names it.
        scores: (N, K) float32, each detector's image score.
        owners: (N,) the number of each row's picture, rising; tiles of one share it.
        parts: N names of what each row's picture shows, its part; empty: each shows another.
    """

    features: NDArray[np.float32]
    defective: NDArray[np.bool_]
    kinds: tuple[str, ...]
    scores: NDArray[np.float32]
    owners: NDArray[np.int64]
    parts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.features)

    def joined(self, other: Table) -> Self:
        """These rows and then the other's."""
        return replace(
            self,
            features=np.concatenate([self.features, other.features]),
            defective=np.concatenate([self.defective, other.defective]),
            kinds=(*self.kinds, *other.kinds),
            scores=np.concatenate([self.scores, other.scores]),
            owners=np.concatenate([self.owners, other.owners + self.owners.max(initial=-1) + 1]),
            parts=(*self.parts, *other.parts),
        )

    def rows(self, chosen: NDArray[np.bool_] | Sequence[int]) -> Self:
        """Those of the rows."""
        indices = np.arange(len(self))[np.asarray(chosen)]
        return replace(
            self,
            features=self.features[indices],
            defective=self.defective[indices],
            kinds=tuple(self.kinds[index] for index in indices),
            scores=self.scores[indices],
            owners=self.owners[indices],
            parts=tuple(self.parts[index] for index in indices) if self.parts else (),
        )

    @property
    def units(self) -> NDArray[np.int64]:
        """(N,) the number of what each row must not be parted from, its part or its picture."""
        return np.array(numbered(self.parts), np.int64) if self.parts else self.owners

    def of_pictures(self, values: NDArray[Value]) -> NDArray[Value]:
        """The highest of values (N,) over the rows of each picture, (P,); truth and fold are alike in all."""
        return np.maximum.reduceat(values, self.firsts)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """(P,) the first row of each picture."""
        return np.flatnonzero(np.diff(self.owners, prepend=-1))

    def columns(self, chosen: Sequence[int]) -> Self:
        """The same pictures with those of the features."""
        return replace(self, features=self.features[:, list(chosen)])

    def with_column(self, values: NDArray[np.float32]) -> Self:
        """One more feature, (N,), at the end."""
        return replace(self, features=np.column_stack([self.features, values]).astype(np.float32))


def folds_by_kind(
    kinds: Sequence[str], folds: int, seed: int, owners: Sequence[int] | NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """A fold (N,) for each picture, so that every kind is spread evenly over all folds; seeded.

    With `owners` (N,), numbers of pictures or parts in their order, all rows of one come into the same fold.
    """
    if owners is not None:
        _, firsts, places = np.unique(owners, return_index=True, return_inverse=True)
        return folds_by_kind([kinds[first] for first in firsts], folds, seed)[places]
    random = np.random.default_rng(seed)
    labels = np.asarray(kinds)
    found = np.empty(len(labels), np.int64)
    start = 0
    for kind in sorted(set(kinds)):
        places = random.permutation(np.flatnonzero(labels == kind))
        found[places] = (np.arange(len(places)) + start) % folds
        start += len(places)  # rare kinds then do not all begin in the first fold
    return found


def far_apart(synthetic: NDArray[np.float32], real: NDArray[np.float32]) -> float:
    """How far two samples lie apart, from 0 (mixed) to 1 (no value of one within the other's)."""
    labels = np.concatenate([np.zeros(len(synthetic), int), np.ones(len(real), int)])
    return abs(2 * auroc(labels, np.concatenate([synthetic, real])) - 1)


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
        unsmoothed: whether the maps that U of the detectors smooth join theirs, as they are before.
    """

    def __init__(
        self,
        bases: Sequence[Detector],
        segmenter: Segmenter,
        names: Sequence[Statistic],
        *,
        scores: bool,
        unsmoothed: bool = False,
    ) -> None:
        super().__init__()
        self.bases, self.segmenter = nn.ModuleList(bases), segmenter
        self.names, self.scores, self.unsmoothed = tuple(names), scores, unsmoothed
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

    def read(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (N, K + U, H, W), the K heatmaps first, and image scores (N, K) of the detectors.

        Maps pass over segments that are ignored by labels (N, H, W); a detector's score is then its
        heatmap's maximum.
        """
        answers, cells = [], []
        for base in self.bases:
            if self.unsmoothed and isinstance(base, SmoothsCells):
                answer, grid = base.forward_unsmoothed(pixels)
                cells.append(F.interpolate(grid.unsqueeze(1), pixels.shape[2:]).squeeze(1))  # (N, H, W)
            else:
                answer = base(pixels)
            answers.append(answer)
        maps = torch.stack([*(answer["heatmap"] for answer in answers), *cells], 1)
        if self.segmenter.ignored:
            maps = self.segmenter.silence(maps, labels)
            return maps, maps[:, : len(answers)].amax((-2, -1))
        return maps, torch.stack([answer["score"] for answer in answers], 1)

    def features(self, maps: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """(N, F): by map, segment, statistic, 0 where ignored; then the detectors' scores where they join."""
        if self.statistics is None:
            raise RuntimeError("a segment reader is used before its segmenter is fitted or restored")
        found = self.statistics(maps, labels)  # (N, K + U, L, S)
        if self.segmenter.ignored:
            kept = [float(segment not in self.segmenter.ignored) for segment in range(self.segmenter.count)]
            found = found * found.new_tensor(kept).view(-1, 1)
        features = found.flatten(1)  # (N, (K + U) * L * S)
        return torch.cat([features, scores], 1) if self.scores else features

    def feature_names(self, segments: int) -> tuple[str, ...]:
        """What the features (F,) are with so many segments, as `flawscope.runtime.explain` reads names."""
        bases = [base for base in self.bases if isinstance(base, Detector)]
        methods = [base.name for base in bases]
        owners = [
            f"{name} {methods[: index + 1].count(name)}" if methods.count(name) > 1 else name
            for index, name in enumerate(methods)
        ]
        smoothing = [
            owner for owner, base in zip(owners, bases, strict=True) if isinstance(base, SmoothsCells)
        ]
        cells = [f"unsmoothed {owner}" for owner in smoothing if self.unsmoothed]
        return (
            *(
                f"{owner}/{segment}/{statistic}"
                for owner in (*owners, *cells)
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
    """
    reader.eval().to(run.torch_device())
    rows: list[Tensor] = []
    whole: list[Tensor] = []
    moments = Moments()
    done = 0
    for pixels in batches(pictures, run, watch, "reading anomaly maps", _BATCH):
        samples = pictures.samples[done : done + len(pixels)]
        labels = reader.segmenter.labelled(pixels, samples)
        if synthetic:
            pixels = _damaged(pixels, labels, reader.segmenter.ignored, before=done, run=run)  # noqa: PLW2901
            labels = reader.segmenter.labelled(pixels, samples)
        maps, scores = reader.read(pixels, labels)
        moments.add(maps[:, : scores.shape[1]])
        whole.append(scores.cpu())
        rows.append(reader.features(maps, scores, labels).cpu())
        done += len(pixels)
    kinds = [SYNTHETIC if synthetic else sample.kind for sample in pictures.samples]
    defective = np.array([kind != GOOD for kind in kinds])
    features, image = (torch.cat(parts).numpy().astype(np.float32) for parts in (rows, whole))
    owners = np.array(sources(pictures), np.int64)
    parts = tuple(sample.group or str(sample.path) for sample in pictures.samples)
    return Table(features, defective, tuple(kinds), image, owners, parts), moments


def _damaged(pixels: Tensor, labels: Tensor, ignored: tuple[int, ...], *, before: int, run: Run) -> Tensor:
    """Pictures (N, 3, H, W) with labels (N, H, W), a synthetic defect in each; `before` came before them."""
    damaged = [
        segment_defect(picture, own, np.random.default_rng((run.seed, _DEFECTS, before + index)), ignored)[0]
        for index, (picture, own) in enumerate(zip(pixels.cpu().numpy(), labels.cpu().numpy(), strict=True))
    ]
    return torch.from_numpy(np.stack(damaged)).to(pixels.device)
