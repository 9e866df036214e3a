"""Pictures of rings, drawn and kept as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.runtime.images import Frame


def saved(drawn: Sequence[NDArray[np.uint8]], folder: Path, kind: str = "good") -> Pictures:
    """The pictures as PNGs in a new folder, seen at 64×64; defective ones are of the kind that is named."""
    folder.mkdir()
    samples = []
    for index, picture in enumerate(drawn):
        Image.fromarray(picture).save(folder / f"{index}.png")
        samples.append(Sample(folder / f"{index}.png", "train", defective=kind != "good", kind=kind))
    return PictureFiles(samples, Frame(64, 64))
