"""components.yaml: which components there are, from the first that claims a pixel to the last.

The file is a list. An entry is a name, or a mapping of `name`, `ignore` and `also`, further labels that the
component has in annotations, such as drafts give:

    - screw
    - {name: label, ignore: true}
    - {name: board, also: [component 1, component 4]}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flawscope.data.annotations.partition import BACKGROUND
from flawscope.data.segment_maps import MOST_SEGMENTS
from flawscope.data.tables import composed, malformed, read_text
from flawscope.errors import need
from flawscope.files import write_text

ORDER = "components.yaml"
_HEAD = """\
# Components, from the first that claims a pixel to the last: what lies in or upon others comes before them.
# One that nobody shall judge: - {name: label, ignore: true}
# One by its name in place of a draft's: - {name: screw, also: component 3}
"""


@dataclass(frozen=True, slots=True)
class Component:
    """What a kind of part is called, whether it is one that nobody shall judge, and further labels of it."""

    name: str
    ignore: bool = False
    also: tuple[str, ...] = ()


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
    names = [name for component in found for name in (component.name, *component.also)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise malformed(path, "entries", "each name once", f"{twice[0]} again")
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
        name, also = (json.dumps(each, ensure_ascii=False) for each in (component.name, component.also))
        more = (", ignore: true" if component.ignore else "") + (f", also: {also}" if component.also else "")
        lines.append(f"- {{name: {name}{more}}}\n" if more else f"- {name}\n")  # quoted alike in YAML
    write_text(path, _HEAD + "".join(lines))


def _component(path: Path, where: str, entry: Any) -> Component:
    values = entry if isinstance(entry, dict) else {"name": entry}
    if unread := sorted(map(str, values.keys() - {"name", "ignore", "also"})):
        raise malformed(path, where, "name, ignore and also", ", ".join(unread))
    name, ignore, also = values.get("name"), values.get("ignore", False), values.get("also", [])
    labels = [name, *also] if isinstance(also, list) else [name, also]
    if not all(isinstance(label, str) and label.strip() for label in labels) or not isinstance(ignore, bool):
        raise malformed(path, where, "a name, or {name: NAME, ignore: true, also: [NAME]}", repr(entry)[:80])
    name, *more = (composed(label).strip() for label in labels)
    if ignore and name == BACKGROUND:
        raise malformed(path, where, f"a {BACKGROUND} that counts", "ignore: true")
    return Component(name, ignore, tuple(more))
