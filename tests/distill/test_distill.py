"""A teacher made from a folder: its file, its card, going on, measuring it, and what is refused."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from flawscope.distill.options import DistillOptions
from flawscope.distill.run import distill_teacher, evaluate_teacher, parse_options
from flawscope.errors import DataError, InputError, OptionError, OutputError, Stopped, WeightsError
from flawscope.files import sha256
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.teachers import load_teacher
from flawscope.nn.backbones.weights import CACHE, FOLDERS
from flawscope.nn.run import Run, write_tensors
from flawscope.nn.watch import Watch
from flawscope.progress import Silent

TINY = DistillOptions(
    teacher=("resnet18",),
    layers=(("layer1",),),
    features="layers",
    steps=2,
    batch=2,
    student_size=16,
    teacher_size=(32,),
    weights="random",
)
RUN = Run(precision="fp32", seed=3)


@pytest.fixture
def pictures(good_pictures: Callable[..., Path]) -> Path:
    return good_pictures(4, side=32)


class StopsTraining(Silent):
    """Progress that asks for a stop once training begins."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def stage(self, title: str, total: int) -> contextlib.AbstractContextManager[Silent]:
        if title == "training":
            self.stop.set()
        return super().stage(title, total)


def random_state() -> dict[str, torch.Tensor]:
    """Weights for TINY's teacher."""
    return build_backbone("resnet18", ["layer1"]).body.state_dict()


def cut_off(pictures: Path, out: Path, options: DistillOptions = TINY) -> None:
    """Distil until there is something to go on with."""
    stop = threading.Event()
    with pytest.raises(Stopped, match="Progress is kept"):
        distill_teacher(pictures, out, options, RUN, Watch(StopsTraining(stop), stop))


def test_the_file_is_a_teacher_and_the_card_tells_how_it_was_made(
    monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "more").mkdir()
    next(pictures.glob("*.png")).rename(pictures / "more" / "0.png")
    made = distill_teacher(pictures, tmp_path / "out" / "mine.safetensors", TINY, RUN)
    monkeypatch.setenv(FOLDERS, str(tmp_path / "out"))
    teacher = load_teacher("mine")
    assert teacher.channels == 64
    assert teacher.statistics is not None
    assert torch.equal(teacher.statistics[0], load_file(made.weights)["target_mean"])
    text = made.card.read_text(encoding="utf-8")
    card = json.loads(text)
    assert str(tmp_path) not in text
    assert card["sha256"] == sha256(made.weights)
    assert card["student"] == {
        "network": "pdn_s",
        "layer": None,
        "channels": 64,
        "padding": True,
        "parameters": sum(value.numel() for value in teacher.parameters()),
    }
    assert card["targets"]["teachers"][0]["layers"] == {"layer1": 64}
    assert (card["data"]["name"], card["data"]["trained_on"], card["data"]["held_out"]) == ("good", 3, 1)
    assert card["held_out_r2"] == {name: round(value, 6) for name, value in made.r2.items()}
    assert (card["training"]["precision"], card["training"]["seed"]) == ("float32", 3)
    assert card["command"].startswith(
        "flawscope distill good --out mine.safetensors --teacher resnet18 --layers layer1 --features layers"
    )
    assert sorted(path.name for path in made.weights.parent.iterdir()) == [
        "mine.json",
        "mine.safetensors",
    ]


def test_a_file_that_is_there_is_replaced_only_on_demand(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(OptionError, match="--overwrite"):
        distill_teacher(pictures, out, TINY, RUN)
    assert out.read_bytes() == b"precious"
    distill_teacher(pictures, out, TINY, RUN, overwrite=True)
    assert load_teacher(str(out)).channels == 64


def test_unfinished_work_goes_on_but_never_for_another_command(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    cut_off(pictures, out)
    unfinished = tmp_path / ".mine.unfinished"
    assert unfinished.is_dir()
    assert not out.exists()
    for options, run in (
        (TINY.model_copy(update={"steps": 3}), RUN),
        (TINY, Run(precision="fp32", seed=4)),
        (TINY, Run(precision="bf16", seed=3)),
    ):
        with pytest.raises(InputError, match="got that of another command") as caught:
            distill_teacher(pictures, out, options, run)
        assert "\n" not in str(caught.value)
    next(pictures.glob("*.png")).unlink()
    with pytest.raises(InputError, match="on these pictures"):
        distill_teacher(pictures, out, TINY, RUN)


def test_work_of_which_nothing_is_kept_stands_in_no_ones_way(pictures: Path, tmp_path: Path) -> None:
    out, broken = tmp_path / "mine.safetensors", pictures / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        distill_teacher(pictures, out, TINY, RUN)
    broken.unlink()
    assert distill_teacher(pictures, out, TINY, RUN).weights == out


def test_work_on_other_teachers_weights_is_not_taken_up(
    monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDERS, str(tmp_path / "weights"))
    place, out = tmp_path / "weights" / "resnet18.safetensors", tmp_path / "mine.safetensors"
    options, state = TINY.model_copy(update={"weights": "pretrained"}), random_state()
    write_tensors(place, state)
    cut_off(pictures, out, options)
    write_tensors(place, {key: 2 * value for key, value in state.items()})
    with pytest.raises(InputError, match="with these teachers' weights, got that of another command"):
        distill_teacher(pictures, out, options, RUN)


def test_a_file_called_as_the_card_is_not_written_over(pictures: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.json"
    own.write_text("{}", encoding="utf-8")
    with pytest.raises(OptionError, match=r"mine\.json: expected no such file, for the card of mine"):
        distill_teacher(pictures, tmp_path / "mine.safetensors", TINY, RUN)
    assert own.read_text(encoding="utf-8") == "{}"


def test_stopped_and_resumed_gives_the_same_file(pictures: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    distill_teacher(pictures, first, TINY, RUN)
    cut_off(pictures, second)
    distill_teacher(pictures, second, TINY, RUN)
    assert sha256(first) == sha256(second)


def test_a_full_disk_at_the_end_loses_no_step(
    monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OutputError("output", expected="room", got="none", fix="Free disk space.")

    monkeypatch.setattr("flawscope.distill.run.write_tensors", full)
    out = tmp_path / "mine.safetensors"
    with pytest.raises(
        OutputError, match=r"Free disk space\. Progress is kept in .* Run the same command again"
    ):
        distill_teacher(pictures, out, TINY, RUN)
    assert not out.exists()


def test_a_teacher_is_measured_against_its_own_targets(pictures: Path, tmp_path: Path) -> None:
    made = distill_teacher(pictures, tmp_path / "mine.safetensors", TINY, RUN)
    figures = evaluate_teacher(str(made.weights), pictures, TINY, RUN)
    assert figures.pictures == 4
    assert figures.r2.keys() == made.r2.keys() == {"layer1", "all"}
    assert evaluate_teacher(str(made.weights), pictures, TINY, RUN, limit=2).pictures == 2
    with pytest.raises(WeightsError, match="of 128 channels, as the layers have, got 64 channels"):
        evaluate_teacher(str(made.weights), pictures, TINY.model_copy(update={"layers": (("layer2",),)}), RUN)
    with pytest.raises(OptionError, match="expected pdn_s or pdn_m"):
        evaluate_teacher(str(made.weights), pictures, TINY.model_copy(update={"student": "resnet18"}), RUN)


def test_what_cannot_work_is_said_before_the_work(
    monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"at least 2 pictures.*got 0"):
        distill_teacher(tmp_path / "empty", out, TINY, RUN)
    with pytest.raises(InputError, match="nothing there"):
        distill_teacher(tmp_path / "none", out, TINY, RUN)
    with pytest.raises(OptionError, match=r"a \.safetensors file, got \.pth"):
        distill_teacher(pictures, tmp_path / "mine.pth", TINY, RUN)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        distill_teacher(pictures, tmp_path / "file" / "mine.safetensors", TINY, RUN)
    with pytest.raises(OptionError, match="one that neither knows"):
        distill_teacher(pictures, out, TINY.model_copy(update={"teacher": ("resnet81",)}), RUN)
    with pytest.raises(OptionError, match="a list for each of 2 teachers, got 1"):
        distill_teacher(pictures, out, TINY.model_copy(update={"teacher": ("resnet18", "resnet34")}), RUN)
    with pytest.raises(OptionError, match="one, or one for each of 1 teachers"):
        distill_teacher(pictures, out, TINY.model_copy(update={"teacher_size": (32, 64)}), RUN)
    monkeypatch.setenv(FOLDERS, str(tmp_path / "weights"))
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnet18.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="a whole safetensors file"):
        distill_teacher(pictures, out, TINY.model_copy(update={"weights": "pretrained"}), RUN)
    assert not out.exists()
    assert not (tmp_path / ".mine.unfinished").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "option 'steps': expected greater than or equal to 1, got 0. It is: training steps."),
        ({"teacher_size": 0}, "option 'teacher_size.0': expected greater than or equal to 16, got 0."),
        ({"features": "pca"}, "expected 'patchcore' or 'layers', got 'pca'"),
        ({"stepz": 5}, 'Did you mean "steps"?'),
    ],
)
def test_wrong_options_are_one_clear_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_options(values)
    assert message in str(caught.value)
