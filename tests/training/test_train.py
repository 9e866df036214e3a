"""Training end to end: roles, calibration, resuming, and what stops it early."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flawscope.errors import CalibrationError, DataError, InputError, OptionError, OutputError, Stopped
from flawscope.folders import claimed
from flawscope.methods.detector import Detector
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.progress import Silent
from flawscope.runtime import bundle
from flawscope.runtime.inspector import Inspector
from flawscope.training.recipe import Recipe
from flawscope.training.settings import read_recipe
from flawscope.training.train import UNFINISHED, train
from trained import LIMITED, Trained, recipe, write_pictures
from zoo import ZOO


def test_every_picture_has_one_role_and_calibration_is_apart(trained: Trained) -> None:
    provenance = trained.result.bundle.manifest.provenance
    digests = [picture.sha256 for picture in provenance.pictures]
    assert len(set(digests)) == len(digests)
    assert trained.result.counts == {"training": 66, "tuning": 0, "calibration": 14, "held_out_test": 20}
    assert [provenance.count(role) for role in ("normal", "tuning", "calibration")] == [66, 0, 14]


def test_the_stored_scores_are_those_of_the_engine_that_runs(trained: Trained) -> None:
    manifest = trained.result.bundle.manifest
    calibration = {picture.name for picture in manifest.provenance.pictures if picture.role == "calibration"}
    inspector = Inspector.load(trained.folder)
    paths = [path for path in sorted((trained.pictures / "good").iterdir()) if path.name in calibration]
    scores = sorted(inspector.inspect(path).score for path in paths)
    np.testing.assert_allclose(scores, manifest.calibration.scores, rtol=1e-5)


def test_the_model_tells_spots_from_good_pictures(trained: Trained, tmp_path: Path) -> None:
    inspector = Inspector.load(trained.folder)
    spotted = [inspector.inspect(path).score for path in sorted((trained.pictures / "spot").iterdir())]
    fresh = write_pictures(tmp_path / "fresh", 6, seed=9)
    assert min(spotted) > max(inspector.inspect(path).score for path in fresh.iterdir())


def test_the_kept_recipe_is_resolved_and_makes_the_same_model(trained: Trained, tmp_path: Path) -> None:
    again = Recipe.parse(read_recipe(trained.folder / "recipe.yaml"))
    assert again.preset is None
    assert "neighbourhood" in again.options
    repeated = train(again, tmp_path / "again", Run(seed=again.seed))
    ours = trained.result.bundle.manifest.calibration
    np.testing.assert_allclose(repeated.bundle.manifest.calibration.scores, ours.scores, rtol=1e-6)


def small(pictures: Path) -> Recipe:
    return recipe(pictures, options=LIMITED)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model of 30 good pictures, too few to set any aside."""
    root = tmp_path_factory.mktemp("few")
    pictures = write_pictures(root / "good", 30)
    return Trained(root / "model", pictures, train(small(pictures), root / "model", Run()))


def test_few_pictures_get_the_weaker_promise_and_say_so(few: Trained) -> None:
    result = few.result
    calibration = result.bundle.manifest.calibration
    assert calibration.cross_conformal
    assert len(calibration.scores) == 30
    assert len(result.bundle.manifest.provenance.calibrating) == 30
    assert "weaker promise" in result.statement


def test_a_trained_model_is_not_replaced_unasked(trained: Trained) -> None:
    with pytest.raises(OptionError, match="--overwrite"):
        train(recipe(trained.pictures), trained.folder, Run())


def test_two_trainings_never_take_each_others_place(few: Trained, tmp_path: Path) -> None:
    (tmp_path / UNFINISHED).mkdir()
    wish = recipe(few.pictures, options=LIMITED)
    with claimed(tmp_path / UNFINISHED), pytest.raises(OptionError, match="another training is at work in"):
        train(wish, tmp_path, Run())
    with claimed(tmp_path / UNFINISHED) as free:
        assert free


def test_too_few_or_no_pictures_end_before_any_work(tmp_path: Path) -> None:
    one = write_pictures(tmp_path / "one", 1)
    with pytest.raises(DataError, match="at least 5"):
        train(recipe(one), tmp_path / "model", Run())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        train(recipe(tmp_path / "empty"), tmp_path / "model", Run())
    assert not (tmp_path / "model").exists()


def test_too_few_to_calibrate_on_end_before_any_work(tmp_path: Path) -> None:
    pictures, said = write_pictures(tmp_path / "good", 12), list[str]()
    for promise in ({}, {"promise": "on_average", "false_rejects": 0.2}):
        wish = recipe(pictures, split={"calibration": 0.1}, calibration=promise)
        with pytest.raises(CalibrationError, match="that training has not seen, got 1"):
            train(wish, tmp_path / "model", Run(), Watch(say=said.append))
    assert not [sentence for sentence in said if "Expected" in sentence]
    assert not (tmp_path / "model" / UNFINISHED).exists()


def test_folders_that_the_method_does_not_learn_from_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, pictures = list[str](), write_pictures(tmp_path / "good", 12)
    natural = write_pictures(tmp_path / "natural", 1)

    def stop(*_: object) -> None:
        raise DataError("fit", expected="", got="", fix="")

    monkeypatch.setattr(Detector, "fit", stop)
    data = {"folder": str(pictures), "defects": str(tmp_path / "defects"), "natural": str(natural)}
    with pytest.raises(DataError, match="fit"):
        train(recipe(pictures, data=data), tmp_path / "model", Run(), Watch(say=said.append))
    told = [sentence for sentence in said if sentence.startswith("patchcore does not learn from")]
    assert len(told) == 2
    assert f"defects: {tmp_path / 'defects'} is left out" in told[0]


def test_a_split_that_the_method_cannot_learn_from_ends_before_its_cost_is_told(tmp_path: Path) -> None:
    pictures, said = write_pictures(tmp_path / "good", 12), list[str]()
    wish = recipe(pictures, method="committee", options=ZOO["committee"][1].options, split={"tuning": 0})
    with pytest.raises(DataError, match="tuning pictures: expected at least 2"):
        train(wish, tmp_path / "model", Run(), Watch(say=said.append))
    assert not [sentence for sentence in said if "Expected" in sentence]


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "good", 12)
    (pictures / "005.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"005\.png"):
        train(recipe(pictures), tmp_path / "model", Run())


def test_how_the_folder_was_read_is_said(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "nut/OK", 20).parent
    write_pictures(folder / "goood", 1, seed=1)
    (folder / "OK/share").symlink_to(tmp_path / "unmounted")
    stop, lines = threading.Event(), list[str]()
    stop.set()
    with pytest.raises(Stopped):
        train(recipe(folder), tmp_path / "model", Run(), Watch(Silent(), stop, lines.append))
    assert lines[0] == "nut, read as folder: OK (good): 20 train; goood (defective): 1 test."
    assert lines[1].startswith("Is that right? goood: 1 picture counts as defective.")
    assert lines[2] == "1 left out (a link that leads nowhere): OK/share."


def test_an_unwritable_place_is_found_before_any_work(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "good", 12)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="expected a place that can be written"):
        train(recipe(pictures), tmp_path / "file" / "model", Run())


class _StopDuring:
    """Progress that asks for a stop once the stage `title` has advanced."""

    def __init__(self, title: str, stop: threading.Event) -> None:
        self.title, self.stop = title, stop
        self.current = ""

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[_StopDuring]:
        before, self.current = self.current, title
        yield self
        self.current = before

    def advance(self, steps: int = 1) -> None:
        if self.current == self.title:
            self.stop.set()


def test_a_stop_before_anything_is_learnt_names_no_folder(few: Trained, tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(Stopped, match=r"Run the same command again\.$"):
        train(
            small(few.pictures), tmp_path / "cut", Run(), Watch(_StopDuring("reading features", stop), stop)
        )


@pytest.mark.parametrize("stage", ["selecting the coreset", "cross-conformal folds"])
def test_interrupted_training_resumes_to_the_same_model(few: Trained, tmp_path: Path, stage: str) -> None:
    stop = threading.Event()
    with pytest.raises(Stopped, match="Run the same command again"):
        train(small(few.pictures), tmp_path / "cut", Run(), Watch(_StopDuring(stage, stop), stop))
    assert not (tmp_path / "cut" / bundle.MANIFEST).exists()
    resumed = train(small(few.pictures), tmp_path / "cut", Run())
    theirs = few.result.bundle.manifest.calibration.scores
    assert resumed.bundle.manifest.calibration.scores == theirs
    assert not (tmp_path / "cut" / ".unfinished").exists()


def test_work_on_another_split_is_not_taken_up(tmp_path: Path) -> None:
    """Defective pictures that appear meanwhile set good ones aside for tests; a fold has learnt from them."""
    product, out = tmp_path / "product", tmp_path / "cut"
    write_pictures(product / "good", 20)

    def kept() -> set[Path]:
        stop = threading.Event()
        with pytest.raises(Stopped):
            train(small(product), out, Run(), Watch(_StopDuring("selecting the coreset", stop), stop))
        return {path for path in (out / UNFINISHED).iterdir() if path.is_dir()}

    before = kept()
    assert kept() == before
    write_pictures(product / "spot", 2, seed=1, spot=True)
    assert len(kept() - before) == 1


def test_copies_of_good_pictures_have_no_part(tmp_path: Path) -> None:
    pictures, said = write_pictures(tmp_path / "good", 20), list[str]()
    for path in sorted(pictures.iterdir())[:8]:
        shutil.copy(path, pictures / f"copy_{path.name}")
    made = train(small(pictures), tmp_path / "model", Run(), Watch(say=said.append)).bundle.manifest
    contents = [one.sha256 for one in made.provenance.pictures]
    assert len(contents) == len(set(contents)) == 20
    assert any(
        line.startswith("8 of 28 good pictures are copies of others and are left out") for line in said
    )


def test_the_time_expected_counts_all_of_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export and checks take longer than the choice of a few patches."""
    said, pictures = list[str](), write_pictures(tmp_path / "good", 12)

    def stop(*_: object) -> None:
        raise DataError("fit", expected="", got="", fix="")

    monkeypatch.setattr(Detector, "fit", stop)
    with pytest.raises(DataError, match="fit"):
        train(recipe(pictures), tmp_path / "model", Run(), Watch(say=said.append))
    (expected,) = [sentence for sentence in said if sentence.startswith("Expected: ")]
    assert expected.startswith("Expected: about ")
    assert "GiB of memory for 12 pictures, in 5 folds and once more." in expected
