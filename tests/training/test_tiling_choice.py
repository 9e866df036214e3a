"""What recipes say of tiles, and what follows from the pictures' sizes."""

from __future__ import annotations

from typing import Any

import pytest

from flawscope.errors import OptionError
from flawscope.runtime.images import Frame
from flawscope.training.recipe import Recipe
from flawscope.training.settings import apply_settings
from flawscope.training.tiling import MOST_TILES, Proposal, TilingChoice, propose

FRAME = Frame(320, 320)


def choice(value: Any) -> TilingChoice:
    return Recipe.parse({"data": {"folder": "x"}, "tiling": value}).tiling


def test_auto_says_what_it_does_in_the_issue_s_words() -> None:
    proposal = propose(choice("auto"), FRAME, [(512, 1408)] * 3)
    assert proposal.sentence == (
        "Pictures of 1408×512: 2×5 tiles of 320 with overlap 32; shrunk whole, a flaw of 4 pixels would be 1."
    )
    assert proposal.tiling is not None
    assert (proposal.tiling.size, proposal.tiling.stride, proposal.tiling.scale) == (
        (320, 320),
        (288, 288),
        1,
    )
    told = proposal.to_json()
    assert told is not None
    assert (told["rows"], told["columns"], told["sentence"]) == (2, 5, proposal.sentence)


def test_auto_leaves_small_pictures_whole_and_bounds_the_tiles_of_huge_ones() -> None:
    whole = propose(choice("auto"), FRAME, [(480, 400), (300, 300)])
    assert whole.tiling is None
    assert whole.sentence == "Pictures of up to 400×480 are seen whole, at 320."
    huge = propose(choice("auto"), FRAME, [(10000, 10000)])
    assert huge.tiling is not None
    assert len(huge.tiling.grid(10000, 10000)) <= MOST_TILES
    assert huge.sentence == (
        "Pictures of 10000×10000 at 0.233 of their size, so that 64 tiles suffice: 8×8 tiles of 320 with "
        "overlap 32; shrunk whole, a flaw of 31 pixels would be 1, in tiles one of 4."
    )
    mixed = propose(choice("auto"), FRAME, [(500, 4000), (3900, 3900)])
    assert mixed.tiling is not None
    assert mixed.grid is not None
    assert mixed.grid.picture == (3900, 3900)
    assert len(mixed.grid) <= MOST_TILES
    stubborn = propose(choice("auto"), FRAME, [(999, 999)], whole="it counts")
    assert stubborn.tiling is None
    assert stubborn.sentence == "Pictures of 999×999 are seen whole, at 320: it counts."


def test_who_has_not_chosen_is_told_how_to_do_without_tiles_and_who_has_chosen_none_is_not() -> None:
    default = Recipe.parse({"data": {"folder": "x"}}).tiling
    assert (default.size, default.overview) == ("auto", None)
    made = propose(choice({"overview": True}), FRAME, [(512, 1408)], asked=False)
    assert made.sentence == (
        "Pictures of 1408×512: 2×5 tiles of 320 with overlap 32, and the whole picture; shrunk whole, a flaw "
        "of 4 pixels would be 1. --tiling none keeps them whole."
    )
    assert propose(choice("none"), FRAME, [(512, 1408)]) == Proposal(None)
    assert propose(default, FRAME, [(640, 300)], asked=False) == Proposal(None)
    assert propose(default, FRAME, [(999, 999)], asked=False, whole="it counts") == Proposal(None)


def test_sizes_are_written_short_or_at_length() -> None:
    short, long = choice("64/48"), choice({"size": [64, 64], "stride": 48})
    assert short == long == TilingChoice.parse("64/48")
    assert choice(64).size == (64, 64)
    assert TilingChoice.parse("64x96").size == (64, 96)
    proposal = propose(short, Frame(64, 64), [(100, 200)])
    assert proposal.written(short) == TilingChoice(size=(64, 64), stride=(48, 48), scale=1, overview=False)
    values = apply_settings({"data": {"folder": "x"}}, ["tiling.size=64", "tiling.blend=mean"])
    assert Recipe.parse(values).tiling == TilingChoice(size=(64, 64), blend="mean")
    assert short.sized({"coreset": 1}) == {"coreset": 1, "size": [64, 64]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("big", "none, auto, or pixels from 32"),
        (8, "none, auto, or pixels from 32"),
        ("64/65", "a stride of at most the size"),
        ("none/10", "a size where there is a stride"),
        ("64/0", "pixels from 1 to 8192"),
        ({"size": 64, "strid": 3}, "Did you mean"),
        ({"size": 64, "scale": 2}, "less than or equal to 1"),
        ({"size": 64, "learn_from": "both"}, "'tiles' or 'whole'"),
        ({"size": 64, "learn_from": "whole", "overview": True}, "learnt from where there is an overview"),
    ],
)
def test_wrong_choices_are_one_line(value: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        choice(value)
    if isinstance(value, str):
        with pytest.raises(OptionError, match="--tiling"):
            TilingChoice.parse(value)


def test_choices_that_do_not_fit_the_pictures_or_the_method() -> None:
    with pytest.raises(OptionError, match="tiles smaller than the largest pictures, 200×100"):
        propose(choice(200), Frame(200, 200), [(200, 100), (90, 90)])
    with pytest.raises(OptionError, match="It counts; use --tiling none"):
        propose(choice(64), Frame(64, 64), [(200, 100)], whole="It counts")
    with pytest.raises(OptionError, match="at most the size of a tile, 320"):
        propose(choice({"size": "auto", "stride": 400}), FRAME, [(999, 999)])
    with pytest.raises(OptionError, match="the method's own size, 128"):
        choice(64).sized({"size": [128, 128]})
