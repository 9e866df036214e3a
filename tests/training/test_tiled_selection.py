"""Which large pictures are cut by default, and where an overview sets tuning pictures aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flawscope.data.layouts import read_dataset
from flawscope.errors import OptionError
from flawscope.methods.joined_banks import MOST_TILES
from flawscope.methods.registry import create
from flawscope.runtime.images import Frame
from flawscope.training.recipe import Recipe
from flawscope.training.selection import Selection
from flawscope.training.tiled_selection import select_tiled
from flawscope.training.tiling import Proposal
from trained import OPTIONS, recipe, write_pictures

SIDE, SMALL = 96, OPTIONS | {"size": [32, 32]}
CSAD = {"method": "csad", "options": {"size": [40, 40], "weights": "random"}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    root = tmp_path_factory.mktemp("large")
    return {count: write_pictures(root / f"{count}" / "good", count, side=SIDE) for count in (5, 10, 60)}


def chosen(folder: Path, **changes: Any) -> tuple[Selection, Proposal]:
    wish: Recipe = recipe(folder, **({"options": SMALL} | changes))
    given = wish.tiling.sized(wish.options)
    selection, _, proposal = select_tiled(read_dataset(folder), create(wish.method, given), wish)
    return selection, proposal


def test_large_pictures_are_cut_by_default_and_it_is_said(folders: dict[int, Path]) -> None:
    selection, proposal = chosen(folders[60])
    assert selection.tiling is not None
    assert selection.tiling == proposal.tiling
    assert selection.tiling.overview is not None
    assert len(selection.split.tuning) == 6
    assert proposal.sentence == (
        "Pictures of 96×96: 4×4 tiles of 32 with overlap 3, and the whole picture; shrunk whole, a flaw of 3 "
        "pixels would be 1. --tiling none keeps them whole."
    )
    assert chosen(folders[60], tiling="auto")[1].sentence.endswith("would be 1.")


def test_a_default_model_learns_from_so_many_tiles_at_most(folders: dict[int, Path]) -> None:
    few, _ = chosen(folders[60], method="joined_banks", options={"size": [32, 32], "weights": "random"})
    assert (few.most_tiles, len(few.data(Frame(32, 32)).normal)) == (MOST_TILES, MOST_TILES)
    every, _ = chosen(folders[60])  # of another method
    assert every.most_tiles is None


def test_pictures_up_to_twice_the_frame_stay_whole_without_a_word(folders: dict[int, Path]) -> None:
    selection, proposal = chosen(folders[60], options=OPTIONS | {"size": [48, 48]})
    assert (selection.tiling, proposal.sentence, selection.split.tuning) == (None, "", ())
    assert chosen(folders[60], options=OPTIONS | {"size": [47, 47]})[0].tiling is not None


def test_whole_pictures_set_nothing_aside(folders: dict[int, Path]) -> None:
    selection, proposal = chosen(folders[60], tiling="none")
    assert (selection.tiling, proposal.sentence, selection.split.tuning) == (None, "", ())


def test_methods_that_see_pictures_whole_get_no_tiles(folders: dict[int, Path]) -> None:
    selection, proposal = chosen(folders[60], **CSAD)
    assert (selection.tiling, proposal.sentence) == (None, "")


@pytest.mark.parametrize("tiling", ["auto", 32, {"size": 32, "overview": True}])
def test_any_tiles_have_an_overview_where_it_can_be(folders: dict[int, Path], tiling: Any) -> None:
    selection, _ = chosen(folders[60], tiling=tiling)
    assert selection.tiling is not None
    assert selection.tiling.overview is not None
    assert len(selection.split.tuning) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"tiling": {"overview": False}},
        {"tiling": {"learn_from": "whole"}},
        {"split": {"tuning": 0}},
        {"split": {"tuning": 0.05}},
        {"split": {"calibration": 0.5, "tuning": 0.6}},
        {"calibration": {"false_rejects": 0.05, "confidence": 0.95, "promise": "with_confidence"}},
        {"calibration": {"false_rejects": 0.0166}},
    ],
)
def test_tiles_go_without_an_overview_where_it_cannot_be_or_would_cost_the_promise(
    folders: dict[int, Path], changes: dict[str, Any]
) -> None:
    selection, proposal = chosen(folders[60], **changes)
    assert selection.tiling is not None
    assert selection.tiling.overview is None
    assert selection.split.tuning == ()
    assert "and the whole picture" not in proposal.sentence


@pytest.mark.parametrize("count", [5, 10])
def test_few_pictures_are_cut_without_an_overview(folders: dict[int, Path], count: int) -> None:
    selection, _ = chosen(folders[count])
    assert selection.tiling is not None
    assert (selection.tiling.overview, selection.split.tuning) == (None, ())


def test_who_insists_on_an_overview_is_told_what_it_needs(folders: dict[int, Path]) -> None:
    insisting = {"tiling": {"overview": True}}
    with pytest.raises(OptionError, match=r"tiling\.overview"):
        chosen(folders[60], **insisting, split={"tuning": 0})
    selection, _ = chosen(folders[10], **insisting)
    assert selection.tiling is not None
    assert selection.tiling.overview is not None
    assert len(selection.split.tuning) == 2
