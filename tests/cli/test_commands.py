"""Commands as people and programs use them: output, exit codes, and one clear line for every mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from flawscope.runtime import bundle
from flawscope.runtime.seal import sealed
from trained import Trained, write_pictures

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., Any]


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the small model, to change or break."""
    return Path(shutil.copytree(trained.folder, tmp_path / "model"))


def test_inspect_prints_one_object_a_picture_and_counts_bad_files(
    flawscope: Run, model: Path, tmp_path: Path
) -> None:
    folder = hostile_pictures(tmp_path / "incoming")
    ended = flawscope("inspect", model, folder, folder / "absent.png", "--json")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    good = [line for line in lines if "error" not in line]
    bad = {Path(line["path"]).name: line["error"] for line in lines if "error" in line}
    assert ended.code == 3
    told = ["conditions", "decision", "findings", "p_value", "path", "picture", "score"]
    assert [sorted(line) for line in good] == [told] * 4
    assert sorted(bad) == ["absent.png", "bomb.png", "empty.png", "text.png", "truncated.jpg"]
    assert all("expected" in error and "got" in error and "\n" not in error for error in bad.values())


def hostile_pictures(folder: Path) -> Path:
    """Two plain pictures, a 1×1 one, a 16-bit one, and four that cannot be read."""
    write_pictures(folder, 2, seed=5)
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "tiny.png")
    Image.fromarray(np.full((30, 40), 40000, np.uint16)).save(folder / "deep.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    return folder


def test_inspect_writes_results_and_goes_on_where_it_stopped(
    flawscope: Run, model: Path, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    first = flawscope("inspect", model, trained.pictures / "spot", "--out", out)
    assert first.code == 0
    made = {path.name for path in out.iterdir()}
    assert {"results.csv", "results.jsonl", "report.html", "overlays"} <= made
    overlays = list((out / "overlays").rglob("*.png"))
    assert len(overlays) == 6
    lines = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    (out / "results.jsonl").write_text(lines[0][:20], encoding="utf-8")
    assert "6" in flawscope("inspect", model, trained.pictures / "spot", "--out", out).out
    again = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    strip = [json.loads(line) | {"file": None} for line in lines]
    assert [json.loads(line) | {"file": None} for line in again] == strip


def test_two_processes_into_one_folder_lose_nothing(model: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "in", 12, seed=4, spot=True)
    out = tmp_path / "results"
    halves = [[str(path) for path in sorted(folder.iterdir())[part]] for part in (slice(8), slice(4, 12))]
    processes = [
        subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "flawscope", "inspect", str(model), *half, "--out", str(out)],
            stdout=subprocess.DEVNULL,
        )
        for half in halves
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    names = sorted(path.name for path in folder.iterdir())
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]
    assert sorted(Path(line["path"]).name for line in lines) == names
    table, page = ((out / name).read_text("utf-8-sig") for name in ("results.csv", "report.html"))
    assert all(table.count(name) == 1 for name in names)
    assert all(name in page for name in names)
    assert len(list((out / "overlays" / "reject").iterdir())) == len(names)


def test_results_go_on_with_a_later_version_of_the_model_and_with_no_other(
    flawscope: Run, model: Path, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    assert flawscope("inspect", model, trained.pictures / "spot", "--out", out).code == 0
    assert flawscope("calibrate", model, "--false-rejects", "30%").code == 0
    assert flawscope("inspect", model, trained.pictures / "spot", "--out", out).code == 0
    assert flawscope("calibrate", model, "--false-rejects", "25%").code == 0
    shutil.rmtree(f"{model}.versions")  # nothing tells where this calibration comes from
    ended = flawscope("inspect", model, trained.pictures / "spot", "--out", out)
    assert ended.code == 7
    assert "--fresh" in ended.err
    assert flawscope("inspect", model, trained.pictures / "spot", "--out", out, "--fresh").code == 0


def test_evaluate_leaves_known_pictures_out(flawscope: Run, model: Path, trained: Trained) -> None:
    ended = flawscope("evaluate", model, trained.pictures, "--json")
    figures = json.loads(ended.out)
    assert ended.code == 0
    assert figures["left_out_known_to_model"] == 80
    assert figures["pictures"] == 26
    assert figures["detection"]["auroc"]["value"] == 1.0
    assert figures["kinds"]["spot"]["reject"] == 1.0


def test_evaluate_says_how_it_read_the_folder_and_what_it_cannot_tell(
    flawscope: Run, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "nut"
    write_pictures(folder / "train/good", 2, seed=8)
    write_pictures(folder / "test/NG", 2, seed=9, spot=True)
    write_pictures(folder / "test/OK", 2, seed=10)
    (folder / "test/OK/c.heic").write_bytes(b"x")
    ended = flawscope("evaluate", model, folder)
    assert ended.code == 0
    assert "OK (good): 2 test; good (good): 2 train; NG (defective): 2 test." in ended.err
    assert "1 left out (.heic is not read; convert it to PNG): OK/c.heic." in ended.err
    assert "Pixel AUROC, pixel AP and AU-PRO are not told: they need masks" in ended.err
    shutil.rmtree(folder / "test/NG")
    ended = flawscope("evaluate", model, folder)
    assert ended.code == 0
    assert "they need defective pictures, and all 2 are good" in ended.err


def test_calibrate_rereads_scores_and_takes_new_normals_once(
    flawscope: Run, model: Path, trained: Trained, tmp_path: Path
) -> None:
    before = bundle.load(model).manifest
    fresh = write_pictures(tmp_path / "fresh", 5, seed=3)
    seen = {picture.name for picture in before.provenance.pictures}
    known = next(path for path in sorted((trained.pictures / "good").iterdir()) if path.name in seen)
    shutil.copy(known, fresh / "known.png")
    ended = flawscope("calibrate", model, "--normals", fresh, "--json")
    values = json.loads(ended.out)
    assert (values["added"], values["known"], values["scores"]) == (5, 1, 19)
    again = flawscope("calibrate", model, "--normals", fresh)
    assert again.code == 6
    assert "knows already" in again.err
    after = bundle.load(model).manifest
    assert after.files == before.files
    assert set(before.calibration.scores) <= set(after.calibration.scores)


def test_a_rate_that_the_scores_do_not_support_is_said(flawscope: Run, model: Path) -> None:
    ended = flawscope("calibrate", model, "--false-rejects", "0.5%", "--confidence", "95%")
    assert ended.code == 0
    assert "598" in ended.out


def test_export_makes_a_folder_that_answers_alike_without_weights(
    flawscope: Run, model: Path, trained: Trained, tmp_path: Path
) -> None:
    assert flawscope("export", model, "--out", tmp_path / "station").code == 0
    assert not (tmp_path / "station" / "weights.safetensors").exists()
    ours = flawscope("inspect", model, trained.pictures / "spot", "--json").out
    assert flawscope("inspect", tmp_path / "station", trained.pictures / "spot", "--json").out == ours


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("train",), 2, "neither"),
        (("train", "{good}", "--method", "pachcore"), 2, 'Did you mean "patchcore"'),
        (
            ("train", "{good}", "--set", "options.corset=0.1", "--method", "patchcore"),
            2,
            'Did you mean "coreset"',
        ),
        (("train", "{good}", "--layout", "mvtec"), 2, "mvtec_ad"),
        (("train", "{good}", "--false-rejects", "many"), 2, "many"),
        (("train", "{empty}"), 3, "expected"),
        (("train", "{one}"), 3, "at least 5"),
        (("inspect", "{model}", "{empty}"), 3, "at least one picture"),
        (("inspect", "{empty}", "{good}"), 5, "manifest"),
        (("inspect", "{good}", "{model}"), 5, "got a folder of pictures. Name the model folder"),
        (("inspect", "{models}", "{good}"), 5, "got a folder of models. Name one of them: "),
        (("inspect", "{model}", "{good}", "--engine", "onnxrutime"), 2, 'Did you mean "onnxruntime"'),
        (("inspect", "{model}", "{good}", "--overlays", "al"), 2, 'Did you mean "all"'),
        (("inspect", "{model}", "{good}", "--out", "{file}"), 7, "can be written"),
        (("inspect", "{model}", "{good}", "{empty}", "--watch"), 2, "one folder"),
        (("methods", "padm"), 2, 'Did you mean "padim"'),
        (("data", "render", "pin_try", "--out", "{out}"), 2, 'Did you mean "pin_tray"'),
        (("calibrate", "{model}", "--promise", "always"), 2, "with_confidence"),
        (("export", "{model}", "--out", "{model}"), 2, "--out"),
    ],
)
def test_a_mistake_ends_in_one_clear_line(
    flawscope: Run, trained: Trained, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("in the way")
    places = {
        "good": trained.pictures / "good",
        "one": write_pictures(tmp_path / "one", 1),
        "empty": tmp_path / "empty",
        "file": tmp_path / "file",
        "model": trained.folder,
        "models": trained.folder.parent,
        "out": tmp_path / "out",
    }
    ended = flawscope(*(argument.format(**places) for argument in arguments))
    assert ended.code == code, ended.err
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_a_flipped_byte_in_the_model_is_refused(flawscope: Run, model: Path, trained: Trained) -> None:
    graph = model / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(bytes(content))
    ended = flawscope("inspect", model, trained.pictures / "spot")
    assert ended.code == 5
    assert "model.onnx" in ended.err


def test_a_foreign_key_in_the_manifest_is_refused(flawscope: Run, model: Path, trained: Trained) -> None:
    manifest = model / "manifest.json"
    values = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(sealed(values | {"surprise": 1}), encoding="utf-8")
    ended = flawscope("inspect", model, trained.pictures / "spot")
    assert ended.code == 5
    assert "surprise" in ended.err
