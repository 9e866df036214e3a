"""What proposes components: masks of a picture that may be one, for pseudo-labels to choose among."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.frozen import Frozen


@dataclass(frozen=True)
class Proposal:
    """What may be a component in one picture.

    Attributes:
        masks: (M, H, W), in any order; they may overlap (X_seg in section 3.2 of the CSAD paper).
        named: (H, W) 0 where nothing was found, else index + 1 into `names` (X_sem); None where the proposer
            gives no names.
        names: what is named.
    """

    masks: NDArray[np.bool_]
    named: NDArray[np.uint8] | None = None
    names: tuple[str, ...] = ()


class ProposerOptions(Frozen):
    """Base of each proposer's options; `kind` is the proposer's name in recipes."""

    kind: str


class Proposer(ABC):
    """Proposes components of one picture after another, while a segmenter learns; never at the station.

    Attributes:
        Options: the options' class.
        labels: whether `Proposal.named` already is a finished label map, such as a person draws.
        repeatable: whether options, seed and pictures alone decide, so that what came of them may be kept.
    """

    Options: ClassVar[type[ProposerOptions]]
    labels: bool = False
    repeatable: ClassVar[bool] = True

    def __init__(self, options: ProposerOptions) -> None:
        self.options = options

    def prepare(self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> None:  # noqa: B027
        """What comes before the first `propose`: load, learn from all pictures; by default nothing.

        Args:
            pictures: all good ones that `propose` will be asked about, at their frame.
            run: its seed decides, its device computes.
            watch: progress and stop signal.
        """

    @abstractmethod
    def propose(self, picture: NDArray[np.uint8], sample: Sample) -> Proposal:
        """Masks of a picture (H, W, 3) RGB at the frame of those that `prepare` saw.

        Args:
            picture: the pixels.
            sample: where they come from.
        """
