"""`flawscope train` by itself on pictures, banks and networks that teach nothing: one clear line each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from flawscope.nn.backbones.build import Backbone
from trained import write_pictures

Run = Callable[..., Any]
Picture = Callable[[int], np.ndarray[Any, Any]]
SMALL = [
    *(
        "--set",
        "options.size=[64,64]",
        "--set",
        "options.weights=random",
        "--set",
        "options.backbone=test_resnet",
        "--set",
        "options.evenness_steps=5",
    ),
    *("--engine", "onnxruntime", "--json"),
]


def refused(flawscope: Run, pictures: Path, out: Path, *settings: str) -> str:
    """The one line with which training by the default method ends; no model is left."""
    ended = flawscope("train", pictures, "--out", out, *SMALL, *settings)
    assert ended.code not in (0, 1), ended.err
    assert ended.err.startswith("flawscope: ")
    assert ended.err.count("\n") == 1, ended.err
    assert not (out / "manifest.json").exists()
    return str(ended.err)


def drawn(folder: Path, count: int, picture: Picture) -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(picture(index).astype(np.uint8)).save(folder / f"{index:03d}.png")
    return folder


def blank(index: int) -> np.ndarray[Any, Any]:
    return np.full((64, 64, 3), 120 + index % 3)


def twin(index: int) -> np.ndarray[Any, Any]:
    del index
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3))


def twins_and_one(index: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(index // 7).integers(0, 256, (64, 64, 3))


@pytest.mark.parametrize(
    ("picture", "count", "line"),
    [
        (blank, 8, "8 pictures that are one colour all over"),
        (twin, 2, "expected at least 5, got 2"),
        (twin, 8, "8 pictures that are all alike"),
        (twins_and_one, 8, "alike in every patch, such as copies"),
    ],
)
def test_pictures_that_teach_nothing(
    flawscope: Run, tmp_path: Path, picture: Picture, count: int, line: str
) -> None:
    assert line in refused(flawscope, drawn(tmp_path / "good", count, picture), tmp_path / "model")


@pytest.mark.parametrize("bank", ["fine_bank", "middle_bank", "coarse_bank"])
def test_a_bank_of_one_member(flawscope: Run, tmp_path: Path, bank: str) -> None:
    pictures = write_pictures(tmp_path / "good", 6)
    said = refused(flawscope, pictures, tmp_path / "model", "--set", f"options.{bank}=1")
    assert f"option '{bank}' of the joined banks" in said


@pytest.mark.parametrize(
    ("answer", "line"), [(float("nan"), "expected finite numbers, got NaN"), (1.0, "alike in every patch")]
)
def test_networks_that_tell_nothing(
    flawscope: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: float, line: str
) -> None:
    forward = Backbone.forward

    def broken(self: Backbone, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: torch.full_like(maps, answer) for name, maps in forward(self, pixels).items()}

    monkeypatch.setattr(Backbone, "forward", broken)
    assert line in refused(flawscope, write_pictures(tmp_path / "good", 6), tmp_path / "model")
