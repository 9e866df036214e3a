"""A label map a picture, from a folder: found, read, refused, and never part of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import write_segment_map
from flawscope.errors import DataError, InputError, OptionError
from flawscope.methods.registry import create
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.segmenters import FolderMapsOptions, OverlaidOptions, Segmenter, build_segmenter, overlaid
from flawscope.training.export import export
from flawscope.training.recipe import Recipe
from flawscope.training.train import train

FRAME = Frame(16, 24)
PLACES = ("train/good/000", "train/good/001", "test/good/000", "test/bent/000")
Maps = Callable[..., Path]


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """Four plain pictures, 48 wide and 32 high, in the folders of a data set."""
    samples = []
    for place in PLACES:
        path = tmp_path / "pictures" / f"{place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 32)).save(path)
        samples.append(Sample(path, "train", defective="bent" in place))
    return PictureFiles(samples, FRAME)


@pytest.fixture
def maps(tmp_path: Path) -> Maps:
    """Write a label map."""

    def write(place: str, labels: NDArray[Any]) -> Path:
        path = tmp_path / "maps" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, labels)
        else:
            Image.fromarray(labels).save(path)
        return path.parent

    return write


def halves(left: int, right: int, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    labels = np.full((height, width), left, np.uint8)
    labels[:, width // 2 :] = right
    return labels


def fitted(tmp_path: Path, given: Pictures, **options: Any) -> Segmenter:
    return build_segmenter(FolderMapsOptions(maps=tmp_path / "maps", **options), FRAME).fit(given, Run())


def labels_of(segmenter: Segmenter, given: Pictures) -> NDArray[np.int64]:
    pixels = torch.from_numpy(np.stack(list(given)))
    found: NDArray[np.int64] = segmenter.labelled(pixels, given.samples).numpy()
    return found


def test_each_picture_has_the_labels_of_its_own_file(tmp_path: Path, pictures: Pictures, maps: Maps) -> None:
    values = [(0, 1), (0, 2), (1, 0), (2, 2)]
    for place, pair, suffix in zip(PLACES, values, (".png", ".npy", ".npy", ".png"), strict=True):
        maps(place + suffix, halves(*pair))
    segmenter = fitted(tmp_path, pictures.subset([0, 1]), pictures=tmp_path / "pictures")
    assert segmenter.count == 3
    np.testing.assert_allclose(segmenter.shares.numpy(), [0.5, 0.25, 0.25])
    for (left, right), labels in zip(values, labels_of(segmenter, pictures), strict=True):
        np.testing.assert_array_equal(labels, halves(left, right, 16, 24))


def test_maps_as_segads_authors_publish_them(tmp_path: Path, pictures: Pictures, maps: Maps) -> None:
    """good/ and bad/ by the picture's name, of the size that pictures are stretched to."""
    maps("good/000.npy", halves(0, 1, 16, 24).astype(np.int64))
    maps("good/001.npy", halves(0, 1, 16, 24).astype(np.float64))
    maps("bad/000.npy", halves(3, 0, 16, 24).astype(np.float32))
    segmenter = fitted(tmp_path, pictures.subset([0, 1]), count=6)
    assert segmenter.count == 6
    assert segmenter.absent == (2, 3, 4, 5)
    labels = labels_of(segmenter, pictures.subset([0, 3]))
    np.testing.assert_array_equal(labels, [halves(0, 1, 16, 24), halves(3, 0, 16, 24)])
    with pytest.raises(DataError, match=r"good.000.npy: expected one picture .* got .*train.* and .*test"):
        labels_of(segmenter, pictures.subset([2]))


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("000.png", halves(0, 2), r"000.png: expected indices from 0 to 1, .* got index 2 in 768 pixels"),
        ("000.npy", halves(0, 64), r"000.npy: expected indices from 0 to 63 .* got index 64"),
        ("000.npy", halves(0, 1).astype(np.int16) - 1, "got index -1 in"),
        ("000.npy", halves(0, 1, 32, 40), r"the size of the pictures \(48x32 .*, or 24x16, got 40x32"),
        ("000.npy", halves(0, 1) / 2, "expected whole numbers .* got float64"),
        ("000.npy", np.full((32, 48), np.inf), "expected whole numbers"),
        (
            "000.npy",
            np.zeros((3, 32, 48), np.uint8),
            r"whole numbers \(height, width\), got uint8 \(3, 32, 48\)",
        ),
        ("000.png", np.zeros((32, 48, 3), np.uint8), "expected an indexed .palette. PNG"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, pictures: Pictures, maps: Maps, name: str, labels: NDArray[Any], message: str
) -> None:
    maps(f"bad/{name}", labels)
    maps("good/001.png", halves(0, 1))
    segmenter = fitted(tmp_path, pictures.subset([1]))
    with pytest.raises(DataError, match=message) as refused:
        labels_of(segmenter, pictures.subset([3]))
    assert "\n" not in str(refused.value)


def test_a_missing_or_unreadable_map_is_refused(tmp_path: Path, pictures: Pictures, maps: Maps) -> None:
    with pytest.raises(InputError, match=r"good.000.png: .* got nothing there"):
        fitted(tmp_path, pictures.subset([0]))
    folder = maps("good/001.npy", np.array([{"a": 1}], dtype=object))
    (folder / "000.npy").write_bytes(b"\x93NUMPY")
    for index in (0, 1):
        with pytest.raises(InputError, match="one that NumPy cannot read"):
            fitted(tmp_path, pictures.subset([index]))
    with pytest.raises(DataError, match=r"expected a place below .*elsewhere"):
        fitted(tmp_path, pictures, pictures=tmp_path / "elsewhere")


def test_no_model_can_hold_maps_of_a_folder(tmp_path: Path, pictures: Pictures) -> None:
    options = {"segments": {"kind": "folder", "maps": str(tmp_path)}, "detectors": [{"method": "padim"}]}
    recipe = Recipe.parse({"method": "segad", "data": {"folder": str(tmp_path)}, "options": options})
    refusal = "segments of kind folder: expected one of the other kinds, for a model that inspects"
    with pytest.raises(OptionError, match=refusal):
        train(recipe, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(OptionError, match=refusal):
        export(create("segad", {**options, "size": (32, 32)}), tmp_path)
    with pytest.raises(OptionError, match=refusal):
        build_segmenter(FolderMapsOptions(maps=tmp_path), FRAME)(torch.zeros(1, 3, 16, 24))


def test_the_union_of_masks_is_segment_1(tmp_path: Path, pictures: Pictures, maps: Maps) -> None:
    maps("good/000/000.png", halves(0, 255))
    maps("good/000/001.png", np.pad(np.full((16, 12), 255, np.uint8), ((0, 16), (0, 36))))
    (tmp_path / "maps" / "good" / "001").mkdir()
    segmenter = fitted(tmp_path, pictures.subset([0, 1]), count=2)
    expected = halves(0, 1, 16, 24)
    expected[:8, :6] = 1
    np.testing.assert_array_equal(
        labels_of(segmenter, pictures.subset([0, 1])), [expected, np.zeros((16, 24))]
    )


def test_static_parts_lie_upon_each_pictures_own_map(
    tmp_path: Path, pictures: Pictures, maps: Maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VisA's boards as SegAD has them (figure 7)."""
    maps("good/000.png", halves(0, 1))
    maps("good/001.png", halves(1, 0))
    parts = np.zeros((32, 48), np.uint8)
    parts[8:16, 8:16], parts[8:16, 32:40] = 1, 2
    write_segment_map(tmp_path / "parts.png", parts)
    options = OverlaidOptions(map=tmp_path / "parts.png", below=FolderMapsOptions(maps=tmp_path / "maps"))
    given = pictures.subset([0, 1])
    segmenter = build_segmenter(options, FRAME).fit(given, Run())
    expected = np.stack([halves(0, 1, 16, 24), halves(1, 0, 16, 24)])
    expected[:, 4:8, 4:8], expected[:, 4:8, 16:20] = 2, 3
    np.testing.assert_array_equal(labels_of(segmenter, given), expected)
    np.testing.assert_allclose(segmenter.shares.numpy(), np.bincount(expected.ravel()) / expected.size)
    assert segmenter.names == ("segment 0", "segment 1", "part 1", "part 2")
    with pytest.raises(OptionError, match="segments of kind folder: expected one of the other kinds"):
        segmenter.check_exportable()
    monkeypatch.setattr(overlaid, "MOST_SEGMENTS", 3)
    with pytest.raises(
        DataError, match=r"parts.png: expected at most 3 segments, with the 2 below it, got 4"
    ):
        build_segmenter(options, FRAME).fit(given, Run())
