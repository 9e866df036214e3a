"""The flawed patch beside its nearest good one, from the right places of the right pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brightness_model import make_manifest
from flawscope.files import digest
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.explain.examples import Examples
from flawscope.runtime.images import Frame, read_image
from flawscope.runtime.manifest import FileEntry
from flawscope.runtime.provenance import Provenance, SeenPicture
from flawscope.runtime.tiling import Tiling
from flawscope.station.picture import MOST_INSETS, match_insets

VALUES = {
    "patch_side": 16.0,
    "patch_top": 40.0,
    "patch_left": 8.0,
    "nearest_picture": 1.0,
    "nearest_top": 0.0,
    "nearest_left": 48.0,
}


def bundle(folder: Path, *, pictures: int = 2, tiling: Tiling | None = None) -> Bundle:
    """Good pictures of 64×64: dark but for a green square at the top right in the second."""
    examples = Examples((64, 64))
    for index in range(pictures):
        pixels = np.full((3, 64, 64), 0.1, np.float32)
        if index == 1:
            pixels[1, :16, 48:] = 0.9
        examples.add(pixels)
    folder.mkdir(parents=True, exist_ok=True)
    files = dict[str, FileEntry]()
    for name, content in examples.files().items():
        (folder / name).write_bytes(content)
        files[name] = FileEntry(sha256=digest(content), bytes=len(content))
    seen = tuple(SeenPicture(name=f"{name}.png", sha256="0" * 64, role="normal") for name in "ab")
    frame = Frame(height=64, width=64)
    origin = Provenance.now(0, seen)
    return Bundle(folder, make_manifest(frame=frame, tiling=tiling, provenance=origin, files=files))


def flawed() -> np.ndarray:
    """A picture of 128×128 with a red square of 32 at row 80 and column 16: the frame's (40, 8)."""
    image = np.full((128, 128, 3), 60, np.uint8)
    image[80:112, 16:48] = (250, 10, 10)
    return image


def halves(picture: bytes) -> tuple[np.ndarray, np.ndarray]:
    drawn = read_image(picture).astype(int)
    assert drawn.shape == (144, 296, 3)
    return drawn[:, :144], drawn[:, 152:]


def test_a_pair_shows_both_patches(tmp_path: Path) -> None:
    (inset,) = match_insets(bundle(tmp_path), flawed(), [VALUES])
    assert inset.about == "patch, and the nearest good one in b.png"
    left, right = halves(inset.picture)
    # 48 frame pixels fill 144: the window begins at row 16 (or 0) and column 0 (or 16)
    centre = left[(40 - 16) * 3 + 24, 8 * 3 + 24]
    assert centre[0] > 180
    assert centre[1] < 80
    centre = right[24, (48 - 16) * 3 + 24]
    assert centre[1] > 160
    assert centre[0] < 80
    assert left[100, 130].max() < 100


def test_only_findings_that_tell_a_patch_are_drawn(tmp_path: Path) -> None:
    found = bundle(tmp_path)
    assert match_insets(found, flawed(), [{"area": 3.0}]) == ()
    assert len(match_insets(found, flawed(), [VALUES, {"area": 3.0}, *[VALUES] * 5])) == MOST_INSETS


def test_pictures_that_are_not_kept(tmp_path: Path) -> None:
    assert match_insets(bundle(tmp_path / "two"), flawed(), [VALUES | {"nearest_picture": 40.0}]) == ()
    (tmp_path / "none").mkdir()
    assert match_insets(bundle(tmp_path / "none", pictures=0), flawed(), [VALUES]) == ()


def test_pictures_of_a_model_that_took_its_place_meanwhile_are_not_shown(tmp_path: Path) -> None:
    before = bundle(tmp_path)
    bundle(tmp_path, pictures=3)
    assert match_insets(before, flawed(), [VALUES]) == ()


@pytest.mark.parametrize("image", [flawed()[..., :1], flawed().astype(np.uint16) * 256])
def test_grey_and_deep_pictures(tmp_path: Path, image: np.ndarray) -> None:
    (inset,) = match_insets(bundle(tmp_path), image, [VALUES])
    left, _ = halves(inset.picture)
    assert left.shape == (144, 144, 3)


def test_a_patch_larger_than_a_third_of_the_picture(tmp_path: Path) -> None:
    values = VALUES | {"patch_side": 64.0, "patch_top": 0.0, "patch_left": 0.0, "nearest_left": 0.0}
    assert len(match_insets(bundle(tmp_path), flawed(), [values])) == 1


def test_a_patch_of_a_tile_is_cut_out_of_its_picture(tmp_path: Path) -> None:
    """The tile begins at row 48 of a picture at a half of its size: the square lies at (24, 8) there."""
    tiling = Tiling(size=(64, 64), stride=(48, 48), scale=0.5)
    image = np.full((256, 256, 3), 60, np.uint8)
    image[144:176, 16:48] = (250, 10, 10)
    values = VALUES | {"patch_top": 24.0, "tile_top": 48.0, "tile_left": 0.0}
    (inset,) = match_insets(bundle(tmp_path, tiling=tiling), image, [values])
    left, _ = halves(inset.picture)
    centre = left[(24 - 8) * 3 + 24, 8 * 3 + 24]
    assert centre[0] > 180
    assert centre[1] < 80
