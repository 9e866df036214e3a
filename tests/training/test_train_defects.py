"""Training with known defects: roles, what is left for testing, companions, and refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flawscope.data.layouts import read_dataset
from flawscope.data.training import Unseen
from flawscope.errors import DataError, OptionError
from flawscope.methods.segad import SegAD
from flawscope.methods.segad.table import Table
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime import bundle
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.provenance import seen
from flawscope.station.evaluate import evaluate
from flawscope.training.recipe import Recipe
from flawscope.training.settings import read_recipe
from flawscope.training.train import TrainResult, train
from trained import OPTIONS, recipe, write_pictures

SEGAD = {
    "size": [64, 64],
    "detectors": [{"method": "patchcore", "options": {k: v for k, v in OPTIONS.items() if k != "size"}}],
    "segments": {"kind": "one"},
    "forest": {"kind": "random forest"},
}


# learns from defects too, and is quicker to export
CLASSIFIER = {
    "method": "classifier",
    "options": {"size": [64, 64], "backbone": "test_resnet", "weights": "random", "steps": 1},
}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("defects") / "product"
    write_pictures(root / "good", 100)
    write_pictures(root / "spot", 10, seed=1, spot=True)
    write_pictures(root / "stain", 6, seed=2, spot=True)
    return root


def _recipe(product: Path, **changes: Any) -> Recipe:
    return recipe(product, **{"method": "segad", "options": SEGAD, "split": {"defective": 8}, **changes})


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the user is told while `made` is trained; its fit has a remark."""
    return []


@pytest.fixture(scope="module")
def made(product: Path, said: list[str], tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    collect = SegAD.collect

    def remarking(self: SegAD, unseen: Unseen, run: Run, watch: Watch) -> Table:
        watch.say("maps differ")
        return collect(self, unseen, run, watch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SegAD, "collect", remarking)
        return train(
            _recipe(product), tmp_path_factory.mktemp("made") / "model", Run(), Watch(say=said.append)
        )


def test_drawn_defects_have_a_role_and_half_of_the_rest_grows_the_forest(made: TrainResult) -> None:
    assert made.counts == {
        "training": 36,
        "tuning": 30,
        "calibration": 14,
        "held_out_test": 20,
        "defective": 8,
    }
    provenance = made.bundle.manifest.provenance
    assert provenance.count("defective") == 8
    assert len({picture.sha256 for picture in provenance.pictures}) == 36 + 30 + 14 + 8


def test_drawn_defects_are_not_tested_on(made: TrainResult, product: Path) -> None:
    evaluation = evaluate(Inspector.load(made.bundle.folder), read_dataset(product))
    assert evaluation.truth()[0].sum() == 8
    assert evaluation.detection["auroc"].value == 1.0


def test_the_forest_lies_beside_the_graph_in_xgboosts_own_format(made: TrainResult) -> None:
    assert "forest.ubj" in made.bundle.manifest.files
    assert not any(name.endswith((".pkl", ".pt", ".joblib")) for name in made.bundle.manifest.files)


def test_the_kept_recipe_makes_the_same_model(made: TrainResult, tmp_path: Path) -> None:
    again = train(Recipe.parse(read_recipe(made.bundle.folder / "recipe.yaml")), tmp_path / "again", Run())
    ours = made.bundle.manifest.calibration.scores
    np.testing.assert_allclose(again.bundle.manifest.calibration.scores, ours, rtol=1e-5)


def test_withheld_kinds_are_not_learnt_from(product: Path, tmp_path: Path) -> None:
    split = {"defective": 6, "withheld": ["spot"]}
    result = train(_recipe(product, split=split, **CLASSIFIER), tmp_path / "model", Run())
    known = {p.sha256 for p in result.bundle.manifest.provenance.pictures if p.role == "defective"}
    assert known == {picture.sha256 for picture in seen((product / "stain").iterdir(), "defective")}


def test_a_folder_of_defects_serves_too_and_repeats_are_refused(product: Path, tmp_path: Path) -> None:
    defects = tmp_path / "defects"
    shutil.copytree(product / "spot", defects / "spot")
    good = product / "good"
    values = {"data": {"folder": str(good), "defects": str(defects)}, "split": {}, **CLASSIFIER}
    result = train(_recipe(good, **values), tmp_path / "model", Run())
    assert result.counts["defective"] == 10
    shutil.copy(good / "007.png", defects / "spot" / "zz.png")
    with pytest.raises(DataError, match=r"zz.png.*007.png"):
        train(_recipe(good, **values), tmp_path / "other", Run())
    assert not (tmp_path / "other" / bundle.MANIFEST).exists()


def test_more_defects_than_there_are_end_before_any_work(product: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at most the 16"):
        train(_recipe(product, split={"defective": 17}), tmp_path / "model", Run())
    assert not (tmp_path / "model").exists()


def test_one_defect_is_too_few(product: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2 for segad"):
        train(_recipe(product, split={"defective": 1}), tmp_path / "model", Run())


def test_what_fit_says_reaches_the_user(made: TrainResult, said: list[str]) -> None:
    assert made.counts
    assert said[-1] == "maps differ"
