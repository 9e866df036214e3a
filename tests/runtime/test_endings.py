"""Files of pictures that were not written to their end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscope.runtime.endings import zeros_at_end
from flawscope.runtime.inspector import Inspector
from flawscope.station.picture import inspect_one
from trained import Trained


def noise(path: Path, side: int = 64, **how: object) -> Path:
    pixels = np.random.default_rng(0).integers(1, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(path, **how)
    return path


def emptied(path: Path, share: float) -> Path:
    """The same file with zeros in place of its last `share`."""
    content = path.read_bytes()
    kept = round((1 - share) * len(content))
    path.write_bytes(content[:kept].ljust(len(content), b"\0"))
    return path


@pytest.mark.parametrize("name", ["a.bmp", "a.tif", "a.webp"])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_the_share_that_was_never_written(tmp_path: Path, name: str, share: float) -> None:
    path = noise(tmp_path / name)
    assert zeros_at_end(path) == 0
    assert zeros_at_end(emptied(path, share)) == pytest.approx(share, abs=0.02)


def test_a_large_file_is_read_to_where_its_zeros_begin(tmp_path: Path) -> None:
    assert zeros_at_end(emptied(noise(tmp_path / "a.bmp", 700), 0.75)) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_padding_after_a_files_own_end_is_none(tmp_path: Path, name: str) -> None:
    path = noise(tmp_path / name)
    path.write_bytes(path.read_bytes() + bytes(path.stat().st_size))
    assert zeros_at_end(path) == 0
    assert zeros_at_end(emptied(path, 0.75)) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"\1", b"BM"])
def test_files_of_hardly_any_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.bmp"
    path.write_bytes(content)
    assert zeros_at_end(path) == 0


def test_an_inspection_tells_it(trained: Trained, tmp_path: Path) -> None:
    with Inspector.load(trained.folder, threads=1) as inspector:
        whole = inspect_one(inspector, noise(tmp_path / "a.bmp")).record
        half = inspect_one(inspector, emptied(tmp_path / "a.bmp", 0.5)).record
    first = "The last 50% of the file are zeros: black there, or never written to its end."
    assert half.error is None
    assert half.findings[0].text == first
    assert first not in [finding.text for finding in whole.findings]
