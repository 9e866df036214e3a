"""Good pictures held against what other pictures gave to a bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flawscope.errors import DataError, OptionError
from flawscope.nn.banks.neighbours import resolution

_BLOCK = 4  # most cells a side of the stretches that stand for pictures where there is only one


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What left-out pictures gave in one bank: distances (n, h, w), and their patches (n * h * w, D)."""

    distances: Tensor
    patches: Tensor

    def require_differences(self, *, least: int, members: Tensor, name: str) -> None:
        """Refuse what gives no levels: fewer than `least` pictures that differ from the members (M, D).

        Raises:
            DataError: pictures alike in every patch.
            OptionError: all members come from one picture.
        """
        if int((self.distances.flatten(1).amax(1) > resolution(members)).sum()) < least:
            raise DataError(
                "good pictures",
                expected="pictures that differ from each other, as photographs do",
                got="ones that are alike in every patch, such as copies or blank pictures",
                fix="Leave copies out, and look whether the camera saw the product.",
            )
        if not self.distances.isfinite().all():
            raise OptionError(
                f"option '{name}_bank' of the joined banks",
                expected="a bank with patches of at least two pictures",
                got=f"{len(members)} patches of one",
                fix="Raise it.",
            )


def own_groups(owners: Sequence[int], grid: tuple[int, int]) -> Tensor:
    """What each patch (n, h * w) belongs to: patches of one group are not held against each other.

    A group is a picture, with all its tiles, or a part, with all its pictures; where there is only one, its
    tiles stand for pictures, or, where it is whole, stretches of up to four by four cells.

    Args:
        owners: for each of n frames the number of the picture, or part, that it shows.
        grid: cells of a frame, h and w.
    """
    height, width = grid
    if len(owners) > 1:
        known = torch.tensor(owners) if len(set(owners)) > 1 else torch.arange(len(owners))
        return known.unsqueeze(1).expand(-1, height * width)  # (n, h * w)
    rows, columns = (
        torch.arange(side) // max(1, min(_BLOCK, side // 2)) for side in (height, width)
    )  # (h,), (w,)
    return (rows.unsqueeze(1) * width + columns).reshape(1, -1)  # (1, h * w)
