"""What is true of rendered pictures: which part each pixel shows, and what the sentence on a flaw says.

`MERGED` names rendered classes that count as others, since nothing in a picture of good products tells them
apart: the film of the bag of fasteners is clear, and counts as the background. Pins of brass and of nickel
are one rendered class, `pin`; where findings are judged they are told apart by the half of the tray, and a
learnt class of which at least a quarter lies in either half is that of any pin.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import Sample
from flawscope.data.segment_maps import Labels, read_labels, to_frame_size
from flawscope.products import connector_parts, pin_tray
from flawscope.products.fastener_bag import CONTENTS
from flawscope.runtime.images import Frame

MERGED = {"fastener_bag": {"bag": "background"}}
PER_FLAW = {"pin_tray": 20, "connector_block": 17, "fastener_bag": 12}

_PIN, _BRASS, _NICKEL = "pin", "brass pin", "nickel pin"
_BOTH = 0.25  # share of a learnt class's pins that are of the rarer metal, from which on it is of both
_PINS = pin_tray.ROWS * pin_tray.COLUMNS // 2  # of each metal
_USUAL = Counter(CONTENTS)


@dataclass(frozen=True)
class Place:
    """Where something lies, in shares of the picture; a wire (y None) leans up to `reach` to either side."""

    x: float
    y: float | None = None
    reach: float = 0.0


@dataclass(frozen=True)
class Fact:
    """One thing that is amiss: a component too many or too few, where, and how many there are and should be.

    `place` is None where nobody can say where, `count` where the number is as it should be.
    """

    component: str
    more: bool
    place: Place | None = None
    count: tuple[int, int] | None = None


@dataclass(frozen=True)
class Parts:
    """True label maps (N, H, W) and what their indices are called; those merged away are in no map."""

    maps: Labels
    names: tuple[str, ...]


def true_parts(root: Path, product: str, samples: Sequence[Sample], frame: Frame) -> Parts:
    """The rendered label maps of these pictures at `frame`, with the classes of `MERGED` merged."""
    names = tuple(json.loads((root / "parts" / "names.json").read_text(encoding="utf-8")))
    merged = MERGED.get(product, {})
    table = np.array([names.index(merged.get(name, name)) for name in names], np.uint8)
    read = (read_labels(root / "parts" / sample.path.relative_to(root)) for sample in samples)
    return Parts(np.stack([table[to_frame_size(labels, frame)] for labels in read]), names)


def told_apart(product: str, parts: Parts) -> Parts:
    """Parts of good products as findings name them: pins in the left half are of brass, others of nickel."""
    if product != "pin_tray":
        return parts
    pin, maps = parts.names.index(_PIN), parts.maps.copy()
    right = maps[:, :, maps.shape[2] // 2 :]
    right[right == pin] = len(parts.names)
    names = (*parts.names[:pin], _BRASS, *parts.names[pin + 1 :], _NICKEL)
    return Parts(maps, names)


def called(counts: NDArray[np.int64], names: Sequence[str]) -> list[str]:
    """The true name of each learnt class, of pixels (K + 1, T) by learnt class and by names told apart."""
    found = [names[index] for index in counts.argmax(1)]
    if _BRASS not in names:
        return found
    metals = counts[:, [names.index(_BRASS), names.index(_NICKEL)]]
    rarer = metals.min(1) >= _BOTH * metals.sum(1)
    pins = [name in (_BRASS, _NICKEL) for name in found]
    return [_PIN if pin and mixed else name for name, pin, mixed in zip(found, pins, rarer, strict=True)]


def places(product: str) -> tuple[Place, ...]:
    """Where the parts of a product belong; empty where they lie anywhere."""
    if product == "pin_tray":
        return tuple(_compartment(number + 1) for number in range(2 * _PINS))
    if product == "connector_block":
        return tuple(Place(0.5 + connector_parts.centre(place)) for place in range(connector_parts.PLACES))
    return ()


def facts(product: str, flaw: str, truth: str, masks: Sequence[NDArray[np.bool_]] = ()) -> tuple[Fact, ...]:
    """What a sentence of truth.jsonl on a logical flaw says; each of the facts alone is a right finding.

    Args:
        product, flaw, truth: as truth.jsonl has them.
        masks: (H, W) each, of the flaw; the first of a washer outside the bag says where it lies.
    """
    return _READERS[product](flaw, truth, masks)


def _compartment(number: int) -> Place:
    x, y = pin_tray.centre(number - 1)
    return Place(0.5 + x, 0.5 + y)


def _metal(number: int) -> str:
    return _BRASS if (number - 1) % pin_tray.COLUMNS < pin_tray.COLUMNS // 2 else _NICKEL


def _of_pin_tray(flaw: str, truth: str, masks: Sequence[NDArray[np.bool_]]) -> tuple[Fact, ...]:
    del masks
    numbers = [int(found) for found in re.findall(r"\d+", truth)]
    first, spot = numbers[0], _compartment(numbers[0])
    ways = ((_metal(first), _PINS), (_PIN, 2 * _PINS))
    if flaw in ("missing_pin", "extra_pin"):
        return tuple(_counted(Fact(name, flaw == "extra_pin", spot), usual) for name, usual in ways)
    if flaw == "misplaced_pin":
        full = _compartment(numbers[1])
        return tuple(Fact(name, more, full if more else spot) for name, _ in ways for more in (True, False))
    wrong = [
        Fact(_NICKEL if more == (_metal(number) == _BRASS) else _BRASS, more, _compartment(number))
        for number in numbers
        for more in (True, False)
    ]
    if flaw == "swapped_pins":
        return tuple(wrong)
    return tuple(_counted(fact, _PINS) for fact in wrong)


def _of_connector_block(flaw: str, truth: str, masks: Sequence[NDArray[np.bool_]]) -> tuple[Fact, ...]:
    del masks
    numbers = [int(found) for found in re.findall(r"\d+", truth)]
    if flaw == "missing_screw":
        x, y = connector_parts.centre(numbers[0] - 1), connector_parts.SCREW_Y
        number = connector_parts.PLACES
        return (Fact("screw", False, Place(0.5 + x, 0.5 + y), (number - 1, number)),)
    wires = [word for word in re.findall(r"\w+", truth) if word in connector_parts.ORDER]
    first = f"{wires[0]} wire"
    if flaw == "swapped_wires":
        homes = [connector_parts.ORDER.index(wire) + 1 for wire in wires]
        return tuple(
            Fact(f"{wire} wire", home != there, _wire_place(there))
            for wire, home in zip(wires, homes, strict=True)
            for there in homes
        )
    spot = _wire_place(numbers[0])
    if flaw == "missing_wire":
        return (Fact(first, False, spot, (0, 1)),)
    if flaw == "misplaced_wire":
        return Fact(first, True, spot), Fact(first, False, _wire_place(numbers[1]))
    extra = Fact(first, True, spot, (2, 1))
    return (extra,) if flaw == "extra_wire" else (extra, Fact(f"{wires[1]} wire", False, spot, (0, 1)))


def _wire_place(number: int) -> Place:
    return Place(0.5 + connector_parts.centre(number - 1), reach=connector_parts.PITCH / 2)


def _of_fastener_bag(flaw: str, truth: str, masks: Sequence[NDArray[np.bool_]]) -> tuple[Fact, ...]:
    sorts = sorted((sort for sort in _USUAL if sort in truth), key=truth.index)
    if flaw == "washer_outside":
        down, across = (np.argwhere(masks[0]).mean(0) + 0.5) / masks[0].shape
        return (Fact("washer", True, Place(float(across), float(down))),)
    signs = (True, False) if len(sorts) > 1 else (flaw.startswith("extra"),)
    return tuple(_counted(Fact(sort, more), _USUAL[sort]) for sort, more in zip(sorts, signs, strict=True))


def _counted(fact: Fact, usual: int) -> Fact:
    return Fact(fact.component, fact.more, fact.place, (usual + (1 if fact.more else -1), usual))


_READERS = {
    "pin_tray": _of_pin_tray,
    "connector_block": _of_connector_block,
    "fastener_bag": _of_fastener_bag,
}
