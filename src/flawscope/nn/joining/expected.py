"""How far a good patch usually lies from the bank, told by its feature: an even measure for all patches."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.nn.banks.preflight import fastest
from flawscope.nn.run import Run
from flawscope.nn.training.loop import Loop, Losses
from flawscope.nn.watch import Watch

_HIDDEN, _BATCH, _NOISE, _RATE, _DECAY = 64, 2048, 0.1, 3e-3, 1e-2
_LEAST = 1e-3  # added to distances before the logarithm
_STILL = 1e-3  # share of the largest deviation below which a channel says nothing
_SEED = 0xE8BEC7
_RISE, _FIRST, _LAST = 0.3, 1 / 25, 1 / 250_000  # of one cycle of the learning rate


class ExpectedDistance(nn.Module):
    """Divides a patch's distance by what patches like it usually have, smoothly in the feature.

    A small network tells the standardised logarithm of a good patch's distance to the members that do not
    come from its own picture: patches of a print or a rough edge lie far from all others and are good all the
    same. Being smooth, it makes no jump where another member becomes the nearest one, as a division by the
    nearest member's own spacing would. It never goes beyond the distances that it has seen.

    Args:
        dim: length of a feature, D.
        power: how much of it is divided by: 0 nothing, 1 all.
    """

    mean: Tensor
    deviation: Tensor
    spread: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, dim: int, power: float) -> None:
        super().__init__()
        self.power = power
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))
        for name in ("spread", "lowest", "highest"):
            self.register_buffer(name, torch.zeros(()))
        self.network = nn.Sequential(
            *(nn.Linear(dim, _HIDDEN), nn.BatchNorm1d(_HIDDEN), nn.LeakyReLU(0.2)),
            *(nn.Linear(_HIDDEN, _HIDDEN), nn.BatchNorm1d(_HIDDEN), nn.LeakyReLU(0.2)),
            nn.Linear(_HIDDEN, 1),
        )
        self.requires_grad_(False).eval()

    def forward(self, patches: Tensor) -> Tensor:
        """Factors (n,) for the distances of patches (n, D)."""
        usual = self.network((patches - self.mean) / self.deviation).squeeze(1)  # (n,)
        usual = torch.maximum(torch.minimum(usual, self.highest), self.lowest)
        return torch.exp(-self.power * self.spread * usual)

    def seconds(self, steps: int) -> float:
        """What `learn` takes on the CPU for so many steps, from a probe."""
        probed, rows = (
            copy.deepcopy(self.network).requires_grad_(True).train(),
            torch.rand(_BATCH, len(self.mean)),
        )

        def step() -> None:
            probed(rows + _NOISE * torch.randn(rows.shape)).sum().backward()

        return steps * fastest(step)

    def learn(
        self, patches: Tensor, distances: Tensor, *, steps: int, run: Run, watch: Watch, name: str
    ) -> list[dict[str, float]]:
        """Learn anew from good patches (n, D) and their distances (n,) to patches of other pictures.

        Returns:
            the loss over the steps.

        Raises:
            Stopped: the stop signal was set; the same call resumes where it was.
        """
        for layer in self.network:
            if isinstance(layer, nn.Linear | nn.BatchNorm1d):
                layer.reset_parameters()
        logs = (distances + _LEAST).log()
        deviation, self.mean = torch.std_mean(patches, 0, correction=0)  # (D,) each
        self.deviation = torch.where(deviation > _STILL * deviation.amax(), deviation, 1.0)
        self.spread = logs.std(correction=0)
        inputs = (patches - self.mean) / self.deviation
        targets = (logs - logs.mean()) / (self.spread if self.spread > 0 else 1.0)
        self.lowest, self.highest = torch.aminmax(targets)

        def step(number: int) -> Losses:
            draw = run.generator(_SEED, number)
            rows = torch.randint(len(inputs), (_BATCH,), generator=draw)
            noise = _NOISE * torch.randn(_BATCH, inputs.shape[1], generator=draw)
            found = self.network(inputs[rows.to(inputs.device)] + noise.to(inputs)).squeeze(1)
            return {"total": F.smooth_l1_loss(found, targets[rows.to(inputs.device)])}

        optimiser = torch.optim.AdamW(self.network.parameters(), _RATE, weight_decay=_DECAY)
        return Loop(
            name, steps, self.network, optimiser, run, watch, step, schedule=lambda done: _cycle(done / steps)
        ).go()


def _cycle(done: float) -> float:
    """Factor of the learning rate at a share of the steps: a cosine up to 1, then one down to nothing."""
    if done < _RISE:
        return _FIRST + (1 - _FIRST) * (1 - math.cos(math.pi * done / _RISE)) / 2
    return _LAST + (1 - _LAST) * (1 + math.cos(math.pi * (done - _RISE) / (1 - _RISE))) / 2
