"""Which members see parts turned that another one turns, and what they learn from then."""

from __future__ import annotations

import copy
from dataclasses import replace

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.committee.frames import ResizedPictures, TurnedPictures, at_size
from flawscope.methods.detector import Detector
from flawscope.methods.turning import TurnsParts
from flawscope.nn.upright.pose import Upright
from flawscope.runtime.explain import components, two_maps

BY_PLACE = frozenset({"folder", "overlaid", "static"})  # segments and masks that somebody gives, as they lie
READERS = frozenset({components.READER, "distances", "levels", two_maps.READER})  # whose findings come back


def can_be_turned(member: Detector, data: TrainingData) -> bool:
    """Whether a member sees parts turned where another one turns them.

    Those of a method that turns parts itself see pictures as they lie, whatever they found. So do those that
    know something of single pictures which would have to be turned with them, annotations, maps of segments,
    where defects lie, and those whose findings point at places of other pictures, or at segments.
    """
    segments = getattr(member.options, "segments", None)
    kinds = {getattr(one, "kind", None) for one in (segments, getattr(segments, "proposer", None))}
    annotated = segments is not None and data.parts
    known = annotated or data.defective or kinds & BY_PLACE
    return member.explains in READERS and not (isinstance(member, TurnsParts) or known)


def turned(data: TrainingData, upright: Upright, size: tuple[int, int]) -> TrainingData:
    """The good pictures as `upright` turns them, at a member's size, of what the committee sees."""
    lying = copy.deepcopy(upright).cpu()

    def seen(pictures: Pictures) -> Pictures:
        whole = pictures.pictures if isinstance(pictures, ResizedPictures) else pictures
        return at_size(TurnedPictures(at_size(whole, lying.size), lying), size)

    return replace(data, normal=seen(data.normal), tuning=seen(data.tuning))
