"""`check_detector` on detectors with a knob: defaults hold, the graph follows, and something turns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from flawscope.runtime.manifest import StageSpec
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.testing import Check, Subject, check_detector, detector_checks, parametrize_with_checks
from two_filters import TwoFilters

SMALL = {"size": (32, 32)}
NO_DRAWS = {"another_seed_gives_another_model": "it draws nothing"}


@parametrize_with_checks(detector_checks(Subject(TwoFilters, SMALL), exceptions=NO_DRAWS))
def test_the_contract_holds_for_a_detector_with_a_knob(check: Check) -> None:
    check.run()


class Absent(TwoFilters):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        return super().forward(pixels, **({"local_weight": torch.tensor(0.9)} | scalars))


def test_a_default_that_does_not_hold_is_told() -> None:
    with pytest.raises(AssertionError, match="without values for its scalars it gives another score"):
        check_detector(Absent, SMALL, export=False, exceptions=NO_DRAWS)


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
    monkeypatch: pytest.MonkeyPatch, kind: type[TwoFilters], deaf: bool, words: str
) -> None:
    subject = Subject(kind, SMALL)
    stage = StageSpec(file="none", inputs=InTorch.inputs, outputs=("score", "heatmap"))
    values = subject.detector.options.scalar_values()
    graphs = Graphs(subject.folder, (stage,), subject.detector.outputs, values)
    pipeline = Pipeline(graphs, [InTorch(subject.detector, deaf=deaf)])
    monkeypatch.setattr(subject, "pipeline", lambda: pipeline)
    checks = {check.name: check for check in detector_checks(subject)}
    with pytest.raises(AssertionError, match=words):
        checks["scalars_turn_the_graph"].run()
