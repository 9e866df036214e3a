"""Whether two ways to decide the same cases differ by more than chance: McNemar's exact test."""

from __future__ import annotations

import math

from flawscope.errors import InputError


def mcnemar(first_only: int, second_only: int) -> float:
    """Chance of so uneven a split, or a more uneven one, if neither of two models is right more often.

    Only cases count that one of them decides rightly and the other wrongly; each of these is then as likely
    for the one as for the other (McNemar 1947), and their number follows a binomial law with one half, which
    is summed up exactly, on both sides.

    Args:
        first_only: cases that the first alone decides rightly, at least 0.
        second_only: cases that the second alone decides rightly, at least 0.

    Returns:
        The p-value in [0, 1]; 1 where no case tells them apart.

    Raises:
        InputError: a count below 0.

    >>> mcnemar(1, 8)
    0.0390625
    """
    if min(first_only, second_only) < 0:
        raise InputError(
            "counts of McNemar's test",
            expected="numbers of pictures, 0 or more",
            got=f"{first_only} and {second_only}",
            fix="Count pictures that one model alone decides rightly.",
        )
    cases = first_only + second_only
    tail = sum(math.comb(cases, few) for few in range(min(first_only, second_only) + 1))
    return float(min(1.0, 2 * tail / 2**cases))
