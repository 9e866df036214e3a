"""A disk that is full, over quota or read-only: one line, exit code 7, and what was made is kept."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from brightness_model import save_model
from flawscope.cli import main
from flawscope.errors import OutputError
from flawscope.files import disk_error, write_atomically, write_text, write_with
from flawscope.nn.run import Checkpoints, Run
from flawscope.products import write_loco
from flawscope.runtime import bundle
from flawscope.runtime.inspector import Inspector
from flawscope.station import deploy as deploying
from flawscope.station.inspection import inspect_pictures
from flawscope.station.picture import inspect_one
from flawscope.station.results import Results
from flawscope.training import pack as packing
from flawscope.training.train import UNFINISHED, train
from trained import recipe, write_pictures

NUMBERS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS]


@contextmanager
def most_bytes(count: int) -> Iterator[None]:
    """The system lets no file grow beyond so many bytes: a refusal that every writer meets as it is."""
    resource = pytest.importorskip("resource", reason="this system has no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refusing(number: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_tensors_that_find_no_room(tmp_path: Path) -> None:
    """The writer is compiled code, with an error of its own."""
    store = Checkpoints(tmp_path)
    store.save("steps", {"a": torch.zeros(9)})
    with most_bytes(500), pytest.raises(OutputError, match=r"steps\.safetensors: .*got file too large"):
        store.save("steps", {"a": torch.ones(9000)})
    kept = store.load("steps")
    assert kept is not None
    assert torch.equal(kept["a"], torch.zeros(9))
    assert [path.name for path in tmp_path.iterdir()] == ["steps.safetensors"]


def test_a_graph_that_finds_no_room(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    graph = onnx.load(model.folder / bundle.GRAPH)
    refused = pytest.raises(OutputError, match="file too large")
    with most_bytes(100), refused, bundle.writing(model.folder) as draft:
        onnx.save(graph, str(draft.folder / bundle.GRAPH))
    assert bundle.load(model.folder).manifest == model.manifest


def test_an_overlay_that_finds_no_room(tmp_path: Path) -> None:
    path, inspector = tmp_path / "a.png", Inspector.load(save_model(tmp_path / "model"))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    overlay = inspect_one(inspector, path, overlay=lambda _: True).overlay
    refused = pytest.raises(OutputError, match="file too large")
    with most_bytes(500), refused, write_atomically(tmp_path / "overlay.png") as stream:
        stream.write(overlay)
    assert not (tmp_path / "overlay.png").exists()


@pytest.mark.parametrize("number", NUMBERS)
def test_foreign_errors_that_tell_of_the_disk_are_ours(number: int, tmp_path: Path) -> None:
    def compiled(_: Path) -> None:
        raise RuntimeError(f"writing failed: {os.strerror(number)} (os error {number})")

    def wrapped(_: Path) -> None:
        try:
            refusing(number)()
        except OSError as error:
            raise ValueError("could not write") from error

    for save in (compiled, wrapped):
        with pytest.raises(OutputError, match=f"(?i){os.strerror(number)}"):
            write_with(tmp_path / "a", save)
        with pytest.raises(OutputError, match=f"(?i){os.strerror(number)}"), bundle.writing(tmp_path / "m"):
            save(tmp_path)
    assert not any(tmp_path.iterdir())


def test_other_foreign_errors_stay_what_they_are(tmp_path: Path) -> None:
    def wrong(_: Path) -> None:
        raise ValueError("a tensor of 28 numbers")

    with pytest.raises(ValueError, match="28 numbers"):
        write_with(tmp_path / "a", wrong)
    with pytest.raises(ValueError, match="28 numbers"), bundle.writing(tmp_path / "model"):
        wrong(tmp_path)
    assert disk_error(FileNotFoundError(errno.ENOENT, "No such file")) is None


@pytest.mark.parametrize("number", NUMBERS)
def test_a_place_that_takes_nothing(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryDirectory", refusing(number))
    with pytest.raises(OutputError, match=f"(?i){os.strerror(number)}"):
        write_text(tmp_path / "a", "text")
    with pytest.raises(OutputError, match=f"(?i){os.strerror(number)}"):
        save_model(tmp_path / "model")
    with pytest.raises(OutputError, match=f"(?i){os.strerror(number)}"):
        Checkpoints(tmp_path).save("steps", {"a": torch.zeros(1)})


def test_pictures_written_over_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "save", refusing(errno.EDQUOT))
    with pytest.raises(OutputError, match="quota"):
        write_loco(tmp_path, "pin_tray", seed=0, train=1, validation=0, test_good=0, per_flaw=0, size=64)
    assert not any(tmp_path.iterdir())


def test_records_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says so in its own words; the records before stay."""
    inspector, paths = Inspector.load(save_model(tmp_path / "model")), []
    for index in range(60):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (40, 40, 3), np.uint8)).save(paths[-1])
    before = Results.__init__

    def small(self: Results, *arguments: Any, **options: Any) -> None:
        before(self, *arguments, **options)
        self._base.execute("PRAGMA max_page_count = 24")

    monkeypatch.setattr(Results, "__init__", small)
    with pytest.raises(OutputError, match=r"results\.sqlite: .*database or disk is full"):
        inspect_pictures(inspector, paths, out=tmp_path / "out", overlays="none")
    monkeypatch.undo()
    summary = inspect_pictures(inspector, paths, out=tmp_path / "out", overlays="none")
    assert 0 < summary.skipped < 60
    assert summary.skipped + summary.accept + summary.review + summary.reject == 60


def test_a_training_keeps_what_it_has_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, out = write_pictures(tmp_path / "good", 12), tmp_path / "model"
    wish = recipe(pictures, split={"calibration": 0.5}, calibration={"false_rejects": 0.45})
    monkeypatch.setattr(packing, "export", refusing(errno.ENOSPC))
    with pytest.raises(
        OutputError, match=r"no space left.*Progress is kept in .*\.unfinished.*command again"
    ):
        train(wish, out, Run())
    (kept,) = (out / UNFINISHED).rglob("coreset.safetensors")
    assert (Checkpoints(kept.parent).load("coreset") or {})["chosen"].numel() > 10
    assert not (out / bundle.MANIFEST).exists()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 7, "no space left on device"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/mnt/models/a"), 7, "output /mnt/models/a"),
        (RuntimeError("Read-only file system (os error 30)"), 7, "read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/a"), 3, "/root/a"),
    ],
)
def test_whoever_raises_it_the_command_ends_in_one_line(
    error: Exception,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(deploying, "deploy", fail)
    monkeypatch.setattr("sys.argv", ["flawscope", "export", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    printed = capsys.readouterr().err
    assert said in printed
    assert len(printed.strip().splitlines()) == 1


def test_a_bug_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(deploying, "deploy", fail)
    monkeypatch.setattr("sys.argv", ["flawscope", "export", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(ZeroDivisionError):
        main()
