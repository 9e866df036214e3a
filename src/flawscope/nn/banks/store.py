"""Where the patches of many pictures are collected: in memory, or in a file without a name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from flawscope.files import unwritable

_FLOAT = 4  # bytes


def patch_store(rows: int, dim: int, *, budget_bytes: int, folder: Path | None = None) -> Tensor:
    """Empty (rows, dim) float32 tensor to fill: in memory, or in a file where it exceeds the budget.

    The file has no name, lies in `folder` (default: the system's temporary one) and is gone with the tensor.

    Raises:
        OutputError: no room for the file.
    """
    if _FLOAT * rows * dim <= budget_bytes:
        return torch.empty(rows, dim)
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # a full disk is found here, not at some later write
                os.posix_fallocate(file.fileno(), 0, _FLOAT * rows * dim)
            return torch.from_file(file.name, shared=True, size=rows * dim).view(rows, dim)
    except OSError as error:
        raise unwritable(folder or Path(tempfile.gettempdir()), error) from error
