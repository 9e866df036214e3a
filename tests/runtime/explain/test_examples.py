"""Good pictures in sheets: written, found again, bounded in size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flawscope.runtime.explain.examples import Examples, example, tile_size
from flawscope.runtime.images import read_image


def write(examples: Examples, folder: Path) -> None:
    for name, content in examples.files().items():
        (folder / name).write_bytes(content)


def levels(count: int, height: int, width: int) -> list[np.ndarray]:
    return [np.full((3, height, width), index / 40, np.float32) for index in range(count)]


@pytest.mark.parametrize("count", [1, 3, 5, 16, 19])
def test_pictures_come_back_by_their_number(tmp_path: Path, count: int) -> None:
    examples = Examples((24, 32))
    for pixels in levels(count, 24, 32):
        examples.add(pixels)
    assert len(examples) == count
    write(examples, tmp_path)
    assert len(list(tmp_path.iterdir())) == -(-count // 16)
    for index in range(count):
        tile = example(tmp_path, (24, 32), index)
        assert tile is not None
        assert tile.shape == (24, 32, 3)
        assert abs(float(tile.mean()) - 255 * index / 40) < 4
    assert example(tmp_path, (24, 32), 1000) is None


def test_large_pictures_are_reduced(tmp_path: Path) -> None:
    examples = Examples((600, 1024))
    examples.add(np.random.default_rng(0).random((3, 600, 1024), np.float32))
    write(examples, tmp_path)
    assert tile_size((600, 1024)) == (300, 512)
    assert read_image(tmp_path / "good-00.webp").shape == (300, 512, 3)
    tile = example(tmp_path, (600, 1024), 0)
    assert tile is not None
    assert tile.shape == (300, 512, 3)


def test_nothing_collected_writes_nothing(tmp_path: Path) -> None:
    assert Examples((24, 32)).files() == {}
    assert example(tmp_path, (24, 32), 0) is None


def test_a_sheet_of_another_size_gives_none(tmp_path: Path) -> None:
    examples = Examples((24, 32))
    examples.add(levels(1, 24, 32)[0])
    write(examples, tmp_path)
    assert example(tmp_path, (48, 64), 0) is None
