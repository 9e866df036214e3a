"""A model of two graphs is inspected, calibrated and deployed as one of a single graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

from brightness_model import SIDE, make_manifest, save_model
from flawscope.errors import BundleError, InputError
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.manifest import StageSpec
from flawscope.station.calibrate import calibrate
from flawscope.station.deploy import deploy

GRAPHS = {
    "maps.onnx": """
<ir_version: 9, opset_import: ["": 18]>
maps (float[n, 3, 16, 16] pixels) => (float[n, 16, 16] heatmap, float[n, 3] mean)
<int64[1] channel = {1}, int64[2] area = {2, 3}>
{
    heatmap = ReduceMean<keepdims = 0>(pixels, channel)
    mean = ReduceMean<keepdims = 0>(pixels, area)
}
""",
    "judge.onnx": """
<ir_version: 9, opset_import: ["": 18]>
judge (float[n, 16, 16] heatmap, float[n, 3] mean) => (float[n] score, float[n, 3] colour)
<int64[2] sides = {1, 2}>
{
    score = ReduceMax<keepdims = 0>(heatmap, sides)
    colour = Identity(mean)
}
""",
}
STAGES = (
    StageSpec(file="maps.onnx", inputs=("pixels",), outputs=("heatmap", "mean")),
    StageSpec(file="judge.onnx", inputs=("heatmap", "mean"), outputs=("score", "colour")),
)


@pytest.fixture
def model(tmp_path: Path) -> Bundle:
    with bundle.writing(tmp_path / "model") as draft:
        for name, text in GRAPHS.items():
            onnx.save(onnx.parser.parse_model(text), str(draft.folder / name))
        draft.manifest = make_manifest(stages=STAGES)
    return draft.bundle


@pytest.fixture
def normals(tmp_path: Path) -> list[Path]:
    random, paths = np.random.default_rng(0), []
    for index in range(5):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(paths[-1])
    return paths


def test_it_answers_as_one_graph_does(model: Bundle, normals: list[Path], tmp_path: Path) -> None:
    one, two = Inspector.load(save_model(tmp_path / "one")), Inspector.load(model)
    for path in normals:
        expected, got = one.inspect(path), two.inspect(path)
        assert got.score == pytest.approx(expected.score, rel=1e-6)
        assert got.outputs.keys() == {"colour"}  # what passes between stages is no output
        assert got.heatmap is not None
        assert expected.heatmap is not None
        np.testing.assert_allclose(got.heatmap, expected.heatmap, rtol=1e-6)


def test_calibration_adds_the_scores_of_its_pictures(model: Bundle, normals: list[Path]) -> None:
    inspector = Inspector.load(model)
    scores = [inspector.inspect(path).score for path in normals]
    result = calibrate(model.folder, normals=[*normals, normals[0]])
    assert (result.added, result.known) == (5, 1)
    before = model.manifest.calibration.scores
    np.testing.assert_allclose(
        result.bundle.manifest.calibration.scores, sorted((*before, *scores)), rtol=1e-6
    )


def test_a_bad_picture_changes_no_calibration(model: Bundle, normals: list[Path]) -> None:
    normals[3].write_bytes(normals[3].read_bytes()[:-40])
    with pytest.raises(InputError, match=r"3\.png"):
        calibrate(model.folder, normals=normals)
    assert bundle.load(model.folder).manifest == model.manifest


def test_all_its_graphs_are_deployed(model: Bundle, tmp_path: Path) -> None:
    copy = deploy(model.folder, tmp_path / "station")
    assert set(GRAPHS) <= {path.name for path in copy.folder.iterdir()}
    assert copy.manifest.stages == STAGES
    (copy.folder / "judge.onnx").unlink()
    with pytest.raises(BundleError, match=r"judge\.onnx"):
        bundle.load(copy.folder)
