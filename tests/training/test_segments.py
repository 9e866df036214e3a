"""Maps drafted from good pictures and checked against them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import read_segment_map, write_segment_map
from flawscope.errors import DataError, InputError, OptionError
from flawscope.nn.run import Run
from flawscope.products import PRODUCTS, render
from flawscope.runtime.images import Frame, read_image
from flawscope.segmenters import StaticMapOptions, build_segmenter
from flawscope.training.segments import check, draft, good_pictures


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draft from small pictures, where only speed counts."""
    monkeypatch.setattr("flawscope.segmenters.drafting._SIDE", 128)


def write(folder: Path, sizes: list[tuple[int, int]]) -> list[Path]:
    """Dark pictures with a bright, noisy half each, (height, width)."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    paths = []
    for index, (height, width) in enumerate(sizes):
        picture = np.full((height, width, 3), 40, np.uint8)
        picture[:, width // 2 :] = random.integers(120, 250, (height, width - width // 2, 3))
        paths.append(folder / f"{index}.png")
        Image.fromarray(picture).save(paths[-1])
    return paths


def test_a_draft_has_the_pictures_size_and_passes_its_check(tmp_path: Path) -> None:
    paths = write(tmp_path / "good", [(60, 90)] * 3)
    made = draft(paths, tmp_path / "map.png", Run(seed=1), segments=2)
    labels = read_segment_map(made.map)
    assert labels.shape == (made.height, made.width) == (60, 90)
    truth = np.zeros((60, 90), int)
    truth[:, 45:] = 1
    assert adjusted_rand_score(truth.ravel(), labels.ravel()) > 0.8
    assert made.shares == pytest.approx((np.bincount(labels.ravel()) / labels.size).tolist())
    assert made.drawing == tmp_path / "map_preview.png"
    assert read_image(made.drawing).shape[1] > 900
    checked = check(made.map, paths, tmp_path / "sheet.png")
    assert (checked.pictures, checked.shares, checked.remarks) == (3, made.shares, ())
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.usefixtures("coarse")
def test_pictures_of_several_sizes_are_stretched_on_request(tmp_path: Path) -> None:
    paths = write(tmp_path / "good", [(60, 90), (70, 50)])
    with pytest.raises(DataError, match=r"90x60 of .*0\.png and 50x70 of .*1\.png"):
        draft(paths, tmp_path / "map.png", Run(), weights="random")
    assert not (tmp_path / "map.png").exists()
    made = draft(paths, tmp_path / "map.png", Run(), segments=2, size=(64, 64), weights="random", first=True)
    assert (made.height, made.width) == (64, 64)
    with pytest.raises(DataError, match="proportions"):
        check(made.map, paths, tmp_path / "sheet.png")
    check(made.map, paths, tmp_path / "sheet.png", size=(64, 64))
    given = PictureFiles([Sample(path, "train", defective=False) for path in paths], Frame(64, 64))
    segmenter = build_segmenter(StaticMapOptions(map=made.map), given.frame).fit(given, Run())
    assert segmenter.count == len(made.shares)


@pytest.mark.usefixtures("coarse")
def test_a_draft_repeats_and_goes_by_its_seed_alone(tmp_path: Path) -> None:
    paths = write(tmp_path / "good", [(64, 64)] * 2)
    for name in ("a", "b"):
        draft(paths, tmp_path / f"{name}.png", Run(seed=2), segments=3, weights="random")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_slips_of_the_brush_are_remarked(tmp_path: Path) -> None:
    paths = write(tmp_path / "good", [(100, 100)])
    labels = np.zeros((100, 100), np.uint8)
    labels[50:] = 1
    labels[7, 9] = 2
    write_segment_map(tmp_path / "map.png", labels)
    (remark,) = check(tmp_path / "map.png", paths, tmp_path / "sheet.png").remarks
    assert remark == "Segment 2 has only 1 pixels, the first at x 9, y 7: a slip of the brush?"


@pytest.mark.parametrize("segments", [1, 65])
def test_numbers_of_segments_out_of_range_are_refused(tmp_path: Path, segments: int) -> None:
    with pytest.raises(OptionError, match="2 to 64"):
        draft([], tmp_path / "map.png", Run(), segments=segments)
    with pytest.raises(OptionError, match=r"ends in \.png"):
        draft([], tmp_path / "map.jpg", Run())
    with pytest.raises(OptionError, match=r"ends in \.png"):
        check(tmp_path / "map.png", [], tmp_path / "sheet")


@pytest.mark.usefixtures("coarse")
def test_unreadable_pictures_are_named(tmp_path: Path) -> None:
    paths = write(tmp_path / "good", [(64, 64)] * 2)
    paths[1].write_bytes(paths[1].read_bytes()[:300])
    with pytest.raises(InputError, match=r"1\.png"):
        draft(paths, tmp_path / "map.png", Run(), weights="random")


def test_good_pictures_come_from_data_sets_folders_and_patterns(tmp_path: Path) -> None:
    for kind in ("train/good", "test/good", "test/scratch"):
        write(tmp_path / "product" / kind, [(8, 8)] * 2)
    assert [path.parent.name for path in good_pictures([tmp_path / "product"])] == ["good"] * 2
    named = good_pictures([str(tmp_path / "product" / "test" / "*" / "*.png")])
    assert len(named) == 4
    (tmp_path / "bad").mkdir()
    write(tmp_path / "bad" / "ground_truth", [(8, 8)])
    with pytest.raises(DataError):
        good_pictures([tmp_path / "bad"])


@pytest.mark.slow
def test_a_draft_of_the_rendered_connector_tells_block_wires_and_ground(tmp_path: Path) -> None:
    paths, parts = [], []
    for seed in range(12):
        made = render("connector_block", seed=seed, size=256)
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(made.picture).save(paths[-1])
        parts.append(made.parts)
    labels = read_segment_map(draft(paths, tmp_path / "map.png", Run(), segments=3).map)
    of_part = {}  # part -> the segment that most of it lies in; ground between the wires goes with them
    for index, name in enumerate(PRODUCTS["connector_block"].part_names):
        often = (np.stack(parts) == index).mean(0) > 0.5
        shares = np.bincount(labels[often], minlength=3) / often.sum()
        assert shares.max() > (0.9 if index else 0.6), name
        of_part[name] = int(shares.argmax())
    ground, block, wire = of_part["background"], of_part["housing"], of_part["black wire"]
    assert len({ground, block, wire}) == 3
    assert of_part["screw"] == of_part["tab"] == block
    assert {segment for name, segment in of_part.items() if name.endswith("wire")} == {wire}
