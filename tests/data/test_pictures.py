"""Pictures in order, ahead of their use, and errors that name the file."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscope import files
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.errors import InputError, OptionError
from flawscope.runtime.images import Frame, load


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    found = []
    for index in range(11):
        path = tmp_path / f"{index}.png"
        Image.new("L", (20, 10), 20 * index).save(path)
        found.append(Sample(path=path, split="train", defective=False))
    return found


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("size", [1, 4, 11, 50])
def test_batches_keep_the_order(
    samples: list[Sample], size: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawscope.data.pictures.THREADS", threads)
    batches = list(PictureFiles(samples, Frame(8, 8)).batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    joined = np.concatenate(batches)
    assert joined.shape == (11, 3, 8, 8)
    assert joined.dtype == np.float32
    np.testing.assert_allclose(joined[:, 1, 4, 4], np.arange(11) * 20 / 255, atol=1e-6)


def test_items_equal_the_shared_road(samples: list[Sample]) -> None:
    pictures = PictureFiles(samples, Frame(6, 8, "pad"))
    assert len(pictures) == 11
    np.testing.assert_array_equal(pictures[3], load(samples[3].path, Frame(6, 8, "pad")))
    np.testing.assert_array_equal(list(pictures)[3], pictures[3])
    with pytest.raises(IndexError):
        pictures[11]


def test_subset_and_resized(samples: list[Sample]) -> None:
    pictures = PictureFiles(samples, Frame(8, 8)).subset([5, 2])
    assert [sample.path.name for sample in pictures.samples] == ["5.png", "2.png"]
    assert pictures.resized(Frame(4, 6))[0].shape == (3, 4, 6)
    assert pictures.frame == Frame(8, 8)


def test_a_bad_file_is_named(samples: list[Sample]) -> None:
    samples[7].path.write_bytes(b"")
    with pytest.raises(InputError, match=r"7\.png.*an empty file"):
        list(PictureFiles(samples, Frame(8, 8)).batches(3))


def test_stopping_early_leaves_no_threads(samples: list[Sample]) -> None:
    batches = PictureFiles(samples, Frame(8, 8)).batches(2)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]


def test_decoding_ahead_is_bounded(samples: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    import flawscope.data.pictures as module

    seen: list[Path] = []
    original = module.load

    def counted(path: Path, frame: Frame, **options: object) -> object:
        seen.append(path)
        return original(path, frame, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "load", counted)
    batches = PictureFiles(samples, Frame(8, 8)).batches(1)
    next(batches)
    assert len(seen) <= 4
    batches.close()  # type: ignore[attr-defined]


def test_hashes_are_of_the_files(samples: list[Sample]) -> None:
    hashes = PictureFiles(samples, Frame(8, 8)).hashes()
    assert hashes[4] == hashlib.sha256(samples[4].path.read_bytes()).hexdigest()
    assert len(set(hashes)) == 11


def test_hashes_are_remembered_until_a_file_changes(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path.name) or original(path))
    pictures = PictureFiles(samples, Frame(8, 8))
    hashes = pictures.hashes()
    assert len(read) == 11
    assert pictures.subset([4, 2]).resized(Frame(4, 4)).hashes() == [hashes[4], hashes[2]]
    assert len(read) == 11
    samples[4].path.write_bytes(samples[2].path.read_bytes())
    assert pictures.hashes() == [*hashes[:4], hashes[2], *hashes[5:]]
    assert read[11:] == ["4.png"]


def test_pictures_are_joined(samples: list[Sample]) -> None:
    whole = PictureFiles(samples, Frame(8, 8))
    joined = whole.subset([1, 0]) + whole.resized(Frame(4, 4)).subset([3])
    assert [sample.path.name for sample in joined.samples] == ["1.png", "0.png", "3.png"]
    assert joined.frame == Frame(8, 8)
    np.testing.assert_array_equal(joined[2], whole[3])


def test_no_pictures_give_no_batches() -> None:
    assert list(PictureFiles([], Frame(8, 8)).batches(4)) == []


def test_sizes_are_checked(samples: list[Sample]) -> None:
    with pytest.raises(OptionError, match="batch size"):
        next(PictureFiles(samples, Frame(8, 8)).batches(0))
