"""Training on numbers and on sensors of fewer bits: the model keeps which values are black and white."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.samples import Sample
from flawscope.data.splits import NormalSplit
from flawscope.errors import DataError, InputError
from flawscope.methods.detector import Detector
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.runtime.inspector import Inspector
from flawscope.station.calibrate import calibrate
from flawscope.station.picture import inspect_one
from flawscope.training.selection import Selection
from flawscope.training.settings import read_recipe
from flawscope.training.train import train
from tiffs import tiff
from two_filters import recipe_of, register


@pytest.fixture(autouse=True)
def method() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        yield


def degrees(seed: int, *, hot: bool = False) -> NDArray[np.float32]:
    """20 to 40 °C in a fixed pattern with noise and a dropout at one corner; `hot` adds a spot of 70 °C."""
    rows, columns = np.mgrid[:32, :32]
    pixels = 30 + 10 * np.sin(rows / 4) * np.cos(columns / 5)
    pixels += np.random.default_rng(seed).normal(0, 0.3, pixels.shape)
    if hot:
        pixels[12:18, 12:18] = 70
    pixels[0, 0] = np.nan
    return pixels.astype(np.float32)


def write(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        (folder / f"{index:03d}.tif").write_bytes(tiff(degrees(first + index)))
    return folder


def test_a_model_of_numbers(tmp_path: Path) -> None:
    good, said = write(tmp_path / "good", 24), list[str]()
    made = train(recipe_of(good), tmp_path / "model", Run(), Watch(say=said.append)).bundle
    low, high = made.manifest.frame.intensities or (0, 0)
    assert (low, high) == (pytest.approx(14, abs=2), pytest.approx(46, abs=2))
    assert any("(black) to" in sentence for sentence in said)
    assert read_recipe(made.folder / "recipe.yaml")["data"]["intensities"] == [low, high]

    inspector = Inspector.load(made)
    (tmp_path / "fine.tif").write_bytes(tiff(degrees(99)))
    (tmp_path / "hot.tif").write_bytes(tiff(degrees(99, hot=True)))
    fine = inspect_one(inspector, tmp_path / "fine.tif")
    hot = inspect_one(inspector, tmp_path / "hot.tif", overlay=lambda _: True, views=lambda _: True)
    assert hot.record.rank > 5 * fine.record.rank
    assert hot.overlay
    assert hot.views is not None
    assert inspector.inspect(degrees(99, hot=True)).score == pytest.approx(hot.record.rank)

    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "eight.png")
    with pytest.raises(InputError, match=r"eight\.png: expected values from .*got 8 bits"):
        inspector.inspect(tmp_path / "eight.png")
    more = sorted(write(tmp_path / "more", 6, first=50).iterdir())
    assert calibrate(made.folder, normals=more).bundle.manifest.frame == made.manifest.frame


def test_a_declared_range_reaches_the_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Detector, data: object, *others: object) -> None:
        frame = data.normal.frame  # type: ignore[attr-defined]
        raise DataError("frame", expected="", got=str(frame.intensities), fix="")

    monkeypatch.setattr(Detector, "fit", stop)
    good = write(tmp_path / "good", 8)
    with pytest.raises(DataError, match=r"got \(15\.0, 45\.0\)"):
        train(recipe_of(good, data={"folder": str(good), "intensities": [15, 45]}), tmp_path / "model")


@pytest.mark.parametrize("level", [0, 255])
def test_pictures_without_spread_are_refused_before_any_work(level: int, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    for index in range(12):
        pixels = np.full((40 + index, 40, 4), level, np.uint8)
        pixels[..., 3] = 0
        Image.fromarray(pixels).save(good / f"{index}.png")
    with pytest.raises(DataError, match=r"good pictures: expected pictures of parts.*all over"):
        train(recipe_of(good), tmp_path / "model", Run())
    assert not (tmp_path / "model").exists()


def test_natural_pictures_keep_their_own_scale(tmp_path: Path) -> None:
    sample = Sample(tmp_path / "a.tif", "train", defective=False)
    split = NormalSplit((sample,), (), (), ())
    frame = Frame(8, 8, intensities=(20.0, 40.0))
    data = Selection(split, natural=(dataclasses.replace(sample, path=tmp_path / "b.png"),)).data(frame)
    assert data.normal.frame == frame
    assert data.natural is not None
    assert data.natural.frame.intensities is None
    assert data.normal.resized(Frame(4, 4)).frame == Frame(4, 4, intensities=(20.0, 40.0))
