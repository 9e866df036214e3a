"""Connected areas that differ from the ground's colour; no download, no learning."""

from __future__ import annotations

from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import Sample
from flawscope.segmenters.proposers.proposal import Proposal, Proposer, ProposerOptions

_SMALLEST = 1 / 2000  # of the picture
_BORDER = 1 / 32  # of the shorter side


class AreasOptions(ProposerOptions):
    """Options of `Areas`."""

    kind: Literal["areas"] = "areas"


class Areas(Proposer):
    """Areas whose Lab colour lies beyond Otsu's threshold from the median colour of the picture's border."""

    Options: ClassVar = AreasOptions

    def propose(self, picture: NDArray[np.uint8], sample: Sample) -> Proposal:
        """See `Proposer.propose`."""
        del sample
        lab = cv2.cvtColor(cv2.medianBlur(picture, 3), cv2.COLOR_RGB2LAB).astype(np.float32)
        wide = max(1, round(min(lab.shape[:2]) * _BORDER))
        border = np.ones(lab.shape[:2], np.bool_)
        border[wide:-wide, wide:-wide] = False
        far = np.linalg.norm(lab - np.median(lab[border], axis=0), axis=2)  # (H, W)
        _, found = cv2.threshold(far.clip(0, 255).astype(np.uint8), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        _, areas, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
        large = [
            label
            for label in range(1, len(stats))
            if stats[label, cv2.CC_STAT_AREA] >= _SMALLEST * areas.size
        ]
        return Proposal(areas[None] == np.array(large).reshape(-1, 1, 1))  # (M, H, W)
