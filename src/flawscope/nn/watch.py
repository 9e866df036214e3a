"""Who watches a run: where it tells how far it is and what it has found, and who may end it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.errors import Stopped
from flawscope.nn.run import Run
from flawscope.progress import Progress, Silent, Stage


def _unheard(text: str) -> None:
    del text


@dataclass(frozen=True, slots=True)
class Watch:
    """By default nobody: silent, and never stopped.

    Whatever takes a watch raises `Stopped` once the stop signal is set, at a point where nothing is lost.

    Attributes:
        progress: where stages are reported.
        stop: set it from a signal handler or another thread to end the run at the next safe point.
        say: takes sentences for the user: costs, remarks.
    """

    progress: Progress = field(default_factory=Silent)
    stop: threading.Event = field(default_factory=threading.Event)
    say: Callable[[str], None] = _unheard

    def stage(self, title: str, total: int) -> AbstractContextManager[Stage]:
        """See `Progress.stage`."""
        return self.progress.stage(title, total)

    def check_stop(self, run: Run) -> None:
        """Raise `Stopped` once the stop signal is set; call it at points where nothing is lost."""
        if self.stop.is_set():
            kept = run.checkpoints.told() if run.checkpoints else ""
            raise Stopped(
                "training",
                expected="to run to its end",
                got="a request to stop",
                fix=f"Run the same command again to go on. {kept}" if kept else "Run the same command again.",
            )

    def wordless(self) -> Watch:
        """The same, for work of many whose sentences nobody should read again and again."""
        return dataclasses.replace(self, say=_unheard)


UNWATCHED = Watch()


def batches(pictures: Pictures, run: Run, watch: Watch, title: str, size: int) -> Iterator[Tensor]:
    """All pictures in a stage of that title: (n, 3, H, W) float32 in [0, 1] on the run's device, n ≤ `size`.

    Raises:
        InputError: a picture that cannot be read.
        Stopped: the watch's stop signal was set.
    """
    device = run.torch_device()
    with watch.stage(title, len(pictures)) as stage:
        for pixels in pictures.batches(size):
            watch.check_stop(run)
            yield torch.from_numpy(pixels).to(device)
            stage.advance(len(pixels))
