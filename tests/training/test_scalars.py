"""Knobs that stay open after training: in the graph, in the manifest, and turned by calibration."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from brightness_model import save_model
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.errors import BundleError, CalibrationError, InputError, OptionError
from flawscope.files import sha256
from flawscope.methods.running import score, with_tensors
from flawscope.nn.run import Run
from flawscope.runtime import bundle
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.listing import list_images
from flawscope.runtime.manifest import heatmap_range, map_level
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.runtime.provenance import seen
from flawscope.runtime.seal import sealed
from flawscope.station.calibrate import calibrate
from flawscope.station.deploy import deploy
from flawscope.training.parity import parity
from trained import Trained, write_pictures
from two_filters import TwoFilters, TwoFiltersOptions


@pytest.fixture
def model(knobbed: Trained, tmp_path: Path) -> Path:
    """A copy of the model with a knob, to change."""
    return Path(shutil.copytree(knobbed.folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def detector(knobbed: Trained) -> TwoFilters:
    weights = knobbed.result.bundle.weights
    assert weights is not None
    return with_tensors(TwoFilters(TwoFiltersOptions()), load_file(weights))


@pytest.fixture
def good(knobbed: Trained) -> list[Path]:
    return list_images(knobbed.pictures / "good")


def pictures_of(paths: list[Path], detector: TwoFilters) -> Pictures:
    return PictureFiles([Sample(path, "train", defective=False) for path in paths], detector.options.frame)


def held_out(model: Path, paths: list[Path]) -> list[Path]:
    """Those of `paths` that fit has not seen."""
    seen = {p.sha256 for p in bundle.load(model).manifest.provenance.pictures if p.role != "calibration"}
    return [path for path in paths if sha256(path) not in seen]


def test_the_graph_and_the_manifest_name_the_scalar(knobbed: Trained) -> None:
    graph = onnx.load(knobbed.folder / "model.onnx").graph
    assert [value.name for value in graph.input] == ["pixels", "local_weight"]
    assert not graph.input[1].type.tensor_type.shape.dim
    (knob,) = knobbed.result.bundle.manifest.scalars
    assert (knob.name, knob.value, knob.low, knob.high) == ("local_weight", 0.25, 0.0, 1.0)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("weight", [None, 0.0, 1.0])
def test_engines_follow_the_detector(
    knobbed: Trained, detector: TwoFilters, name: str, weight: float | None
) -> None:
    if name == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    graphs = Graphs.of(knobbed.result.bundle)
    pictures = pictures_of(list_images(knobbed.pictures / "good")[:4], detector)
    pipeline = Pipeline.in_engine(graphs, name, threads=1)
    turned = pipeline.turned({} if weight is None else {"local_weight": weight})
    (figures,) = parity(detector, [turned], pictures, Run())
    assert max(figures.score_relative, figures.heatmap_relative) < 1e-4


def test_the_option_gives_the_default_and_forward_takes_another(detector: TwoFilters) -> None:
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert detector.options.scalar_values() == {"local_weight": 0.25}
    bare = detector(pixels)["heatmap"]
    fine, coarse = (detector(pixels, local_weight=torch.tensor(end))["heatmap"] for end in (1.0, 0.0))
    torch.testing.assert_close(bare, 0.25 * fine + 0.75 * coarse)


def test_inspection_uses_the_value_in_force(model: Path, knobbed: Trained, detector: TwoFilters) -> None:
    path = list_images(knobbed.pictures / "spot")[0]
    calibrate(model, scalars={"local_weight": 0.9}, normals=list_images(knobbed.pictures / "good"))
    expected = score(detector, pictures_of([path], detector), Run(), scalars={"local_weight": 0.9})
    assert Inspector.load(model).inspect(path).score == pytest.approx(float(expected["score"][0]), rel=1e-5)


def test_reweighing_replaces_scores_range_and_value(
    model: Path, good: list[Path], detector: TwoFilters
) -> None:
    before = bundle.load(model).manifest
    digests = {path.name: sha256(path) for path in model.iterdir() if path.name != bundle.MANIFEST}
    apart = held_out(model, good)
    result = calibrate(model, scalars={"local_weight": 0.7}, normals=good, alpha=0.1)
    assert (result.added, result.known, result.replaced) == (34, 66, 14)
    after = bundle.load(model).manifest
    assert after == result.bundle.manifest
    assert {path.name: sha256(path) for path in model.iterdir() if path.name != bundle.MANIFEST} == digests
    assert after.scalar_values() == {"local_weight": 0.7}
    assert (after.calibration.alpha, after.calibration.delta) == (0.1, before.calibration.delta)
    expected = score(detector, pictures_of(apart, detector), Run(), scalars={"local_weight": 0.7})
    np.testing.assert_allclose(after.calibration.scores, np.sort(expected["score"]), rtol=1e-4)
    levels = heatmap_range(map(map_level, expected["heatmap"])).model_dump()
    assert after.heatmap is not None
    assert after.heatmap.model_dump() == pytest.approx(levels, rel=1e-4)
    assert after.heatmap != before.heatmap
    unchanged = {"calibration", "conditions", "heatmap", "scalars", "provenance"}
    assert after.model_dump(exclude=unchanged) == before.model_dump(exclude=unchanged)


def test_provenance_names_each_picture_once(model: Path, good: list[Path], tmp_path: Path) -> None:
    twice = shutil.copy(held_out(model, good)[0], tmp_path / "twice.png")
    first = calibrate(model, scalars={"local_weight": 0.7}, normals=[*good, Path(twice)])
    assert (first.added, first.known) == (34, 67)
    provenance = first.bundle.manifest.provenance
    assert len({picture.sha256 for picture in provenance.pictures}) == len(provenance.pictures) == 100
    assert (provenance.count("normal"), provenance.count("calibration")) == (66, 34)
    again = calibrate(model, scalars={"local_weight": 0.7}, normals=good)
    assert again.bundle.manifest == first.bundle.manifest
    fewer = calibrate(model, scalars={"local_weight": 0.7}, normals=held_out(model, good)[:20])
    assert fewer.bundle.manifest.provenance.count("calibration") == 20
    added = calibrate(model, normals=good)
    assert (added.added, len(added.bundle.manifest.calibration.scores)) == (14, 34)


def test_the_promise_is_kept_as_far_as_the_pictures_carry_it(model: Path, good: list[Path]) -> None:
    apart = held_out(model, good)
    some = calibrate(model, scalars={"local_weight": 0.7}, normals=apart[:8]).bundle.manifest.calibration
    assert (some.alpha, some.promise) == (0.2, "with_confidence")
    assert some.alpha_kept > 0.2
    assert "6 more" in some.statement()
    average = calibrate(model, scalars={"local_weight": 0.7}, normals=apart, promise="on_average")
    assert average.bundle.manifest.calibration.promise == "on_average"
    kept = calibrate(model, scalars={"local_weight": 0.6}, normals=apart)
    assert kept.bundle.manifest.calibration.promise == "on_average"


@pytest.mark.parametrize(
    ("scalars", "error", "words"),
    [
        ({"locl_weight": 0.7}, OptionError, 'Did you mean "local_weight"'),
        ({"local_weight": 1.5}, OptionError, "expected 0 to 1, got 1.5"),
        ({"local_weight": float("nan")}, OptionError, "expected 0 to 1, got nan"),
    ],
)
def test_wrong_values_change_nothing(
    model: Path, good: list[Path], scalars: Mapping[str, float], error: type[Exception], words: str
) -> None:
    before = sha256(model / bundle.MANIFEST)
    with pytest.raises(error, match=words):
        calibrate(model, scalars=scalars, normals=good)
    assert sha256(model / bundle.MANIFEST) == before


def test_wrong_pictures_change_nothing(model: Path, good: list[Path], tmp_path: Path) -> None:
    before, turned = sha256(model / bundle.MANIFEST), {"local_weight": 0.7}
    apart = held_out(model, good)
    with pytest.raises(OptionError, match="--normals"):
        calibrate(model, scalars=turned)
    with pytest.raises(CalibrationError, match="or those set aside"):
        calibrate(model, scalars=turned, normals=[path for path in good if path not in apart])
    with pytest.raises(CalibrationError, match="at least 5"):
        calibrate(model, scalars=turned, normals=apart[:3])
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"broken\.png"):
        calibrate(model, scalars=turned, normals=[*apart, tmp_path / "broken.png"])
    assert sha256(model / bundle.MANIFEST) == before


def test_a_model_of_folds_needs_new_pictures(model: Path, good: list[Path], tmp_path: Path) -> None:
    found = bundle.load(model)
    folds = Calibration.from_folds([[0.1, 0.2], [0.3]], alpha=0.2)
    provenance = found.manifest.provenance.model_copy(update={"pictures": seen(good, "normal")})
    bundle.replace_manifest(
        found, found.manifest.model_copy(update={"calibration": folds, "provenance": provenance})
    )
    with pytest.raises(CalibrationError, match="all of them serve to train"):
        calibrate(model, scalars={"local_weight": 0.7}, normals=good)
    fresh = list_images(write_pictures(tmp_path / "fresh", 14, seed=7, side=32))
    few = calibrate(model, scalars={"local_weight": 0.7}, normals=fresh[:6]).bundle.manifest.calibration
    assert (few.cross_conformal, few.promise, len(few.scores)) == (False, "on_average", 6)
    bundle.replace_manifest(found, found.manifest.model_copy(update={"calibration": folds}))
    enough = calibrate(model, scalars={"local_weight": 0.7}, normals=fresh).bundle.manifest.calibration
    assert (enough.cross_conformal, enough.promise, len(enough.scores)) == (False, "with_confidence", 14)


def test_the_engine_that_scored_is_the_calibrated_one(model: Path, good: list[Path]) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    assert bundle.load(model).manifest.engine == "onnxruntime"
    result = calibrate(model, scalars={"local_weight": 0.7}, normals=good, engines=[("openvino", "fp32")])
    assert result.bundle.manifest.engine == "openvino"


def test_an_exported_folder_is_reweighed_alike_without_torch(
    model: Path, good: list[Path], tmp_path: Path
) -> None:
    station = deploy(model, tmp_path / "station").folder
    ours = calibrate(model, scalars={"local_weight": 0.7}, normals=good).bundle.manifest
    names = [str(path) for path in good]
    code = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'timm', 'scipy', 'sklearn', 'onnx']))\n"
        "from flawscope.station.calibrate import calibrate\n"
        "model, *normals = map(Path, json.loads(sys.stdin.read()))\n"
        "calibrate(model, scalars={'local_weight': 0.7}, normals=normals)\n"
    )
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], input=json.dumps([str(station), *names]), text=True, check=True
    )
    theirs = bundle.load(station).manifest
    assert theirs.model_dump(exclude={"files"}) == ours.model_dump(exclude={"files"})
    assert sorted(theirs.files) == ["model.onnx"]
    assert deploy(station, tmp_path / "again").manifest.scalar_values() == {"local_weight": 0.7}


def test_another_value_is_another_model(model: Path) -> None:
    found = bundle.load(model)
    before = Inspector.load(found).identity
    turned = bundle.Bundle(model, found.manifest.with_scalars({"local_weight": 0.3}))
    assert Inspector.load(turned).identity != before


def edited(model: Path, **changes: Any) -> Path:
    path = model / bundle.MANIFEST
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(sealed({key: value for key, value in values.items() if value is not None}))
    return model


def test_a_manifest_of_other_scalars_is_refused(model: Path, tmp_path: Path) -> None:
    knob = {"name": "gain", "value": 1.0, "low": 0.0, "high": 2.0}
    with pytest.raises(BundleError, match=r"stage model\.onnx needs local_weight"):
        Inspector.load(edited(model, scalars=[]))
    with pytest.raises(BundleError, match="no stage takes the input gain"):
        Inspector.load(edited(model, scalars=[knob]))
    with pytest.raises(BundleError, match="no stage takes the input gain"):
        Inspector.load(edited(save_model(tmp_path / "plain").folder, scalars=[knob]))
    with pytest.raises(BundleError, match="between 0 and 2"):
        bundle.load(edited(model, scalars=[knob | {"value": 3.0}]))
    with pytest.raises(BundleError, match="different names"):
        bundle.load(edited(model, scalars=[knob, knob]))


def test_an_older_manifest_has_no_scalars(tmp_path: Path) -> None:
    model = edited(save_model(tmp_path / "plain").folder, scalars=None)
    assert "scalars" not in json.loads((model / bundle.MANIFEST).read_text(encoding="utf-8"))
    assert bundle.load(model).manifest.scalars == ()
    assert np.isfinite(Inspector.load(model).inspect(np.zeros((4, 4), np.uint8)).score)
