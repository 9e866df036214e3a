"""Each class has a name of its own."""

from __future__ import annotations

import pytest

from flawscope.segmenters.pseudo_labels.naming import added_name, class_names


@pytest.mark.parametrize(
    ("called", "names"),
    [
        (["plate", "part", "part"], ["plate", "part 1", "part 2"]),
        (["", ""], ["component 1", "component 2"]),
        (["part", "part 1", "part"], ["part 2", "part 1", "part 3"]),
        (["background", ""], ["background 1", "component 1"]),
        (["component 1", ""], ["component 1", "component 2"]),
    ],
)
def test_what_a_proposer_calls_classes(called: list[str], names: list[str]) -> None:
    assert class_names(called) == names


@pytest.mark.parametrize(
    ("called", "known", "name"),
    [
        ("screw", ("background", "nut"), "screw"),
        ("component 2", ("background", "nut"), "component 2"),
        ("nut", ("background", "nut "), "component 2"),
        ("component 1", ("background", "component 1", "component 3"), "component 4"),
    ],
)
def test_a_class_beside_known_ones(called: str, known: tuple[str, ...], name: str) -> None:
    assert added_name(called, known) == name
