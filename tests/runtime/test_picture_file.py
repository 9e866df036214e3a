"""A picture's file is read once, and its hash is that of the bytes that were decoded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.errors import InputError
from flawscope.files import sha256
from flawscope.runtime import picture_file
from flawscope.runtime.images import decode, read_image
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.picture_file import PictureFile
from flawscope.station.picture import inspect_one

GREY = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
DEEP = np.dstack([GREY, GREY, GREY]).astype(np.uint16) * 200


def written(folder: Path, name: str) -> Path:
    """Formats that are decoded by different ways: Pillow, Pillow then OpenCV, OpenCV."""
    path = folder / name
    if path.stem == "deep":
        assert cv2.imwrite(str(path), DEEP)
    else:
        Image.fromarray(GREY).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp", "deep.png", "deep.tif"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_every_format_is_decoded_and_hashed_alike(
    name: str, in_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_memory:
        monkeypatch.setattr(picture_file, "_IN_MEMORY", 10)
    path = written(tmp_path, name)
    file = PictureFile(path)
    assert file.sha256 is None
    np.testing.assert_array_equal(decode(file, None).pixels, read_image(path))
    assert file.sha256 == sha256(path)


def test_a_file_replaced_after_it_was_read_has_the_hash_of_what_was_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "deep.png")
    before = sha256(path)
    read = PictureFile.read

    def replaced(file: PictureFile) -> IO[bytes]:
        stream = read(file)
        path.write_bytes(b"another picture")
        return stream

    monkeypatch.setattr(PictureFile, "read", replaced)
    file = PictureFile(path)
    assert decode(file, None).pixels.dtype == np.uint16
    assert file.sha256 == before


@pytest.mark.parametrize(
    ("content", "read"), [(b"\x89PNG\r\n\x1a\n but no more", True), (b"text", True), (None, False)]
)
def test_what_cannot_be_decoded_has_a_hash_where_it_can_be_read(
    content: Any, read: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    file = PictureFile(path)
    with pytest.raises(InputError, match=f"picture {path}"):
        decode(file, None)
    assert file.sha256 == (hashlib.sha256(content).hexdigest() if read else None)


def test_a_record_carries_the_hash_of_its_picture(tmp_path: Path) -> None:
    inspector = Inspector.load(save_model(tmp_path / "model"), engine="onnxruntime", threads=1)
    path = written(tmp_path, "a.png")
    record = inspect_one(inspector, path).record
    assert (record.picture, record.to_json()["picture"]) == (sha256(path), sha256(path))
    damaged = tmp_path / "b.png"
    damaged.write_bytes(path.read_bytes()[:60])
    failed = inspect_one(inspector, damaged).record
    assert failed.error is not None
    assert failed.to_json()["picture"] == sha256(damaged)
    gone = inspect_one(inspector, tmp_path / "gone.png").record
    assert gone.picture is None
    assert "picture" not in gone.to_json()
