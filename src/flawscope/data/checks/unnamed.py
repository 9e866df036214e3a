"""Groups of pictures that nobody named: names that share a stem with a counter, and pictures that are alike.

Names of one form, such as part_001_a.png, have fields. Where the last one has few values that begin anew with
each stem, the stem tells the part. Where names alone do not tell, as with cam1_0001.png, which may be two
cameras or two days, the pictures do: if most of them are more like one with the same field than like any
other, and that beyond chance, the field makes groups. Both propose a pattern (`--groups`).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawscope.data.checks.near import BLOCK, thumbnail
from flawscope.data.samples import Sample, spread
from flawscope.errors import FlawscopeError
from flawscope.runtime.group_pattern import compiled
from flawscope.runtime.images import read_image

FEWEST_PARTS = 5
MOST_VIEWS = 12  # values of a last field that names alone are taken for views
ONE_FORM = 0.8  # share of pictures whose names have the commonest form
SHARED = 0.6  # of them, share that has a group with others
ALIKE = 0.5  # of those, share whose most alike picture is of their group
CHANCE = 1e-4  # probability that as many are by chance
LOOKED_AT = 192  # pictures whose most alike one is looked for
READ = 64  # pictures that training reads for it

_TOKEN = re.compile(r"\d+|[A-Za-z]+|[^A-Za-z\d]+")
Thumbnails = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Groups that names or pictures suggest.

    Attributes:
        pattern: for `--groups`.
        groups: the pictures of each, those with one picture among them.
        why: what suggests them, in a clause.
    """

    pattern: str
    groups: tuple[tuple[Sample, ...], ...]
    why: str

    @property
    def message(self) -> str:
        """In a sentence."""
        pictures, first = sum(map(len, self.groups)), max(self.groups, key=len)
        names = ", ".join(sample.path.name for sample in first[:3])
        return (
            f"{pictures} good pictures, which count each by itself, seem to come in {len(self.groups)} "
            f"groups of one part, batch or camera position: {self.why} ({names})."
        )

    @property
    def fix(self) -> str:
        """What to do about it."""
        return (
            f"Name them with --groups '{self.pattern}'; or say --groups none, where each shows another part."
        )


def suggested(samples: Sequence[Sample], thumbnails: Thumbnails | None) -> Suggestion | None:
    """The groups that these good pictures suggest, or None.

    Args:
        samples: N of them; nothing is suggested where one has a group already.
        thumbnails: (N, 1024) of `near.thumbnail`; None: names alone tell.
    """
    if any(sample.group is not None for sample in samples):
        return None
    for candidate in _candidates(samples):
        if candidate.of_views:
            return Suggestion(candidate.pattern, candidate.groups, "their names share a stem with a counter")
        if thumbnails is not None and (why := _alike(samples, candidate.groups, thumbnails)):
            return Suggestion(candidate.pattern, candidate.groups, why)
    return None


def about_groups(good: Sequence[Sample]) -> str | None:
    """What the user should know of good pictures before training; few are read, and none where names do."""
    found = suggested(good, None)
    if found is None and any(sample.group is not None for sample in good):
        return None
    candidates = [] if found else list(_candidates(good))
    groups = {candidate.pattern: candidate.groups for candidate in candidates}
    for candidate in candidates:
        several = [group for group in candidate.groups if len(group) > 1]
        size = max(1, sum(map(len, several)) // len(several))
        chosen = [sample for group in spread(several, max(READ // size, 2)) for sample in group]
        found = suggested(chosen, np.stack([_read(sample.path) for sample in chosen]))
        if found is not None and found.pattern in groups:
            found = Suggestion(found.pattern, groups[found.pattern], found.why)
            break
        found = None
    return None if found is None else f"{found.message} {found.fix}"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A way to group by names, and whether these tell it: a last field of few values that begins anew."""

    pattern: str
    groups: tuple[tuple[Sample, ...], ...]
    of_views: bool


def _candidates(samples: Sequence[Sample]) -> Iterator[_Candidate]:
    """Ways to group by fields of the commonest form of names, stems first."""
    tokens = {sample.path: _TOKEN.findall(sample.path.stem) for sample in samples}
    forms = Counter(_form(tokens[sample.path]) for sample in samples)
    form, count = forms.most_common(1)[0] if forms else ((), 0)
    fields = [place for place, piece in enumerate(form) if piece in ("0", "a")]
    if count < ONE_FORM * len(samples) or len(fields) < 2:
        return
    own = [sample for sample in samples if _form(tokens[sample.path]) == form]
    names = Counter(sample.path.name for sample in own)
    folders = len(names) < len(own)
    stems, singles = (fields[0], fields[-2]), [(place, place) for place in fields]
    views = {tokens[sample.path][fields[-1]] for sample in own}
    for first, last in dict.fromkeys([stems, *singles, *combinations(fields, 2)]):
        pattern = _pattern(form, first, last, folders=folders)
        grouped: defaultdict[tuple[str, ...], list[Sample]] = defaultdict(list)
        for sample in own:
            folder = sample.path.parent.name if folders else ""
            grouped[folder, *tokens[sample.path][first : last + 1]].append(sample)
        groups = tuple(map(tuple, grouped.values()))
        in_some = sum(len(group) for group in groups if len(group) > 1)
        if pattern and len(groups) >= FEWEST_PARTS and in_some >= SHARED * len(samples):
            few = len(views) <= min(MOST_VIEWS, len(groups) - 1)
            anew = 2 * len(own) >= len(views) * len(groups)
            yield _Candidate(pattern, groups, (first, last) == stems and few and anew)


def _form(tokens: Sequence[str]) -> tuple[str, ...]:
    """A name's pieces, `0` for digits, `a` for letters at its end, the rest as it is."""
    return tuple(
        "0"
        if piece.isdigit()
        else "a"
        if piece.isalpha() and place and place == len(tokens) - 1
        else f"={piece}"
        for place, piece in enumerate(tokens)
    )


def _pattern(form: Sequence[str], first: int, last: int, *, folders: bool) -> str:
    """The regular expression whose group are the pieces `first` to `last`; empty where it is too slow.

    `folders`: names recur in several, which the group then takes in; it can where no field comes before.
    """
    written = [
        r"\d+" if piece == "0" else "[A-Za-z]+" if piece == "a" else re.escape(piece[1:]).replace(r"\-", "-")
        for piece in form
    ]
    after = written[last + 1] if last + 1 < len(form) and form[last + 1][0] == "=" else ""
    begin = "^" if form[0] in ("0", "a") else ""
    text = f"{begin}{''.join(written[:first])}({''.join(written[first : last + 1])}){after}"
    if folders:
        early = any(piece[0] != "=" for piece in form[:first])
        text = "" if early else f"([^/]+/{''.join(written[: last + 1])}){after}"
    try:
        return compiled(text).pattern
    except FlawscopeError:
        return ""


def _alike(samples: Sequence[Sample], groups: Sequence[Sequence[Sample]], thumbnails: Thumbnails) -> str:
    """That most pictures are most like one of their group, beyond chance; empty where they are not."""
    number = {sample.path: index for index, group in enumerate(groups) for sample in group}
    owner = np.array([number.get(sample.path, -1 - index) for index, sample in enumerate(samples)])
    sizes = Counter(owner.tolist())
    chosen = np.array(spread(np.flatnonzero([sizes[one] > 1 for one in owner.tolist()]).tolist(), LOOKED_AT))
    if not len(chosen):
        return ""
    nearest = _nearest(thumbnails, chosen)
    hits = int((owner[nearest] == owner[chosen]).sum())
    by_chance = float(np.mean([sizes[one] - 1 for one in owner[chosen].tolist()])) / (len(samples) - 1)
    if hits < ALIKE * len(chosen) or _tail(hits, len(chosen), by_chance) > CHANCE:
        return ""
    expected = round(by_chance * len(chosen))
    return f"{hits} of {len(chosen)} are most like one of the same name, by chance {expected} would be"


def _nearest(thumbnails: Thumbnails, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the chosen rows (n,) the row, another, that is nearest."""
    own, distances = (
        thumbnails[chosen].astype(np.float32),
        np.empty((len(chosen), len(thumbnails)), np.float32),
    )
    for start in range(0, len(thumbnails), BLOCK):
        every = thumbnails[start : start + BLOCK].astype(np.float32)  # (B, 1024)
        norms = np.einsum("ij,ij->i", every, every)
        distances[:, start : start + BLOCK] = norms - 2.0 * (own @ every.T)  # each row less a constant
    distances[np.arange(len(chosen)), chosen] = np.inf
    return np.asarray(distances.argmin(axis=1), np.int64)


def _tail(hits: int, count: int, chance: float) -> float:
    """P(Binomial(count, chance) >= hits)."""
    if not 0.0 < chance < 1.0:
        return 1.0
    return math.fsum(
        math.comb(count, k) * chance**k * (1.0 - chance) ** (count - k) for k in range(hits, count + 1)
    )


def _read(path: Path) -> Thumbnails:
    return thumbnail(read_image(path))
