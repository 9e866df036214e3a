"""EfficientAD's losses: which pictures and cells each of them compares, and what CDO adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from flawscope.methods.efficientad.crops import Crops
from flawscope.methods.efficientad.detector import EfficientAD
from flawscope.methods.efficientad.options import EfficientADOptions
from flawscope.methods.efficientad.pictures import Batch
from flawscope.methods.efficientad.training import Objective
from flawscope.nn.backbones.pdn import pdn_cells
from flawscope.nn.run import Run
from flawscope.nn.student_teacher.losses import cdo_loss, discrepancy
from flawscope.nn.student_teacher.networks import taps

CHANNELS = 16  # of the teacher's map
TINY: dict[str, Any] = {"size": (64, 64), "weights": "random", "channels": CHANNELS, "steps": 3}


def objective_of(**changes: Any) -> tuple[EfficientAD, Objective]:
    torch.manual_seed(0)
    detector = EfficientAD(EfficientADOptions(**{**TINY, **changes}))
    return detector, Objective(
        detector.networks, detector.options, detector._normalised, Run(precision="fp32")
    )


def test_each_loss_compares_what_it_should() -> None:
    detector, objective = objective_of(
        hard_quantile=0.0, hard_weight=0.5, penalty="ood", penalty_weight=2.0, stae_weight=3.0
    )
    pixels, varied, natural = torch.rand(3, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        losses = objective(Batch(pixels, varied=varied, natural=natural))
        x, y, z = (detector._normalised(each) for each in (pixels, varied, natural))
        networks = detector.networks
        teacher, student = networks.teacher, networks.student
        rebuilt = networks.autoencoder(y)
        expected = {
            "hard": (teacher(x) - student(x)[:, :CHANNELS]).square().mean(),
            "penalty": student(z)[:, :CHANNELS].square().mean(),
            "autoencoder": (teacher(y) - rebuilt).square().mean(),
            "stae": (rebuilt - student(y)[:, CHANNELS:]).square().mean(),
        }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
    total = 0.5 * expected["hard"] + 2 * expected["penalty"] + expected["autoencoder"] + 3 * expected["stae"]
    torch.testing.assert_close(losses["total"], total)


def noisy(pictures: int = 1, *, padding: bool = True) -> tuple[Batch, torch.Tensor]:
    """Pictures of noise, of which the last gets defects; and that one with its defects (1, 3, H, W)."""
    random = torch.Generator().manual_seed(1)
    pixels = torch.rand(pictures, 3, 64, 64, generator=random)
    defects = torch.zeros(pictures, 64, 64, dtype=torch.bool)
    defects[-1, 10:20, 4:12] = defects[-1, 18:24, 10:15] = True
    defective = torch.where(defects[-1], torch.rand(3, 64, 64, generator=random), pixels[-1])
    crops = Crops((64, 64), pdn_cells("small", padding=padding)[-1], (10, 8))
    parts, masks = (
        torch.from_numpy(np.stack(made)) for made in crops(defective.numpy(), defects[-1].numpy())
    )
    return Batch(pixels, defects=defects, crops=parts, crop_defects=masks), defective[None]


class Follows(nn.Module):
    """Answers as to a picture seen before, to it and to what is cut from its upper left corner."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        height, width = (side // 4 for side in pixels.shape[2:])
        return self.answer[:, :, :height, :width].expand(len(pixels), -1, -1, -1)


def test_a_student_that_follows_the_clean_teacher_loses_nothing_by_noise() -> None:
    detector, objective = objective_of()
    batch, _ = noisy()
    with torch.no_grad():
        expert = detector.networks.teacher(detector._normalised(batch.pixels))
        twice = nn.Conv2d(expert.shape[1], 2 * expert.shape[1], 1)
        twice.weight.copy_(torch.eye(expert.shape[1]).repeat(2, 1)[:, :, None, None])
        twice.bias = nn.Parameter(torch.zeros(2 * expert.shape[1]))
        detector.networks.student = nn.Sequential(Follows(expert), twice)
        losses = objective(batch)
    assert losses["hard"] == 0
    assert losses["penalty"] < 0


def test_the_autoencoder_sees_pictures_without_defects() -> None:
    detector, objective = objective_of()
    seen: list[torch.Tensor] = []
    detector.networks.autoencoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch, _ = noisy()
    with torch.no_grad():
        found, clean = objective(batch), objective(Batch(batch.pixels))
    assert all(torch.equal(pixels, detector._normalised(batch.pixels)) for pixels in seen)
    for name in ("hard", "autoencoder", "stae"):
        assert found[name] == clean[name]
    assert found["penalty"] != clean["penalty"]


@pytest.mark.parametrize("padding", [False, True])
def test_cdo_compares_cells_in_defects_with_cells_that_see_none(padding: bool) -> None:
    detector, objective = objective_of(padding=padding, local_map="discrepancy", hierarchy=(0.5, 1.0))
    batch, defective = noisy(2, padding=padding)
    assert batch.defects is not None
    networks = detector.networks
    with torch.no_grad():
        found = objective(batch)["penalty"]
        shown = detector._normalised(torch.cat([batch.pixels[:1], defective]))
        both = zip(taps(networks.teacher, shown, 2), taps(networks.student, shown, 2), strict=True)
        distances = [discrepancy(expert, each[:, : expert.shape[1]]) for expert, each in both]
    marked = batch.defects.numpy()
    expected = torch.zeros(())
    for weight, where, values in zip((0.5, 1.0), networks.cells[-2:], distances, strict=True):
        inside, seeing = torch.zeros(2, *values.shape, dtype=torch.bool)
        for index, *cell in np.ndindex(*values.shape):
            row, column = (round(where.origin) + where.stride * place for place in cell)
            reach = where.field // 2
            inside[index, *cell] = bool(marked[index, row : row + 1, column : column + 1].any())
            field = (slice(max(at - reach, 0), at + reach + 1) for at in (row, column))
            seeing[index, *cell] = bool(marked[index, *field].any())
        expected += weight * cdo_loss(values[~seeing], values[inside], 2.0)
    torch.testing.assert_close(found, expected)


def test_the_autoencoder_learns_from_both_its_losses() -> None:
    detector, objective = objective_of(autoencoder_weight=1e-9)
    detector.networks.autoencoder.requires_grad_()
    objective(Batch(torch.rand(1, 3, 64, 64)))["total"].backward()
    gradient = detector.networks.autoencoder.output.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 1e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
def test_compiled_training_computes_the_same_losses() -> None:
    pixels, varied, natural = torch.rand(3, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    changes: dict[str, Any] = {"penalty": "ood", "appearance": "efficientad"}
    plain, compiled = (objective_of(**changes, compile=flag)[1] for flag in (False, True))
    plain.networks.autoencoder.eval()
    with torch.no_grad():
        expected, found = (each(Batch(pixels, varied=varied, natural=natural)) for each in (plain, compiled))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
