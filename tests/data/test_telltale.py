"""Format, size, mode or camera that alone tells the kinds apart is a finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscope.data.checks.check import check_data
from flawscope.data.checks.issues import Issue

Save = Callable[[Path, np.random.Generator], None]


def folder(root: Path, good: Save, bad: Save, *, goods: int = 40, bads: int = 6) -> Path:
    """A plain folder; both kinds show noise, saved in two ways."""
    random = np.random.default_rng(0)
    for kind, count, save in (("good", goods, good), ("bent", bads, bad)):
        (root / kind).mkdir(parents=True)
        for index in range(count):
            save(root / kind / f"{index:03d}", random)
    return root


def noise(random: np.random.Generator, height: int = 24, width: int = 32) -> Image.Image:
    return Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))


def png(path: Path, random: np.random.Generator) -> None:
    noise(random).save(path.with_suffix(".png"))


def jpeg(path: Path, random: np.random.Generator) -> None:
    noise(random).save(path.with_suffix(".jpg"))


def misnamed(path: Path, random: np.random.Generator) -> None:
    noise(random).save(path.with_suffix(".png"), format="JPEG")


def strong(path: Path, random: np.random.Generator) -> None:
    noise(random).save(path.with_suffix(".jpg"), quality=40)


def sharp_colour(path: Path, random: np.random.Generator) -> None:
    noise(random).save(path.with_suffix(".jpg"), subsampling=0)


def wide(path: Path, random: np.random.Generator) -> None:
    noise(random, width=40).save(path.with_suffix(".png"))


def grey(path: Path, random: np.random.Generator) -> None:
    noise(random).convert("L").save(path.with_suffix(".png"))


def taken_with(model: str) -> Save:
    def save(path: Path, random: np.random.Generator) -> None:
        exif = Image.Exif()
        exif[0x010F], exif[0x0110] = "Basler", model
        noise(random).save(path.with_suffix(".jpg"), exif=exif)

    return save


def telltales(root: Path) -> list[Issue]:
    return [issue for issue in check_data(root, near=False) if issue.rule == "tell-tale"]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (png, jpeg, "format alone tells the kinds apart: good ones are PNG, defective ones JPEG."),
        (jpeg, misnamed, None),
        (png, misnamed, "format alone tells the kinds apart: good ones are PNG, defective ones JPEG."),
        (png, wide, "size alone tells the kinds apart: good ones are 32x24, defective ones 40x24."),
        (png, grey, "mode alone tells the kinds apart: good ones are RGB, 8 bit, defective ones L, 8 bit."),
        (jpeg, taken_with("ace 2"), "camera alone tells the kinds apart: good ones are no camera, "),
        (taken_with("ace"), taken_with("ace 2"), "good ones are Basler ace, defective ones Basler ace 2."),
        (jpeg, strong, "compression alone tells the kinds apart: good ones are JPEG tables of sum"),
        (jpeg, sharp_colour, "colour 4:2:0, defective ones JPEG tables of sum"),
        (png, png, None),
    ],
)
def test_what_tells_the_kinds_apart(tmp_path: Path, good: Save, bad: Save, message: str | None) -> None:
    found = telltales(folder(tmp_path, good, bad))
    assert [message in issue.message for issue in found if message] == [True] * (message is not None)
    assert len(found) == (message is not None)
    assert all({path.parent.name for path in issue.files} == {"bent"} for issue in found)


def test_most_is_enough(tmp_path: Path) -> None:
    def mostly(path: Path, random: np.random.Generator) -> None:
        (png if path.stem == "003" else jpeg)(path, random)

    (issue,) = telltales(folder(tmp_path, png, mostly))
    assert "defective ones mostly JPEG" in issue.message
    assert len(issue.files) == 5


def test_formats_that_both_kinds_have_tell_nothing(tmp_path: Path) -> None:
    def either(path: Path, random: np.random.Generator) -> None:
        (png if int(path.stem) % 2 else jpeg)(path, random)

    assert telltales(folder(tmp_path, either, either)) == []


def test_sizes_that_never_recur_tell_nothing(tmp_path: Path) -> None:
    def cropped(path: Path, random: np.random.Generator) -> None:
        height, width = random.integers(16, 200, 2)
        noise(random, int(height), int(width)).save(path.with_suffix(".png"))

    assert telltales(folder(tmp_path, cropped, cropped)) == []


def test_one_picture_tells_nothing(tmp_path: Path) -> None:
    assert telltales(folder(tmp_path, png, jpeg, bads=1)) == []


def test_test_pictures_are_compared_among_themselves(tmp_path: Path) -> None:
    root = folder(tmp_path, png, jpeg)
    (root / "train").mkdir()
    (root / "good").rename(root / "train/good")
    folder(root / "test", jpeg, jpeg, goods=6)
    (root / "bent").rename(root / "test/dent")
    assert telltales(root) == []
