"""How many pictures, or parts, each role of a split gets: shares and numbers as users give them."""

from __future__ import annotations

import math

from flawscope.errors import OptionError


def counts_of(wishes: dict[str, float], total: int) -> list[int]:
    """How many of `total` pictures, or parts, each role wants, in the order of `wishes`.

    Raises:
        OptionError: a share or number out of range, or wishes that leave nothing.
    """
    for name, value in wishes.items():
        if value < 0 or (isinstance(value, float) and value >= 1):
            raise OptionError(
                name,
                expected="a share from 0 to below 1, or a whole number",
                got=str(value),
                fix="Use 0.1, say.",
            )
    shares = math.fsum(value for value in wishes.values() if isinstance(value, float))
    numbers = sum(value for value in wishes.values() if isinstance(value, int))
    if shares >= 1 or (numbers and numbers + shares * total >= total):
        raise OptionError(
            " + ".join(wishes),
            expected=f"roles that leave some of {total} for training",
            got=", ".join(f"{name} {value:g}" for name, value in wishes.items()),
            fix="Ask for less, or add more pictures of good parts.",
        )
    return [
        value if isinstance(value, int) else max(round(value * total), 1) if value else 0
        for value in wishes.values()
    ]
