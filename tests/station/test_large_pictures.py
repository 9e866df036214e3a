"""Pictures too large for any screen: drawn reduced, and in work one at a time."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brightness_model import SIDE, save_model
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import InputError
from flawscope.runtime import inspector as inspectors
from flawscope.runtime import overlay
from flawscope.runtime.images import Frame, pixels_in
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.overlay import find_regions, reduced, to_rgb
from flawscope.runtime.prediction import Finding, Prediction, Region, Segments
from flawscope.runtime.record import Record
from flawscope.station import evaluate as evaluating
from flawscope.station import picture
from flawscope.station.evaluate import evaluate
from flawscope.station.inspection import inspect_pictures
from flawscope.station.picture import Inspected, inspect_one, laid_over
from flawscope.station.results import Results


@pytest.fixture
def inspector(tmp_path: Path) -> Inspector:
    return Inspector.load(save_model(tmp_path / "model"))


def bright(height: int, width: int, kind: Any = np.uint8) -> NDArray[Any]:
    """Dark, with a bright block that ends at two thirds of height and width."""
    pixels = np.zeros((height, width), kind)
    pixels[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = np.iinfo(kind).max
    return pixels


def write(path: Path, pixels: NDArray[Any]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def drawn(inspected: Inspected) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(inspected.overlay, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(("height", "width"), [(240, 320), (12, 6400), (6400, 12), (1, 76800)])
def test_an_overlay_is_drawn_at_a_bounded_size(
    height: int, width: int, kind: Any, inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long thin pictures of line cameras keep their proportions as far as pixels are whole."""
    monkeypatch.setattr(picture, "DRAWN", 4800)
    path = write(tmp_path / "a.png", bright(height, width, kind))
    inspected = inspect_one(inspector, path, overlay=lambda _: True, views=lambda _: True)
    rows, columns = drawn(inspected).shape[:2]
    assert rows * columns <= 1.1 * 4800
    assert (rows, columns) == (
        (1, 4800)
        if height == 1
        else (pytest.approx(height / 4, abs=0.51), pytest.approx(width / 4, abs=0.51))
    )
    assert inspected.views is not None


def test_a_picture_that_was_replaced_meanwhile_is_not_drawn_under_the_heatmap_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is decoded reduced is read once more to be drawn."""
    frame = Frame(height=SIDE, width=SIDE, reduced=True)
    inspector = Inspector.load(save_model(tmp_path / "model", frame=frame))
    path, look = write(tmp_path / "a.jpg", bright(128, 128)), inspector.look

    def looking(file: Any) -> Any:
        seen = look(file)
        if path.with_suffix(".next").exists():
            path.with_suffix(".next").rename(path)
        return seen

    monkeypatch.setattr(inspector, "look", looking)
    drawing = {"views": lambda _: True, "overlay": lambda _: True}
    assert inspect_one(inspector, path, **drawing).overlay
    path.with_suffix(".next").write_bytes(write(tmp_path / "b.jpg", bright(64, 256)).read_bytes())
    replaced = inspect_one(inspector, path, **drawing)
    assert (replaced.overlay, replaced.views, replaced.record.error) == (b"", None, None)


def test_boxes_and_outlines_lie_where_the_region_is(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.png", bright(480, 480))
    whole = inspect_one(inspector, path, overlay=lambda _: True)
    monkeypatch.setattr(picture, "DRAWN", 120 * 120)
    small = inspect_one(inspector, path, overlay=lambda _: True)
    assert small.record == whole.record
    region = small.record.findings[0].region
    assert region is not None
    left, top, right, bottom = region.box
    assert (left + right) / 2 == pytest.approx(240, abs=20)  # in pixels of the picture, as ever
    lit = drawn(small).max(axis=2) > 200
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    assert (rows[0], columns[0]) == (pytest.approx(top / 4, abs=6), pytest.approx(left / 4, abs=6))
    assert (rows[-1], columns[-1]) == (pytest.approx(bottom / 4, abs=6), pytest.approx(right / 4, abs=6))


def test_segments_are_drawn_at_the_reduced_size(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "DRAWN", 60 * 60)
    labels = np.repeat([[0, 1]], SIDE, 0).repeat(SIDE // 2, 1)
    found = inspector.inspect(bright(240, 240))
    divided = Prediction(found.score, found.p_value, found.decision, found.heatmap, segments=Segments(labels))
    plain, lined = (
        laid_over(bright(240, 240)[..., None], inspector.bundle.manifest, one, boxes=False)
        for one in (found, divided)
    )
    assert plain is not None
    assert lined is not None
    changed = np.flatnonzero((plain != lined).any(axis=(0, 2)))
    assert 28 <= changed.min() <= changed.max() <= 31  # the line between the halves


def test_names_are_told_what_findings_speak_of_and_where_regions_are(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "DRAWN", 60 * 60)
    asked: dict[str, Any] = {}

    def outlines(drawn: NDArray[np.uint8], *_: Any, **changes: Any) -> NDArray[np.uint8]:
        asked.update(changes)
        return drawn

    monkeypatch.setattr(picture, "segment_outlines", outlines)
    found = inspector.inspect(bright(240, 240))
    region = Region((80, 80, 160, 161), 6400, (90, 90), 1.0)
    told = (
        Finding("extra nut", {"class": 2.0, "instead_of": 1.0}, region),
        Finding("missing screw", {"class": 1.0}),
        Finding("unusual area", {"x": 3.0}, region),
    )
    labels = np.zeros((SIDE, SIDE), np.uint8)
    segments = Segments(labels, {1: "screw", 2: "nut"}, ("class", "instead_of"))
    divided = dataclasses.replace(found, findings=told, regions=(region,), segments=segments)
    laid_over(bright(240, 240)[..., None], inspector.bundle.manifest, divided, boxes=False)
    box = (20, 20, 40, 41)
    assert asked == {"told": [(2, box), (1, box), (1, None)], "avoided": [box]}


def test_a_picture_within_the_bound_keeps_its_size(inspector: Inspector, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", bright(40, 60))
    assert drawn(inspect_one(inspector, path, overlay=lambda _: True)).shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_reducing_is_showing_and_then_reducing(kind: str) -> None:
    values = np.linspace(0, 1, 64 * 64).reshape(64, 64, 1)
    image = (values * (1 if kind == "f4" else np.iinfo(kind).max)).astype(kind)
    small = reduced(image, 0.25)
    blocks = to_rgb(image).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(small[1:-1, 1:-1] - blocks[1:-1, 1:-1]).max() <= 2


def test_regions_are_found_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    heatmap = cv2.GaussianBlur(np.random.default_rng(0).random((90, 70), np.float32), (0, 0), 3)
    at_once = find_regions(heatmap, 0.51, most=100)
    monkeypatch.setattr(overlay, "_AT_ONCE", 100)
    assert find_regions(heatmap, 0.51, most=100) == at_once
    assert len(at_once) > 3


@pytest.mark.parametrize("out", [True, False])
def test_large_pictures_take_turns_and_leave_nothing(
    out: bool, inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspectors, "LARGE", 100)
    monkeypatch.setattr(type(inspector.pipeline.engines[0]), "threads", 4, raising=False)
    paths = [write(tmp_path / f"{index}.png", bright(20, 20 + index)) for index in range(8)]
    look, at_work, most = inspector.look, [0], [0]
    lock, kept = threading.Lock(), list[object]()

    def slow(path: Any) -> Any:
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        time.sleep(0.005)
        try:
            return look(path)
        finally:
            with lock:
                at_work[0] -= 1

    def add(self: Results, *inspected: Inspected) -> tuple[Record, ...]:
        kept.extend(one.prediction for one in inspected)
        return tuple(one.record for one in inspected)

    monkeypatch.setattr(inspector, "look", slow)
    monkeypatch.setattr(Results, "add", add)
    summary = inspect_pictures(inspector, paths, out=tmp_path / "out" if out else None, overlays="all")
    assert summary.reject == 8
    assert most == [1]
    assert kept == ([None] * 8 if out else [])


def test_few_heatmaps_of_large_pictures_wait_for_their_figures(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = tuple(
        Sample(write(tmp_path / f"{index}.png", bright(20, 20 + index)), "test", defective=index % 2 == 0)
        for index in range(6)
    )
    dataset, each, seen = Dataset("parts", "plain", tmp_path, samples), inspector.each, list[int]()

    def watched(work: Any, items: Any, *, batch: int) -> Any:
        seen.append(batch)
        return each(work, items, batch=batch)

    monkeypatch.setattr(inspector, "each", watched)
    usual = evaluate(inspector, dataset)
    for room in (1200, 100):
        monkeypatch.setattr(evaluating, "WAITING", room)
        assert evaluate(inspector, dataset).to_json() == usual.to_json()
    assert seen == [8, 2, 1]


def test_a_picture_counts_by_its_header(tmp_path: Path) -> None:
    assert pixels_in(write(tmp_path / "a.png", bright(20, 30))) == 600
    (tmp_path / "b.png").write_bytes(b"none")
    assert pixels_in(tmp_path / "b.png") == 0
    assert pixels_in(tmp_path / "absent.png") == 0


def test_an_unreadable_picture_needs_no_turn(inspector: Inspector, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"none")
    assert isinstance(next(inspector.inspect_many([tmp_path / "b.png"]))[1], InputError)
