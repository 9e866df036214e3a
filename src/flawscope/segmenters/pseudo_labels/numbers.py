"""Which label maps show as many components of each class as others do; not in the CSAD paper.

A class histogram hardly tells a part that was taken for background, or for another class, where the part is
small. Its number does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEADY = 0.4  # share of the pictures that must have a class's most frequent number for the class to be asked
_RIVAL = 2 / 3  # of the pictures of the most frequent combination that another must have to be one, too
_FEWEST = 5  # pictures of a combination
_THERE = 0.75  # share of the pictures that a class must be in, or
_SAME = 2 / 3  # of those that show it, the share that must show the same number of it


def usual_numbers(members: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each of N pictures has a combination of numbers that good pictures mostly have.

    Only classes are asked whose number is steady: at least 40 % of the pictures have the most frequent one.
    Several combinations count where they are about as frequent as the most frequent one, as those of a
    product in several normal compositions are; but for one with fewer of some components and no more of any,
    which were more likely missed there. None is usual where the most frequent has fewer than five pictures,
    and no class steady.

    Args:
        members: (N, K) components of each class in each picture.
    """
    none = np.zeros(len(members), np.bool_)
    if not members.size:
        return none
    least = _STEADY * len(members)
    steady = [column for column in members.T if np.unique(column, return_counts=True)[1].max() >= least]
    if not steady:
        return none
    combinations = np.stack(steady, 1)  # (N, K')
    kinds, which, counts = np.unique(combinations, axis=0, return_inverse=True, return_counts=True)
    usual = counts >= max(_FEWEST, _RIVAL * counts.max())
    first = int(counts.argmax())
    usual &= (kinds > kinds[first]).any(1) | (np.arange(len(kinds)) == first)
    return np.asarray(usual[which.reshape(-1)])


def irregular(members: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each class (K,) comes and goes: glints, say, which are no components of the product.

    It is missing in more than a quarter of the pictures, and less than two thirds of those that show it have
    the same number of it. The part of one of several normal compositions has. Where this were true of every
    class, it is of none.

    Args:
        members: (N, K) components of each class in each picture.
    """
    strange = np.array([_comes_and_goes(column) for column in members.T], np.bool_)
    return strange if not strange.all() else np.zeros_like(strange)


def _comes_and_goes(numbers: NDArray[np.integer]) -> bool:
    there = numbers[numbers > 0]
    if len(there) >= _THERE * len(numbers):
        return False
    return not len(there) or np.unique(there, return_counts=True)[1].max() < _SAME * len(there)
