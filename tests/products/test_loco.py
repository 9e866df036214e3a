"""Trees of rendered pictures in the layout of MVTec LOCO."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscope.data.layouts import read_dataset
from flawscope.data.masks import union_mask
from flawscope.errors import OptionError, OutputError
from flawscope.products import PRODUCTS, render, write_loco


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def loco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loco")
    counts = {"train": 3, "validation": 2, "test_good": 2, "per_flaw": 1}
    return write_loco(folder, "pin_tray", seed=1, size=64, **counts)


def test_loco_layout(loco: Path) -> None:
    made = PRODUCTS["pin_tray"]
    for folder, count in (("train/good", 3), ("validation/good", 2), ("test/good", 2)):
        assert [path.name for path in sorted((loco / folder).iterdir())] == [
            f"{i:03d}.png" for i in range(count)
        ]
    config = json.loads((loco / "defects_config.json").read_text())
    by_value = {entry["pixel_value"]: entry for entry in config}
    assert len(by_value) == len(made.flaws)
    assert min(by_value) > 0
    truths = {line["path"]: line for line in map(json.loads, (loco / "truth.jsonl").read_text().splitlines())}
    for kind in ("logical", "structural"):
        pictures = sorted((loco / "test" / f"{kind}_anomalies").iterdir())
        assert len(pictures) == sum(each == kind for each in made.flaws.values())
        for picture in pictures:
            masks = sorted((loco / "ground_truth" / f"{kind}_anomalies" / picture.stem).iterdir())
            truth = truths[f"test/{kind}_anomalies/{picture.name}"]
            assert len(masks) == (2 if truth["flaw"] in ("misplaced_pin", "swapped_pins") else 1)
            marked = np.logical_or.reduce([np.asarray(Image.open(path)) > 0 for path in masks])
            assert truth["area"] == pytest.approx(marked.mean(), abs=1e-6)
            for path in masks:
                values = set(np.unique(np.asarray(Image.open(path)))) - {0}
                assert {by_value[value]["defect_name"] for value in values} == {truth["flaw"]}
    nothing = {"flaw": None, "truth": "", "area": 0.0}
    assert truths["test/good/000.png"] == {"path": "test/good/000.png", **nothing}


def test_loco_tree_is_read_back(loco: Path) -> None:
    dataset = read_dataset(loco.parent, product="pin_tray")
    splits = Counter((sample.split, sample.category) for sample in dataset.samples)
    flaws = Counter(PRODUCTS["pin_tray"].flaws.values())
    assert splits == {
        ("train", None): 3,
        ("validation", None): 2,
        ("test", None): 2,
        ("test", "logical"): flaws["logical"],
        ("test", "structural"): flaws["structural"],
    }
    for sample in dataset.samples:
        assert union_mask(sample, 64, 64).any() == sample.defective


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_tree_of_any_product_is_recognised(product: str, tmp_path: Path) -> None:
    write_loco(tmp_path, product, seed=2, train=2, validation=1, test_good=1, per_flaw=1, size=64)
    dataset = read_dataset(tmp_path / product)
    assert dataset.layout == "mvtec_loco"
    assert sum(sample.defective for sample in dataset.samples) == len(PRODUCTS[product].flaws)


def test_loco_saturation_is_the_size_of_one_pin(loco: Path) -> None:
    config = {entry["defect_name"]: entry for entry in json.loads((loco / "defects_config.json").read_text())}
    assert (config["oil_stain"]["relative_saturation"], config["oil_stain"]["saturation_threshold"]) == (
        True,
        1.0,
    )
    missing = config["missing_pin"]
    assert not missing["relative_saturation"]
    good = render("pin_tray", seed=2, size=64)
    pin_area = (good.parts == PRODUCTS["pin_tray"].part_names.index("pin")).sum() / 12
    assert missing["saturation_threshold"] == pytest.approx(pin_area, rel=0.25)


def test_loco_parts_are_indexed_and_named(loco: Path) -> None:
    names = json.loads((loco / "parts" / "names.json").read_text())
    assert tuple(names) == PRODUCTS["pin_tray"].part_names
    pictures = [
        path.relative_to(loco)
        for top in ("train", "validation", "test")
        for path in (loco / top).rglob("*.png")
    ]
    for picture in pictures:
        with Image.open(loco / "parts" / picture) as labels:
            assert labels.mode == "P"
            assert np.asarray(labels).max() < len(names)


class Counted:
    """Progress that counts, and stops the work at a given picture."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at, self.done, self.total = stop_at, 0, 0

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Iterator[Counted]:
        del title
        self.total = total
        yield self

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        if self.done == self.stop_at:
            raise KeyboardInterrupt


def test_loco_is_the_same_bytes_again_and_counts_move_nothing(loco: Path, tmp_path: Path) -> None:
    progress = Counted()
    again = write_loco(
        tmp_path, "pin_tray", seed=1, train=4, validation=2, test_good=2, per_flaw=1, size=64,
        progress=progress,
    )  # fmt: skip
    first, second = tree(loco), tree(again)
    assert {name for name in second if second[name] != first.get(name)} == {
        "train/good/003.png",
        "parts/train/good/003.png",
    }
    total = 4 + 2 + 2 + len(PRODUCTS["pin_tray"].flaws)
    assert (progress.done, progress.total) == (total, total)


def test_loco_splits_share_no_picture(loco: Path) -> None:
    pictures = [content for name, content in tree(loco).items() if "/good/" in name and "parts" not in name]
    assert len(set(pictures)) == len(pictures)


def test_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_loco(tmp_path, "connector_block", seed=1, train=3, size=64, progress=Counted(stop_at=2))
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pin_tray").mkdir()
    with pytest.raises(OutputError, match="not there yet"):
        write_loco(tmp_path, "pin_tray", seed=1)
    assert list((tmp_path / "pin_tray").iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"product": "pin_trey"}, "Did you mean"),
        ({"flaw": "missing_pim"}, 'Did you mean "missing_pin"'),
        ({"size": 8}, "64 to 1024"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_wrong_arguments_say_what_to_do(wrong: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"product": "pin_tray", "seed": 0, **wrong}
    with pytest.raises(OptionError, match=message):
        render(**arguments)  # type: ignore[arg-type]


def test_no_training_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 1 for training"):
        write_loco(tmp_path, "pin_tray", seed=1, train=0)
