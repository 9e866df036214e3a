"""Detectors that see parts which lie at any angle turned to how one of them lies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from flawscope.nn.upright.pose import Upright
from flawscope.runtime.explain.absence import POSE
from flawscope.runtime.manifest import OutputSpec

POSES = OutputSpec(
    name=POSE,
    kind="vector",
    about="how the part lies: cosine and sine of its angle; the middle of the turned picture, right of and "
    "below that of the picture at the size at which it is turned, in pixels",
    names=("cosine", "sine", "x", "y"),
)


@runtime_checkable
class TurnsParts(Protocol):
    """A detector that learns by itself how parts lie, and turns them."""

    @property
    def upright(self) -> Upright | None:
        """What turns pictures of its size; None where it sees them as they lie, or is not fitted yet."""


def upright_of(detectors: Iterable[object]) -> Upright | None:
    """What the first of the detectors that turn parts turns them by."""
    found = (one.upright for one in detectors if isinstance(one, TurnsParts))
    return next((upright for upright in found if upright is not None), None)
