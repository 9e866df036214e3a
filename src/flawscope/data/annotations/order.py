"""components.yaml: which components there are, from the first that claims a pixel to the last.

The file is a list. An entry is a name, or a mapping of `name` and `ignore`:

    - screw
    - {name: label, ignore: true}
    - board
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flawscope.data.annotations.partition import BACKGROUND
from flawscope.data.segment_maps import MOST_SEGMENTS
from flawscope.data.tables import malformed, read_text
from flawscope.errors import need
from flawscope.files import write_text

ORDER = "components.yaml"
_HEAD = """\
# Components, from the first that claims a pixel to the last: what lies in or upon others comes before them.
# One that nobody shall judge: - {name: label, ignore: true}
"""


@dataclass(frozen=True, slots=True)
class Component:
    """What a kind of part is called, and whether it is one that nobody shall judge."""

    name: str
    ignore: bool = False


def read_order(path: Path) -> tuple[Component, ...]:
    """The components that a file states, in their order; the background claims first unless it is listed.

    Raises:
        DataError: not there, no YAML, no list of names, a name twice, too many, or an ignored background.
        MissingExtraError: PyYAML is not installed.
    """
    yaml = need("yaml", what=str(path), extra="train")
    text = read_text(path)
    try:
        entries = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        raise malformed(
            path, mark.line + 1 if mark else 1, "YAML", " ".join(str(error).split())[:80]
        ) from error
    if not isinstance(entries, list) or not 1 <= len(entries) < MOST_SEGMENTS:
        got = f"{len(entries)} entries" if isinstance(entries, list) else repr(entries)[:80]
        raise malformed(path, 1, f"a list of 1 to {MOST_SEGMENTS - 1} components", got)
    found = [_component(path, f"entry {number}", entry) for number, entry in enumerate(entries, 1)]
    names = [component.name for component in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise malformed(path, f"entry {names.index(twice[0]) + 1}", "each name once", f"{twice[0]} again")
    if BACKGROUND not in names:
        found.insert(0, Component(BACKGROUND))
    return tuple(found)


def write_order(path: Path, components: Sequence[Component]) -> None:
    """Write a file that `read_order` reads.

    Raises:
        OutputError: it cannot be written.
    """
    lines = []
    for component in components:
        name = json.dumps(component.name, ensure_ascii=False)  # quoted alike in YAML
        lines.append(f"- {{name: {name}, ignore: true}}\n" if component.ignore else f"- {name}\n")
    write_text(path, _HEAD + "".join(lines))


def _component(path: Path, where: str, entry: Any) -> Component:
    name, ignore = entry, False
    if isinstance(entry, dict):
        name, ignore = entry.get("name"), entry.get("ignore", False)
        if unread := sorted(map(str, entry.keys() - {"name", "ignore"})):
            raise malformed(path, where, "name and ignore", ", ".join(unread))
    if not isinstance(name, str) or not name.strip() or not isinstance(ignore, bool):
        raise malformed(path, where, "a name, or {name: NAME, ignore: true}", repr(entry)[:80])
    if ignore and name == BACKGROUND:
        raise malformed(path, where, f"a {BACKGROUND} that counts", "ignore: true")
    return Component(name.strip(), ignore)
