"""What `train` takes where nobody names a method: joined banks, and CSAD beside them where parts recur."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from discs import DISCS, SIDE, write_discs
from flawscope.data.layouts import read_dataset
from flawscope.data.training import TrainingData
from flawscope.methods.committee import Committee
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.joined_banks import JoinedBanks
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.training import product
from flawscope.training.recipe import Recipe
from flawscope.training.settings import read_recipe
from flawscope.training.train import train
from trained import write_pictures
from zoo import ZOO

APART = {"calibration": 0.2, "tuning": 0.15}
FINE_PIXELS = product.FINE_PIXELS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Default presets that learn in a moment, from few pictures."""
    monkeypatch.setattr(product, "FEWEST", 24)
    monkeypatch.setattr(product, "FINE_PIXELS", 6 * SIDE * SIDE)
    banks = ZOO["joined_banks"][1].options
    members = [{"method": "joined_banks", "options": banks}, {"method": "csad", "options": DISCS}]
    monkeypatch.setattr(JoinedBanks, "presets", {"default": banks})
    monkeypatch.setattr(Committee, "presets", {"default": {"size": [SIDE, SIDE], "members": members}})


def recipe(folder: Path, **changes: Any) -> Recipe:
    values = {"data": {"folder": str(folder)}, "split": APART, "calibration": {"false_rejects": 0.3}}
    return Recipe.parse(values | {"engine": {"name": "onnxruntime"}} | changes)


def taken(wish: Recipe, said: list[str] | None = None) -> product.Start:
    dataset = read_dataset(wish.data.folder)
    first = product.start(wish, product.unfitted(wish), dataset)
    watch = Watch(say=(said if said is not None else []).append)
    return product.with_components(product.finer(first, Run(), watch), dataset, Run(), watch)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on, how many good pictures each look was given."""
    looks = list[int]()

    def unsuited(self: CSAD, data: TrainingData, run: Run, watch: Watch) -> str:
        looks.append(len(data.normal))
        return look(self, data, run, watch)

    look = CSAD.unsuited
    monkeypatch.setattr(CSAD, "unsuited", unsuited)
    return looks


def test_parts_that_recur_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "FEWEST", 14)
    looks = counted(monkeypatch)
    said: list[str] = []
    folder = write_discs(tmp_path / "good", 20, discs=3)
    wish = recipe(folder, split={"calibration": 0.3, "tuning": 0.15})
    made = train(wish, tmp_path / "model", Run(), Watch(say=said.append))
    assert made.bundle.manifest.method == "committee"
    assert len(looks) == 1
    assert (
        "Good pictures show components that can be compared: a committee of joined_banks and csad is "
        "trained. --method joined_banks takes less time, and counts nothing."
    ) in said
    kept = Recipe.parse(read_recipe(made.bundle.folder / "recipe.yaml"))
    assert kept.method == "committee"
    again = taken(kept, said := [])  # the written recipe names its method: nothing is looked at
    assert (again.detector.name, said) == ("committee", [])


def test_one_part_by_itself_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    found = taken(recipe(write_discs(tmp_path / "good", 30, discs=1)), said)
    assert found.detector.name == "joined_banks"
    assert said == [
        "csad is left out: 18 of 18 good pictures show no two components of a kind, nor beside each other."
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "joined_banks"},
        {"options": {"fine_bank": 50}},
        {"preset": "default"},
        {"split": {"folds": 5}},
        {"tiling": {"size": 32, "stride": 32}},
    ],
    ids=["named", "options of a method", "a preset of a method", "folds", "tiles"],
)
def test_where_more_is_said_it_stays_as_it_was(
    tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = counted(monkeypatch)
    wish = recipe(write_discs(tmp_path / "good", 30, discs=3), **changes)
    assert taken(wish).detector.name == "joined_banks"
    assert looks == []


def test_no_committee_without_pictures_for_its_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, said = counted(monkeypatch), list[str]()
    wish = recipe(write_discs(tmp_path / "good", 30, discs=3), split={"calibration": 0.2, "tuning": 0})
    assert taken(wish, said).detector.name == "joined_banks"
    assert (looks, len(said)) == ([], 1)
    assert "at least 2 good pictures to scale on" in said[0]


def test_few_pictures_are_not_looked_at(tmp_path: Path) -> None:
    assert taken(recipe(write_discs(tmp_path / "good", 29, discs=3))).detector.name == "joined_banks"


def test_defects_are_not_lost(tmp_path: Path) -> None:
    folder, defects = write_discs(tmp_path / "good", 30, discs=3), write_pictures(tmp_path / "bad", 6)
    wish = recipe(folder, data={"folder": str(folder), "defects": str(defects)})
    assert taken(wish).detector.name == "joined_banks"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(384, 640)], (352, 576)),
        ([(640, 480)], (512, 384)),
        ([(340, 600)], (352, 608)),
        ([(300, 700)], (320, 640)),
        ([(512, 8192)], (320, 640)),
        ([(60000, 60)], (640, 320)),
        ([(200, 600)], (320, 320)),
        ([(440, 440)], (320, 320)),
        ([(2000, 3000)], (352, 544)),
        ([(300, 300), (512, 512), (512, 500)], (448, 448)),
    ],
)
def test_a_frame_shows_what_pictures_have_within_its_pixels(
    sizes: list[tuple[int, int]], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "FINE_PIXELS", FINE_PIXELS)
    assert product.frame_size(sizes, (320, 320)) == expected


def test_banks_of_a_committee_see_pictures_enlarged_and_by_themselves_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "FINE_PIXELS", 96 * 96)
    found = taken(recipe(write_discs(tmp_path / "several", 30, discs=3)), said := [])
    assert isinstance(found.detector, Committee)
    banks, csad = found.detector.members
    assert (banks.options.size, csad.options.size, found.detector.options.size) == (
        (96, 96),
        (64, 64),
        (96, 96),
    )
    assert said[-1] == "In it joined_banks sees pictures at 96×96 (height×width), enlarged."
    alone = taken(recipe(write_discs(tmp_path / "one", 30, discs=1)), said := [])
    assert (alone.detector.options.size, len(said)) == ((64, 64), 1)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((256, 256), (448, 448)), ((224, 224), (448, 448)), ((220, 220), (320, 320)), ((512, 512), (448, 448))],
)
def test_a_frame_for_pictures_that_may_be_enlarged(
    size: tuple[int, int], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "FINE_PIXELS", FINE_PIXELS)
    assert product.frame_size([size], (320, 320), times=2) == expected


def test_larger_pictures_are_seen_at_a_finer_frame_and_compared_at_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "FINE_PIXELS", 96 * 128)
    folder = write_discs(tmp_path / "good", 30, discs=3)
    for path in folder.iterdir():
        Image.open(path).resize((128, 96)).save(path)
    found = taken(recipe(folder), said := [])
    assert said[0] == (
        "Pictures are seen at 96×128 (height×width), so that small flaws last. "
        "--method joined_banks sees them at 64×64, in less time."
    )
    assert (found.frame.height, found.frame.width) == (96, 128)
    assert isinstance(found.detector, Committee)
    banks, csad = found.detector.members
    assert (banks.options.size, csad.options.size) == ((96, 128), (64, 64))
    named = taken(recipe(folder, method="joined_banks"), said := [])
    assert (named.detector.options.size, said) == ((64, 64), [])
    whole = recipe(folder, split={"folds": 5})
    assert taken(whole).detector.options.size == (96, 128)
