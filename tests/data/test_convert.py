"""Real-IAD rearranged as MVTec AD: the same pictures, labels and masks, other folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from flawscope.data.convert import convert_dataset
from flawscope.data.layouts import read_dataset
from flawscope.data.masks import union_mask
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError, InputError, OptionError, OutputError

Draw = Callable[..., Path]
PARTS, VIEWS, FLAWED = 8, 5, 4
Content = dict[str, Any]


def entry(kind: str, image: str, mask: str | None = None) -> dict[str, object]:
    return {"category": "mint", "anomaly_class": kind, "image_path": image, "mask_path": mask}


def listing(*, train: Sequence[object], test: Sequence[object], product: str = "mint") -> Content:
    meta = {"prefix": f"{product}/", "normal_class": "OK", "pre_transform": 1}
    return {"meta": meta, "train": train, "test": test}


def normal(part: int, view: int) -> str:
    return f"OK/S{part:04d}/mint_{part:04d}_OK_C{view}_20230101.jpg"


def flawed(part: int, view: int, kind: str, suffix: str = "jpg") -> str:
    return f"NG/{kind}/S{part:04d}/mint_{part:04d}_NG_{kind}_C{view}_20230101.{suffix}"


def published() -> Content:
    """8 good parts of 5 views, two of them listed for testing; 4 flawed ones, 3 of whose views show it."""
    goods = [entry("OK", normal(part, view)) for part in range(PARTS) for view in range(1, VIEWS + 1)]
    bads: list[object] = []
    for part in range(FLAWED):
        kind = ("AK", "HS")[part % 2]
        for view in range(1, VIEWS + 1):
            seen = view <= 3
            mask = flawed(part, view, kind, "png") if seen else None
            bads.append(entry(kind if seen else "OK", flawed(part, view, kind), mask))
    return listing(train=goods[:-10], test=[*goods[-10:], *bads])


@pytest.fixture
def real_iad(tmp_path: Path, draw: Draw, draw_mask: Draw) -> Callable[..., Path]:
    """Write a data set with the pictures and masks that a listing names."""

    def make(content: Content, product: str = "mint", *, pictures: bool = True) -> Path:
        root = tmp_path / "Real-IAD"
        tables = root / "realiad_jsons" / "realiad_jsons"
        tables.mkdir(parents=True, exist_ok=True)
        (tables / f"{product}.json").write_text(json.dumps(content))
        folder = root / "realiad_1024" / product
        folder.mkdir(parents=True, exist_ok=True)
        for seed, item in enumerate([*content["train"], *content["test"]] if pictures else []):
            draw(folder / item["image_path"], seed=seed)
            if item["mask_path"]:
                draw_mask(folder / item["mask_path"], value=(255, 1)[seed % 2])
        return root

    return make


def contents(dataset: Dataset) -> dict[str, tuple[object, ...]]:
    """What each picture is, by its bytes: kind, label and mask."""
    found: dict[str, tuple[object, ...]] = {}
    for sample in dataset:
        mask = union_mask(sample, 24, 32)
        digest = hashlib.sha256(sample.path.read_bytes()).hexdigest()
        found[digest] = (sample.kind, sample.defective, len(sample.masks), mask.tobytes())
    return found


def split_of(dataset: Dataset) -> dict[str, str]:
    return {hashlib.sha256(sample.path.read_bytes()).hexdigest(): sample.split for sample in dataset}


@pytest.mark.parametrize("split", ["thesis", "published"])
@pytest.mark.parametrize("link", [False, True])
def test_the_same_labels_masks_and_counts(
    real_iad: Callable[..., Path], tmp_path: Path, split: str, link: bool
) -> None:
    source = real_iad(published())
    (done,) = convert_dataset(source, tmp_path / "out", split=split, link=link)
    before, after = read_dataset(source), read_dataset(tmp_path / "out")
    assert (after.name, after.layout) == ("mint", "mvtec_ad")
    assert len(after) == len(before) == len(contents(before)) == 60
    assert contents(after) == contents(before)
    assert after.kinds() == before.kinds() == ("AK", "HS")
    assert not after.select(split="train", defective=True)
    names = {sample.path.stem for sample in before}
    assert {sample.path.stem for sample in after} == names
    counts = [len(after.select(split=part, defective=False)) for part in ("train", "test")]
    assert [done.train, done.test_good] == counts
    assert (done.folder, done.test_defective, done.masks) == (tmp_path / "out" / "mint", 12, 12)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["mint"]
    assert all(view_of(sample) in {f"C{view}" for view in range(1, 6)} for sample in after)


def view_of(sample: Sample) -> str:
    return sample.path.stem.split("_")[-2]


def test_the_thesis_trains_on_nine_tenths_and_keeps_the_views_of_a_part_together(
    real_iad: Callable[..., Path], tmp_path: Path
) -> None:
    source = real_iad(published())
    (done,) = convert_dataset(source, tmp_path / "out")
    assert done.train + done.test_good == 48
    assert 5 <= done.test_good <= 9  # a tenth, filled up to whole parts
    sides = split_of(read_dataset(tmp_path / "out"))
    groups: dict[str | None, set[str]] = {}
    for sample in read_dataset(source).select(defective=False):
        side = sides[hashlib.sha256(sample.path.read_bytes()).hexdigest()]
        groups.setdefault(sample.group, set()).add(side)
    assert all(len(side) == 1 for side in groups.values())
    convert_dataset(source, tmp_path / "again")
    assert split_of(read_dataset(tmp_path / "again")) == sides
    others = [convert_dataset(source, tmp_path / f"seed{seed}", seed=seed)[0].folder for seed in range(1, 4)]
    assert any(split_of(read_dataset(other)) != sides for other in others)


def test_the_published_split_stays_but_for_defects_in_training(
    real_iad: Callable[..., Path], tmp_path: Path
) -> None:
    content = published()
    moved = next(item for item in content["test"] if item["anomaly_class"] == "AK")
    content["test"].remove(moved)
    content["train"].append(moved)  # as in Real-IAD's fully unsupervised lists
    source = real_iad(content)
    (done,) = convert_dataset(source, tmp_path / "out", split="published")
    assert (done.train, done.test_good, done.test_defective) == (30, 18, 12)
    before, after = split_of(read_dataset(source)), split_of(read_dataset(tmp_path / "out"))
    assert sorted(before) == sorted(after)
    assert sum(before[digest] != after[digest] for digest in before) == 1


def test_masks_become_black_and_white(real_iad: Callable[..., Path], tmp_path: Path) -> None:
    source = real_iad(published())
    convert_dataset(source, tmp_path / "out", link=True)
    masks = sorted((tmp_path / "out" / "mint" / "ground_truth").rglob("*.png"))
    assert len(masks) == 12
    for mask in masks:
        assert mask.stem.endswith("_mask")
        pixels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
        assert pixels.shape == (24, 32)
        assert np.unique(pixels).tolist() == [0, 255]
    links = {mask.stat().st_nlink for mask in masks}
    assert links == {1, 2}  # those that were black and white already are links


def test_links_share_the_file_and_copies_do_not(real_iad: Callable[..., Path], tmp_path: Path) -> None:
    source = real_iad(published())
    convert_dataset(source, tmp_path / "links", link=True)
    convert_dataset(source, tmp_path / "copies")
    assert {s.path.stat().st_nlink for s in read_dataset(tmp_path / "links")} == {2}
    assert {s.path.stat().st_nlink for s in read_dataset(tmp_path / "copies")} == {1}


def test_equal_and_odd_names_are_told_apart(real_iad: Callable[..., Path], tmp_path: Path) -> None:
    train = [entry("OK", f"OK/S{part}/{name}") for part in range(4) for name in ("a_C1_1.jpg", "A_C1_1.png")]
    train += [entry("OK", "OK/S9/.hidden b\n_C2_1.jpg")]
    test = [entry("AK", f"NG/S{part}/a_C1_1.jpg", f"NG/S{part}/a_C1_1.png") for part in range(3)]
    source = real_iad(listing(train=train, test=test))
    convert_dataset(source, tmp_path / "out", split="published")
    before, after = read_dataset(source), read_dataset(tmp_path / "out")
    assert contents(after) == contents(before)
    for folder in ("train/good", "test/AK"):
        stems = [path.stem.casefold() for path in (tmp_path / "out/mint" / folder).iterdir()]
        assert len(stems) == len(set(stems))
    assert (tmp_path / "out/mint/train/good/hidden_b__C2_1.jpg").is_file()
    assert (tmp_path / "out/mint/train/good/S1_a_C1_1.jpg").is_file()


def test_all_products(real_iad: Callable[..., Path], tmp_path: Path) -> None:
    real_iad(published())
    source = real_iad(published() | {"meta": {"prefix": "nut/", "normal_class": "OK"}}, "nut")
    done = convert_dataset(source, tmp_path / "out", product="all")
    assert [one.product for one in done] == ["mint", "nut"]
    assert len(read_dataset(tmp_path / "out", product="nut")) == 60
    with pytest.raises(DataError, match="--product"):
        convert_dataset(source, tmp_path / "other")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='Did you mean "published"'):
        convert_dataset(tmp_path, tmp_path / "out", split="published ")


def test_another_layout_is_refused(tmp_path: Path, grow: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="expected the layout real_iad"):
        convert_dataset(grow(tmp_path / "in", {"train/good": 2, "test/good": 1}), tmp_path / "out")


@pytest.mark.parametrize("kind", ["good", "../AK", "..", "a/b", "", " AK", "x" * 200])
def test_kinds_that_cannot_be_folders_are_refused(
    real_iad: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    source = real_iad(listing(train=[entry("OK", "OK/a.jpg")] * 2, test=[entry(kind, "NG/a.jpg")]))
    with pytest.raises(DataError, match="expected names of products and defect kinds") as caught:
        convert_dataset(source, tmp_path / "out", split="published")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_existing_content_is_refused_and_an_empty_folder_is_not(
    real_iad: Callable[..., Path], tmp_path: Path
) -> None:
    source, place = real_iad(published()), tmp_path / "out" / "mint"
    place.mkdir(parents=True)
    convert_dataset(source, tmp_path / "out")
    assert len(read_dataset(place)) == 60
    before = sorted(place.rglob("*"))
    with pytest.raises(OutputError, match="got one with content"):
        convert_dataset(source, tmp_path / "out")
    assert sorted(place.rglob("*")) == before
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "mint").write_text("")
    with pytest.raises(OutputError, match="got a file"):
        convert_dataset(source, tmp_path / "file")
    with pytest.raises(OutputError, match="expected another folder than the data set's"):
        convert_dataset(source, source)
    assert read_dataset(source).layout == "real_iad"
    (tmp_path / "blocked").write_text("")
    with pytest.raises(OutputError, match="expected a place that can be written"):
        convert_dataset(source, tmp_path / "blocked")


def test_nothing_is_left_where_a_picture_is_missing_or_a_mask_does_not_fit(
    real_iad: Callable[..., Path], tmp_path: Path, draw_mask: Draw
) -> None:
    source = real_iad(published())
    mask = source / "realiad_1024/mint" / flawed(0, 1, "AK", "png")
    draw_mask(mask, height=25)
    with pytest.raises(DataError, match="expected the picture's size, 32x24"):
        convert_dataset(source, tmp_path / "out")
    draw_mask(mask)
    picture = source / "realiad_1024/mint" / normal(3, 2)
    whole = picture.read_bytes()
    picture.write_bytes(whole[:200])
    with pytest.raises(InputError, match="0003_OK_C2"):
        convert_dataset(source, tmp_path / "out")
    picture.unlink()
    with pytest.raises(InputError, match="0003_OK_C2"):
        convert_dataset(source, tmp_path / "out", link=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_file_types_that_no_layout_reads_are_refused(real_iad: Callable[..., Path], tmp_path: Path) -> None:
    content = listing(train=[entry("OK", "OK/a.gif"), entry("OK", "OK/b.jpg")], test=[])
    source = real_iad(content, pictures=False)
    Image.new("RGB", (8, 8)).save(source / "a.gif")
    with pytest.raises(DataError, match=r"a\.gif: expected one of \.bmp"):
        convert_dataset(source, tmp_path / "out", split="published")
