"""What a model must hold to take another's place: a short file, and its judgement of a comparison."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from flawscope.data.groups import GroupChoice
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset
from flawscope.errors import InputError, OptionError
from flawscope.runtime.frozen import Frozen, first_problem, option_error
from flawscope.station.compare import Comparison

TEMPLATE = """\
# What a new model must hold before it takes the place of the old one. Lines left out are not judged.

data: gate_pictures            # good and defective pictures; beside this file, or an absolute path
# layout: mvtec_ad             # recognised by looking otherwise
# product: screw               # where there are several
# groups: part([0-9]+)_        # which pictures show one part: a pattern over names, or TABLE.csv:COLUMN

most_new_misses: 0             # defects that the old model finds and the new one accepts
most_new_false_rejects: 0      # good parts that the new model alone rejects
least_auroc_difference: -0.005 # image AUROC, new minus old
sure: interval                 # interval: the 95 % interval's lower end must hold; value: the value itself
most_latency_ratio: 1.5        # milliseconds a picture, new by old
"""
_SIZE_LIMIT = 1 << 16
_PAIR = re.compile(r"(?P<key>[A-Za-z_]\w*):(?:[ \t]+(?P<rest>.*))?")
_QUOTED = re.compile(r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')[ \t]*(?:#.*)?""")
_JUDGED = {"interval": "lower end", "value": "value"}
_FOREIGN = ("[", "{", "&", "*", "!", "|", ">", "%", "@", "`", ",", "- ", "? ", "]", "}")


class Gate(Frozen):
    """What is judged; a criterion that is None is not.

    `data` is a folder that the file names relative to itself.
    """

    data: Path | None = Field(None, description="folder of good and defective pictures")
    layout: str | None = Field(None, description="layout of the folder, else recognised by looking")
    product: str | None = Field(None, description="product, where there are several")
    groups: GroupChoice | None = Field(
        None, description="which pictures show one part: a pattern over names, or TABLE.csv:COLUMN"
    )
    most_new_misses: int | None = Field(
        None, ge=0, description="how many defects that the old model finds the new one may accept"
    )
    most_new_false_rejects: int | None = Field(
        None, ge=0, description="how many good parts that the old model passes the new one may reject"
    )
    least_auroc_difference: float | None = Field(
        None, ge=-1, le=1, description="least image AUROC of the new model minus that of the old, e.g. -0.005"
    )
    sure: Literal["interval", "value"] = Field(
        "interval", description="interval: its lower end must hold the bound; value: the value itself"
    )
    most_latency_ratio: float | None = Field(
        None, gt=0, description="most milliseconds of the new model by those of the old, e.g. 1.5"
    )

    @model_validator(mode="after")
    def _judges(self) -> Gate:
        bounds = (self.most_new_misses, self.most_new_false_rejects)
        if (*bounds, self.least_auroc_difference, self.most_latency_ratio) == (None,) * 4:
            raise ValueError("at least one bound, such as most_new_misses: 0")
        return self

    def dataset(self, folder: Path | None = None) -> Dataset:
        """The pictures to compare on: of `folder`, or else of the gate's own.

        Raises:
            DataError, InputError: the folder cannot be used.
            OptionError: neither names one.
        """
        place = folder or self.data
        if place is None:
            raise OptionError(
                "pictures of the gate",
                expected="a folder",
                got="none",
                fix="Write data: FOLDER into the gate, or name one with --data.",
            )
        return read_dataset(place, layout=self.layout, product=self.product)


@dataclass(frozen=True, slots=True)
class Check:
    """One bound of a gate: its key, whether it holds, and what was found, in a sentence."""

    key: str
    passed: bool
    found: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def read_gate(path: Path) -> Gate:
    """Read a gate's file: `key: value` lines as YAML has them, and comments.

    Raises:
        InputError: the file cannot be read, or is more than such lines.
        OptionError: an unknown key, or a value outside its range.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= _SIZE_LIMIT else None
    except (OSError, ValueError) as error:
        got = (getattr(error, "strerror", None) or str(error)).lower()
        raise _unreadable(path, got) from error
    if text is None:
        raise _unreadable(path, f"{path.stat().st_size} bytes")
    values = dict[str, Any]()
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        for key, value in _pairs(line, f"{path}, line {number}"):
            if key in values:
                raise _unreadable(f"{path}, line {number}", f"{key} a second time")
            values[key] = value
    try:
        gate = Gate.model_validate(values)
    except ValidationError as error:
        place = f"gate {path}".replace("{", "{{").replace("}", "}}")
        raise option_error(Gate, error, f"{place}: {{}}" if first_problem(error)[0] else place) from error
    return _beside(path.parent, gate)


def _beside(folder: Path, gate: Gate) -> Gate:
    """The gate with the folder and table that it names, which lie beside it unless their paths are whole."""
    changes: dict[str, Any] = {}
    if gate.data is not None:
        changes["data"] = folder / gate.data
    if gate.groups is not None and gate.groups.table is not None:
        changes["groups"] = gate.groups.model_copy(update={"table": folder / gate.groups.table})
    return gate.model_copy(update=changes)


def judge(gate: Gate, found: Comparison) -> list[Check]:
    """Each bound that the gate names, in its order; one that the pictures cannot tell does not hold.

    Where pictures of the gate cannot be read, its data does not hold: fewer would judge than were chosen to.
    """
    return list(_checks(gate, found))


def _checks(gate: Gate, found: Comparison) -> Iterator[Check]:
    counts = found.counts()
    if lost := sum(
        pair.old.error is not None for pair in found.pairs
    ):  # where the new one alone fails, it is judged
        yield Check("data", passed=False, found=f"{lost} of {len(found.pairs)} pictures cannot be read")
    for key, most, sense, group in (
        ("most_new_misses", gate.most_new_misses, "new_miss", "defective"),
        ("most_new_false_rejects", gate.most_new_false_rejects, "new_false_reject", "good"),
    ):
        if most is not None:
            said = f"{counts[sense]} of {counts[group]} {group} pictures, {most} allowed"
            if not counts[group]:
                said = f"no {group} picture to judge it by; the gate's data needs at least one"
            yield Check(key, counts[group] > 0 and counts[sense] <= most, said)
    least, difference = gate.least_auroc_difference, found.auroc_difference
    if least is not None and difference is None:
        yield Check("least_auroc_difference", passed=False, found="good or defective pictures are missing")
    elif least is not None and difference is not None:
        judged = difference.low if gate.sure == "interval" else difference.value
        interval = f"95 %: {difference.low:+.4f} to {difference.high:+.4f}"
        said = f"{difference.value:+.4f} ({interval}); the {_JUDGED[gate.sure]} must be {least:+.4f} or more"
        yield Check("least_auroc_difference", judged >= least, said)
    if gate.most_latency_ratio is not None:
        said = f"{found.old.milliseconds:.1f} → {found.new.milliseconds:.1f} ms a picture, "
        said += f"{found.latency_ratio:.2f} times; {gate.most_latency_ratio:g} allowed"
        yield Check("most_latency_ratio", found.latency_ratio <= gate.most_latency_ratio, said)


def _pairs(line: str, place: str) -> Iterator[tuple[str, Any]]:
    """The key and value of one line; nothing of one that is empty, a comment or a document's start."""
    if not line.strip() or line.lstrip().startswith("#") or line.rstrip() == "---":
        return
    found = _PAIR.fullmatch(line.rstrip())
    if found is None:
        raise _unreadable(place, repr(line.strip())[:60])
    yield found["key"], _value((found["rest"] or "").strip(), place)


def _value(text: str, place: str) -> Any:
    """What YAML reads there, of plain values: a number, null, or text."""
    if text.startswith(('"', "'")):
        with contextlib.suppress(TypeError, ValueError):
            inner = _QUOTED.fullmatch(text)["text"]  # type: ignore[index]
            return inner[1:-1].replace("''", "'") if inner[0] == "'" else json.loads(inner)
        raise _unreadable(place, "quotes that are not closed, or text after them")
    plain = re.split(r"(?:^|[ \t]+)#", text, maxsplit=1)[0].strip()
    if plain.startswith(_FOREIGN) or ": " in plain:
        raise _unreadable(place, repr(plain)[:60])
    if plain in ("", "~", "null"):
        return None
    if re.fullmatch(r"[-+]?\d+", plain):
        return int(plain)
    if re.fullmatch(r"[-+]?(\d+\.\d*|\.\d+|\d+(\.\d*)?[eE][-+]?\d+)", plain):
        return float(plain)
    return plain


def _unreadable(place: Path | str, got: str) -> InputError:
    return InputError(
        f"gate {place}",
        expected="lines such as most_new_misses: 0",
        got=got,
        fix="Start from: flawscope compare --gate-template.",
    )
