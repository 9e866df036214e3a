"""`flawscope audit`: verify, part and review, from an inspection to a page."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.runtime.chain import following

Run = Callable[..., Any]


@pytest.fixture
def out(flawscope: Run, tmp_path: Path) -> Path:
    """Results of three pictures, one of them rejected."""
    save_model(tmp_path / "model")
    (tmp_path / "in").mkdir()
    for index, level in enumerate((250, 40, 45)):
        Image.fromarray(np.full((20, 20), level, np.uint8)).save(tmp_path / "in" / f"{index}.png")
    assert flawscope("inspect", tmp_path / "model", tmp_path / "in", "--out", tmp_path / "out").code == 0
    return tmp_path / "out"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public one."""
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key").write_bytes(key.private_bytes(pem, *plain))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    return tmp_path / "key", tmp_path / "key.pub"


def changed(out: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(out / "results.sqlite")) as base:
        base.execute(statement)
        base.commit()


def test_results_are_verified_and_the_head_is_told(flawscope: Run, out: Path, tmp_path: Path) -> None:
    ended = flawscope("audit", "verify", out, "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["whole"], found["kinds"]) == (0, True, {"model": 1, "picture": 3})
    said = flawscope("audit", "verify", out, "--head", found["head"], "--pictures").out
    assert f"Head: {found['head']}" in said
    assert "The head given is row 4" in said
    assert "0 with other bytes now, 0 not there any more" in said
    (tmp_path / "in" / "1.png").write_bytes(b"another")
    ended = flawscope("audit", "verify", out, "--pictures")
    assert (ended.code, "1.png" in ended.out) == (10, True)
    assert flawscope("audit", "verify", out).code == 0
    changed(out, "DELETE FROM chain WHERE seq = 3")
    ended = flawscope("audit", "verify", out)
    assert (ended.code, "Not as it was written: row 3 was removed" in ended.out) == (10, True)
    assert flawscope("audit", "verify", tmp_path).code == 3


def test_the_log_of_versions_is_verified_too(flawscope: Run, out: Path, tmp_path: Path) -> None:
    place = tmp_path / "model.versions"
    place.mkdir()
    line = following(None, {"event": "update", "from": "a", "to": "b"}).to_line()
    (place / "log.jsonl").write_text(f"{line}\n")
    assert json.loads(flawscope("audit", "verify", out, "--json").out)["log"]["rows"] == 1
    (place / "log.jsonl").write_text(line.replace("update", "upgate"))
    ended = flawscope("audit", "verify", out)
    assert ended.code == 10
    assert f"Log of {tmp_path / 'model'}: row 1 was changed." in ended.out
    save_model(tmp_path / "elsewhere")
    elsewhere = flawscope("audit", "verify", out, "--model", tmp_path / "elsewhere", "--json")
    assert (elsewhere.code, json.loads(elsewhere.out)["log"]) == (0, None)
    typed = flawscope("audit", "verify", out, "--model", tmp_path / "elswhere", "--json")
    assert (typed.code, typed.out) == (5, "")


def test_a_log_that_cannot_be_checked_is_told(flawscope: Run, out: Path, tmp_path: Path) -> None:
    told = flawscope("audit", "verify", out, "--model", tmp_path / "model")
    said = (
        f"No log of versions can be read beside {tmp_path / 'model'}: changes of the model are not checked."
    )
    assert (told.code, said in told.out) == (0, True)
    assert "No log" not in flawscope("audit", "verify", out).out  # whose model has never changed


def test_a_log_that_was_taken_away_is_told(flawscope: Run, out: Path, tmp_path: Path) -> None:
    assert flawscope("calibrate", tmp_path / "model", "--false-rejects", "20%").code == 0
    Image.fromarray(np.full((20, 20), 50, np.uint8)).save(tmp_path / "in" / "3.png")
    assert flawscope("inspect", tmp_path / "model", tmp_path / "in", "--out", out).code == 0
    assert flawscope("audit", "verify", out).code == 0
    (tmp_path / "model.versions" / "log.jsonl").write_bytes(b"")
    ended = flawscope("audit", "verify", out, "--json")
    assert (ended.code, "a change is missing" in json.loads(ended.out)["log"]["problem"]) == (10, True)
    shutil.rmtree(tmp_path / "model.versions")
    apart = flawscope("audit", "verify", out)  # as beside a copy of the model on another machine
    assert (apart.code, "changes of the model are not checked" in apart.out) == (0, True)


def test_a_part_is_reviewed_and_has_its_page(flawscope: Run, out: Path, tmp_path: Path) -> None:
    review = "audit", "review", out, "0.png", "--verdict"
    assert "Row 5:" in flawscope(*review, "good", "--by", "Ana").out
    assert json.loads(flawscope(*review, "good", "--note", "a reflex", "--json").out)["note"] == "a reflex"
    assert flawscope(*review, "perfect").code == 2
    page = tmp_path / "page.html"
    ended = flawscope("audit", "part", out, "0.png", "--out", page, "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["row"], told["picture_file"], len(told["reviews"])) == (0, 2, "same", 2)
    assert told["hash"] in page.read_text(encoding="utf-8")
    assert "a reflex" in page.read_text(encoding="utf-8")
    assert "People reviewed" not in (out / "report.html").read_text(encoding="utf-8")
    flawscope("inspect", tmp_path / "model", tmp_path / "in", "--out", out)
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "People reviewed 1 of 3 pictures" in report
    assert "Good, but rejected" in report
    changed(out, "UPDATE records SET score = 0 WHERE id = 1")
    ended = flawscope("audit", "part", out, "0.png", "--out", page)
    assert (ended.code, "says otherwise than its record" in ended.out) == (10, True)
    told = flawscope("audit", "part", out, "0.png", "--out", page, "--json")
    assert (told.code, "says otherwise" in json.loads(told.out)["problem"]) == (10, True)


def test_a_signed_head_is_trusted_and_no_other(
    flawscope: Run, out: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    head, (private, public) = tmp_path / "head.json", keys
    verify = "audit", "verify", out
    assert flawscope(*verify, "--sign", private).code == 2
    assert flawscope(*verify, "--trust", public).code == 2
    assert flawscope(*verify, "--write-head", head).code == 0
    unsigned = flawscope(*verify, "--head", head, "--trust", public)
    assert (unsigned.code, "got an unsigned one" in unsigned.err) == (3, True)
    assert flawscope(*verify, "--write-head", head, "--sign", private).code == 0
    assert "The head given is row 4" in flawscope(*verify, "--head", head, "--trust", public).out
    assert json.loads(head.read_text())["row"] == 4
    head.write_text(head.read_text().replace('"row": 4', '"row": 5'))
    changed_head = flawscope(*verify, "--head", head, "--trust", public)
    assert (changed_head.code, "a signature that does not fit it" in changed_head.err) == (3, True)
    assert flawscope(*verify, "--head", "a" * 64, "--trust", public).code == 3
    head.write_text("{}")
    assert flawscope(*verify, "--head", head).code == 3


def test_no_head_is_written_of_results_that_are_not_whole(flawscope: Run, out: Path, tmp_path: Path) -> None:
    changed(out, "UPDATE chain SET kind = 'review' WHERE seq = 2")
    assert flawscope("audit", "verify", out, "--write-head", tmp_path / "head.json").code == 10
    assert not (tmp_path / "head.json").exists()
