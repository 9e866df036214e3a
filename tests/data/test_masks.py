"""Masks are found whatever they are called, and read whoever drew them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from flawscope.data.checks.kinds import told_of
from flawscope.data.layouts import read_dataset
from flawscope.data.masks import MaskFile, marked, union_mask
from flawscope.errors import InputError

Grow = Callable[..., Path]
Draw = Callable[..., Path]
HEIGHT, WIDTH = 96, 128
TRUTH = np.zeros((HEIGHT, WIDTH), bool)
TRUTH[20:60, 30:90] = True


def agreement(mask: np.ndarray) -> float:
    """Intersection over union with the truth."""
    return float((mask & TRUTH).sum() / (mask | TRUTH).sum())


def read(path: Path) -> np.ndarray:
    return MaskFile(path).read(HEIGHT, WIDTH)


def soft(sigma: float) -> np.ndarray:
    blurred = cv2.GaussianBlur(TRUTH.astype(np.float32) * 255, (0, 0), sigma)
    return np.rint(blurred).astype(np.uint8)


def two_values(low: int, high: int) -> np.ndarray:
    """The left part of the truth drawn in one value, the right in another."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:60, 30:50], mask[20:60, 50:90] = low, high
    return mask


@pytest.mark.parametrize("sigma", [0.7, 1.5, 3.0])
def test_soft_edges_are_cut_in_the_middle(tmp_path: Path, sigma: float) -> None:
    Image.fromarray(soft(sigma)).save(tmp_path / "m.png")
    assert agreement(read(tmp_path / "m.png")) > 0.97
    assert agreement(soft(sigma) > 0) < 0.95


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_masks_keep_their_outline(tmp_path: Path, quality: int) -> None:
    Image.fromarray(TRUTH.astype(np.uint8) * 255).save(tmp_path / "m.jpg", quality=quality)
    assert agreement(read(tmp_path / "m.jpg")) > 0.97


@pytest.mark.parametrize(
    "values",
    [
        TRUTH.astype(np.uint8),
        TRUTH.astype(np.uint8) * 100,
        TRUTH.astype(np.uint16),
        TRUTH.astype(np.uint16) * 65535,
        TRUTH.astype(np.uint16) * 255,
        TRUTH.astype(np.float32),
        TRUTH.astype(np.float32) * 255,
        TRUTH.astype(np.float32) * 0.8,
        two_values(1, 2),
        two_values(7, 30),
        two_values(50, 255),
        two_values(64, 128),
        two_values(38, 75),
    ],
)
def test_every_drawn_value_counts(values: np.ndarray) -> None:
    np.testing.assert_array_equal(marked(values), TRUTH)


def test_seams_of_a_resize_do_not_count() -> None:
    half = cv2.resize(
        TRUTH.astype(np.uint8) * 255, (WIDTH // 2 - 3, HEIGHT // 2 - 5), interpolation=cv2.INTER_AREA
    )
    grown = cv2.resize(half, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    assert agreement(marked(grown)) > 0.93
    assert agreement(marked(grown)) > agreement(grown > 0)


def test_soft_edges_in_numbers_are_cut_in_the_middle() -> None:
    assert agreement(marked(soft(1.5).astype(np.float32) / 255)) > 0.97


def test_an_empty_mask_is_empty() -> None:
    for dtype in (np.uint8, np.uint16, np.float32):
        assert not marked(np.zeros((4, 5), dtype)).any()


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 128, 0), (64, 0, 0), (0, 64, 64), (192, 128, 64)])
def test_labels_in_colour_count(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[TRUTH] = colour
    Image.fromarray(picture).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(tmp_path / "m.png"), TRUTH)


def test_indexed_labels_count(tmp_path: Path) -> None:
    image = Image.fromarray(two_values(1, 2)).convert("P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 64, 0])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(tmp_path / "m.png"), TRUTH)


@pytest.mark.parametrize(
    ("colour", "ground"), [((255, 255, 255, 255), (0, 0, 0, 0)), ((255, 0, 0, 255), (255, 255, 255, 0)),
                           ((0, 0, 0, 255), (0, 0, 0, 0)), ((0, 0, 0, 255), (255, 255, 255, 0)),
                           ((255, 255, 255, 255), (0, 0, 0, 255))]
)  # fmt: skip
def test_masks_with_opacity(
    tmp_path: Path, colour: tuple[int, int, int, int], ground: tuple[int, int, int, int]
) -> None:
    picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    picture[:], picture[TRUTH] = ground, colour
    Image.fromarray(picture).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(tmp_path / "m.png"), TRUTH)


def test_black_and_white_masks(tmp_path: Path) -> None:
    Image.fromarray(TRUTH).save(tmp_path / "m.bmp")
    Image.fromarray(TRUTH).save(tmp_path / "m.tif")
    for name in ("m.bmp", "m.tif"):
        np.testing.assert_array_equal(read(tmp_path / name), TRUTH)


def test_a_truncated_mask_is_an_error_that_names_it(tmp_path: Path) -> None:
    Image.fromarray(TRUTH).save(tmp_path / "m.png")
    content = (tmp_path / "m.png").read_bytes()
    (tmp_path / "m.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"m\.png"):
        read(tmp_path / "m.png")


@pytest.mark.parametrize(
    "place",
    [
        *(
            f"ground_truth/bent/{name}"
            for name in (
                "000_mask.png", "000_mask.PNG", "000_mask.bmp", "000_mask.tif", "000_mask.jpg", "000.png",
                "000.TIFF", "000_gt.png", "000-mask.png", "000_MASK.PNG", "000_masks.png", "000.mask.png",
                "000_ground_truth.png", "mask_000.png", "000.png_mask.png", "000.png.png",
            )
        ),
        *("masks/bent/000.png", "GT/Bent/000_gt.png", "masks/000_mask.png", "Ground-Truth/bent_mask/000.jpg"),
        *("test/masks/bent/000.png", "test/bent/mask/000.png", "test/bent/000_mask.png"),
    ],
)  # fmt: skip
def test_masks_have_many_names_and_places(tmp_path: Path, grow: Grow, draw_mask: Draw, place: str) -> None:
    grow(tmp_path, {"train/good": 1, "test/good": 1, "test/bent": 2})
    draw_mask(tmp_path / place)
    dataset = read_dataset(tmp_path)
    assert dataset.masked
    assert dataset.left_out == ()
    first, second = dataset.select(kind="bent")
    assert union_mask(first, 24, 32).sum() == 20
    assert second.masks == ()


@pytest.mark.parametrize(
    "place",
    [
        "scratch_mask/000.png", "scratch_masks/000_mask.png", "scratch-gt/000.png", "scratch/masks/000.png",
        "scratch/000_mask.png", "scratch/000_gt.PNG", "masks/000.png", "Ground Truth/scratch/000.png",
        "masks/scratch_mask/000.png", "scratch/scratch_mask/000.png",
    ],
)  # fmt: skip
def test_masks_beside_their_kind_are_no_pictures(
    tmp_path: Path, grow: Grow, draw_mask: Draw, place: str
) -> None:
    grow(tmp_path, {"good": 2, "scratch": 2})
    draw_mask(tmp_path / place)
    dataset = read_dataset(tmp_path)
    assert dataset.masked
    assert dataset.kinds() == ("scratch",)
    assert dataset.left_out == ()
    assert [len(sample.masks) for sample in dataset.select(kind="scratch")] == [1, 0]
    assert len(dataset) == 4


def test_a_folder_of_masks_without_its_kind_is_a_kind_of_its_own(tmp_path: Path, grow: Grow) -> None:
    dataset = read_dataset(grow(tmp_path, {"good": 2, "face_mask": 1}))
    assert dataset.kinds() == ("face_mask",)
    assert any(
        "Is that right? face_mask: 1 picture counts as defective." in line for line in told_of(dataset)
    )


def test_a_kind_called_label_is_no_folder_of_masks(tmp_path: Path, grow: Grow) -> None:
    dataset = read_dataset(grow(tmp_path, {"good": 2, "missing": 2, "missing_label": 3}))
    assert [len(dataset.select(kind=kind)) for kind in ("missing", "missing_label")] == [2, 3]
    assert not any(sample.masks for sample in dataset)


@pytest.mark.parametrize("name", ["missing_label", "missing_seg"])
def test_masks_may_lie_in_a_folder_called_so(tmp_path: Path, grow: Grow, draw_mask: Draw, name: str) -> None:
    grow(tmp_path, {"good": 2, "missing": 2})
    draw_mask(tmp_path / name / "000.png")
    dataset = read_dataset(tmp_path)
    assert [len(sample.masks) for sample in dataset.select(defective=True)] == [1, 0]


def test_letters_are_one_or_two(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    """A mask and its kind may come from a system that takes letters and their marks apart."""
    grow(tmp_path, {"good": 2, "L\u00f6cher": 1})
    (tmp_path / "L\u00f6cher" / "000.png").rename(tmp_path / "L\u00f6cher" / "Pr\u00fcfling.png")
    draw_mask(tmp_path / "masks" / "Lo\u0308cher" / "Pru\u0308fling.png")
    (sample,) = read_dataset(tmp_path).select(defective=True)
    assert len(sample.masks) == 1


def test_numbered_masks_are_areas_of_one_picture(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    grow(tmp_path, {"good": 2, "bent": 2})
    for name in ("000_mask_1.png", "000_mask_2.png", "001_mask.png"):
        draw_mask(tmp_path / "ground_truth/bent" / name)
    assert [len(sample.masks) for sample in read_dataset(tmp_path).select(kind="bent")] == [2, 1]


def test_masks_of_pictures_below_lie_as_they_do(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    grow(tmp_path, {"good": 2, "bent/day": 1, "bent/night": 2})
    draw_mask(tmp_path / "masks/bent/night/000_mask.png")
    draw_mask(tmp_path / "masks/bent/001_mask.png")  # one picture alone is called so
    dataset = read_dataset(tmp_path)
    found = {sample.path.relative_to(tmp_path).as_posix(): len(sample.masks) for sample in dataset}
    assert found["bent/day/000.png"] == 0
    assert (found["bent/night/000.png"], found["bent/night/001.png"]) == (1, 1)


def test_masks_without_a_picture_are_told(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    grow(tmp_path, {"good": 2, "bent": 1, "dent": 1})
    for name in ("bent/007_mask.png", "bent/000_mask.png", "000.png", "old/000.png"):
        draw_mask(tmp_path / "ground_truth" / name)
    dataset = read_dataset(tmp_path)
    assert [(one.path.name, one.reason) for one in dataset.left_out] == [
        ("000.png", "a mask of no picture"),  # of bent or of dent
        ("007_mask.png", "a mask of no picture"),
        ("000.png", "a mask of no picture"),
    ]


def test_a_folder_called_as_the_picture_holds_its_areas(tmp_path: Path, grow: Grow, draw_mask: Draw) -> None:
    grow(tmp_path, {"train/good": 1, "test/good": 1, "test/bent": 3})
    for name in ("000/000.png", "000/001.png", "002/000.png"):
        draw_mask(tmp_path / "ground_truth/bent" / name)
    dataset = read_dataset(tmp_path)
    assert [len(sample.masks) for sample in dataset.select(kind="bent")] == [2, 0, 1]
    assert dataset.left_out == ()


@pytest.mark.parametrize("word", ["seg", "label", "gt", "labels_1"])
def test_masks_beside_their_pictures_have_many_names(
    tmp_path: Path, grow: Grow, draw_mask: Draw, word: str
) -> None:
    draw_mask(grow(tmp_path, {"good": 2, "scratch": 1}) / f"scratch/000_{word}.png")
    (sample,) = read_dataset(tmp_path).select(defective=True)
    assert len(sample.masks) == 1


def test_a_photograph_under_a_mask_of_opacity_is_read_by_that(tmp_path: Path) -> None:
    area = np.zeros((20, 30), np.uint8)
    area[4:9, 3:20] = 255
    photograph = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(np.dstack([photograph, area])).save(tmp_path / "mask.png")
    assert np.array_equal(MaskFile(tmp_path / "mask.png").read(20, 30), area > 0)
