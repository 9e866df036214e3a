"""Detectors that learn from scenes of coloured squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coloured_squares import SIDE, SMALL, Coloured, Scene, scene
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.methods.registry import create
from flawscope.methods.sadsem import network
from flawscope.methods.sadsem.detector import SADSeM
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.segmenter import SegmenterOptions


@pytest.fixture
def taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SADSeM]:
    """A detector that has learnt from scenes; the training scenes may be given."""
    monkeypatch.setattr(
        network, "build_segmenter", lambda options, frame: Coloured(SegmenterOptions(kind="coloured"), frame)
    )

    def pictures(name: str, scenes: Sequence[Scene]) -> Pictures:
        samples = []
        for number, picture in enumerate(scenes):
            path = tmp_path / f"{name}-{number}.png"
            Image.fromarray(picture).save(path)
            samples.append(Sample(path, "train", defective=False))
        return PictureFiles(samples, Frame(SIDE, SIDE))

    def make(training: Sequence[Scene] = (), watch: Watch = UNWATCHED, **options: Any) -> SADSeM:
        detector = create("sadsem", {**SMALL, **options})
        assert isinstance(detector, SADSeM)
        normal = pictures("good", list(training) or [scene(seed) for seed in range(8)])
        tuning = pictures("tuning", [scene(seed) for seed in range(20, 24)])
        return detector.fit(TrainingData(normal=normal, tuning=tuning), Run(), watch)

    return make
