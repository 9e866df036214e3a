"""What a training depends on, as a name: work that is kept is taken up by the same training alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import nn

from flawscope.data.pictures import Pictures
from flawscope.nn.run import Run


def fingerprint(
    options: BaseModel,
    run: Run,
    parts: Sequence[Pictures | None],
    network: nn.Module | None = None,
    arrays: Iterable[NDArray[Any]] = (),
) -> str:
    """16 hex digits of options, seed, precision, the network's weights, and every picture and how it is read.

    Args:
        parts: the pictures by what they are for, in a fixed order; None and no pictures are alike.
        network: whose weights decide too, such as a frozen teacher.
        arrays: that decide too, such as label maps.
    """
    digest = hashlib.sha256(f"{options.model_dump_json()} {run.seed} {run.precision}".encode())
    for value in network.state_dict().values() if network is not None else ():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    for part in parts:
        digest.update("".join(["/", *(part.hashes() if part is not None else ())]).encode())
        if part:
            digest.update(f" {part.frame.intensities} {part.frame.reduced}".encode())
    for array in arrays:
        digest.update(f" {array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
