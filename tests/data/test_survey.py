"""Values of good pictures, fitted, declared and told; pictures that teach nothing are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brightness_model import save_model
from flawscope.data.checks.check import check_data
from flawscope.data.checks.near import thumbnail
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset, Sample
from flawscope.data.survey import (
    about_values,
    each_once,
    intensities_of,
    require_spread,
    small_range,
    used,
)
from flawscope.errors import DataError
from flawscope.runtime import bundle
from flawscope.runtime.images import Frame, check_image
from flawscope.station.calibrate import calibrate
from tiffs import tiff

Texture = Callable[..., NDArray[Any]]


def texture(seed: int, side: int = 24) -> NDArray[np.float64]:
    """Random values in [0, 1]."""
    return np.random.default_rng(seed).random((side, side))


def write(
    folder: Path, make: Callable[[int], NDArray[Any]], count: int = 4, suffix: str = ".png"
) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        paths.append(folder / f"{index:03d}{suffix}")
        pixels = make(index)
        if suffix == ".tif":
            paths[-1].write_bytes(tiff(pixels))
        else:
            Image.fromarray(pixels).save(paths[-1])
    return paths


def pictures_of(paths: list[Path], **frame: Any) -> PictureFiles:
    return PictureFiles([Sample(path, "train", defective=False) for path in paths], Frame(16, 16, **frame))


def settled(paths: list[Path], declared: tuple[float, float] | None = None) -> tuple[float, float] | None:
    return intensities_of([(path, check_image(path)) for path in paths], paths, declared)


def grey(level: int) -> Callable[[int], NDArray[np.uint8]]:
    return lambda index: np.full((24, 24), level, np.uint8)


def colour(index: int) -> NDArray[np.uint8]:
    """Constant RGB, another colour in each picture."""
    return np.full((24, 24, 3), (10 * index, 200, 90), np.uint8)


def darker_first(index: int) -> NDArray[np.uint8]:
    """Grey alone, black in the first picture."""
    return np.full((24, 24), 60 * index, np.uint8)


def invisible(index: int) -> NDArray[np.uint8]:
    """One colour with an alpha of 0 everywhere."""
    return np.full((24, 24, 4), (10, 200, 90, 0), np.uint8)


def one_part(index: int) -> NDArray[np.uint8]:
    """A part with texture, the same every time."""
    return (255 * texture(0)).astype(np.uint8)


def deep_flat(index: int) -> NDArray[np.uint16]:
    return np.full((24, 24), 30000, np.uint16)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (grey(0), "4 pictures that are black all over"),
        (grey(255), "4 pictures that are white all over"),
        (grey(90), "4 pictures that are one colour all over"),
        (colour, "4 pictures that are one colour all over"),
        (darker_first, "4 pictures that are one colour all over"),
        (invisible, "4 pictures that are one colour all over"),
        (deep_flat, "4 pictures that are one colour all over"),
        (one_part, "4 pictures that are all alike"),
    ],
)
def test_pictures_without_spread(make: Callable[[int], NDArray[Any]], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"got {said}"):
        require_spread(pictures_of(write(tmp_path, make)))


def test_one_picture_twice_under_two_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got 2 pictures that are all alike"):
        require_spread(pictures_of(write(tmp_path, one_part, 2)))
    require_spread(pictures_of(write(tmp_path, one_part, 1)))


def levels(folder: Path, *levels: int) -> list[Path]:
    """Small pictures of one grey each."""
    paths = [folder / f"{index}.png" for index in range(len(levels))]
    for path, level in zip(paths, levels, strict=True):
        Image.fromarray(np.full((4, 4), level, np.uint8)).save(path)
    return paths


def test_copies_under_many_names_are_left_out(tmp_path: Path) -> None:
    """But not of few contents, about which something else is told; and each entry of a table counts."""
    paths = levels(tmp_path, 0, 50, 100, 150, 200, 50, 100, 150)
    named = [None, None, "b", None, None, "a", None, None]
    samples = [
        Sample(path, "train", defective=False, group=group) for path, group in zip(paths, named, strict=True)
    ]
    samples[7] = replace(samples[7], split="validation")
    twice, tested = replace(samples[0]), Sample(paths[1], "test", defective=False)
    kept, told = each_once(Dataset("part", "folder", tmp_path, (*samples, twice, tested)))
    assert kept.samples == (samples[0], *samples[2:6], tested)
    assert told.startswith("4 of 9 good pictures are copies of others and are left out")
    few = Dataset("part", "folder", tmp_path, (*samples[:3], *samples[5:]))
    assert each_once(few)[0] == few
    assert each_once(few)[1].startswith("2 of 6 good pictures are copies of others, so that the promise")
    alone = Dataset("part", "folder", tmp_path, tuple(samples[:5]))
    assert each_once(alone) == (alone, "")


def test_numbers_without_spread(tmp_path: Path) -> None:
    paths = write(tmp_path, lambda index: np.full((24, 24), 21.5, np.float32), suffix=".tif")
    with pytest.raises(DataError, match="one colour all over"):
        require_spread(pictures_of(paths, intensities=settled(paths)))


def test_black_pictures_calibrate_nothing(tmp_path: Path) -> None:
    """A lens cap among the good pictures would lift the threshold above every flaw."""
    model = save_model(tmp_path / "model").folder
    shades = write(tmp_path / "dark", lambda index: np.full((24, 24 + index), 0, np.uint8))
    with pytest.raises(DataError, match="4 pictures that are black all over"):
        calibrate(model, normals=shades)
    assert bundle.load(model).manifest.provenance.pictures == ()


def test_a_little_spread_is_enough(tmp_path: Path) -> None:
    """Every picture but one is black, and that one differs in one grey level."""
    paths = write(tmp_path, lambda index: np.full((24, 24), 0, np.uint8))
    last = np.zeros((24, 24), np.uint8)
    last[:12] = 1
    Image.fromarray(last).save(paths[-1])
    require_spread(pictures_of(paths))


def test_an_alpha_of_0_does_not_hide_the_part(tmp_path: Path) -> None:
    def part(index: int) -> NDArray[np.uint8]:
        shade = (255 * texture(index)).astype(np.uint8)
        return np.dstack([shade, shade, shade, np.zeros_like(shade)])

    require_spread(pictures_of(write(tmp_path, part)))


def test_no_more_pictures_are_read_than_needed(tmp_path: Path) -> None:
    paths = write(tmp_path, lambda index: (255 * texture(index)).astype(np.uint8), 12)
    paths[-1].write_bytes(b"")
    require_spread(pictures_of(paths))


def degrees(index: int) -> NDArray[np.float32]:
    """20 to 60 °C, with a hot pixel, a dropout and an infinity."""
    pixels = (20 + 40 * texture(index, 64)).astype(np.float32)
    pixels[0, :3] = 4000, np.nan, np.inf
    return pixels


def test_intensities_are_fitted_to_numbers_with_room_at_both_ends(tmp_path: Path) -> None:
    low, high = settled(write(tmp_path, degrees, suffix=".tif")) or (0, 0)
    assert low == pytest.approx(10, abs=0.3)
    assert high == pytest.approx(70, abs=0.3)


def test_numbers_in_the_unit_range(tmp_path: Path) -> None:
    paths = write(tmp_path, lambda index: texture(index, 64), suffix=".tif")  # float64
    low, high = settled(paths) or (0, 0)
    assert (low, high) == (pytest.approx(-0.25, abs=0.01), pytest.approx(1.25, abs=0.01))


def test_pictures_with_a_full_scale_need_no_intensities(tmp_path: Path) -> None:
    assert settled(write(tmp_path / "a", one_part)) is None
    assert settled(write(tmp_path / "b", lambda index: (65535 * texture(index)).astype(np.uint16))) is None


def test_declared_intensities_hold(tmp_path: Path) -> None:
    twelve = write(tmp_path / "a", lambda index: (4095 * texture(index)).astype(np.uint16))
    assert settled(twelve, (0, 4095)) == (0, 4095)
    assert settled(write(tmp_path / "b", degrees, suffix=".tif"), (20, 60)) == (20, 60)
    with pytest.raises(DataError, match=r"000\.png: expected more than 8 bits.*got 8 bits"):
        settled([*twelve, *write(tmp_path / "c", one_part)], (0, 4095))


def test_numbers_among_pictures_with_a_full_scale(tmp_path: Path) -> None:
    mixed = [*write(tmp_path, one_part), *write(tmp_path, degrees, suffix=".tif")]
    with pytest.raises(DataError, match=r"numbers without a full scale, as in .*000\.tif"):
        settled(mixed)


def test_what_is_said_of_the_values(tmp_path: Path) -> None:
    twelve = write(tmp_path / "a", lambda index: (4095 * texture(index, 64)).astype(np.uint16))
    said = about_values(twelve, None)
    assert said is not None
    assert said.startswith("16-bit pictures use values from ")
    assert "6 % of their scale: contrast is lost. --set data.intensities=[0,4095]" in said
    thermal = write(tmp_path / "b", degrees, suffix=".tif")
    assert "from 10 (black) to 70 (white), fitted" in str(about_values(thermal, (10, 70)))
    packed = tmp_path / "packed.tif"
    packed.write_bytes(tiff((4095 * texture(0)).astype(np.uint16), 12))
    assert about_values([packed], None) is None
    assert about_values(write(tmp_path / "c", one_part), None) is None


def test_a_range_is_told_in_the_units_of_the_file() -> None:
    image = np.round(np.linspace(100, 900, 4096) / 4095 * 65535).astype(np.uint16).reshape(64, 64, 1)
    low, high = used(image, 12)
    assert (low, high) == (pytest.approx(101, abs=1.5), pytest.approx(899, abs=1.5))
    assert (
        small_range((100, 900), 12) == "12-bit pictures use values from 100 to 900 alone, 20 % of their scale"
    )
    assert small_range((100, 2000), 12) is None
    assert small_range((100, 125), 8) is not None
    assert small_range((100, 160), 8) is None


@pytest.mark.parametrize(
    ("make", "suffix", "rule", "words"),
    [
        (lambda i: (4095 * texture(i)).astype(np.uint16), ".png", "small-range", "intensities=[0,4095]"),
        (lambda i: (100 + 20 * texture(i)).astype(np.uint8), ".png", "small-range", "Expose longer"),
        (degrees, ".tif", "numbers", "intensities=[LOW,HIGH]"),
        (lambda i: grey(0)(i) if i else one_part(i), ".png", "flat", "camera"),
    ],
)
def test_values_are_findings(
    make: Callable[[int], NDArray[Any]], suffix: str, rule: str, words: str, tmp_path: Path
) -> None:
    write(tmp_path / "good", make, suffix=suffix)
    issues = [issue for issue in check_data(tmp_path / "good") if issue.rule == rule]
    assert len(issues) == 1
    assert words in issues[0].fix
    assert len(issues[0].files) == (3 if rule == "flat" else 4)


def test_numbers_have_thumbnails() -> None:
    small, other = (thumbnail(degrees(seed)[..., None]) for seed in (0, 1))
    assert np.isfinite(small).all()
    assert not np.array_equal(small, other)
