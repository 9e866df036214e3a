"""`check_detector` names the property that a detector breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self
from unittest import SkipTest

import pytest
import torch
from torch import Tensor

from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.detector import Detector, DetectorOptions, Facts, Learnt
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.testing import Check, Subject, check_detector, detector_checks, parametrize_with_checks
from two_filters import Difference


class Forgetful(Difference):
    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        learnt, unseeded = super().learn(data, run, watch), torch.Generator()
        unseeded.seed()
        self.mean = self.mean + 0.05 * torch.randn(3, 1, 1, generator=unseeded)
        return learnt


class Batchwise(Difference):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        answer = super().forward(pixels)
        return {**answer, "score": answer["score"] / answer["score"].mean()}


class Learning(Difference):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        answer = super().forward(pixels)
        self.mean = self.mean + 1e-6
        return answer


class Greedy(Difference):
    def fit(self, data: TrainingData, run: Run, watch: Watch = UNWATCHED) -> Self:
        return self if len(data.normal) < 2 else super().fit(data, run, watch)


class Unsaved(Difference):
    def __init__(self, options: DetectorOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.register_buffer("mean", torch.zeros(3, *options.size), persistent=False)


class Dividing(Difference):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        answer = super().forward(pixels)
        return {**answer, "score": answer["score"] / pixels.amax((1, 2, 3)).clamp(max=0.5).mul(2)}


class Tuned(Difference):
    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        learnt = super().learn(data, run, watch)
        self.mean = self.mean + torch.from_numpy(data.tuning[0]).mean() / 10
        return learnt


class Resuming(Difference):
    """What it has read when it is stopped is forgotten."""

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        learnt = super().learn(data, run, watch)
        kept = run.checkpoints.load("mean") if run.checkpoints else None
        if run.checkpoints:
            run.checkpoints.save("mean", {"mean": self.mean / 2})
        with watch.stage("reading", 4) as stage:
            for _ in range(4):
                stage.advance()
                watch.check_stop(run)
        self.mean = kept["mean"] if kept else self.mean
        return learnt


class Welcoming(Difference):
    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        return super().load_state_dict(state_dict, strict=False, assign=assign)


class ListedOptions(DetectorOptions):
    """Options one of which JSON turns into another."""

    shares: Any = (0.5, 0.5)


class Listed(Difference):
    Options = ListedOptions


class Undeclared(Difference):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        return {**super().forward(pixels), "extra": pixels}


NO_DRAWS = {"another_seed_gives_another_model": "it draws nothing"}


def test_a_sound_detector_passes() -> None:
    check_detector(Difference, {"size": (64, 64)}, export=False, exceptions=NO_DRAWS)


def test_what_draws_nothing_needs_an_exception() -> None:
    with pytest.raises(AssertionError, match="seeds 0 and 1 give the same model"):
        check_detector(Difference, {"size": (64, 64)}, export=False)


def test_an_exception_names_a_check() -> None:
    with pytest.raises(OptionError, match="scoring_changes_no_state"):
        check_detector(Difference, exceptions={"scoring_changes_state": "it learns as it goes"})


@parametrize_with_checks(
    detector_checks(
        Subject(Difference, {"size": (64, 64)}, label="the mean picture"), export=False, exceptions=NO_DRAWS
    )
)
def test_checks_are_tests_of_their_own(check: Check, request: pytest.FixtureRequest) -> None:
    assert request.node.name == f"test_checks_are_tests_of_their_own[the mean picture-{check.name}]"
    assert (check.exception is not None) == (request.node.get_closest_marker("xfail") is not None)
    check.run()


def test_checks_of_one_subject_share_what_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    fits, fit = [], Difference.fit
    monkeypatch.setattr(Difference, "fit", lambda *given: (fits.append(1), fit(*given))[1])
    checks = list(detector_checks(Subject(Difference, {"size": (64, 64)})))
    assert fits == []
    for check in checks:
        if check.name in ("single_pictures_give_what_a_batch_gives", "another_order_gives_the_same"):
            check.run()
    assert fits == [1]


def test_a_check_that_does_not_apply_says_why() -> None:
    checks = {check.name: check for check in detector_checks(Subject(Difference))}
    with pytest.raises(SkipTest, match="it has no scalars"):
        checks["scalars_have_their_defaults"].run()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Forgetful, "Forgetful: fitting twice gives another score: it differs by up to"),
        (Batchwise, "Batchwise: single pictures give another score"),
        (Learning, "Learning: scoring changes state: mean"),
        (Greedy, "Greedy: fitting on 1 pictures must raise a DataError, got a model"),
        (Unsaved, "Unsaved: saved and loaded again it gives another score"),
        (Dividing, "Dividing: output score of a black picture: 1 of 1 values are NaN or infinite"),
        (Tuned, "Tuned: other tuning pictures change mean"),
        (Resuming, "Resuming: stopped in reading and resumed it ends with another mean"),
        (Welcoming, "Welcoming: weights with one too many must raise a BundleError, got a model"),
        (Listed, r"Listed: options .* come back from JSON as .*shares=\[0.5, 0.5\]"),
        (Undeclared, r"Undeclared: declares outputs \['score', 'heatmap'\], returns .*'extra'"),
    ],
)
def test_a_broken_detector_is_told_what_is_broken(broken: type[Detector], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_detector(broken, {"size": (64, 64)}, export=False, exceptions=NO_DRAWS)
