"""The loop of gradient descent goes on at the step where it was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from flawscope.errors import Stopped
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.training.loop import Loop
from flawscope.nn.watch import UNWATCHED, Watch


def learn(
    run: Run, made: list[int], *, watch: Watch = UNWATCHED, stop_after: int | None = None
) -> tuple[nn.Linear, Loop]:
    """Six steps of Adam on noise that the step's own seed draws; `made` gets the number of each."""
    torch.manual_seed(0)
    network = nn.Linear(4, 1)

    def step(number: int) -> dict[str, torch.Tensor]:
        made.append(number)
        if number + 1 == stop_after:
            watch.stop.set()
        return {"total": (network(torch.randn(8, 4)) - 1).square().mean()}

    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    loop = Loop("tiny", 6, network, optimiser, run, watch, step, schedule=lambda number: 0.9**number)
    loop.go()
    return network, loop


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_a_stopped_loop_makes_each_step_once_and_ends_the_same(tmp_path: Path, steps: int) -> None:
    whole, straight = learn(Run(), [])
    run, made = Run(checkpoints=Checkpoints(tmp_path)), list[int]()
    with pytest.raises(Stopped, match="Run the same command again"):
        learn(run, made, watch=Watch(), stop_after=steps)
    resumed, loop = learn(run, made)
    assert made == [0, 1, 2, 3, 4, 5]
    assert loop.history == straight.history
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_finished_loop_is_not_run_again(tmp_path: Path) -> None:
    run, made = Run(checkpoints=Checkpoints(tmp_path)), list[int]()
    first, _ = learn(run, made)
    again, _ = learn(run, made)
    assert made == [0, 1, 2, 3, 4, 5]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
