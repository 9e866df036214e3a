"""From pictures to what the forest decides on: statistics of detectors' maps over segments."""

from __future__ import annotations

from collections.abc import Sequence

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
from flawscope.methods.segad.appearance import looks_of, overheard
from flawscope.methods.segad.classifying import no_looks
from flawscope.methods.segad.statistics import SegmentStatistics, Statistic
from flawscope.methods.segad.table import SYNTHETIC, Table
from flawscope.metrics import auroc
from flawscope.nn.moments import Moments
from flawscope.nn.run import Run, full_float32
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.segmenters import Segmenter

FAR_APART = 0.8  # share by which one group's maps must lie above or below the other's to be called far apart


def far_apart(synthetic: NDArray[np.float32], real: NDArray[np.float32]) -> float:
    """How far two samples lie apart, from 0 (mixed) to 1 (no value of one within the other's)."""
    labels = np.concatenate([np.zeros(len(synthetic), int), np.ones(len(real), int)])
    return abs(2 * auroc(labels, np.concatenate([synthetic, real])) - 1)


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
        looks: share of the network's cells, highest in the heatmap, that looks are taken of; None: no looks.
    """

    def __init__(
        self,
        bases: Sequence[Detector],
        segmenter: Segmenter,
        names: Sequence[Statistic],
        *,
        scores: bool,
        unsmoothed: bool = False,
        looks: float | None = None,
    ) -> None:
        super().__init__()
        self.bases, self.segmenter = nn.ModuleList(bases), segmenter
        self.names, self.scores, self.unsmoothed, self.looks = tuple(names), scores, unsmoothed, looks
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

    def read(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Maps (N, K + U, H, W), the K heatmaps first, image scores (N, K), and looks (N, E) where asked for.

        Maps pass over segments that are ignored by labels (N, H, W); a detector's score is then its
        heatmap's maximum.
        """
        answers, cells, passes = [], [], []
        for base in self.bases:
            with overheard(base if self.looks else None) as heard:
                if self.unsmoothed and isinstance(base, SmoothsCells):
                    answer, grid = base.forward_unsmoothed(pixels)
                    cells.append(F.interpolate(grid.unsqueeze(1), pixels.shape[2:]).squeeze(1))  # (N, H, W)
                else:
                    answer = base(pixels)
            answers.append(answer)
            passes.append(heard[:1])  # a detector's first network, and of several passes the first
        maps = torch.stack([*(answer["heatmap"] for answer in answers), *cells], 1)
        scores, kept = torch.stack([answer["score"] for answer in answers], 1), None
        if self.segmenter.ignored:
            maps = self.segmenter.silence(maps, labels)
            scores = maps[:, : len(answers)].amax((-2, -1))
            kept = torch.stack([labels != segment for segment in self.segmenter.ignored]).all(0).float()
        if not self.looks:
            return maps, scores, None
        looks = [
            looks_of(heard, maps[:, number], self.looks, kept)
            for number, found in enumerate(passes)
            for heard in found
        ]
        if not looks:
            raise no_looks()
        return maps, scores, torch.cat(looks, 1)

    @torch.inference_mode()
    def hears(self) -> bool:
        """Whether some detector asks a frozen network of its own, whose maps can be read."""
        frame = self.segmenter.frame
        pixels = self.segmenter.shares.new_zeros(1, 3, frame.height, frame.width)
        for base in self.bases:
            with overheard(base) as heard:
                base(pixels)
            if heard:
                return True
        return False

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
    rows, whole, seen = list[Tensor](), list[Tensor](), list[Tensor]()
    moments = Moments()
    done = 0
    for pixels in batches(pictures, run, watch, "reading anomaly maps", _BATCH):
        samples = pictures.samples[done : done + len(pixels)]
        labels = reader.segmenter.labelled(pixels, samples)
        if synthetic:
            pixels = _damaged(pixels, labels, reader.segmenter.ignored, before=done, run=run)  # noqa: PLW2901
            labels = reader.segmenter.labelled(pixels, samples)
        maps, scores, looks = reader.read(pixels, labels)
        moments.add(maps[:, : scores.shape[1]])
        whole.append(scores.cpu())
        seen += [] if looks is None else [looks.cpu()]
        rows.append(reader.features(maps, scores, labels).cpu())
        done += len(pixels)
    kinds = [SYNTHETIC if synthetic else sample.kind for sample in pictures.samples]
    defective = np.array([kind != GOOD for kind in kinds])
    features, image = (torch.cat(parts).numpy().astype(np.float32) for parts in (rows, whole))
    owners = np.array(sources(pictures), np.int64)
    parts = tuple(sample.group or str(sample.path) for sample in pictures.samples)
    looked = torch.cat(seen).numpy().astype(np.float32) if seen else None
    return Table(features, defective, tuple(kinds), image, owners, parts, looked), moments


def _damaged(pixels: Tensor, labels: Tensor, ignored: tuple[int, ...], *, before: int, run: Run) -> Tensor:
    """Pictures (N, 3, H, W) with labels (N, H, W), a synthetic defect in each; `before` came before them."""
    damaged = [
        segment_defect(picture, own, np.random.default_rng((run.seed, _DEFECTS, before + index)), ignored)[0]
        for index, (picture, own) in enumerate(zip(pixels.cpu().numpy(), labels.cpu().numpy(), strict=True))
    ]
    return torch.from_numpy(np.stack(damaged)).to(pixels.device)
