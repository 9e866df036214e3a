"""Pictures for segmenters, and what a segmenter becomes when it is exported inside a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.methods.detector import SCORE, Detector, DetectorOptions, Learnt
from flawscope.methods.running import with_tensors
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import OutputSpec
from flawscope.runtime.pipeline import Pipeline
from flawscope.segmenters import Segmenter
from flawscope.training.export import export

Save = Callable[..., Pictures]


class _Labelled(Detector):
    """A detector that answers with its segmenter's labels."""

    name: ClassVar = "labelled"
    Options = DetectorOptions
    outputs = (SCORE, OutputSpec(name="labels", kind="label_map", about="segments"))

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__(DetectorOptions(size=(segmenter.frame.height, segmenter.frame.width)))
        self.segmenter = segmenter

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        raise NotImplementedError

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        labels = self.segmenter(pixels)
        return {"score": labels.float().mean((1, 2)), "labels": labels}


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., dict[str, NDArray[Any]]]:
    """Labels of the exported segmenter on pixels (N, 3, H, W), by engine, as a batch."""

    def run(segmenter: Segmenter, pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        graphs = export(_Labelled(segmenter), tmp_path)
        names = ("onnxruntime", "openvino")
        return {name: Pipeline.in_engine(graphs, name, threads=1).run(pixels)["labels"] for name in names}

    return run


@pytest.fixture
def restored() -> Callable[[Segmenter, Segmenter], Segmenter]:
    """An unfitted segmenter in a detector that is restored from the state of a fitted one's."""

    def restore(unfitted: Segmenter, fitted: Segmenter) -> Segmenter:
        return with_tensors(_Labelled(unfitted), _Labelled(fitted).state_dict()).segmenter

    return restore


@pytest.fixture
def saved(tmp_path: Path) -> Save:
    """Write arrays (H, W, 3) of 8 bits as PNG files, and read them as pictures at a frame."""

    def save(arrays: Sequence[NDArray[np.uint8]], frame: Frame, name: str = "good") -> Pictures:
        folder = tmp_path / name
        folder.mkdir()
        samples = []
        for index, array in enumerate(arrays):
            Image.fromarray(array).save(folder / f"{index:02d}.png")
            samples.append(Sample(folder / f"{index:02d}.png", "train", defective=False))
        return PictureFiles(samples, frame)

    return save
