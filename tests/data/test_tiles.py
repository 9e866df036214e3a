"""Tiles as pictures to learn from: in order, each file decoded once a pass, cut with its masks and parts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flawscope.data import decoded
from flawscope.data.decoded import DecodedPictures
from flawscope.data.masks import MaskFile
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import to_frame_size
from flawscope.data.tiles import cut, cut_defective, draw_tiles, sources, tiles_in, tiles_of
from flawscope.errors import InputError
from flawscope.runtime.images import Frame, to_frame
from flawscope.runtime.tiling import Overview, Tiling

TILING, FRAME = Tiling(size=(16, 16), stride=(12, 12)), Frame(16, 16)
SIZES = ((40, 52), (10, 30), (28, 16))  # 3 × 4, 1 × 3 and 2 × 1 tiles


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    random, found = np.random.default_rng(0), []
    for index, size in enumerate(SIZES):
        path = tmp_path / f"{index}.png"
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(path)
        found.append(Sample(path, "train", defective=False))
    return found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded."""
    found, plain = Counter[str](), decoded.decode

    def decode(path: Path, *rest: Any, **named: Any) -> Any:
        found[path.name] += 1
        return plain(path, *rest, **named)

    monkeypatch.setattr(decoded, "decode", decode)
    return found


def test_tiles_come_picture_by_picture(samples: list[Sample]) -> None:
    pictures = cut(samples, FRAME, TILING)
    assert sources(pictures) == [0] * 12 + [1] * 3 + [2] * 2
    assert [tile.number for tile in tiles_of(pictures) if tile] == [*range(12), *range(3), *range(2)]
    image = np.asarray(Image.open(samples[0].path))
    np.testing.assert_array_equal(pictures[5], to_frame(image[12:28, 12:28], FRAME))
    whole = cut(samples, FRAME, None)
    assert (len(whole), sources(whole), tiles_of(whole)) == (3, [0, 1, 2], [None] * 3)


@pytest.mark.parametrize("room", [decoded.ROOM, 0])
def test_a_pass_decodes_each_file_once(samples: list[Sample], counted: Counter[str], room: int) -> None:
    tiles = cut(samples, FRAME, TILING).samples
    pictures = PictureFiles(tiles, FRAME, DecodedPictures(room))
    batches = np.concatenate(list(pictures.batches(4)))
    assert counted == {"0.png": 1, "1.png": 1, "2.png": 1}
    np.testing.assert_array_equal(batches, np.stack([pictures[index] for index in range(len(pictures))]))


def test_what_stays_decoded_is_bounded(samples: list[Sample], counted: Counter[str]) -> None:
    tiles = cut(samples, FRAME, TILING).samples
    small = PictureFiles(tiles, FRAME, DecodedPictures(0))
    for index in (0, 12, 15, 0):  # the third picture makes the first one go
        small[index]
    assert counted == {"0.png": 2, "1.png": 1, "2.png": 1}


def test_a_file_that_cannot_be_read_says_so_each_time(samples: list[Sample]) -> None:
    pictures = cut(samples, FRAME, TILING)
    samples[1].path.write_bytes(samples[1].path.read_bytes()[:200])
    for _ in range(2):
        with pytest.raises(InputError, match=r"1\.png"):
            pictures[13]
    with pytest.raises(InputError, match=r"1\.png"):
        list(pictures.batches(4))


def test_subsets_sums_sizes_and_hashes(samples: list[Sample]) -> None:
    pictures = cut(samples, FRAME, TILING)
    both = pictures.subset([5]) + pictures.subset([12])
    np.testing.assert_array_equal(both[0], pictures[5])
    np.testing.assert_array_equal(both[1], pictures[12])
    large = pictures.subset([5]).resized(Frame(32, 32))
    assert large[0].shape == (3, 32, 32)
    np.testing.assert_allclose(large[0].mean(), pictures[5].mean(), atol=0.01)
    np.testing.assert_array_equal(np.concatenate(list(large.batches(1)))[0], large[0])
    hashes = pictures.hashes()
    assert len(set(hashes)) == len(pictures)
    assert hashes[0] != cut(samples, FRAME, None).hashes()[0]


def test_defective_tiles_are_those_that_a_mask_touches(samples: list[Sample], tmp_path: Path) -> None:
    area = np.zeros(SIZES[0], np.uint8)
    area[15, 27] = 255  # in rows 0 and 12, columns 12 and 24
    Image.fromarray(area).save(tmp_path / "mask.png")
    path = samples[0].path
    marked = Sample(path, "train", defective=True, kind="dot", masks=(MaskFile(tmp_path / "mask.png"),))
    bare = Sample(samples[1].path, "train", defective=True, kind="dot")
    found = cut_defective([marked, bare], FRAME, TILING)
    assert [sample.tile.number for sample in found.samples if sample.tile] == [1, 2, 5, 6]
    assert {sample.path for sample in found.samples} == {path}


def test_maps_are_cut_as_their_pictures_are(samples: list[Sample]) -> None:
    for size, sample in zip(SIZES, samples, strict=True):
        labels = np.arange(size[0] * size[1]).reshape(size).astype(np.uint8)
        shown = Image.fromarray(labels)
        shown.save(sample.path)
        for one in cut([sample], FRAME, TILING).samples:
            tile = to_frame_size(labels, FRAME, one.tile)
            expected = (255 * cut([sample], FRAME, TILING)[one.tile.number if one.tile else 0][0]).round()
            np.testing.assert_array_equal(tile, expected.astype(np.uint8))
            double = to_frame_size(labels, Frame(32, 32), one.tile)
            np.testing.assert_array_equal(double, tile.repeat(2, 0).repeat(2, 1))


def test_tiles_are_drawn_by_seed_and_evenly_over_pictures(samples: list[Sample]) -> None:
    tiles = tiles_in([samples[0], samples[1], samples[2]], TILING)  # 12, 3 and 2
    assert draw_tiles(tiles, 17, 0) == tiles
    drawn = draw_tiles(tiles, 9, 0)
    assert drawn == draw_tiles(tiles, 9, 0)
    assert drawn == [tile for tile in tiles if tile in drawn]  # in their order
    assert Counter(tile.path.name for tile in drawn) == {"0.png": 4, "1.png": 3, "2.png": 2}
    others = {tuple(draw_tiles(tiles, 6, seed)) for seed in range(4)}
    assert len(others) > 1
    assert all(set(Counter(tile.path for tile in some).values()) == {2} for some in others)
    assert len(draw_tiles(tiles, 1, 0)) == 3  # one of each picture, however many there are


def test_a_fifth_of_drawn_tiles_are_overviews(samples: list[Sample]) -> None:
    tiling = TILING.model_copy(update={"overview": Overview()})
    tiles = tiles_in(samples, tiling)  # 12, 3 and 2, and an overview each

    def overviews(most: int) -> int:
        return sum(one.tile is not None and one.tile.number == one.tile.grid.parts for one in some(most))

    def some(most: int) -> list[Sample]:
        return draw_tiles(tiles, most, 1)

    assert [(len(some(most)), overviews(most)) for most in (20, 15, 10, 5)] == [
        *((20, 3), (15, 3), (10, 2), (5, 1))
    ]
