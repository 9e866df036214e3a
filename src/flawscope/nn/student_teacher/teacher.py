"""A teacher's output, normalised: each channel counts alike in the losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.nn.moments import Moments
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches

_BATCH = 4


@torch.no_grad()
def normalise_output(
    teacher: nn.Sequential, pictures: Pictures, run: Run, watch: Watch, *, prepare: Callable[[Tensor], Tensor]
) -> None:
    """Scale each channel of a network to mean 0 and variance 1 over the pictures, in its last convolution.

    Args:
        teacher: on the run's device; (N, 3, H, W) → (N, C, h, w), its last convolution without activation.
        pictures: the training pictures.
        run: device and training precision.
        prepare: pixels (N, 3, H, W) in [0, 1] → what the teacher takes.

    Raises:
        Stopped: the stop signal was set.
    """
    moments = Moments()
    for pixels in batches(pictures, run, watch, "measuring the teacher", _BATCH):
        with run.autocast():
            moments.add(teacher(prepare(pixels).contiguous(memory_format=torch.channels_last)))
    convolution = [layer for layer in teacher if isinstance(layer, nn.Conv2d)][-1]
    fold_normalisation(convolution, moments.mean.float(), moments.std.float())


def fold_normalisation(convolution: nn.Conv2d, mean: Tensor, std: Tensor) -> None:
    """Change a last convolution so that it gives (output − mean) / std, channel by channel."""
    with torch.no_grad():
        convolution.weight.div_(std.view(-1, 1, 1, 1))
        if convolution.bias is None:
            raise ValueError("a patch description network's convolutions have biases")
        convolution.bias.sub_(mean).div_(std)
