"""Components of a folder: label maps or masks, found, checked, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.errors import DataError, InputError, OptionError
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.segmenters.proposers import GivenOptions, Proposal, Proposer, build_proposer

FRAME = Frame(16, 24)


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """Two plain pictures, 48 wide and 32 high, below `pictures`."""
    samples = []
    for name in ("000", "001"):
        path = tmp_path / "pictures" / "train" / "good" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 32)).save(path)
        samples.append(Sample(path, "train", defective=False))
    return PictureFiles(samples, FRAME)


def write(path: Path, values: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def half(value: int, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    values = np.zeros((height, width), np.uint8)
    values[:, width // 2 :] = value
    return values


def prepared(tmp_path: Path, given: Pictures, **options: Any) -> Proposer:
    made = build_proposer(GivenOptions(maps=tmp_path / "maps", **options))
    made.prepare(given, Run())
    return made


def proposals(proposer: Proposer, pictures: Pictures) -> list[Proposal]:
    plain = np.zeros((FRAME.height, FRAME.width, 3), np.uint8)
    return [proposer.propose(plain, sample) for sample in pictures.samples]


def test_label_maps_are_finished_and_named(tmp_path: Path, pictures: Pictures) -> None:
    for name, value in (("000", 1), ("001", 3)):
        write(tmp_path / "maps" / "train" / "good" / f"{name}.png", half(value))
    mirrored = {"pictures": tmp_path / "pictures"}
    proposer = prepared(tmp_path, pictures, **mirrored)
    assert proposer.labels
    first, second = proposals(proposer, pictures)
    assert first.names == second.names == ("component 1", "component 2", "component 3")
    assert first.masks.shape == (0, 16, 24)
    np.testing.assert_array_equal(first.named, half(1, 16, 24))
    np.testing.assert_array_equal(second.named, half(3, 16, 24))
    (tmp_path / "maps" / "names.json").write_text(json.dumps(["ground", "nut", "screw", "washer"]))
    assert proposals(prepared(tmp_path, pictures, **mirrored), pictures)[0].names == (
        "nut",
        "screw",
        "washer",
    )
    with pytest.raises(
        DataError, match=r"001.png: expected indices from 0 to 2, .* got index 3 in 768 pixels"
    ):
        prepared(tmp_path, pictures, names=("nut", "screw"), **mirrored)
    (tmp_path / "maps" / "names.json").write_text('{"0": "ground"}')
    with pytest.raises(DataError, match=r"names.json: expected a JSON list of 2 to 64 names"):
        prepared(tmp_path, pictures, **mirrored)


def test_masks_may_overlap_and_may_be_none(tmp_path: Path, pictures: Pictures) -> None:
    write(tmp_path / "maps" / "good" / "000" / "000.png", half(255))
    write(tmp_path / "maps" / "good" / "000" / "001.png", np.full((16, 24), 255, np.uint8))
    (tmp_path / "maps" / "good" / "001").mkdir()
    proposer = prepared(tmp_path, pictures)
    assert not proposer.labels
    first, second = proposals(proposer, pictures)
    assert first.named is None
    np.testing.assert_array_equal(first.masks, [half(1, 16, 24), np.ones((16, 24))])
    assert second.masks.shape == (0, 16, 24)
    with pytest.raises(OptionError, match="'names' of proposer of kind folder: expected label maps"):
        prepared(tmp_path, pictures, names=("nut",))


def test_what_is_missing_or_does_not_fit_is_named(tmp_path: Path, pictures: Pictures) -> None:
    good = tmp_path / "maps" / "good"
    with pytest.raises(InputError, match=r"segment map .*000.png: .* got nothing there"):
        prepared(tmp_path, pictures)
    write(good / "000" / "000.png", half(255))
    with pytest.raises(InputError, match=r"masks .*001: expected a folder of PNG files.* got nothing there"):
        prepared(tmp_path, pictures)
    write(good / "001.png", half(1))
    with pytest.raises(InputError, match=r"got a label map, while earlier pictures have masks"):
        prepared(tmp_path, pictures)
    (good / "001.png").unlink()
    write(good / "001" / "000.png", half(255, 40, 40))
    with pytest.raises(DataError, match=r"000.png: expected the size of the pictures .* got 40x40"):
        prepared(tmp_path, pictures)
