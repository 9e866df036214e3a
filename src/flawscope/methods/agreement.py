"""An engine's scores held against what the engine's own further outputs amount to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import BundleError

_TOLERANCE = 1e-3  # of the highest expected score, 1 at least


@runtime_checkable
class HoldsEngines(Protocol):
    """A detector, fitted or restored, that holds engines against a reference of its own, beside parity."""

    def hold(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """Hold an engine's scores (N,) against what its vectors (N, …) amount to, both by name.

        Raises:
            BundleError: they contradict each other.
        """


def require_agreement(
    expected: NDArray[np.floating], scores: NDArray[np.floating], engine: str, what: str
) -> None:
    """Refuse scores (N,) of an engine that differ from the `expected` ones.

    Raises:
        BundleError: they do; `what` names what they should amount to.
    """
    apart = float(np.abs(expected - scores).max())
    if apart > _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise BundleError(
            f"scores by {engine}",
            expected=what,
            got=f"others, by up to {apart:.3g}",
            fix="Report the method and its options as a bug.",
        )
