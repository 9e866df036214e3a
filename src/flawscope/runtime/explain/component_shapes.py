"""Components whose shape or colours good pictures do not show: how far off they are, and in what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.component_cells import FAR, Cell, clearness
from flawscope.runtime.explain.named import entries_of
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Prediction

SHAPES = ("shapes", "shapes_low", "shapes_high", "odd")
COLOURS = ("colours", "colours_low", "colours_high", "unlike")
DISTANCE = "distance"
CLEAR = 0.2  # share of the clearest component from which on another is worth a sentence
_RESOLUTION = 0.07  # of a size or a moment, that outlines alone may add or take
_MOST_ENTRIES = 2
_WIDE = 0.75  # share of the picture's height and width from which on a component has no place of its own
_WORDS = {  # of less and of more than usual, then what is measured, and whether in units of the usual one
    "area": ("smaller", "larger", "area", True),
    "length": ("shorter", "longer", "length", True),
    "width": ("narrower", "wider", "width", True),
    "along": ("less lopsided lengthwise", "more lopsided lengthwise", "lopsidedness lengthwise", False),
    "across": ("less lopsided", "more bent or lopsided", "lopsidedness", False),
    "light": ("darker", "lighter", "light", True),
    "red": ("greener", "redder", "red against green", True),
    "blue": ("yellower", "bluer", "blue against green", True),
    "contrast": ("more even", "more uneven", "contrast", True),
}
Range = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Odd:
    """One component of an unusual shape, or of unusual colours.

    Attributes:
        label: the class that most of it has.
        clear: how far its distance lies beyond that of good pictures, see `clearness`.
        distance: from the nearest kind of good components: found, lowest and highest usual.
        entries: what lies outside of that kind's range, the farthest first: found, lowest and highest usual.
            Sizes and colours are shares of the usual ones.
        squares: (h, w) which squares of the picture it takes.
        cell: the cell of the histogram's finest grid that the middle of its box lies in, or None.
        what: is unusual, where no entry says in what.
        colours: what is unusual of its colours, where its shape is unusual, too.
    """

    label: int
    clear: float
    distance: Range
    entries: Mapping[str, Range]
    squares: NDArray[np.bool_] = field(repr=False)
    cell: Cell | None = None
    what: str = "an unusual shape"
    colours: Odd | None = None

    @property
    def wide(self) -> bool:
        """Whether it reaches over most of the picture, as a ground does, and so lies at no one place."""
        spans = np.ptp(np.argwhere(self.squares), axis=0) + 1
        return bool((spans > _WIDE * np.array(self.squares.shape)).all())

    @property
    def how(self) -> str:
        """In what it differs, for example: shorter than usual, or narrower and darker than usual."""
        words = [one._word for one in self._both if one.entries]
        rest = [f"of {one.what}" for one in self._both if not one.entries]
        return " and ".join([f"{' and '.join(words)} than usual"] * bool(words) + rest)

    @property
    def numbers(self) -> str:
        """What was measured and what good pictures show."""
        told = [_amount(name, *numbers) for name, numbers in self.entries.items()][:_MOST_ENTRIES]
        if self.colours is not None:
            told += [_amount(name, *numbers) for name, numbers in self.colours.entries.items()][:1]
        if told:
            return ", ".join(told)
        found, _, high = self.distance
        return f"{found / high:.2g} times as far from good ones as 19 of 20 good pictures show"

    @property
    def values(self) -> dict[str, float]:
        """The same as numbers."""
        entries = {DISTANCE: self.distance, **self.entries}
        if self.colours is not None:
            entries |= self.colours.entries
        values = {"class": float(self.label)}
        for name, (found, low, high) in entries.items():
            values |= {name: found, f"{name}_low": low, f"{name}_high": high}
        return values

    @property
    def _both(self) -> tuple[Odd, ...]:
        return (self,) if self.colours is None else (self, self.colours)

    @property
    def _word(self) -> str:
        name, (found, _, high) = next(iter(self.entries.items()))
        less, more, *_ = _WORDS[name]
        return more if found > high else less


def find_odd(manifest: Manifest, prediction: Prediction, finest: Cell | None = None) -> tuple[Odd, ...]:
    """What lies clearly beyond the shapes and colours of good pictures, the clearest first.

    A component of which both are unusual is one.

    Args:
        manifest: names the entries of the vectors `shapes` and `colours`, `COMPONENT/ENTRY`, components
            counted from 0.
        prediction: whose outputs hold these, and the small label maps `odd` and `unlike`; without them there
            are none.
        finest: any cell of the histogram's finest grid, where its cells are to be told.

    Raises:
        BundleError: the model names another number of entries than a vector has.
    """
    shapes = _clear(manifest, prediction, finest, SHAPES, "an unusual shape")
    colours = _clear(manifest, prediction, finest, COLOURS, "unusual colours")
    found = list[Odd]()
    for one in shapes:
        own = next((other for other in colours if _same(one, other)), None)
        clear = one.clear if own is None else max(one.clear, own.clear)
        found.append(replace(one, colours=own, clear=clear))
    found += [one for one in colours if not any(_same(one, other) for other in shapes)]
    return tuple(sorted(found, key=lambda one: -one.clear))


def _clear(
    manifest: Manifest, prediction: Prediction, finest: Cell | None, outputs: Sequence[str], what: str
) -> list[Odd]:
    """What lies clearly beyond good pictures by outputs of these names, the clearest first.

    Of those that are as clear as can be, the farthest comes first; classes have distances of their own.
    """
    if not prediction.outputs.keys() >= set(outputs):
        return []
    found = _odd(manifest, prediction, finest, outputs, what)
    ordered = sorted(found, key=lambda one: (-one.clear, -one.distance[0]))
    return [one for one in ordered if one.clear >= max(FAR, CLEAR * ordered[0].clear)]


def _same(one: Odd, other: Odd) -> bool:
    """Whether both are of one component, as two branches have found it."""
    shared = (one.squares & other.squares).sum()
    return bool(2 * shared > min(one.squares.sum(), other.squares.sum()))


def _odd(
    manifest: Manifest, prediction: Prediction, finest: Cell | None, outputs: Sequence[str], what: str
) -> Iterator[Odd]:
    rows = np.stack([np.asarray(prediction.outputs[name], np.float64) for name in outputs[:3]]).T.tolist()
    names = entries_of(manifest, outputs[0], len(rows))
    ranks = np.asarray(prediction.outputs[outputs[3]])  # (h, w)
    labels = _at_squares(prediction.outputs["components"], ranks.shape)
    for rank in range(1, int(ranks.max(initial=0)) + 1):
        squares = np.asarray(ranks == rank)
        found = {
            name.partition("/")[2]: (row[0], row[1], row[2])
            for name, row in zip(names, rows, strict=True)
            if name.startswith(f"{rank - 1}/")
        }
        if squares.any() and DISTANCE in found:
            distance = found.pop(DISTANCE)
            label = _most(labels[squares])
            outside, cell = _outside(found), _cell(squares, finest)
            yield Odd(label, clearness(*distance), distance, outside, squares, cell, what)


def _outside(found: Mapping[str, Range]) -> dict[str, Range]:
    """Entries that lie outside of their range, the farthest first; of two of a kind the farther one."""
    kept: dict[str, tuple[float, Range]] = {}
    for entry, (value, low, high) in found.items():
        name = entry.rpartition(" ")[2]
        away = max(value - high, low - value) / (high - low + _RESOLUTION)
        if name in _WORDS and away >= max(FAR, kept.get(name, (0.0,))[0]):
            kept[name] = away, (value, low, high)
    return {name: kept[name][1] for name in sorted(kept, key=lambda name: -kept[name][0])}


def _amount(name: str, found: float, low: float, high: float) -> str:
    """What was measured, and the range of good pictures, in per cent of the usual one where it is a size.

    >>> _amount("length", 0.61, 0.96, 1.04), _amount("across", 1.84, 0.03, 0.22)
    ('length 61 % (good pictures 96 to 104 %)', 'lopsidedness 1.84 (good pictures 0.03 to 0.22)')
    """
    *_, what, share = _WORDS[name]
    if share:
        return f"{what} {100 * found:.0f} % (good pictures {100 * low:.0f} to {100 * high:.0f} %)"
    return f"{what} {found:.2f} (good pictures {low:.2f} to {high:.2f})"


def _at_squares(labels: NDArray[np.integer], shape: tuple[int, ...]) -> NDArray[np.integer]:
    """Labels (H, W) at the middle of each square of a map (h, w) of the same picture."""
    sides = zip(shape, labels.shape, strict=True)
    places = [((np.arange(count) + 0.5) * side / count).astype(int) for count, side in sides]
    own: NDArray[np.integer] = labels[np.ix_(*places)]
    return own


def _most(labels: NDArray[np.integer]) -> int:
    """The class that most of these have, of any but the background."""
    counts = np.bincount(labels)
    counts[0] = 0
    return int(counts.argmax())


def _cell(squares: NDArray[np.bool_], finest: Cell | None) -> Cell | None:
    if finest is None:
        return None
    places = np.argwhere(squares)
    middle = (places.min(0) + places.max(0) + 1) / 2 / squares.shape
    return finest.at(float(middle[0]), float(middle[1]))
