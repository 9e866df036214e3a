"""Conditions of pictures: each follows its own cause and no other; every picture has what it can have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.runtime.conditions import NAMES, conditions, gathered, joined, of_files
from flawscope.runtime.images import Frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.reduction import Decoded
from flawscope.station.calibrate import recalibrated
from flawscope.station.picture import inspect_one
from trained import Trained, write_pictures

Picture = NDArray[Any]
FRAME = Frame(64, 64)


def part(*, left: float = 0.0, angle: float = 0.0) -> Picture:
    """A bar with a bright rim on textured ground (256, 320, 3), as floats of 8 bits."""
    noise = np.random.default_rng(3).normal(0, 2, (256, 320, 3))
    ground = np.array([150.0, 140.0, 120.0]) + noise
    for size, colour in (((140, 50), (220.0, 210.0, 200.0)), ((130, 40), (80.0, 70.0, 90.0))):
        corners = cv2.boxPoints(((150 + left, 120), size, angle))
        cv2.fillConvexPoly(ground, np.rint(16 * corners).astype(np.int32), colour, shift=4)
    return ground


def told(picture: Picture) -> dict[str, float]:
    return conditions(Decoded.of(np.clip(np.rint(picture), 0, 255).astype(np.uint8)), FRAME)


@pytest.mark.parametrize(
    ("changed", "moved", "by"),
    [
        (0.9 * part(), "brightness", -0.05),
        (0.8 * part() + 0.2 * part().mean((0, 1)), "contrast", -0.03),
        (cv2.GaussianBlur(part(), (0, 0), 1.0), "sharpness", -0.5),
        (part() * [1.05, 1, 0.95], "warmth", 0.14),
        (part() * [1, 1.05, 1], "tint", 0.07),
        (part(left=5), "x", 5 / 320),
        (part(angle=20), "angle", 20),
    ],
)
def test_a_condition_follows_its_cause(changed: Picture, moved: str, by: float) -> None:
    before, after = told(part()), told(changed)
    difference = after[moved] - before[moved]
    assert difference * np.sign(by) > 0.75 * abs(by)
    still = {"contrast": 0.02, "sharpness": 0.05, "warmth": 0.01, "tint": 0.01, "x": 0.002, "y": 0.002}
    others = {name for name in still if name != moved} - ({"sharpness"} if moved == "angle" else set())
    assert all(abs(after[name] - before[name]) < still[name] for name in others)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1, 1), np.uint8),
        np.full((3, 200, 3), 255, np.uint8),
        np.full((40, 40, 3), 7, np.uint16),
        np.zeros((9, 9, 3), np.uint8),
        np.random.default_rng(0).integers(0, 65535, (30, 4, 1)).astype(np.uint16),
    ],
)
def test_every_picture_has_those_that_it_can_have(picture: Picture) -> None:
    found = conditions(Decoded.of(picture), FRAME)
    colour = {"warmth", "tint"} if picture.shape[2] == 3 else set()
    assert found.keys() == {"brightness", "contrast", "sharpness"} | colour
    assert np.isfinite(list(found.values())).all()


def test_depth_and_units_do_not_matter() -> None:
    eight = np.clip(part(), 0, 255).astype(np.uint8)
    sixteen = eight.astype(np.uint16) * 257
    measured, frame = eight.astype(np.float32) * 2 - 7, Frame(64, 64, intensities=(-7.0, 503.0))
    expected = told(eight)
    assert conditions(Decoded.of(sixteen), FRAME) == pytest.approx(expected, rel=1e-4)
    assert conditions(Decoded.of(measured), frame) == pytest.approx(expected, rel=1e-4)


def test_no_part_is_told_on_what_is_all_ground_or_all_part() -> None:
    noise = np.random.default_rng(1).normal(128, 30, (200, 200, 3))
    stripes = np.broadcast_to(np.where(np.arange(200) % 40 < 20, 60.0, 200.0)[:, None], (200, 200, 3))
    for picture in (noise, stripes):
        assert not told(picture).keys() & {"x", "y", "angle"}


def test_a_square_part_has_no_angle() -> None:
    picture = np.full((200, 200, 3), 40.0)
    picture[60:120, 80:140] = 200
    found = told(picture)
    assert (found["x"], found["y"]) == pytest.approx((0.55, 0.45), abs=1e-3)
    assert "angle" not in found


def test_a_model_knows_what_nine_of_ten_pictures_tell() -> None:
    nine = [{"brightness": 0.1, "x": 0.5}] * 9 + [{"brightness": 0.2}]
    assert gathered(nine) == {"brightness": (0.1,) * 9 + (0.2,), "x": (0.5,) * 9}
    assert "x" not in gathered([*nine, {"brightness": 0.3}])
    assert gathered([]) == {}
    assert joined({"x": (1.0,), "y": (2.0,)}, {"x": (3.0,), "tint": (4.0,)}) == {"x": (1.0, 3.0)}


def test_files_tell_what_their_pixels_do(tmp_path: Path) -> None:
    picture = np.clip(part(), 0, 255).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    expected = {name: (value,) for name, value in told(picture).items()}
    found = of_files([tmp_path / "a.png"], FRAME)
    assert found == expected
    assert list(found) == [name for name in NAMES if name in found]


def test_training_calibration_and_inspection_tell_the_same(
    trained: Trained, tmp_path: Path, good_pictures: Callable[..., Path]
) -> None:
    with Inspector.load(trained.folder, threads=1) as inspector:
        manifest = inspector.bundle.manifest
        assert manifest.conditions.keys() >= {"brightness", "contrast", "sharpness", "warmth", "tint"}
        counts = {len(values) for values in manifest.conditions.values()}
        assert counts == {len(manifest.calibration.scores)}
        new = sorted(write_pictures(tmp_path / "new", 3, seed=9).iterdir())
        records = [inspect_one(inspector, path).record for path in new]
        changed = recalibrated(inspector.bundle, normals=new).bundle.manifest
    for name, values in changed.conditions.items():
        assert values == manifest.conditions[name] + tuple(record.conditions[name] for record in records)
    line = records[0].to_json()
    assert line["conditions"] == records[0].conditions
    assert type(records[0]).of_json(line) == records[0].model_copy(update={"model": "", "state": None})


def test_models_without_conditions_stay_usable(trained: Trained) -> None:
    with Inspector.load(trained.folder, threads=1) as inspector:
        bundle = inspector.bundle
        old = type(bundle)(bundle.folder, bundle.manifest.model_copy(update={"conditions": {}}))
        with Inspector(old, inspector.pipeline) as plain:
            record = inspect_one(plain, next((trained.pictures / "good").iterdir())).record
    assert record.conditions == {}
    assert "conditions" not in record.to_json()
