"""The loop of gradient descent: seeded step by step, kept in checkpoints, resumed to the same result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from flawscope.errors import OptionError
from flawscope.nn.memory import memory_kept
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch

SAVE_EVERY = 60.0  # seconds of work that a stop without warning may lose
HISTORY = 500  # points of a loss curve
_STEP_SEED = 0x57E9
_CHECKS = 4  # looks at the loss within the patience

Losses = Mapping[str, Tensor]


@dataclass(slots=True)
class Loop:
    """A training of `steps` steps. On a processor the same seed and number of threads give the same result.

    Attributes:
        name: of the checkpoint.
        steps: how many.
        network: what learns, on the run's device; its state is kept.
        optimiser: over the network's parameters; its state is kept.
        run: seed, device and checkpoints.
        watch: progress and stop signal.
        step: the losses of a step by its number, `total` among them. The network is in training mode then;
            what shall be in evaluation mode is put there by the step.
        schedule: factor of the learning rate at a step.
        clip: largest norm of the gradient over all parameters, to which a longer one is cut; None: any.
        finished: asked after each step; True ends the training early. Its own state lies in `memory`.
        memory: tensors that `finished` wants kept in the checkpoint.
        history: loss by name at every few steps, with `step` and `learning_rate`.
    """

    name: str
    steps: int
    network: nn.Module
    optimiser: torch.optim.Optimizer
    run: Run
    watch: Watch
    step: Callable[[int], Losses]
    schedule: Callable[[int], float] = lambda step: 1.0
    clip: float | None = None
    finished: Callable[[int], bool] = lambda step: False
    memory: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def go(self) -> list[dict[str, float]]:
        """Train the network in place, from the checkpoint if there is one; returns the history.

        It learns in channels-last order; however that ends, it is frozen and in evaluation mode afterwards.

        Raises:
            OptionError: a loss that is not finite.
            Stopped: the stop signal was set; a checkpoint holds what was done.
        """
        self.network.to(memory_format=torch.channels_last).requires_grad_(True)
        device = self.run.torch_device()
        try:
            with memory_kept(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                self._all()
        finally:
            self.network.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
        return self.history

    def _all(self) -> None:
        rates = [group["lr"] for group in self.optimiser.param_groups]
        done, ended = self._resumed()
        saved = time.monotonic()
        with self.watch.stage("training", self.steps) as stage:
            stage.advance(done)
            while done < self.steps and not ended:
                if self.watch.stop.is_set():
                    self._save(done, ended=False)
                    self.watch.check_stop(self.run)
                self._one(done, rates)
                done += 1
                ended = self.finished(done)
                stage.advance()
                if time.monotonic() - saved > SAVE_EVERY:
                    self._save(done, ended=ended)
                    saved = time.monotonic()
            if ended:
                stage.advance(self.steps - done)
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        self._save(done, ended=True)

    def _one(self, number: int, rates: list[float]) -> None:
        torch.manual_seed(int(self.run.generator(_STEP_SEED, number).initial_seed()))
        factor = self.schedule(number)
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        losses = self.step(number)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimiser.step()
        if number % max(1, self.steps // HISTORY) == 0 or number == self.steps - 1:
            values = {name: float(value.detach()) for name, value in losses.items()}
            _require_finite(values, number)
            self.history.append({"step": float(number + 1), **values, "learning_rate": rates[0] * factor})

    def _save(self, done: int, *, ended: bool) -> None:
        if self.run.checkpoints is None:
            return
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        tensors |= {f"memory.{name}": value for name, value in self.memory.items()}
        if self.history:
            names = list(self.history[0])
            table = [[entry[name] for name in names] for entry in self.history]
            tensors[f"history.{','.join(names)}"] = torch.tensor(table, dtype=torch.float64)
        tensors["done"] = torch.tensor([done, int(ended)])
        self.run.checkpoints.save(self.name, tensors)

    def _resumed(self) -> tuple[int, bool]:
        kept = self.run.checkpoints.load(self.name) if self.run.checkpoints else None
        if kept is None:
            return 0, False
        network = _under("network.", kept)
        if {name: value.shape for name, value in network.items()} != {
            name: value.shape for name, value in self.network.state_dict().items()
        }:
            return 0, False  # the checkpoint of another training
        self.network.load_state_dict(network)
        self._restore_optimiser(_under("optimiser.", kept))
        self.memory.update(_under("memory.", kept))
        for names, table in _under("history.", kept).items():
            keys = names.split(",")
            self.history[:] = [dict(zip(keys, row, strict=True)) for row in table.tolist()]
        done, ended = kept["done"].tolist()
        return done, bool(ended) and done <= self.steps

    def _restore_optimiser(self, kept: Mapping[str, Tensor]) -> None:
        described = self.optimiser.state_dict()
        parameters = [value for group in self.optimiser.param_groups for value in group["params"]]
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in kept.items():
            index, _, name = key.partition(".")
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:  # fused steps need the parameter's own memory order
                value = torch.empty_like(parameter).copy_(value)  # noqa: PLW2901
            states.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({**described, "state": states})


def _require_finite(losses: Mapping[str, float], number: int) -> None:
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    if wrong:
        raise OptionError(
            "training",
            expected="finite losses",
            got=f"{', '.join(wrong)} beyond all bounds at step {number + 1}",
            fix="Lower learning_rate, or train with precision=fp32.",
        )


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class Patience:
    """Ends a training once a loss has not become smaller for some steps: `finished` of a `Loop`.

    Args:
        steps: after which the training ends; 0: never.
        loss: on pictures that are not learnt from, asked for four times within those steps.

    Attributes:
        memory: of the `Loop`: the smallest loss, and the step after which it was.
    """

    def __init__(self, steps: int, loss: Callable[[], float]) -> None:
        self.steps, self.loss = steps, loss
        self.memory = {"best": torch.tensor([float("inf"), 0.0], dtype=torch.float64)}

    def __call__(self, done: int) -> bool:
        """Whether to end after `done` steps."""
        if not self.steps or done % max(1, self.steps // _CHECKS):
            return False
        best, best_step = self.memory["best"].tolist()
        loss = self.loss()
        if loss < best:
            self.memory["best"] = torch.tensor([loss, float(done)], dtype=torch.float64)
            return False
        return bool(done - best_step >= self.steps)
