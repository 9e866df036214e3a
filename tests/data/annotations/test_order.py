"""components.yaml: written as it is read, and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from flawscope.data.annotations.order import ORDER, Component, read_order, write_order
from flawscope.errors import DataError


def test_the_order_is_written_as_it_is_read(tmp_path: Path) -> None:
    stated = (
        Component("schraube: \N{LATIN SMALL LETTER O WITH DIAERESIS}l", also=("component 3", "component 4")),
        Component("1", ignore=True),
        Component("a", ignore=True, also=("b",)),
    )
    write_order(tmp_path / ORDER, stated)
    assert read_order(tmp_path / ORDER) == (Component("background"), *stated)
    (tmp_path / ORDER).write_text("- plate\n- background\n- {name: label, ignore: true}\n")
    names = [component.name for component in read_order(tmp_path / ORDER)]
    assert names == ["plate", "background", "label"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a list of 1 to 63 components"),
        ("screw: 1", "a list of 1 to 63 components"),
        ("- [", "line"),
        ("- 3", "entry 1: expected a name"),
        ("- {name: screw, ignored: true}", "entry 1: expected name, ignore and also, got ignored"),
        ("- {name: screw, also: 3}", "entry 1: expected a name, or"),
        ("- {name: screw, also: [nut]}\n- nut", "expected each name once, got nut again"),
        ("- {name: screw, ignore: 1}", "entry 1: expected a name, or"),
        ("- screw\n- screw", "entries: expected each name once"),
        ("- {name: background, ignore: true}", "a background that counts"),
        ("- !!python/object:os.system x", "YAML"),
        ("\n".join(f"- c{index}" for index in range(64)), "got 64 entries"),
    ],
)
def test_orders_that_are_none_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / ORDER).write_text(text)
    with pytest.raises(DataError, match=message):
        read_order(tmp_path / ORDER)
