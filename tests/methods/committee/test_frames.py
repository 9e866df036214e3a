"""Pictures as members of another size see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.methods.committee.frames import resize


class Scaled(nn.Module):
    """A picture at another size, each channel scaled, as networks begin."""

    def __init__(self) -> None:
        super().__init__()
        self.resize, self.reads = resize((48, 64), (40, 40)), nn.Conv2d(3, 4, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        scale = torch.tensor([0.2, 0.3, 0.25]).view(1, 3, 1, 1)
        found: Tensor = self.reads((self.resize(pixels) - 0.5) / scale)
        return found


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_tell_a_resized_picture_from_the_scale_of_its_channels(
    engine: str, exported: Callable[[nn.Module, Tensor], dict[str, tuple[NDArray[Any], ...]]]
) -> None:
    torch.manual_seed(0)
    module, pixels = Scaled(), torch.rand(3, 3, 48, 64)
    (found,) = exported(module, pixels)[engine]
    with torch.no_grad():
        np.testing.assert_allclose(found, module(pixels).numpy(), atol=1e-5)
