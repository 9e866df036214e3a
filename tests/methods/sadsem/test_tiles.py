"""SADSeM sees crops, which need not lie alike, unless its segments lie in a map of the whole picture."""

from __future__ import annotations

from flawscope.methods.registry import create


def test_only_segments_of_whole_pictures_refuse_tiles() -> None:
    small = {"size": [64, 64], "weights": "random"}
    assert create("sadsem", small).needs().whole == ""
    placed = create("sadsem", small | {"segments": {"kind": "drafted"}})
    assert placed.needs().whole == "segments of kind drafted lie in whole pictures"
