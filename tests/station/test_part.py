"""What is told of one part: its record, what it was made with, its picture where that can be shown."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.runtime.images import read_image
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.record import Views
from flawscope.station.audit import audit
from flawscope.station.inspection import inspect_pictures
from flawscope.station.part import part_of, shown
from flawscope.station.reviews import review
from flawscope.station.store import STORE


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Results of two pictures, the first with a bright spot; the model and the pictures lie beside them."""
    return inspected(tmp_path, spot=240)


def inspected(folder: Path, *, spot: int) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    for name, level in (("a", spot), ("b", 90)):
        pixels = np.full((40, 60), 80, np.uint8)
        pixels[10:20, 20:40] = level
        Image.fromarray(pixels).save(folder / "in" / f"{name}.png")
    model = folder / "model"
    inspector = Inspector.load(
        model if model.exists() else save_model(model), engine="onnxruntime", threads=1
    )
    inspect_pictures(inspector, sorted((folder / "in").iterdir()), out=folder / "out")
    return folder / "out"


def test_a_part_is_told_with_what_it_was_made_with(out: Path, tmp_path: Path) -> None:
    made = review(out, "a.png", "defective", by="Ana")
    part = part_of(out, "a.png")
    assert (part.record.name, str(part.record.decision), part.file) == ("a.png", "reject", "same")
    assert part.row.whole
    assert part.row.entry["record"] == part.record.to_json()
    assert part.in_force is not None
    assert part.in_force.identity == part.record.model
    assert (part.in_force.name, part.in_force.folder) == ("model", str(tmp_path / "model"))
    assert part.in_force.engine.startswith("onnxruntime 1.")
    assert (part.reviews, part.earlier) == ((made,), ())


def test_it_is_drawn_again_from_the_same_file_with_the_same_model(out: Path) -> None:
    views, sentence = shown(part_of(out, "a.png"))
    assert sentence.endswith("by the version of the model that judged it; the score is the same.")
    assert read_image(views.thumbnail).shape == (40, 60, 3)
    assert read_image(views.overlay).shape == (40, 60, 3)


def test_another_model_in_its_place_draws_nothing_and_a_kept_version_does(out: Path, tmp_path: Path) -> None:
    part = part_of(out, "a.png")
    assert part.in_force is not None
    kept = tmp_path / "model.versions" / part.in_force.version
    shutil.copytree(tmp_path / "model", kept)
    save_model(tmp_path / "model", divide_by=2.0)
    assert "the score is the same" in shown(part)[1]
    shutil.rmtree(tmp_path / "model.versions")
    views, sentence = shown(part)
    assert views == part.views
    assert views.thumbnail
    assert "not at hand; name its folder with --model" in sentence
    save_model(tmp_path / "elsewhere")
    assert "the score is the same" in shown(part, tmp_path / "elsewhere")[1]


def test_without_its_file_what_was_kept_is_shown_or_said_to_lack(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.png"
    path.write_bytes(b"another")
    part = part_of(out, "a.png")
    assert part.file == "changed"
    views, sentence = shown(part)
    assert views == part.views
    assert "kept with the record" in sentence
    assert "other bytes than those that were inspected" in sentence
    path.unlink()
    with contextlib.closing(sqlite3.connect(out / STORE)) as base:
        base.execute("DELETE FROM views WHERE rowid > 1")
        base.execute("UPDATE views SET picture = 'text'")
        base.commit()
    assert not audit(out).whole
    forged = part_of(out, "a.png")
    assert (forged.file, forged.views) == ("gone", Views())
    assert shown(forged)[1].startswith("Not shown: its file is not there any more")


def test_without_the_model_the_picture_alone_is_shown(out: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "model")
    with contextlib.closing(sqlite3.connect(out / STORE)) as base:
        base.execute("DELETE FROM views")
        base.commit()
    views, sentence = shown(part_of(out, "a.png"))
    assert read_image(views.thumbnail).shape == (40, 60, 3)
    assert not views.overlay
    assert "without its heatmap: the version of the model" in sentence


def test_earlier_inspections_of_the_same_place_are_told(out: Path, tmp_path: Path) -> None:
    first = part_of(out, "a.png")
    inspected(tmp_path, spot=120)
    part = part_of(out, "a.png")
    assert [row.hash for row in part.earlier] == [first.row.hash]
    assert part.record.score != first.record.score
    assert audit(out).whole


def test_a_picture_that_could_not_be_read_is_told_too(out: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "c.png").write_bytes(b"text")
    inspected(tmp_path, spot=240)
    part = part_of(out, "c.png")
    assert part.record.error is not None
    views, sentence = shown(part)
    assert views == Views()
    assert sentence.startswith("Not drawn again: picture ")
