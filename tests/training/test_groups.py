"""Groups in training: what stays together, what a model keeps of it, what calibrate and evaluate do then."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from flawscope.data.groups import GroupChoice, group_dataset
from flawscope.data.layouts import read_dataset
from flawscope.data.tiles import units_of
from flawscope.data.training import TrainingData
from flawscope.errors import CalibrationError, DataError, OptionError
from flawscope.methods.detector import Learnt
from flawscope.methods.patchcore import PatchCore
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.provenance import SeenPicture
from flawscope.station.calibrate import calibrate
from flawscope.station.evaluate import evaluate
from flawscope.training.learn_pictures import LearnPictures, pictures_to_learn
from flawscope.training.lessons import lessons
from flawscope.training.recipe import LearnRecipe
from flawscope.training.settings import read_recipe
from flawscope.training.train import train
from flawscope.training.update import update
from part_views import PATTERN, VIEWS, write_both, write_views
from trained import LIMITED, Trained, recipe, write_pictures


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_both(tmp_path_factory.mktemp("views"))


@pytest.fixture(scope="module")
def model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, list[str]]:
    said: list[str] = []
    wish = recipe(
        pictures / "good",
        data={"folder": str(pictures / "good"), "groups": {"pattern": PATTERN}},
        split={"calibration": 0.4},
        options=LIMITED,
    )
    out = tmp_path_factory.mktemp("grouped") / "model"
    return train(wish, out, watch=Watch(say=said.append)).bundle, said


def read_settings(made: Bundle) -> dict[str, object]:
    """The key `data` of a model's recipe."""
    return read_recipe(made.folder / bundle.RECIPE)["data"]  # type: ignore[no-any-return]


def _calibrating(made: Bundle) -> list[SeenPicture]:
    return [one for one in made.manifest.provenance.pictures if one.role == "calibration"]


def test_a_model_keeps_parts_and_says_so(model: tuple[Bundle, list[str]]) -> None:
    made, said = model
    assert rf"Groups by {PATTERN}: 84 pictures of 28 parts, 3 of each." in said
    calibration = made.manifest.calibration
    assert (calibration.count, len(calibration.scores)) == (11, 33)
    assert set(Counter(calibration.groups).values()) == {VIEWS}
    assert (calibration.judge, calibration.grouped_by) == ("picture", PATTERN)
    assert max(len(values) for values in made.manifest.conditions.values()) == 11
    assert "from 11 good parts (33 pictures) that training has not seen" in calibration.statement()
    by_role = {
        role: {picture.group for picture in made.manifest.provenance.pictures if picture.role == role}
        for role in ("normal", "calibration")
    }
    assert not by_role["normal"] & by_role["calibration"]
    kept = read_recipe(made.folder / bundle.RECIPE)
    assert kept["data"]["groups"] == {"pattern": PATTERN}
    assert kept["calibration"]["judge"] == "picture"
    assert bundle.load(made.folder).manifest == made.manifest


def test_another_judge_reads_the_same_scores(model: tuple[Bundle, list[str]]) -> None:
    before = model[0].manifest.calibration
    after = calibrate(_copied(model), judge="part").bundle.manifest.calibration
    assert after.scores == before.scores
    assert after.reject_threshold >= before.reject_threshold
    assert "of good parts have a picture that is rejected" in after.statement()


def _copied(model: tuple[Bundle, list[str]]) -> Path:
    place = Path(tempfile.mkdtemp(dir=model[0].folder.parent)) / "model"
    shutil.copytree(model[0].folder, place)
    return place


def test_further_parts_are_grouped_as_the_model_was(model: tuple[Bundle, list[str]], tmp_path: Path) -> None:
    write_views(tmp_path / "new", 6, first=25, seed=9)  # three of them are known by name
    result = calibrate(_copied(model), normals=sorted((tmp_path / "new").iterdir()))
    assert (result.added, result.known, result.replaced) == (9, 9, 0)
    assert result.told == (rf"Groups by {PATTERN}: 18 pictures of 6 parts, 3 of each.",)
    calibration = result.bundle.manifest.calibration
    assert (calibration.count, len(calibration.scores)) == (14, 42)
    with pytest.raises(CalibrationError, match="18 pictures that it knows already, 18 of them by other"):
        calibrate(result.bundle.folder, normals=_renumbered(tmp_path, 0))
    singles = calibrate(
        result.bundle.folder, normals=_renumbered(tmp_path, 60), groups=GroupChoice.parse("none")
    )
    assert singles.bundle.manifest.calibration.count == 14 + 18


def _renumbered(folder: Path, first: int) -> list[Path]:
    return sorted(write_views(folder / f"from{first}", 6, first=first, seed=20 + first).iterdir())


def test_naming_groups_for_scores_that_had_none_replaces_them(trained: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.folder, tmp_path / "model")
    before = bundle.load(folder).manifest.calibration
    new = sorted(write_views(tmp_path / "new", 12, seed=30).iterdir())
    result = calibrate(folder, normals=new, groups=GroupChoice.parse(PATTERN), judge="part")
    assert (result.added, result.replaced) == (36, len(before.scores))
    after = result.bundle.manifest.calibration
    assert (after.count, after.judge, after.grouped_by) == (12, "part", PATTERN)
    with pytest.raises(OptionError, match="groups: expected good pictures"):
        calibrate(folder, groups=GroupChoice.parse(PATTERN))
    with pytest.raises(CalibrationError, match="groups of pictures"):
        calibrate(shutil.copytree(trained.folder, tmp_path / "again"), judge="part")


def test_parts_that_calibrate_may_not_be_taught_and_stay_counted(
    model: tuple[Bundle, list[str]], tmp_path: Path
) -> None:
    opened, _ = model
    calibrating = {one.group for one in opened.manifest.provenance.pictures if one.role == "calibration"}
    write_views(tmp_path / "new", 28, seed=40)  # other pictures of all parts that the model knows
    write_views(tmp_path / "more", 2, first=70, seed=41)
    found = update(_copied(model), [tmp_path / "new"], tmp_path / "taught", calibration=[tmp_path / "more"])
    assert (found.taught, found.calibrating) == (VIEWS * 17, VIEWS * 11)
    taught = found.bundle.manifest
    assert {one.group for one in taught.provenance.pictures if one.role == "calibration"} == {
        *calibrating,
        "070",
        "071",
    }
    assert (taught.calibration.count, len(taught.calibration.scores)) == (13, 39)
    assert taught.calibration.grouped_by == PATTERN
    assert not calibrating & {one.group for one in taught.provenance.pictures if one.role == "normal"}


def test_parts_of_new_pictures_are_named_where_the_models_pattern_does_not_tell_them(
    model: tuple[Bundle, list[str]], trained: Trained, tmp_path: Path
) -> None:
    opened = model[0]
    calibrating = sorted({one.group or "" for one in _calibrating(opened)})
    lot = write_views(tmp_path / "lot", 2, first=70, seed=42)
    for view in write_views(tmp_path / "again", 1, first=int(calibrating[0]), seed=43).iterdir():
        view.rename(lot / view.name)
    for view in list(lot.iterdir()):
        view.rename(view.with_name(view.name.replace("part", "lot_b_")))
    with pytest.raises(OptionError, match=r"names that tell parts as part\(\\d\+\)_ does.* got 9 without"):
        lessons(opened.manifest, sorted(lot.iterdir()))
    with pytest.raises(OptionError, match="'lot_c_', found in none of 9"):
        lessons(opened.manifest, sorted(lot.iterdir()), GroupChoice.parse("lot_c_"))
    each = lessons(opened.manifest, sorted(lot.iterdir()), GroupChoice.parse("none"))
    assert (len(each.samples), each.calibrating) == (9, 0)
    named = GroupChoice.parse(r"lot_b_(\d+)_")
    said: list[str] = []
    found = update(opened.folder, [lot], tmp_path / "out", groups=named, watch=Watch(say=said.append))
    assert (found.taught, found.calibrating) == (2 * VIEWS, VIEWS)
    assert said[0] == r"Groups by lot_b_(\d+)_: 9 pictures of 3 parts, 3 of each."
    after = found.bundle.manifest
    assert {one.group for one in after.provenance.pictures if one.role == "normal"} >= {"070", "071"}
    assert after.calibration.grouped_by == PATTERN
    with pytest.raises(OptionError, match="a model that counts parts, got one that counts pictures"):
        update(trained.folder, [lot], tmp_path / "b", groups=named)


def test_defects_may_be_learnt_only_beside_good_pictures_whose_parts_are_told(
    model: tuple[Bundle, list[str]], pictures: Path, tmp_path: Path
) -> None:
    manifest = model[0].manifest
    unnamed = sorted(write_pictures(tmp_path / "new", 12, seed=45).iterdir())
    values = {"model": "m", "normals": ["new"], "defects": str(pictures / "spot")}

    def found(**more: object) -> LearnPictures:
        return pictures_to_learn(LearnRecipe.parse(values | more), manifest, unnamed, lambda line: None)

    with pytest.raises(OptionError, match="for the model counts parts, got 12 without, such as 000"):
        found()
    with pytest.raises(OptionError, match="found in none of 12"):
        found(groups=PATTERN)
    absent = manifest.calibration.model_copy(update={"grouped_by": "elsewhere/parts.csv:part"})
    with pytest.raises(OptionError, match=r"got no table at .*elsewhere/parts\.csv\. Name a pattern"):
        pictures_to_learn(
            LearnRecipe.parse(values),
            manifest.model_copy(update={"calibration": absent}),
            unnamed,
            lambda line: None,
        )
    alone = found(groups="none")
    assert (len(alone.normals), alone.grouped_by) == (12, "")
    calibration = manifest.calibration.model_copy(update={"judge": "part"})
    manifest = manifest.model_copy(update={"calibration": calibration})
    with pytest.raises(OptionError, match=r"judge: expected groups .* or say --judge picture"):
        found(groups="none")
    assert found(groups="none", calibration={"judge": "picture"}).grouped_by == ""


def test_training_again_takes_the_groups_that_are_named(
    model: tuple[Bundle, list[str]], tmp_path: Path
) -> None:
    write_views(tmp_path / "new", 2, first=70, seed=44)
    both = GroupChoice.parse(r"(\d+)_v")
    found = update(model[0].folder, [tmp_path / "new"], tmp_path / "out", groups=both, retrain=True)
    assert found.bundle.manifest.calibration.grouped_by == str(both)
    assert read_settings(found.bundle)["groups"] == {"pattern": str(both)}
    assert not {one.group for one in _calibrating(found.bundle)} & {"070", "071"}


def test_parts_that_calibrate_in_folds_may_not_be_taught(
    model: tuple[Bundle, list[str]], tmp_path: Path
) -> None:
    manifest = model[0].manifest
    held = manifest.calibration.model_copy(update={"cross_conformal": True, "promise": "on_average"})
    part = next(one.group for one in manifest.provenance.pictures if one.role == "normal")
    (view,) = write_pictures(tmp_path / "more", 1, seed=11).iterdir()
    view = view.rename(view.with_name(f"part{part}_v9.png"))
    assert len(lessons(manifest, [view]).samples) == 1
    with pytest.raises(DataError, match="0 that it has learnt from and 1 that calibrate it"):
        lessons(manifest.model_copy(update={"calibration": held}), [view])


def test_a_layouts_groups_cannot_be_guessed_later(model: tuple[Bundle, list[str]], tmp_path: Path) -> None:
    opened = model[0]
    manifest = opened.manifest
    layout = manifest.calibration.model_copy(update={"grouped_by": "layout"})
    folder = _copied(model)
    bundle.replace_manifest(bundle.load(folder), manifest.model_copy(update={"calibration": layout}))
    new = sorted(write_views(tmp_path / "new", 6, first=50, seed=9).iterdir())
    with pytest.raises(OptionError, match="or none, where each picture shows another part"):
        calibrate(folder, normals=new)


def test_evaluation_leaves_out_parts_that_the_model_has_seen(
    model: tuple[Bundle, list[str]], tmp_path: Path
) -> None:
    write_views(tmp_path / "good", 6, first=25, seed=9)
    write_views(tmp_path / "spot", 4, first=40, seed=3, spot=True)
    dataset, _ = group_dataset(read_dataset(tmp_path), GroupChoice.parse(PATTERN))
    found = evaluate(Inspector.load(model[0].folder), dataset)
    assert found.known == 9
    assert {kind: one.parts for kind, one in found.parts.items()} == {"good": 3, "spot": 4}
    assert found.parts["spot"].reject == 1.0
    assert json.loads(json.dumps(found.to_json()))["parts"]["good"]["parts"] == 3
    alone = evaluate(Inspector.load(model[0].folder), read_dataset(tmp_path))
    assert alone.known == 0
    assert "parts" not in alone.to_json()


def test_what_cannot_be_counted_is_refused_before_anything_is_learnt(pictures: Path, tmp_path: Path) -> None:
    good = {"folder": str(pictures / "good")}
    with pytest.raises(OptionError, match="judge: expected groups of pictures"):
        train(recipe(pictures, data=good, calibration={"judge": "part"}), tmp_path / "a")
    with pytest.raises(OptionError, match="in one, part"):
        train(recipe(pictures, data={**good, "groups": "part"}), tmp_path / "b")
    with pytest.raises(DataError, match=r"good parts: expected at least 5, got 3 \(84 pictures\)"):
        train(recipe(pictures, data={**good, "groups": r"part\d+_(v\d)"}), tmp_path / "c")
    with pytest.raises(DataError, match="a readable file"):
        train(recipe(pictures, data={**good, "groups": "missing.csv:part"}), tmp_path / "d")


def test_folds_see_a_share_of_the_parts(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the pictures, of which some parts have more: a fold does what the model does from so many on."""
    seen = list[tuple[int, float]]()
    learn = PatchCore.learn

    def noted(self: PatchCore, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        seen.append((len(set(units_of(data.normal.samples))), run.part))
        return learn(self, data, run, watch)

    monkeypatch.setattr(PatchCore, "learn", noted)
    good = sorted((pictures / "good").iterdir())
    (tmp_path / "good").mkdir()
    for path in good[: 6 * VIEWS] + good[6 * VIEWS : 10 * VIEWS : VIEWS]:
        shutil.copy(path, tmp_path / "good")
    data = {"folder": str(tmp_path / "good"), "groups": {"pattern": PATTERN}}
    train(recipe(tmp_path / "good", data=data, split={"folds": 2}, options=LIMITED), tmp_path / "model")
    (*folds, (every, whole)) = seen
    assert whole == 1
    assert [round(count / part) for count, part in folds] == [every, every]
