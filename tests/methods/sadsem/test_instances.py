"""SADSeM upon instances: annotations decide, features are the fine-tuned network's, one graph holds all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.methods.detector import Detector
from flawscope.methods.fit_once import fit_once
from flawscope.methods.registry import create
from flawscope.methods.running import score, with_tensors
from flawscope.methods.sadsem.detector import SADSeM
from flawscope.methods.sadsem.options import SADSeMOptions
from flawscope.nn.run import Checkpoints, Run
from flawscope.runtime.pipeline import Pipeline
from flawscope.segmenters.instances.segmenter import Instances
from flawscope.training.export import export
from instances_small import SMALL, annotated_bars

OPTIONS: dict[str, Any] = {
    "size": (64, 64),
    "weights": "random",
    "backbone": "resnet18",
    "segments": {"kind": "instances", **SMALL},
    "background": True,
    "masks": {"side": 8},
}


def test_annotations_decide_which_segmenter_learns() -> None:
    options = SADSeMOptions(weights="random")
    assert options.segmenter(annotated=False).kind == "components"
    assert options.segmenter(annotated=True).kind == "instances"
    assert not options.takes_segmenter("components")
    assert options.takes_segmenter("instances")
    assert not SADSeMOptions(features="backbone").takes_segmenter("instances")
    restored = SADSeM(options, {"annotated": True})
    assert isinstance(restored.network.segmenter, Instances)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return annotated_bars(tmp_path_factory.mktemp("bars"), 6)[0]


@pytest.fixture(scope="module")
def taught(pictures: Pictures) -> SADSeM:
    detector = create("sadsem", OPTIONS)
    assert isinstance(detector, SADSeM)
    normal, tuning = pictures.subset(range(4)), pictures.subset(range(4, 6))
    return detector.fit(TrainingData(normal=normal, tuning=tuning, parts=normal), Run())


def test_features_are_the_fine_tuned_networks(taught: SADSeM, pictures: Pictures) -> None:
    facts: Any = taught.learnt.facts
    assert taught.network.neutral is None
    assert facts["names"] == ["background", "bar", "plate"]
    assert facts["annotated"]
    answers = score(taught, pictures, Run())
    assert np.isfinite(answers["score"]).all()
    restored = with_tensors(SADSeM(taught.options, facts), taught.state_dict())
    np.testing.assert_array_equal(score(restored, pictures, Run())["score"], answers["score"])


def test_pictures_that_nobody_annotated_are_refused(pictures: Pictures) -> None:
    bare = TrainingData(normal=pictures.subset(range(4)), tuning=pictures.subset(range(4, 6)))
    with pytest.raises(DataError, match="annotated pictures: expected at least 1"):
        create("sadsem", OPTIONS).fit(bare, Run())


@pytest.mark.slow
def test_one_graph_finds_instances_and_judges_them(
    taught: SADSeM, pictures: Pictures, tmp_path: Path
) -> None:
    answers = score(taught, pictures, Run())
    graphs = export(taught, tmp_path)
    assert len(graphs.stages) == 1
    pipeline = Pipeline.in_engine(graphs, "onnxruntime", "fp32")
    for index, answer in enumerate(pipeline.score(list(pictures))):
        np.testing.assert_allclose(answer["heatmap"], answers["heatmap"][index], atol=1e-2)


def test_fine_tuning_is_part_of_what_is_expected() -> None:
    few, many = (
        create("sadsem", {**OPTIONS, "segments": {"kind": "instances", **SMALL, "steps": steps}}).needs().cost
        for steps in (1, 5000)
    )
    assert few is not None
    assert many is not None
    assert 0 < 20 * few(4).seconds < many(4).seconds


def test_other_annotations_are_another_fit(pictures: Pictures, tmp_path: Path) -> None:
    run, frame = Run(trained=Checkpoints(tmp_path)), pictures.frame

    def fitted(parts: Pictures) -> Detector:
        fresh = create("padim", {"size": (64, 64), "weights": "random", "backbone": "resnet18"})
        return fit_once(fresh, TrainingData(pictures.subset(range(4)), pictures.subset([]), parts=parts), run)

    samples = pictures.subset(range(2)).samples
    corrected = [replace(sample, parts=sample.parts[:-1]) for sample in samples]
    fitted(PictureFiles(samples, frame))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    fitted(PictureFiles(samples, frame))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    fitted(PictureFiles(corrected, frame))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
