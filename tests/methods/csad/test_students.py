"""The local and the global student: what they compare, three designs, training that resumes, export."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.errors import OptionError, Stopped
from flawscope.methods.csad.students import Imitation, LocalGlobal, LocalStudent
from flawscope.methods.csad.students_options import PRESETS, StudentsOptions
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.student_teacher.pictures import Batch
from flawscope.nn.training.stores import FeatureStore
from flawscope.nn.watch import UNWATCHED, Watch

TINY: dict[str, Any] = {
    "width": 4,
    "strides": (4, 8),
    "teacher_channels": 6,
    "rebuilt": 8,
    "penalty": "none",
    "appearance": "none",
    "steps": 3,
}
Answers = dict[str, tuple[NDArray[Any], ...]]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone("resnet18", strides=(4, 8, 16), size=(64, 64))


@pytest.fixture
def data(training_data: Callable[..., TrainingData]) -> TrainingData:
    pictures = training_data(7).normal
    return TrainingData(normal=pictures.subset(range(5)), tuning=pictures.subset([5, 6]))


def untaught(backbone: Backbone, **changes: Any) -> LocalGlobal:
    return LocalGlobal(StudentsOptions(**{**TINY, **changes}), backbone, (64, 64))


def taught(
    data: TrainingData, backbone: Backbone, run: Run | None = None, watch: Watch = UNWATCHED, **changes: Any
) -> tuple[LocalGlobal, list[dict[str, float]]]:
    students = untaught(backbone, **changes)
    history = students.learn(data, backbone, run or Run(precision="fp32"), watch)
    return students.eval(), history


def maps_of(students: LocalGlobal, data: TrainingData, backbone: Backbone) -> Tensor:
    pixels = torch.from_numpy(np.stack(list(data.tuning)))
    with torch.no_grad():
        return torch.stack(students.local_and_global(pixels, backbone(pixels)), 1)  # (N, 2, h, w)


def test_quantiles_of_the_tuning_pictures_become_0_and_a_tenth(
    data: TrainingData, backbone: Backbone
) -> None:
    students, history = taught(data, backbone, padding=True)  # padding: no border is repeated
    maps = maps_of(students, data, backbone)
    assert maps.shape == (2, 2, 16, 16)
    for values in maps.unbind(1):
        low, high = np.quantile(values.numpy().astype(np.float64), (0.9, 0.995))
        assert (low, high) == pytest.approx((0, 0.1), abs=1e-3)
    assert set(history[0]) == {"step", "total", "hard", "autoencoder", "stae", "learning_rate"}


def test_maps_without_padding_span_the_picture(data: TrainingData, backbone: Backbone) -> None:
    students = untaught(backbone)
    maps = maps_of(students, data, backbone)
    assert students.grid == (8, 8)
    assert maps.shape == (2, 2, 16, 16)
    assert torch.equal(maps[:, :, 0, 0], maps[:, :, 4, 4])
    assert students.heatmap(maps.mean(1)).shape == (2, 64, 64)


@pytest.mark.parametrize("design", ["heads", "doubled", "shared"])
def test_each_part_of_a_local_student_is_that_of_both(design: Any) -> None:
    torch.manual_seed(0)
    student = LocalStudent(6, StudentsOptions(width=4, local_student=design))
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        local, whole = student(pixels)
        torch.testing.assert_close(student(pixels, "local"), [local])
        torch.testing.assert_close(student(pixels, "whole"), [whole])
    assert local.shape == (2, 6, 8, 8)
    assert torch.equal(local, whole) == (design == "shared")
    last = {"heads": 6, "doubled": 12, "shared": 6}[design]
    assert isinstance(student.body[-1], nn.Conv2d)
    assert student.body[-1].out_channels == last


@pytest.mark.parametrize("appearance", ["efficientad", "none"])
def test_each_loss_compares_what_it_should(data: TrainingData, backbone: Backbone, appearance: str) -> None:
    students = untaught(backbone, appearance=appearance, penalty="ood", hard_quantile=0.0)
    run = Run(precision="fp32")
    losses_of = Imitation(students, FeatureStore(backbone, data.normal, run), run)
    pixels = torch.from_numpy(data.normal[3])[None]
    varied, natural = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    shown = pixels if appearance == "none" else varied
    with torch.no_grad():
        batch = Batch(pixels, torch.tensor([3]), None if appearance == "none" else varied, natural)
        found = losses_of(batch)
        seen = students.teacher(backbone(shown))
        local, whole, rebuilt = (
            *_both(students, shown),
            students.students["whole"](students.normalised(shown)),
        )
        expected = {
            "hard": (students.teacher(backbone(pixels)) - _both(students, pixels)[0]).square().mean(),
            "penalty": _both(students, natural)[0].square().mean(),
            "autoencoder": (seen - rebuilt).square().mean(),
            "stae": (rebuilt - whole).square().mean(),
        }
    assert local.shape == seen.shape
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["total"], torch.stack([*expected.values()]).sum(), rtol=1e-4, atol=1e-6)


def _both(students: LocalGlobal, pixels: Tensor) -> list[Tensor]:
    found: list[Tensor] = students.students["local"](students.normalised(pixels))
    return found


def test_training_teaches_both_students(data: TrainingData, backbone: Backbone) -> None:
    _, history = taught(data, backbone, steps=40, learning_rate=3e-3, hard_quantile=0.0)
    assert history[-1]["hard"] < 0.95 * history[0]["hard"]
    assert history[-1]["autoencoder"] < 0.95 * history[0]["autoencoder"]


def test_natural_pictures_reach_the_penalty(data: TrainingData, backbone: Backbone) -> None:
    _, history = taught(replace(data, natural=data.tuning), backbone, penalty="ood", steps=1)
    assert history[0]["penalty"] > 0


def test_stopped_it_resumes_to_the_same_weights(
    data: TrainingData, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stop = Run(precision="fp32", checkpoints=Checkpoints(tmp_path)), threading.Event()
    target, steps = Imitation.target, list[int]()

    def stopping(self: Imitation, batch: Batch) -> list[Tensor]:
        steps.append(len(steps))
        if len(steps) == 2:
            stop.set()
        return target(self, batch)

    monkeypatch.setattr(Imitation, "target", stopping)
    with pytest.raises(Stopped):
        taught(data, backbone, run, Watch(stop=stop))
    again, whole = taught(data, backbone, run)[0], taught(data, backbone)[0]
    assert len(steps) == 2 + 1 + 3
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_engines_agree(
    data: TrainingData, backbone: Backbone, exported: Callable[[nn.Module, Tensor], Answers]
) -> None:
    students, _ = taught(data, backbone)

    class Both(nn.Module):
        """With maps that are pixels, for a quick export."""

        def __init__(self) -> None:
            super().__init__()
            self.students = students

        def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
            maps = {
                layer: F.avg_pool2d(pixels, stride).repeat(1, 64, 1, 1)[:, : backbone.channels[layer]]
                for layer, stride in backbone.strides.items()
            }
            local, whole = self.students.local_and_global(pixels, maps)
            return local, whole

    pixels = torch.from_numpy(np.stack(list(data.normal)[:3]))
    with torch.no_grad():
        expected = Both()(pixels)
    for answers in exported(Both(), pixels).values():
        for found, value in zip(answers, expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-3)


def test_presets_are_the_authors_code_and_one_for_a_cpu() -> None:
    paper, released = StudentsOptions(), StudentsOptions(**PRESETS["released"])
    assert (paper.steps, paper.batch, paper.local_student) == (70_000, 1, "heads")
    assert (released.steps, released.batch) == (60_000, 2)
    assert StudentsOptions(**PRESETS["cpu"]).steps < 10_000


def test_wrong_options_are_told(backbone: Backbone) -> None:
    with pytest.raises(OptionError, match=r"strides.*4, 8, 16.*32"):
        untaught(backbone, strides=(32,))
    with pytest.raises(OptionError, match="at least 33"):
        LocalGlobal(StudentsOptions(**TINY), backbone, (64, 32))
    with pytest.raises(ValidationError, match="rise"):
        StudentsOptions(quantiles=(0.9, 0.9))
