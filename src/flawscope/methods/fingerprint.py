"""What a training depends on, as a name: work that is kept is taken up by the same training alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import BaseModel
from torch import nn

from flawscope.data.pictures import Pictures
from flawscope.nn.run import Run


def fingerprint(
    options: BaseModel, run: Run, parts: Sequence[Pictures | None], network: nn.Module | None = None
) -> str:
    """16 hex digits of options, seed, precision, the network's weights and the content of every picture.

    Args:
        parts: the pictures by what they are for, in a fixed order; None and no pictures are alike.
        network: whose weights decide too, such as a frozen teacher.
    """
    digest = hashlib.sha256(f"{options.model_dump_json()} {run.seed} {run.precision}".encode())
    for value in network.state_dict().values() if network is not None else ():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    for part in parts:
        digest.update("".join(["/", *(part.hashes() if part is not None else ())]).encode())
    return digest.hexdigest()[:16]
