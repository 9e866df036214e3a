"""CSAD's branches alone and together, its cells, and its components, from what one training left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from _csad_truth import Parts
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.segment_maps import Labels
from flawscope.methods.csad.histogram import PatchHistogram, PatchHistogramOptions
from flawscope.methods.csad.options import CSADOptions
from flawscope.metrics import auroc
from flawscope.nn.moments import Levels

CELLS: dict[str, Any] = {
    "256": (256,),
    "256, 128": (256, 128),
    "256, 128, 85": (256, 128, 85),
    "auto": "auto",
}
Figures = dict[str, float]


def aurocs(kinds: str, scores: Sequence[float] | NDArray[Any]) -> Figures:
    """Image AUROC of logical and of structural flaws beside good pictures, their mean, and of all."""
    letters, values = np.array(list(kinds)), np.asarray(scores, np.float64)
    found = {"all": auroc(letters != "g", values)}
    for name in ("logical", "structural"):
        part = np.isin(letters, ("g", name[0]))
        found[name] = auroc(letters[part] != "g", values[part])
    return {
        "logical": found["logical"],
        "structural": found["structural"],
        "mean": (found["logical"] + found["structural"]) / 2,
        "all": found["all"],
    }


@dataclass(frozen=True)
class Raw:
    """Scores of the branches as they are, (m, B) of the tuning pictures and (n, B) of the test pictures."""

    tuning: Tensor
    test: Tensor

    def levelled(self, options: CSADOptions) -> Tensor:
        """The test pictures' on the scale of the tuning pictures, (n, B), as the detector levels them."""
        levels = Levels(self.tuning.shape[1], "moments", between=options.trimmed)
        levels.learn(self.tuning.unbind(1))
        return torch.as_tensor(levels(self.test))


def fused(scores: Tensor, fusion: str) -> NDArray[np.float32]:
    """One score for each row of levelled ones (n, B)."""
    return np.asarray(scores.sum(1) if fusion == "sum" else scores.amax(1))


def by_branches(raw: Raw, options: CSADOptions, kinds: str) -> Iterator[tuple[str, dict[str, Figures]]]:
    """Figures of each branch, each pair and all of them, by the two ways to fuse; one branch has one way."""
    levelled, count = raw.levelled(options), len(options.branches)
    for size in sorted({1, min(2, count), count}):
        for chosen in combinations(range(count), size):
            part = levelled[:, list(chosen)]
            ways = ("sum", "largest") if size > 1 else (options.fusion,)
            name = " + ".join(options.branches[index] for index in chosen)
            yield name, {way: aurocs(kinds, fused(part, way)) for way in ways}


def by_cells(
    maps: dict[str, Labels], classes: int, raw: Raw, options: CSADOptions, *, kinds: str, seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Figures of the histogram branch and of the whole for several cell sizes, from the kept label maps.

    Histograms are of the maps' labels here, where the detector shares pixels at borders among classes.

    Args:
        maps: by part, training, tuning and test: (., H, W).
        classes: K.
        raw: of the detector's own branches; the histogram's is replaced.
        options: the detector's.
        kinds: of the test pictures.
        seed: of the search for variants.
    """
    if options.histogram is None:
        return
    place = options.branches.index("histogram")
    training = torch.from_numpy(maps["training"])
    for name, cells in CELLS.items():
        values = options.histogram.model_dump() | {"cells": cells}
        chosen = PatchHistogramOptions.model_validate(values)
        grids = chosen.grids(training, classes)
        branch = PatchHistogram(classes, options.size, grids, chosen)
        histograms = {part: _histograms(branch, labels) for part, labels in maps.items()}
        branch.learn(training, histograms["training"], histograms["tuning"], seed)
        with torch.no_grad():
            tuning, test = branch(histograms["tuning"]), branch(histograms["test"])
        whole = Raw(_with(raw.tuning, place, tuning), _with(raw.test, place, test))
        yield (
            name,
            {
                "grids": [list(grid) for grid in grids],
                "histogram": aurocs(kinds, test.numpy()),
                "fused": aurocs(kinds, fused(whole.levelled(options), options.fusion)),
            },
        )


def _histograms(branch: PatchHistogram, labels: Labels) -> Tensor:
    parts = torch.split(torch.from_numpy(labels), 16)
    with torch.no_grad():
        return torch.cat([branch.count(branch.masks(part.long())) for part in parts])


def _with(scores: Tensor, place: int, column: Tensor) -> Tensor:
    replaced = scores.clone()
    replaced[:, place] = column
    return replaced


def confusion(learnt: Labels, truth: Parts) -> NDArray[np.int64]:
    """(K + 1, T) pixels by learnt and by true class."""
    size, count = len(truth.names), int(learnt.max()) + 1
    joined = learnt.astype(np.int64) * size + truth.maps
    return np.bincount(joined.ravel(), minlength=count * size).reshape(count, size)


def overlaps(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """IoU of each true class that the pictures show, the background too, and their mean.

    Each learnt class, the background too, counts as the true one that it covers most; several may count as
    one, and a true class as which none counts has 0.
    """
    called = counts.argmax(1)
    by_class = {}
    for index, name in enumerate(names):
        own, total = counts[called == index], int(counts[:, index].sum())
        if total:
            shared = int(own[:, index].sum())
            by_class[name] = shared / (int(own.sum()) + total - shared)
    return {
        "mean": float(np.mean(list(by_class.values()))),
        "by_class": by_class,
        "learnt": [names[index] for index in called],
    }
