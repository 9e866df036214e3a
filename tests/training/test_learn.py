"""Known defects on top of a trained model: what it learns from, what it promises, what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import xgboost
from PIL import Image

from flawscope.errors import BundleError, DataError, OptionError
from flawscope.metrics import Interval
from flawscope.runtime import bundle
from flawscope.runtime.images import Frame, load
from flawscope.runtime.inspector import Inspector
from flawscope.station.deploy import deploy
from flawscope.training.gain import Gain
from flawscope.training.learn import LearnResult, learn
from flawscope.training.recipe import LearnRecipe
from flawscope.training.settings import read_recipe
from part_views import PATTERN, write_views
from trained import Trained, write_pictures

FAST = {  # leaves open what judges: a forest or a logistic regression
    "forest": {"kind": "random forest"},
    "segments": {"kind": "one"},
    "detector_scores": True,
    "unsmoothed": False,
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good pictures that the model has not seen, and two kinds of defects."""
    root = tmp_path_factory.mktemp("new")
    write_pictures(root / "good", 60, seed=11)
    write_pictures(root / "defects" / "spot", 6, seed=12, spot=True)
    write_pictures(root / "defects" / "hole", 6, seed=13, spot=True)
    return root


def _learn(trained: Trained, pictures: Path, out: Path, **changes: Any) -> LearnResult:
    values: dict[str, Any] = {
        "model": trained.folder,
        "normals": [pictures / "good"],
        "defects": pictures / "defects",
        "options": FAST,
        "engine": {"name": "onnxruntime"},
    }
    values = {**values, **changes}
    return learn(LearnRecipe.parse({**values, "normals": [str(path) for path in values["normals"]]}), out)


def test_the_kept_recipe_makes_the_same_model(learnt: tuple[LearnResult, Path], tmp_path: Path) -> None:
    result, out = learnt
    kept = LearnRecipe.parse(read_recipe(out / bundle.RECIPE))
    assert kept.calibration.false_rejects == result.bundle.manifest.calibration.alpha
    again = learn(kept, tmp_path / "again").bundle
    assert again.manifest.calibration == result.bundle.manifest.calibration
    assert again.manifest.heatmap == result.bundle.manifest.heatmap
    assert (again.folder / bundle.RECIPE).read_text() == (out / bundle.RECIPE).read_text()


def test_copies_of_defective_pictures_judge_nothing(trained: Trained, pictures: Path, tmp_path: Path) -> None:
    """One stored twice is one picture, of which none is left to judge by; and it cannot be of two kinds."""
    one = pictures / "defects" / "spot" / "000.png"
    for name in ("a.png", "b.png"):
        (tmp_path / "twice").mkdir(exist_ok=True)
        shutil.copy(one, tmp_path / "twice" / name)
    with pytest.raises(DataError, match=r"expected at least 2 pictures.*, got 1"):
        _learn(trained, pictures, tmp_path / "model", defects=tmp_path / "twice")
    for kind in ("one", "other"):
        shutil.copytree(tmp_path / "twice", tmp_path / "kinds" / kind)
    with pytest.raises(DataError, match=r"expected a picture of other alone, got the content of .*one"):
        _learn(trained, pictures, tmp_path / "model", defects=tmp_path / "kinds")


@pytest.fixture(scope="module")
def learnt(
    trained: Trained, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LearnResult, Path]:
    out = tmp_path_factory.mktemp("learnt") / "model"
    return _learn(trained, pictures, out), out


def test_pictures_have_one_role_and_calibration_is_apart(learnt: tuple[LearnResult, Path]) -> None:
    result, _ = learnt
    provenance = result.bundle.manifest.provenance
    digests = [picture.sha256 for picture in provenance.pictures]
    assert len(set(digests)) == len(digests)
    assert result.counts == {"forest": 46, "calibration": 14, "defective": 12}
    roles = ("normal", "tuning", "calibration", "defective")
    assert [provenance.count(role) for role in roles] == [66, 46, 14, 12]
    assert len(result.bundle.manifest.calibration.scores) == 14
    assert result.bundle.manifest.calibration.alpha == 0.2


def test_the_trained_detector_is_reused_as_it_was(trained: Trained, learnt: tuple[LearnResult, Path]) -> None:
    from safetensors.torch import load_file

    before = load_file(trained.folder / bundle.WEIGHTS)
    after = load_file(learnt[1] / bundle.WEIGHTS)
    for name, tensor in before.items():
        assert np.array_equal(tensor.numpy(), after[f"reader.bases.0.{name}"].numpy())


def test_it_tells_spots_from_good_pictures_and_says_by_how_much_better(
    learnt: tuple[LearnResult, Path], tmp_path: Path
) -> None:
    result, out = learnt
    inspector = Inspector.load(out)
    spots = [
        inspector.inspect(path).score
        for path in write_pictures(tmp_path / "s", 4, seed=31, spot=True).iterdir()
    ]
    good = [inspector.inspect(path).score for path in write_pictures(tmp_path / "g", 4, seed=32).iterdir()]
    assert min(spots) > max(good)
    overall, unseen = result.gains
    assert overall.pictures == (46, 12)
    assert overall.after >= 0.95
    assert overall.difference.low <= overall.difference.value <= overall.difference.high
    assert "each kind" in unseen.held_out
    kept = json.loads((out / "gain.json").read_text())
    assert kept["gains"][0]["auroc_after"] == overall.after
    assert [tried["final"] for tried in kept["tried"]] == ["random forest", "logistic regression", "sum"]
    assert [tried["chosen"] for tried in kept["tried"]] == [True, False, False]


def test_no_gain_is_said_plainly(learnt: tuple[LearnResult, Path]) -> None:
    overall = learnt[0].gains[0]
    assert overall.before == 1.0  # spots this dark need no forest
    assert overall.verdict != "gain"


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (
            0.01,
            -0.02,
            0.03,
            "AUROC probably rises, though it may fall: from 0.900 to 0.890 (-2.0 to +3.0 points, 95 %), on",
        ),
        (
            -0.01,
            -0.02,
            0.01,
            "No gain that these pictures can show: AUROC goes from 0.900 to 0.890 (-2.0 to +1.0 points",
        ),
        (
            -0.01,
            -0.02,
            -0.005,
            "AUROC falls from 0.900 to 0.890 (-2.0 to -0.5 points, 95 %): keep the model as it was",
        ),
        (0.01, 0.005, 0.02, "AUROC rises from 0.900 to 0.890 (+0.5 to +2.0 points"),
    ],
)
def test_gain_and_loss_are_said_plainly(value: float, low: float, high: float, words: str) -> None:
    gain = Gain((12, 8), 0.9, 0.89, Interval(value, low, high), "held out by folds")
    assert gain.statement().startswith(words)
    assert gain.statement().endswith("on 12 good and 8 defective pictures, held out by folds.")
    made = replace(gain, synthetic=8).statement()
    assert made.endswith("8 defective pictures (8 of them synthetic), held out by folds.")


def test_the_graph_scores_as_xgboost_does_on_its_features(
    learnt: tuple[LearnResult, Path], pictures: Path
) -> None:
    _, out = learnt
    session = onnxruntime.InferenceSession(out / bundle.GRAPH)
    names = [output.name for output in session.get_outputs()]
    path = next((pictures / "defects" / "spot").iterdir())
    answers = dict(zip(names, session.run(None, {"pixels": load(path, Frame(64, 64))[None]}), strict=True))
    booster = xgboost.Booster()
    booster.load_model(out / "forest.ubj")
    margin = booster.predict(xgboost.DMatrix(answers["features"]), output_margin=True)
    np.testing.assert_allclose(answers["score"], margin, rtol=1e-4, atol=1e-4)


def test_few_pictures_give_the_weaker_promise(trained: Trained, pictures: Path, tmp_path: Path) -> None:
    some = sorted((pictures / "good").iterdir())[:20]
    result = _learn(trained, pictures, tmp_path / "model", normals=some)
    calibration = result.bundle.manifest.calibration
    assert [tried.final for tried in result.tried] == ["logistic regression"]  # nothing is chosen on them
    assert calibration.cross_conformal
    assert len(calibration.scores) == len(result.bundle.manifest.provenance.calibrating) == 20
    assert result.bundle.manifest.provenance.count("calibration") == 0


def test_pictures_that_trained_the_model_are_left_out(
    trained: Trained, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="not learnt from"):
        _learn(
            trained, pictures, tmp_path / "model", normals=sorted((trained.pictures / "good").iterdir())[:12]
        )
    mixed = sorted((trained.pictures / "good").iterdir()) + sorted((pictures / "good").iterdir())
    quick = {"logistic": {}, **{name: value for name, value in FAST.items() if name != "forest"}}
    result = _learn(trained, pictures, tmp_path / "model", normals=mixed, options=quick)
    assert result.known == 66
    assert sum(result.counts.values()) == 60 + 34 + 12


def _copy(pictures: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictures / "defects", tmp_path / "defects"))


def test_no_defects_one_defect_and_a_kind_with_one_are_refused(
    trained: Trained, pictures: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="defective pictures, directly or in a sub-folder"):
        _learn(trained, pictures, tmp_path / "model", defects=empty)
    shutil.copy(next((pictures / "defects" / "spot").iterdir()), empty / "a.png")
    with pytest.raises(DataError, match="one to learn from and one to judge by"):
        _learn(trained, pictures, tmp_path / "model", defects=empty)
    defects = _copy(pictures, tmp_path)
    for path in sorted((defects / "hole").iterdir())[1:]:
        path.unlink()
    with pytest.raises(DataError, match="'hole'"):
        _learn(trained, pictures, tmp_path / "model", defects=defects)
    assert not (tmp_path / "model").exists()


def test_defective_pictures_of_one_part_are_refused(trained: Trained, tmp_path: Path) -> None:
    """What judges one of a part has not learnt from another of it, and there is no other part."""
    good = write_views(tmp_path / "good", 10, seed=61)
    spots = write_views(tmp_path / "spot", 1, first=40, seed=62, spot=True)
    with pytest.raises(DataError, match=r"at least 2 parts, one to learn from .*, got 3 of 1 part"):
        _learn(trained, spots, tmp_path / "model", normals=[good], defects=spots, groups=PATTERN)


def test_a_defective_picture_that_is_a_good_one_is_refused(
    trained: Trained, pictures: Path, tmp_path: Path
) -> None:
    defects = _copy(pictures, tmp_path)
    shutil.copy(pictures / "good" / "003.png", defects / "spot" / "x.png")
    with pytest.raises(DataError, match=r"003\.png"):
        _learn(trained, pictures, tmp_path / "model", defects=defects)
    seen = trained.result.bundle.manifest.provenance.pictures[0]
    (defects / "spot" / "x.png").unlink()
    shutil.copy(trained.pictures / "good" / seen.name, defects / "spot" / "x.png")
    with pytest.raises(DataError, match="from which it was made"):
        _learn(trained, pictures, tmp_path / "model", defects=defects)


def test_a_map_of_another_size_and_reserved_options_are_refused(
    trained: Trained, pictures: Path, tmp_path: Path
) -> None:
    drawn = Image.fromarray(np.tile(np.repeat([0, 1], 20).astype(np.uint8), (30, 1)))
    drawn.save(tmp_path / "map.png")
    segments = {"kind": "static", "map": str(tmp_path / "map.png")}
    with pytest.raises(DataError, match=r"map\.png"):
        _learn(trained, pictures, tmp_path / "model", options={**FAST, "segments": segments})
    beside = {"classifier": {"method": "classifier"}, "classifier_folds": 0}
    with pytest.raises(OptionError, match=r"'classifier_folds'.* have not been learnt from, got 0"):
        _learn(trained, pictures, tmp_path / "model", options={**FAST, **beside})
    with pytest.raises(OptionError, match="'size'"):
        _learn(trained, pictures, tmp_path / "model", options={"size": [32, 32]})


def test_a_station_copy_and_a_segad_model_are_refused(
    trained: Trained, learnt: tuple[LearnResult, Path], pictures: Path, tmp_path: Path
) -> None:
    station = deploy(trained.folder, tmp_path / "station").folder
    for model, word in ((station, "station"), (learnt[1], "segad")):
        with pytest.raises(BundleError, match=word):
            _learn(trained, pictures, tmp_path / "model", model=model, options={})
