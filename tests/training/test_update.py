"""Good pictures taught to a trained model: what it learns, what calibrates it, what it refuses."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flawscope.errors import BundleError, DataError, InputError, OptionError, OutputError
from flawscope.files import sha256
from flawscope.runtime import bundle, chain, versions
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.provenance import seen
from flawscope.station.calibrate import calibrate, recalibrated
from flawscope.station.deploy import deploy
from flawscope.station.gate import Gate
from flawscope.training import pack as packing
from flawscope.training.at_hand import at_hand
from flawscope.training.recipe import Recipe
from flawscope.training.settings import read_recipe
from flawscope.training.teaching import Made
from flawscope.training.update import UpdateResult, update
from trained import Trained, write_pictures


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good pictures of another look, which the model rejects."""
    return write_pictures(tmp_path_factory.mktemp("odd") / "new", 6, seed=21, spot=True)


@pytest.fixture(scope="module")
def updated(trained: Trained, odd: Path, tmp_path_factory: pytest.TempPathFactory) -> UpdateResult:
    """A copy of the model, taught in its place."""
    model = tmp_path_factory.mktemp("updated") / "model"
    shutil.copytree(trained.folder, model)
    return update(model, [odd], growth=1.0)


def contents(model: Path, role: str) -> set[str]:
    pictures = bundle.load(model).manifest.provenance.pictures
    return {picture.sha256 for picture in pictures if picture.role == role}


def paths_of(trained: Trained, role: str) -> list[Path]:
    wanted = contents(trained.folder, role)
    return [path for path in sorted((trained.pictures / "good").iterdir()) if sha256(path) in wanted]


def test_taught_pictures_are_rejected_no_more(updated: UpdateResult, odd: Path) -> None:
    assert (updated.taught, updated.known, updated.calibrating) == (6, 0, 0)
    assert updated.rejected == (6, 0)
    assert updated.normal == (66, 72)
    before, after = updated.banks["bank"]
    assert before < after <= 2 * before
    inspector = Inspector.load(updated.bundle.folder)
    assert {str(inspector.inspect(path).decision) for path in odd.iterdir()} <= {"accept", "review"}


def test_what_was_learnt_stays_to_the_bit(trained: Trained, updated: UpdateResult) -> None:
    from safetensors.torch import load_file

    before, after = (load_file(folder / bundle.WEIGHTS) for folder in (trained.folder, updated.bundle.folder))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert (after[name][: len(tensor)] if tensor.dim() else after[name]).equal(tensor) or "neigh" in name


def test_the_pictures_that_calibrated_are_scored_again(trained: Trained, updated: UpdateResult) -> None:
    model = updated.bundle.folder
    assert contents(model, "calibration") == contents(trained.folder, "calibration")
    before, after = (bundle.load(folder).manifest for folder in (trained.folder, model))
    assert (after.engine, after.precision, after.speeds) == (before.engine, before.precision, before.speeds)
    assert (after.calibration.alpha, after.calibration.promise) == (0.2, "with_confidence")
    inspector = Inspector.load(model)
    scores = sorted(inspector.inspect(path).score for path in paths_of(trained, "calibration"))
    assert scores == pytest.approx(after.calibration.scores, rel=1e-5)
    assert (updated.calibrated, updated.missing) == (14, 0)


def test_the_model_before_is_kept_and_the_change_logged(trained: Trained, updated: UpdateResult) -> None:
    model = updated.bundle.folder
    first, now = versions.history(model)
    assert bundle.load(first.folder).manifest == bundle.load(trained.folder).manifest
    assert now.current
    rows = versions.rows(model)
    assert chain.verify(rows) is None
    assert [(row.entry["event"], row.entry["pictures"]) for row in rows] == [("update", 6)]


def test_the_recipe_says_what_was_taught(updated: UpdateResult, odd: Path) -> None:
    recipe = Recipe.parse(read_recipe(updated.bundle.folder / bundle.RECIPE))
    assert recipe.data.taught == tuple(str(path) for path in sorted(odd.iterdir()))
    assert recipe.teaching(recipe.data.taught) == recipe


def test_what_the_model_knows_or_calibrates_does_not_teach(
    trained: Trained, updated: UpdateResult, odd: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="got 6 that it has learnt from and 0 that calibrate it"):
        update(updated.bundle.folder, [odd])
    held = paths_of(trained, "calibration")[:2]
    with pytest.raises(DataError, match="0 that it has learnt from and 2 that calibrate it, which may not"):
        update(trained.folder, held, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mixed_folder_is_sorted_by_content(trained: Trained, odd: Path, tmp_path: Path) -> None:
    more = write_pictures(tmp_path / "more", 2, seed=5)
    shutil.copy(next(odd.iterdir()), more / "other.png")
    shutil.copy(more / "000.png", more / "twice.png")
    known = [*paths_of(trained, "normal")[:3], *paths_of(trained, "calibration")[:2]]
    result = update(trained.folder, [more, *known], tmp_path / "out")
    assert (result.taught, result.known, result.calibrating) == (3, 4, 2)
    taught = Recipe.parse(read_recipe(tmp_path / "out" / bundle.RECIPE)).data.taught
    assert [Path(path).name for path in taught] == ["000.png", "001.png", "other.png"]
    assert contents(tmp_path / "out", "calibration") == contents(trained.folder, "calibration")
    assert not versions.folder_of(tmp_path / "out").exists()
    with pytest.raises(OptionError, match="a new or empty folder"):
        update(trained.folder, [more], tmp_path / "out")


def moved(trained: Trained, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the model whose recipe names a folder that holds nothing yet."""
    model, place = tmp_path / "model", tmp_path / "elsewhere"
    opened = bundle.load(trained.folder)
    with bundle.writing(model) as draft:
        for name in opened.manifest.files:
            shutil.copy(trained.folder / name, draft.folder / name)
        recipe = draft.folder / bundle.RECIPE
        recipe.write_text(recipe.read_text().replace(str(trained.pictures), str(place)))
        draft.manifest = opened.manifest
    return model, place


def test_without_pictures_to_calibrate_on_it_says_what_to_do(
    trained: Trained, odd: Path, tmp_path: Path
) -> None:
    model, place = moved(trained, tmp_path)
    with pytest.raises(DataError, match=r"the 14 that calibrated it, in .*elsewhere, got none.*--cal"):
        update(model, [odd])
    with pytest.raises(DataError, match="got those alone that it has learnt from"):
        update(model, [odd], calibration=[odd])
    with pytest.raises(DataError, match="got no such folder"):
        update(model, [odd], retrain=True)
    held = paths_of(trained, "calibration")
    place.mkdir()
    for path in held[:9]:
        shutil.copy(path, place / f"renamed {path.name}")
    fresh = write_pictures(tmp_path / "fresh", 7, seed=31)
    result = update(model, [odd], growth=1.0, calibration=[fresh, *odd.iterdir(), *held[9:11]])
    assert (result.calibrated, result.missing) == (18, 3)
    assert len(contents(model, "calibration")) == 18
    assert not contents(model, "calibration") & contents(model, "normal")


def test_pictures_that_cannot_teach_are_refused(trained: Trained, odd: Path, tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{number}.png", compress_level=number)
    with pytest.raises(DataError, match="3 pictures that are black all over"):
        update(trained.folder, [tmp_path], tmp_path / "out")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a\.png"):
        update(trained.folder, [tmp_path / "broken"], tmp_path / "out")
    bad = shutil.copytree(odd, tmp_path / "parts" / "defective")
    with pytest.raises(DataError, match="a folder defective, which counts as defective"):
        update(trained.folder, [bad.parent], tmp_path / "out")


def test_a_damaged_model_and_one_without_weights_are_refused(
    trained: Trained, odd: Path, tmp_path: Path
) -> None:
    station = deploy(trained.folder, tmp_path / "station").folder
    with pytest.raises(BundleError, match="a copy for the station, without them"):
        update(station, [odd])
    model = shutil.copytree(trained.folder, tmp_path / "model")
    with (model / bundle.WEIGHTS).open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"x")
    with pytest.raises(BundleError, match=bundle.WEIGHTS):
        update(model, [odd])


def test_a_full_disk_leaves_the_model_in_use(
    trained: Trained, odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = shutil.copytree(trained.folder, tmp_path / "model")
    monkeypatch.setattr(packing, "write_tensors", refuse)
    with pytest.raises(OutputError, match="no space left"):
        update(model, [odd])
    assert bundle.load(model).manifest == bundle.load(trained.folder).manifest


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("changed", ["model", "candidate"])
def test_a_model_or_candidate_that_changes_meanwhile_stays(
    trained: Trained, odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, gated: bool
) -> None:
    model = shutil.copytree(trained.folder, tmp_path / "model")

    def slow(opened: Bundle, *_: Any, **__: Any) -> Made:
        def candidate(alpha: float) -> Bundle:
            manifest = recalibrated(opened, alpha=alpha).bundle.manifest
            return bundle.load(versions.candidate_like(opened, manifest))

        made = candidate(0.25)
        if changed == "model":  # as other commands do
            calibrate(model, alpha=0.3)
        else:
            candidate(0.35)
        return Made(made, {}, 0)

    monkeypatch.setattr("flawscope.training.update.teach", slow)
    gate = Gate(most_new_misses=0, data=trained.pictures) if gated else None
    with pytest.raises(BundleError, match="as it was when work began, got one that changed meanwhile"):
        update(model, [odd], gate=gate)
    assert bundle.load(model).manifest.calibration.alpha == (0.3 if changed == "model" else 0.2)


def test_copies_are_scaled_on_as_often_as_before(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "good", 3)
    copy = Path(shutil.copy(folder / "000.png", folder / "copy.png"))
    paths = [folder / "000.png", copy, folder / "001.png", folder / "002.png"]
    listed = (*seen(paths, "tuning"), *seen(paths, "calibration"))
    tuning, others = (at_hand(listed, role, [folder]) for role in ("tuning", "calibration"))
    assert [sha256(sample.path) for sample in tuning.samples] == [sha256(path) for path in paths]
    assert (len(others.samples), tuning.missing, others.missing) == (3, 0, 0)
    paths[2].unlink()
    found = at_hand(listed, "tuning", [folder])
    assert (len(found.samples), found.missing) == (3, 1)
