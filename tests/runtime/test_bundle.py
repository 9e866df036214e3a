"""The model folder: written whole or not at all, and believed only as far as its hashes go."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brightness_model import make_manifest, save_model, write_graph
from flawscope import files, folders
from flawscope.errors import BundleError, OptionError, OutputError
from flawscope.runtime import bundle
from flawscope.runtime.provenance import SeenPicture
from flawscope.runtime.seal import sealed


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model").folder


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the manifest's JSON in place, and make its hash anew."""
    path = folder / bundle.MANIFEST
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(sealed(content))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(model: Path) -> None:
    loaded = bundle.load(model)
    files_left_out = loaded.manifest.model_copy(update={"files": {}})
    assert files_left_out == make_manifest()
    assert loaded.manifest.files["model.onnx"].bytes == (model / "model.onnx").stat().st_size
    assert loaded.weights is None
    assert entries(model.parent) == ["model"]


def test_names_that_are_no_utf8_do_not_spoil_it(model: Path) -> None:
    name = os.fsdecode(b"Pr\xfcfling.png")
    found = bundle.load(model)
    own = found.manifest.provenance
    seen = SeenPicture(name=name, sha256="0" * 64, role="calibration", group=name)
    pictures = own.model_copy(update={"pictures": (seen,)})
    bundle.replace_manifest(found, found.manifest.model_copy(update={"provenance": pictures}))
    (kept,) = bundle.load(model).manifest.provenance.pictures
    assert (kept.name, kept.group) == (r"Pr\udcfcfling.png",) * 2


def test_a_manifest_that_may_not_be_read_is_told_so(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as context:
        context.setattr(Path, "read_bytes", refused)
        with pytest.raises(BundleError, match="got permission denied"):
            bundle.load(model)
    with pytest.raises(BundleError, match="got not a directory"):
        bundle.load(model / bundle.MANIFEST)


def test_every_file_that_is_written_is_hashed(tmp_path: Path) -> None:
    with bundle.writing(tmp_path / "model") as draft:
        write_graph(draft.folder / bundle.GRAPH)
        (draft.folder / bundle.WEIGHTS).write_bytes(b"weights")
        (draft.folder / bundle.RECIPE).write_text("method: brightness\n")
        draft.manifest = make_manifest()
    saved = draft.bundle
    assert sorted(saved.manifest.files) == ["model.onnx", "recipe.yaml", "weights.safetensors"]
    assert saved.weights is not None
    assert saved.weights.read_bytes() == b"weights"


def test_flipped_byte(model: Path) -> None:
    graph = model / bundle.GRAPH
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(
        BundleError, match=r"expected model\.onnx as its manifest describes it .* got other content"
    ):
        bundle.load(model)


def test_truncated_file(model: Path) -> None:
    graph = model / bundle.GRAPH
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"got \d+ bytes"):
        bundle.load(model)


def test_missing_file(model: Path) -> None:
    (model / bundle.GRAPH).unlink()
    with pytest.raises(BundleError, match=r"expected model\.onnx, got no such file"):
        bundle.load(model)


@pytest.mark.parametrize("where", [[], ["calibration"], ["provenance"], ["files", "model.onnx"], ["frame"]])
def test_foreign_key(model: Path, where: list[str]) -> None:
    def edit(content: dict[str, Any]) -> None:
        for key in where:
            content = content[key]
        content["foreign"] = 1

    change(model, edit)
    with pytest.raises(BundleError, match=r"foreign: (extra inputs|unexpected keyword)") as caught:
        bundle.load(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../outside.bin", "/etc/hostname", "sub/../../outside.bin", "", "manifest.json"]
)
def test_files_outside_the_folder(model: Path, name: str) -> None:
    (model.parent / "outside.bin").write_bytes(b"")
    change(model, lambda content: content["files"].update({name: {"sha256": "0" * 64, "bytes": 0}}))
    with pytest.raises(BundleError, match="tampered"):
        bundle.load(model)


def test_link_that_leads_outside(model: Path) -> None:
    outside = model.parent / "elsewhere.onnx"
    (model / bundle.GRAPH).rename(outside)
    (model / bundle.GRAPH).symlink_to(outside)
    with pytest.raises(BundleError, match="inside the folder"):
        bundle.load(model)


def test_newer_format_says_to_upgrade(model: Path) -> None:
    change(model, lambda content: content.update(format=bundle.FORMAT + 1, invented_later=True))
    with pytest.raises(BundleError, match=r"expected a model of format 3, got format 4\. Upgrade flawscope"):
        bundle.load(model)


def test_a_model_of_format_2_is_refused_in_one_sentence(model: Path) -> None:
    change(model, lambda content: content.update(format=2))
    with pytest.raises(BundleError, match=r"model of format 3, got format 2\. Train it again with"):
        bundle.load(model)


@pytest.mark.parametrize("number", ["1", None, 0, True, 1.5])
def test_format_must_be_a_number(model: Path, number: object) -> None:
    change(model, lambda content: content.update(format=number))
    with pytest.raises(BundleError, match="format number"):
        bundle.load(model)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
def test_damaged_manifest(model: Path, content: bytes) -> None:
    (model / bundle.MANIFEST).write_bytes(content)
    with pytest.raises(BundleError):
        bundle.load(model)


def test_calibration_that_is_no_calibration(model: Path) -> None:
    change(model, lambda content: content["calibration"].update(scores=[]))
    with pytest.raises(BundleError) as caught:
        bundle.load(model)
    assert "\n" not in str(caught.value)


def test_manifest_without_the_graph(model: Path) -> None:
    change(model, lambda content: content["files"].clear())
    with pytest.raises(BundleError, match="does not list it"):
        bundle.load(model)


@pytest.mark.parametrize("folder", ["absent", "empty", "x" * 300])
def test_no_model_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"folder with manifest\.json"):
        bundle.load(tmp_path / folder)


def test_saving_keeps_what_belongs_to_no_model(model: Path) -> None:
    (model / "report.html").write_text("report")
    (model / "checkpoints").mkdir()
    (model / "checkpoints" / "bank").write_text("kept")
    save_model(model, divide_by=2.0)
    assert (model / "report.html").read_text() == "report"
    assert (model / "checkpoints" / "bank").read_text() == "kept"
    assert entries(model) == ["checkpoints", "manifest.json", "model.onnx", "report.html"]
    assert entries(model.parent) == ["model"]
    bundle.load(model)


@pytest.mark.parametrize("name", ["recipe.yaml", "weights.safetensors", "model.onnx"])
def test_somebodys_own_file_that_is_called_as_a_models_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("")
    bundle.refuse_existing(tmp_path, overwrite=False)
    (tmp_path / name).write_text("mine")
    with pytest.raises(OptionError, match=f"got one that is no model and holds {name}"):
        bundle.refuse_existing(tmp_path, overwrite=False)
    bundle.refuse_existing(tmp_path, overwrite=True)


def test_a_file_of_the_old_model_does_not_survive_in_the_new_one(tmp_path: Path) -> None:
    with bundle.writing(tmp_path / "model") as draft:
        write_graph(draft.folder / bundle.GRAPH)
        (draft.folder / bundle.WEIGHTS).write_bytes(b"old")
        draft.manifest = make_manifest()
    assert save_model(tmp_path / "model").weights is None
    assert entries(tmp_path / "model") == ["manifest.json", "model.onnx"]


def failing_write(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_while_writing_keeps_the_old_model(model: Path) -> None:
    before = bundle.load(model).manifest

    def half(folder: Path) -> None:
        (folder / bundle.GRAPH).write_bytes(b"half")
        failing_write()

    with pytest.raises(OutputError, match="no space left on device"), bundle.writing(model) as draft:
        half(draft.folder)
    assert bundle.load(model).manifest == before
    assert entries(model.parent) == ["model"]


def test_full_disk_while_writing_the_manifest_keeps_the_old_model(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bundle.load(model)
    before = found.manifest
    monkeypatch.setattr(files.os, "fsync", failing_write)
    with pytest.raises(OutputError, match="no space left"):
        save_model(model, divide_by=3.0)
    with pytest.raises(OutputError, match="no space left"):
        bundle.replace_manifest(found, before.model_copy(update={"method": "other"}))
    assert bundle.load(model).manifest == before
    assert entries(model.parent) == ["model"]


@pytest.mark.parametrize(("at_once", "failing"), [(True, 1), (False, 1), (False, 2), (False, 3), (False, 4)])
def test_failing_swap_keeps_the_old_model(
    model: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool, failing: int
) -> None:
    """The last rename moves further entries over; three go before where folders cannot be exchanged."""
    if not at_once:
        monkeypatch.setattr(folders, "_exchange_call", lambda: None)
    (model / "report.html").write_text("report")
    before = bundle.load(model).manifest
    rename, calls = Path.rename, []

    def fail_once(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(OutputError, match="permission denied"):
        save_model(model, divide_by=3.0)
    monkeypatch.undo()
    assert bundle.load(model).manifest == before
    assert (model / "report.html").read_text() == "report"
    assert entries(model.parent) == ["model"]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(OutputError, match="not a directory"):
        save_model(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def test_an_error_passes_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="parity"), bundle.writing(tmp_path / "model"):
        raise BundleError("parity", expected="small", got="large", fix="Do not.")
    assert entries(tmp_path) == []


def test_replacing_the_manifest_touches_no_other_file(model: Path) -> None:
    graph = (model / bundle.GRAPH).read_bytes()
    found = bundle.load(model)
    changed = found.manifest.calibration.with_settings(alpha=0.1)
    picture = SeenPicture(name="a.png", sha256="0" * 64, role="calibration")
    provenance = found.manifest.provenance.model_copy(update={"pictures": (picture,)})
    update = {"calibration": changed, "provenance": provenance}
    bundle.replace_manifest(found, found.manifest.model_copy(update=update))
    again = bundle.load(model)
    assert again.manifest.calibration == changed
    assert again.manifest.provenance.count("calibration") == 1
    assert (model / bundle.GRAPH).read_bytes() == graph
    assert entries(model) == ["manifest.json", "model.onnx"]


def test_a_copied_folder_is_the_same_model(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    assert bundle.load(tmp_path / "copy").manifest == bundle.load(model).manifest
