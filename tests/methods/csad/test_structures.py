"""The two branches for structural flaws behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.csad.structures import StructureOptions, build_structure
from flawscope.methods.registry import create
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED

BANKS = {"fine_bank": 40, "middle_bank": 20, "coarse_bank": 20, "evenness_steps": 4}
STRIDES = {"fine_strides": (4,), "middle_strides": (8,), "coarse_strides": (16,)}


def options_of(values: dict[str, Any]) -> Any:
    return TypeAdapter(StructureOptions).validate_python(values)


def test_patches_are_those_of_joined_banks(training_data: Callable[..., TrainingData]) -> None:
    data = training_data(4)
    detector = create(
        "joined_banks",
        {"size": (64, 64), "backbone": "resnet18", "weights": "random", **BANKS, **STRIDES},
    ).fit(data, Run(precision="fp32"))
    backbone = build_backbone("resnet18", strides=(4, 8, 16), size=(64, 64))
    options = options_of({"kind": "patches", **BANKS, **STRIDES})
    assert (options.natural, options.tuning, options.strides) == (0, 0, (4, 8, 16))
    branch = build_structure(options, backbone, (64, 64))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        branch.learn(data, backbone, Run(precision="fp32"), UNWATCHED)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        heatmap = branch.heatmap(branch(pixels, backbone(pixels)))
        torch.testing.assert_close(heatmap, detector(pixels)["heatmap"])


def test_patches_of_pictures_that_are_enlarged(training_data: Callable[..., TrainingData]) -> None:
    data, size = training_data(4), (64, 64)
    backbone = build_backbone("resnet18", strides=(4, 8, 16), size=size)
    branch = build_structure(
        options_of({"kind": "patches", "enlarged": 2, **BANKS, **STRIDES}), backbone, size
    )
    branch.learn(data, backbone, Run(precision="fp32"), UNWATCHED)
    pixels = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        shared = backbone(pixels)
        own = branch.maps(pixels, shared, backbone)
        found = branch(pixels, own)
        assert branch.heatmap(found).shape == (2, *size)
    assert {layer: maps.shape[2] for layer, maps in own.items()} == {
        layer: 2 * maps.shape[2] for layer, maps in shared.items()
    }
    assert found.shape == (2, 16, 16)  # cells of 8 pixels of 128
    branch.teach(data.normal, backbone, Run(precision="fp32"), UNWATCHED)


def test_students_need_tuning_pictures_and_as_published_natural_ones() -> None:
    published, cpu = options_of({"kind": "students"}), options_of({"kind": "students", "penalty": "none"})
    assert (published.natural, published.tuning) == (1, 1)
    assert cpu.natural == 0
    backbone = build_backbone("resnet18", strides=(4, 8), size=(64, 64))
    branch = build_structure(cpu, backbone, (64, 64))
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        found = branch.heatmap(branch(pixels, backbone(pixels)))
    assert found.shape == (2, 64, 64)


def test_a_wrong_kind_or_option_is_told_in_one_line() -> None:
    with pytest.raises(OptionError, match=r"kind of structure.*students"):
        options_of({"kind": "student"})
    with pytest.raises(OptionError, match=r"option 'steps' of structure of kind patches.*kind students"):
        options_of({"kind": "patches", "steps": 3})
