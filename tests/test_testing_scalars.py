"""`check_detector` on detectors with a knob: defaults hold, the graph follows, and something turns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.nn.run import Run
from flawscope.runtime.images import list_images
from flawscope.runtime.manifest import StageSpec
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.testing import check_detector
from flawscope.testing.check import _Check
from trained import Trained
from two_filters import TwoFilters, TwoFiltersOptions


def test_the_contract_holds_for_a_detector_with_a_knob() -> None:
    check_detector(TwoFilters, {"size": (32, 32)})


class Absent(TwoFilters):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        return super().forward(pixels, **({"local_weight": torch.tensor(0.9)} | scalars))


def test_a_default_that_does_not_hold_is_told() -> None:
    with pytest.raises(AssertionError, match="without values for its scalars it gives another score"):
        check_detector(Absent, {"size": (32, 32)}, export=False)


class Deaf(TwoFilters):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        return super().forward(pixels)


class InTorch:
    """An engine that is the detector itself, and that may ignore what it is told."""

    name, precision, threads, inputs = "onnxruntime", "fp32", 1, ("pixels", "local_weight")

    def __init__(self, detector: TwoFilters, *, deaf: bool = False) -> None:
        self._detector, self._deaf = detector, deaf

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: torch.from_numpy(value) for name, value in feeds.items()}
        told = {} if self._deaf else {"local_weight": tensors["local_weight"]}
        with torch.inference_mode():
            return {name: value.numpy() for name, value in self._detector(tensors["pixels"], **told).items()}


@pytest.mark.parametrize(
    ("kind", "deaf", "words"),
    [
        (TwoFilters, True, "graph with local_weight at 0 fails parity"),
        (Deaf, False, "local_weight at 0 and at 1 gives the same outputs"),
    ],
)
def test_a_knob_that_turns_nothing_is_told(
    knobbed: Trained, tmp_path: Path, kind: type[TwoFilters], deaf: bool, words: str
) -> None:
    unfitted = kind(TwoFiltersOptions())
    paths = list_images(knobbed.pictures / "good")[:4]
    pictures = PictureFiles(
        [Sample(path, "train", defective=False) for path in paths], unfitted.options.frame
    )
    fitted = unfitted.fit(TrainingData(pictures, pictures.subset([])), Run())
    stage = StageSpec(file="none", inputs=InTorch.inputs, outputs=("score", "heatmap"))
    graphs = Graphs(tmp_path, (stage,), fitted.outputs, fitted.options.scalar_values())
    check = _Check(kind, {}, 0, 1e-4, tmp_path)
    with pytest.raises(AssertionError, match=words):
        check._turned(
            fitted, Pipeline(graphs, [InTorch(fitted, deaf=deaf)]), pictures, fitted.options.scalars[0]
        )
