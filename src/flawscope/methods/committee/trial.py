"""Members tried on pieces moved within good pictures: without which of them the others tell these better.

A level tells how rare a score is among good pictures, and not whether flaws raise it. So a member that hardly
sees flaws raises good pictures beyond flawed ones by chance, whatever its level. A piece of a good picture
put somewhere else in it is no flaw of any product; but who is blind to it is hardly worth hearing beside
those who see it. It tells nothing of members that compare components or know defects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.tiles import units_of
from flawscope.methods.committee.levels import joined
from flawscope.metrics.ranking import auroc
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches

SENSE = "structural"  # of members that are tried
FEWEST = 16  # good parts; fewer tell too little
WORSE = 0.005  # of AUROC: what a member may cost
_DRAWN = 256  # pictures with a moved piece, or as many for each good one as make that
_AREA = (5e-4, 1e-2)  # share of the picture that a piece takes; its logarithm is uniform
_ASPECT = 10.0  # largest ratio of a piece's sides, likewise
_LIGHT = 0.3  # a piece is lighter or darker by up to this share
_PIECES = 41  # random numbers are drawn for this purpose


def enough(tuning: Pictures, apart: Pictures, run: Run) -> bool:
    """Whether there are enough for a trial; `apart` is a share of what a fit sees, `tuning` is not."""
    own, further = (len(set(units_of(pictures.samples))) for pictures in (tuning, apart))
    return run.enough(further, FEWEST - own)


def drawn_on(good: Pictures, run: Run, watch: Watch, size: int) -> Iterator[Tensor]:
    """Batches (n, 3, H, W), n ≤ `size`, of good pictures with a moved piece each, several of each picture.

    Raises:
        InputError: a picture that cannot be read.
        Stopped: the watch's stop signal was set.
    """
    random = np.random.default_rng(run.generator(_PIECES).initial_seed() % 2**32)
    for pixels in batches(good, run, watch, "trying the members", size):
        for _ in range(math.ceil(_DRAWN / len(good))):
            watch.check_stop(run)
            yield torch.stack([with_moved_piece(picture, random) for picture in pixels])


def with_moved_piece(picture: Tensor, random: np.random.Generator) -> Tensor:
    """A copy of a picture (3, H, W) in [0, 1], with a rectangle of it somewhere else, too, in other light."""
    height, width = picture.shape[1:]
    area = math.exp(random.uniform(*np.log(_AREA))) * height * width
    ratio = math.exp(random.uniform(-1, 1) * math.log(_ASPECT))
    high = min(max(round(math.sqrt(area / ratio)), 1), height)
    wide = min(max(round(math.sqrt(area * ratio)), 1), width)
    (top, to_top), (left, to_left) = (
        random.integers(0, whole - side + 1, 2) for whole, side in ((height, high), (width, wide))
    )
    piece = picture[:, top : top + high, left : left + wide] * (1 + random.uniform(-_LIGHT, _LIGHT))
    made = picture.clone()
    made[:, to_top : to_top + high, to_left : to_left + wide] = piece.clamp(max=1)
    return made


def worse_with(good: Tensor, drawn: Tensor, tried: Sequence[int], join: str) -> dict[int, str]:
    """The members without which those tried tell drawn flaws better, and in words by how much.

    Args:
        good: levels (n, K) of good pictures.
        drawn: levels (m, K) of such with a flaw.
        tried: the members among which it is asked; one at least stays.
        join: see `joined`.
    """
    labels = np.repeat([0, 1], [len(good), len(drawn)])
    both = torch.cat([good, drawn]).cpu()

    def told(members: Sequence[int]) -> float:
        return auroc(labels, joined(both[:, list(members)], join).numpy())

    found, left = dict[int, str](), list(tried)
    while len(left) > 1:
        without = {one: told([other for other in left if other != one]) for one in left}
        now, worst = told(left), max(left, key=lambda one: (without[one], one))
        if without[worst] <= now + WORSE:
            break
        found[worst] = (
            "those that look for structural flaws tell pieces moved within good pictures better without it "
            f"(AUROC {without[worst]:.3f}, with it {now:.3f})"
        )
        left.remove(worst)
    return found
