"""Read the detectors' maps of pictures into a table of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.samples import GOOD
from flawscope.data.synthetic.segment_defects import segment_defect
from flawscope.methods.segad.table import Table
from flawscope.nn.moments import Moments
from flawscope.nn.run import Run

if TYPE_CHECKING:
    from flawscope.methods.segad.detector import SegAD

SYNTHETIC = "synthetic"
_BATCH = 8
_DEFECTS = 0xDEFEC7


@torch.inference_mode()
def read_table(
    detector: SegAD, pictures: Pictures, run: Run, *, synthetic: bool = False
) -> tuple[Table, Moments]:
    """Features of all pictures, and the moments of each detector's maps.

    With `synthetic` each picture gets a defect first, drawn by seed and by the picture's place.

    Raises:
        Stopped: `run.stop` was set.
    """
    device = run.torch_device()
    detector.eval().to(device)
    rows: list[Tensor] = []
    whole: list[Tensor] = []
    moments = Moments()
    with run.progress.stage("reading anomaly maps", len(pictures)) as stage:
        for batch in pictures.batches(_BATCH):
            run.check_stop()
            pixels = torch.from_numpy(batch).to(device)
            if synthetic:
                pixels = _damaged(detector, pixels, stop=sum(map(len, rows)), run=run)
            maps, scores = detector.read(pixels)
            moments.add(maps)
            whole.append(scores.cpu())
            rows.append(detector.features(maps, scores, detector.segmenter(pixels)).cpu())
            stage.advance(len(batch))
    kinds = [SYNTHETIC if synthetic else sample.kind for sample in pictures.samples]
    defective = np.array([kind != GOOD for kind in kinds])
    features, image = (torch.cat(parts).numpy().astype(np.float32) for parts in (rows, whole))
    return Table(features, defective, tuple(kinds), image), moments


def _damaged(detector: SegAD, pixels: Tensor, *, stop: int, run: Run) -> Tensor:
    """Pictures (N, 3, H, W) with a synthetic defect each; `stop` pictures came before them."""
    labels = detector.segmenter(pixels).cpu().numpy()
    damaged = [
        segment_defect(picture, own, np.random.default_rng((run.seed, _DEFECTS, stop + index)))[0]
        for index, (picture, own) in enumerate(zip(pixels.cpu().numpy(), labels, strict=True))
    ]
    return torch.from_numpy(np.stack(damaged)).to(pixels.device)
