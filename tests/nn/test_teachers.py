"""Which teacher is found, what is refused, and what a teacher computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flawscope.errors import OptionError, WeightsError
from flawscope.files import sha256
from flawscope.nn.backbones import _sources
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.pdn import pdn
from flawscope.nn.backbones.teachers import load_teacher
from flawscope.nn.backbones.weights import CACHE, FOLDERS, load_pretrained

PIXELS = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and one empty folder to look in."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    place = tmp_path / "weights"
    place.mkdir()
    monkeypatch.setenv(FOLDERS, str(place))
    return place


def put(path: Path, value: float, channels: int = 64) -> None:
    state = pdn("small", channels).state_dict()
    save_file({key: torch.full_like(tensor, value) for key, tensor in state.items()}, path)


def test_the_shipped_teacher_is_found_and_is_the_one_of_its_card() -> None:
    teacher = load_teacher()
    card = json.loads((_sources.SHIPPED / "pdn_s.json").read_text(encoding="utf-8"))
    path = _sources.SHIPPED / card["file"]
    assert sha256(path) == card["sha256"] == _sources.KNOWN["pdn_s"].sha256
    assert torch.equal(teacher.body[0].weight, load_file(path)["0.weight"])
    assert sum(value.numel() for value in teacher.parameters()) == card["student"]["parameters"]
    assert teacher.channels == card["student"]["channels"] == 384
    assert teacher.statistics is not None
    assert teacher.statistics[0].shape == (384,)


def test_forward_normalises_and_is_the_backbones() -> None:
    backbone = build_backbone("pdn_s")
    load_pretrained(backbone)
    torch.testing.assert_close(load_teacher()(PIXELS), backbone(PIXELS)["8"])


@pytest.mark.parametrize(("padding", "side"), [(True, 16), (False, 8)])
def test_the_same_weights_with_and_without_padding(padding: bool, side: int) -> None:
    assert load_teacher(padding=padding)(PIXELS).shape == (1, 384, side, side)


def test_a_folders_file_comes_before_the_shipped_one_and_decides_the_channels(folder: Path) -> None:
    put(folder / "pdn_s_resnet18.safetensors", 0.5)
    teacher = load_teacher()
    assert (teacher.source, teacher.channels) == ("pdn_s_resnet18.safetensors", 64)
    assert float(teacher.body[0].weight.flatten()[0].detach()) == 0.5
    assert teacher.statistics is None
    put(folder / "pdn_s.safetensors", 0.25)
    assert load_teacher().source == "pdn_s.safetensors"


def test_another_networks_file_with_a_longer_name_is_passed_over(folder: Path) -> None:
    save_file({"x": torch.zeros(2)}, folder / "pdn_s_notes.safetensors")
    assert load_teacher().source == "pdn_s.safetensors"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("8.weight", float("inf"), r"finite numbers, got NaN or infinity in 8\.weight"),
        ("target_mean", float("nan"), "NaN or infinity in target_mean"),
        ("target_std", 0.0, "deviations above 0 in target_std, got 0"),
    ],
)
def test_a_teacher_that_is_no_numbers_is_refused(folder: Path, key: str, value: float, message: str) -> None:
    ones = {"target_mean": torch.ones(64), "target_std": torch.ones(64)}
    state = {**pdn("small", 64).state_dict(), **ones}
    state[key] = torch.full_like(state[key], value)
    save_file(state, folder / "odd.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_teacher("odd")


def test_ones_own_teacher_by_name_and_by_path(folder: Path, tmp_path: Path) -> None:
    put(folder / "my_teacher.safetensors", 0.5)
    put(tmp_path / "elsewhere.safetensors", 0.75)
    assert load_teacher("my_teacher").source == "my_teacher.safetensors"
    assert load_teacher(str(tmp_path / "elsewhere.safetensors")).channels == 64


def test_a_missing_teacher_says_where_to_put_it_and_how_to_make_it(folder: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        load_teacher(size="medium")
    message = str(caught.value)
    assert all(part in message for part in ("pdn_m.safetensors", FOLDERS, "flawscope distill", "pdn_m"))
    assert "\n" not in message
    with pytest.raises(WeightsError, match=r"mine\.safetensors"):
        load_teacher("mine")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_teacher(str(folder / "none.safetensors"))


def test_what_is_no_teacher_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="neither"):
        load_teacher("../pdn_s")
    save_file({"x": torch.zeros(2)}, folder / "foreign.safetensors")
    with pytest.raises(WeightsError, match=r"expected 0\.weight of shape \(128, 3, 4, 4\).*no such tensor"):
        load_teacher("foreign")
    with pytest.raises(WeightsError, match=r"\(pdn_m\), got shape \(128, 3, 4, 4\)"):
        load_teacher("pdn_s", "medium")


def test_a_changed_shipped_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(tmp_path / "pdn_s.safetensors", 1)
    monkeypatch.setattr(_sources, "SHIPPED", tmp_path)
    with pytest.raises(WeightsError, match="the published file"):
        load_teacher()


def test_random_weights_are_the_same_each_time_and_look_for_nothing(folder: Path) -> None:
    (folder / "pdn_s.safetensors").write_bytes(b"damaged")
    before = torch.random.get_rng_state()
    first, second = (load_teacher(weights="random") for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first(PIXELS), second(PIXELS))
    assert first.source == ""


def test_frozen_for_good() -> None:
    teacher = load_teacher(weights="random").train()
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_a_random_teacher_has_the_channels_asked_for() -> None:
    teacher = load_teacher(weights="random", channels=8)
    assert teacher(PIXELS).shape[1] == teacher.channels == 8
