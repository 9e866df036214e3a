"""Which pictures a detector is fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch


def watched_fits(monkeypatch: pytest.MonkeyPatch, kind: type) -> list[set[Path]]:
    """The files of each call of `kind.fit`."""
    seen: list[set[Path]] = []
    fit = kind.fit

    def watched(self: Any, data: TrainingData, run: Run, watch: Watch = UNWATCHED) -> Any:
        parts = (data.normal, data.tuning, data.defective)
        seen.append({sample.path for part in parts if part for sample in part.samples})
        return fit(self, data, run, watch)

    monkeypatch.setattr(kind, "fit", watched)
    return seen


def paths_of(*parts: Pictures | None) -> set[Path]:
    return {sample.path for part in parts if part for sample in part.samples}
