"""Groups in training: what stays together, what a model keeps of it, what calibrate and evaluate do then."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flawscope.data.groups import GroupChoice, group_dataset
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset
from flawscope.data.splits import folds, scale_within, split_dataset, split_normals
from flawscope.data.tiles import cut, groups_of, units_of
from flawscope.data.training import TrainingData
from flawscope.errors import CalibrationError, DataError, OptionError
from flawscope.methods.registry import create
from flawscope.nn.watch import Watch
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.images import Frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.provenance import SeenPicture
from flawscope.runtime.tiling import Tiling
from flawscope.station.calibrate import calibrate
from flawscope.station.evaluate import evaluate
from flawscope.training.fold_scores import HeldOut
from flawscope.training.learn_pictures import LearnPictures, pictures_to_learn
from flawscope.training.lessons import lessons
from flawscope.training.pack import Wish
from flawscope.training.recipe import LearnRecipe, Recipe
from flawscope.training.selection import select
from flawscope.training.settings import read_recipe
from flawscope.training.train import train
from flawscope.training.update import update
from trained import LIMITED, Trained, recipe, write_pictures

VIEWS, PATTERN = 3, r"part(\d+)_"


def write_views(folder: Path, parts: int, *, first: int = 0, seed: int = 0, spot: bool = False) -> Path:
    """Three views of each of so many parts, as part012_v1.png."""
    write_pictures(folder, parts * VIEWS, seed=seed, spot=spot)
    for index in range(parts * VIEWS):
        name = f"part{first + index // VIEWS:03d}_v{index % VIEWS}.png"
        (folder / f"{index:03d}.png").rename(folder / name)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("views")
    write_views(root / "good", 28)
    write_views(root / "spot", 4, first=40, seed=3, spot=True)
    return root


@pytest.fixture(scope="module")
def grouped(pictures: Path) -> Dataset:
    return group_dataset(read_dataset(pictures), GroupChoice.parse(PATTERN))[0]


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


def parts(samples: tuple[object, ...]) -> set[str | None]:
    return {sample.group for sample in samples}  # type: ignore[attr-defined]


def test_all_draws_keep_parts_together(grouped: Dataset) -> None:
    good = grouped.select(defective=False)
    split = split_dataset(grouped, seed=1, calibration=0.25, tuning=0.1)
    roles = [split.training, split.tuning, split.calibration, split.test]
    assert [len(parts(role)) for role in roles] == [14, 2, 6, 6]
    assert len(set().union(*map(parts, roles))) == 28
    assert {len(role) / len(parts(role)) for role in roles} == {VIEWS}
    scaled = scale_within(split, 0.2)
    assert not parts(scaled.training) & parts(scaled.tuning)
    assert len(scaled.tuning) == VIEWS * len(parts(scaled.tuning)) > 0
    for training, held_out in folds(good, 5, seed=0):
        assert not parts(training) & parts(held_out)
    counted = split_normals(good, seed=0, calibration=5, parts=True)
    assert len(counted.calibration) == 5 * VIEWS
    frame = Frame(16, 16)
    normal, tuning = PictureFiles(split.training, frame), PictureFiles(split.tuning, frame)
    inner = TrainingData(normal, tuning).for_detector(0.3)
    assert not parts(tuple(inner.normal.samples)) & parts(tuple(inner.tuning.samples))


def test_plans_count_parts(grouped: Dataset) -> None:
    """84 pictures would leave a quarter, 21, to calibrate on; of 28 parts a quarter is too few."""
    assert split_dataset(grouped, seed=0, test=0.0).folds == 5
    alone = replace(grouped, samples=tuple(replace(one, group=None) for one in grouped))
    assert split_dataset(alone, seed=0, test=0.0).folds == 0


def test_validation_pictures_of_parts_that_are_learnt_from_do_not_calibrate(grouped: Dataset) -> None:
    good = grouped.select(defective=False)
    views = [replace(one, split="validation") if "_v2" in one.path.name else one for one in good]
    mixed = replace(grouped, samples=tuple(views))
    assert len(split_dataset(mixed, seed=0).training) >= 2 * 28
    apart = [replace(one, split="validation") if (one.group or "") > "019" else one for one in good]
    split = split_dataset(replace(grouped, samples=tuple(apart)), seed=0)
    assert parts(split.calibration + split.tuning) == {f"{number:03d}" for number in range(20, 28)}


def test_good_views_of_parts_whose_defects_are_learnt_from_do_not_calibrate(grouped: Dataset) -> None:
    mates = {"040": "003", "041": "004"}
    samples = tuple(replace(one, group=mates.get(one.group or "", one.group)) for one in grouped)
    data = replace(grouped, samples=samples)
    wish = Recipe.parse({"data": {"folder": "x"}, "split": {"calibration": 0.3, "defective": 12}})
    segad = create(
        "segad", {"size": [64, 64], "detectors": [{"method": "padim", "options": {"size": [64, 64]}}]}
    )
    chosen = select(data, segad, wish)
    assert {"003", "004"} <= parts(chosen.training)
    assert not parts(chosen.split.calibration + chosen.split.tuning) & parts(chosen.defective)


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


def test_tiles_of_all_views_of_a_part_stay_together(grouped: Dataset) -> None:
    good = grouped.select(defective=False)[:6]
    tiles = cut(good, Frame(32, 32), Tiling(size=(32, 32), stride=(32, 32)))
    assert len(tiles) == 24
    assert units_of(tiles.samples) == [0] * 12 + [1] * 12
    assert groups_of(tiles) == tuple(one.group for one in good)
    inner = TrainingData(tiles, tiles.subset([])).for_detector(0.5)
    assert not parts(tuple(inner.normal.samples)) & parts(tuple(inner.tuning.samples))


def test_scores_of_folds_bring_their_parts() -> None:
    scores = tuple(np.array(fold, np.float32) for fold in ([1, 2, 3], [4, 5], [6, 7, 8]))
    held_out = HeldOut(scores, None, in_folds=True, groups=(("a", "a", None), ("b", "b"), ("c", None, "c")))
    wish = Wish(0.2, 0.05, judge="part", grouped_by=PATTERN)
    calibration = wish.thresholds(held_out)
    assert (calibration.count, calibration.groups) == (5, (0, 0, 1, 2, 2, 3, 4, 3))
    assert (calibration.judge, calibration.cross_conformal) == ("part", True)
    alone = replace(wish, judge="picture", grouped_by="").thresholds(held_out)
    assert (alone.count, alone.groups) == (8, ())
    unnamed = replace(held_out, groups=((None,) * 3, (None,) * 2, (None,) * 3))
    assert wish.thresholds(unnamed).count == 8
