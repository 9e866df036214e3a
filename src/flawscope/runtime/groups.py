"""Scores of pictures that belong together: several of one part, batch or camera position count once.

Conformal calibration wants exchangeable scores. Five views of one part are not: they share its surface, its
light and its place on the belt, so that 400 pictures of 80 parts tell little more than 80 pictures would,
while a threshold taken as from 400 promises too much. What is exchangeable are the parts, and within a part
its pictures: hierarchical exchangeability (Lee, Barber and Willett 2023, "Distribution-free inference with
hierarchical data"; Dunn, Wasserman and Ramdas 2022, "Distribution-free prediction sets for
two-layer hierarchical models"). With G parts, of n_g pictures with scores s_gj, two things can be promised.

*A picture is judged* (`judge="picture"`, the default): the rate is that of a picture drawn at random of a new
good part. On average: the p-value of a score s is

    p(s) = (1 + sum over g of #{j: s_gj >= s} / n_g) / (G + 1),

each part counting once whatever its number of pictures. Put the new part beside the G others: given all their
scores, unordered, part and picture are drawn evenly, p is no less than the share of that draw at or above its
own value, and such a share is at most alpha with probability at most alpha. (The scores with p > alpha are
the prediction set of Lee, Barber and Willett's hierarchical conformal prediction.) As the new part counts in
full, the rate lies below alpha by up to a part's weight, 1 / (G + 1). With confidence: of each part one
picture is drawn; the G drawn scores are independent, and each is that of a random picture of a random part,
so all that `flawscope.runtime.calibration` says of n pictures holds of them with n = G, exactly (single
subsampling of Dunn, Wasserman and Ramdas). Which picture is drawn depends on the scores' bits alone, through
SHA-256, so that the same scores give the same thresholds everywhere. All of a part's pictures could be used
at a price: a threshold above which lie shares of k - 1 parts at most fails no more than twice as often, since
G coins with these shares as chances show at most k - 1 heads with a probability of at least one half (Jogdeo
and Samuels 1968, on the median of independent trials); to be as sure, more parts would be needed.

*A part is judged* (`judge="part"`): it is rejected when any of its pictures is, so its score is its highest.
G exchangeable scores calibrate as any G do, with confidence and on average. The pictures' own rate is lower.
New parts must come with as many pictures as those that calibrated, for of more the highest is higher.

The default is the picture, since verdicts are given picture by picture, and since that promise holds whatever
makes pictures alike. `part` has sense where a group is one part, not a batch or a camera's position.
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import CalibrationError, OptionError
from flawscope.runtime.evidence import Evidence, one_each

Judge = Literal["picture", "part"]


def highest(scores: Sequence[float], groups: Sequence[int]) -> Evidence:
    """Each part by its highest score; `scores` (N,) rise."""
    last = dict(zip(groups, scores, strict=True))
    return one_each(sorted(last.values()))


def drawn(scores: Sequence[float], groups: Sequence[int]) -> Evidence:
    """Each part by one of its pictures, which the part's own scores draw; `scores` (N,) rise.

    Parts with the same scores, as methods that count have them, draw each for itself.
    """
    alike: Counter[bytes] = Counter()
    chosen = []
    for own in _by_group(scores, groups):
        content = struct.pack(f"<{len(own)}d", *own)
        digest = hashlib.sha256(content + struct.pack("<q", alike[content])).digest()
        alike[content] += 1
        chosen.append(own[int.from_bytes(digest[:8], "little") % len(own)])
    return one_each(sorted(chosen))


def shared(scores: Sequence[float], groups: Sequence[int]) -> Evidence:
    """All pictures, those of one part sharing its weight evenly; `scores` (N,) rise."""
    sizes = Counter(groups)
    each = np.array([1.0 / sizes[group] for group in groups])
    return Evidence(tuple(scores), len(sizes), tuple(np.cumsum(each[::-1])[::-1].tolist()))


def numbered(names: Iterable[str | None]) -> tuple[int, ...]:
    """A number for each picture's group, from 0 on in order; None is a group of its own.

    Empty where no picture has a name, so that each counts by itself.

    >>> numbered(["a", "b", None, "a"]), numbered([None, None])
    ((0, 1, 2, 0), ())
    """
    listed = list(names)
    known: dict[str | int, int] = {}
    keys = (index if name is None else name for index, name in enumerate(listed))
    found = tuple(known.setdefault(key, len(known)) for key in keys)
    return found if any(name is not None for name in listed) else ()


def check_groups(groups: Any, pictures: int) -> NDArray[np.int64]:
    """Group numbers (pictures,) as an array.

    Raises:
        CalibrationError: not a whole number, 0 or above, for each picture.
    """
    try:
        found = np.asarray(list(groups))
    except TypeError:
        found = np.array(0.5)
    if found.shape != (pictures,) or found.dtype.kind not in "iu" or int(found.min()) < 0:
        raise CalibrationError(
            "groups of calibration scores",
            expected=f"a whole number, 0 or above, for each of {pictures} scores",
            got=f"{len(found)}" if found.ndim == 1 else "no plain list of numbers",
            fix="Number the parts, and give each picture its part's number.",
        )
    return found.astype(np.int64)


def check_judge(judge: Any) -> None:
    """Refuse what is neither `picture` nor `part`.

    Raises:
        OptionError: it is neither.
    """
    if judge not in ("picture", "part"):
        raise OptionError("judge", expected='"picture" or "part"', got=repr(judge), fix="Use one of the two.")


def _by_group(scores: Sequence[float], groups: Sequence[int]) -> Iterable[list[float]]:
    found: defaultdict[int, list[float]] = defaultdict(list)
    for score, group in zip(scores, groups, strict=True):
        found[group].append(score)
    return found.values()
