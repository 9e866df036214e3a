"""Tiles of large pictures: what recipes say of them, what follows from sizes, and models that see tiles."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flawscope.cli import main
from flawscope.data.defects import read_defects
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Sample
from flawscope.data.splits import NormalSplit
from flawscope.data.tiles import cut
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError, Stopped
from flawscope.methods.detector import DetectorOptions
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime import bundle
from flawscope.runtime.images import Frame, decode, to_frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.pipeline import Pipeline
from flawscope.runtime.record import Record
from flawscope.runtime.tiling import Overview, Tiling
from flawscope.station.calibrate import calibrate
from flawscope.station.evaluate import evaluate
from flawscope.station.inspection import Summary, inspect_pictures
from flawscope.station.picture import inspect_one
from flawscope.training.fold_scores import score_in_folds
from flawscope.training.learn import learn
from flawscope.training.recipe import LearnRecipe, Recipe
from flawscope.training.selection import Selection
from flawscope.training.settings import apply_settings, read_recipe
from flawscope.training.tiling import MOST_TILES, Proposal, TilingChoice, propose
from flawscope.training.train import TrainResult, train
from trained import OPTIONS, recipe, write_pictures
from two_filters import NAME, Difference, register

FRAME = Frame(320, 320)
SIDE = 96  # of the pictures, which the model sees in tiles of 32


def choice(value: Any) -> TilingChoice:
    return Recipe.parse({"data": {"folder": "x"}, "tiling": value}).tiling


def test_auto_says_what_it_does_in_the_issue_s_words() -> None:
    proposal = propose(choice("auto"), FRAME, [(512, 1408)] * 3)
    assert proposal.sentence == (
        "Pictures of 1408×512: 2×5 tiles of 320 with overlap 32; shrunk whole, a flaw of 4 pixels would be 1."
    )
    assert proposal.tiling is not None
    assert (proposal.tiling.size, proposal.tiling.stride, proposal.tiling.scale) == (
        (320, 320),
        (288, 288),
        1,
    )
    told = proposal.to_json()
    assert told is not None
    assert (told["rows"], told["columns"], told["sentence"]) == (2, 5, proposal.sentence)


def test_auto_leaves_small_pictures_whole_and_bounds_the_tiles_of_huge_ones() -> None:
    whole = propose(choice("auto"), FRAME, [(480, 400), (300, 300)])
    assert whole.tiling is None
    assert whole.sentence == "Pictures of up to 400×480 are seen whole, at 320."
    huge = propose(choice("auto"), FRAME, [(10000, 10000)])
    assert huge.tiling is not None
    assert len(huge.tiling.grid(10000, 10000)) <= MOST_TILES
    assert huge.sentence == (
        "Pictures of 10000×10000 at 0.233 of their size, so that 64 tiles suffice: 8×8 tiles of 320 with "
        "overlap 32; shrunk whole, a flaw of 31 pixels would be 1, in tiles one of 4."
    )
    mixed = propose(choice("auto"), FRAME, [(500, 4000), (3900, 3900)])
    assert mixed.tiling is not None
    assert mixed.grid is not None
    assert mixed.grid.picture == (3900, 3900)
    assert len(mixed.grid) <= MOST_TILES
    stubborn = propose(choice("auto"), FRAME, [(999, 999)], whole="it counts")
    assert stubborn.tiling is None
    assert stubborn.sentence == "Pictures of 999×999 are seen whole, at 320: it counts."


def test_who_has_not_chosen_is_told_how_to_do_without_tiles_and_who_has_chosen_none_is_not() -> None:
    default = Recipe.parse({"data": {"folder": "x"}}).tiling
    assert (default.size, default.overview) == ("auto", None)
    made = propose(choice({"overview": True}), FRAME, [(512, 1408)], asked=False)
    assert made.sentence == (
        "Pictures of 1408×512: 2×5 tiles of 320 with overlap 32, and the whole picture; shrunk whole, a flaw "
        "of 4 pixels would be 1. --tiling none keeps them whole."
    )
    assert propose(choice("none"), FRAME, [(512, 1408)]) == Proposal(None)
    assert propose(default, FRAME, [(640, 300)], asked=False) == Proposal(None)
    assert propose(default, FRAME, [(999, 999)], asked=False, whole="it counts") == Proposal(None)


def test_sizes_are_written_short_or_at_length() -> None:
    short, long = choice("64/48"), choice({"size": [64, 64], "stride": 48})
    assert short == long == TilingChoice.parse("64/48")
    assert choice(64).size == (64, 64)
    assert TilingChoice.parse("64x96").size == (64, 96)
    proposal = propose(short, Frame(64, 64), [(100, 200)])
    assert proposal.written(short) == TilingChoice(size=(64, 64), stride=(48, 48), scale=1, overview=False)
    values = apply_settings({"data": {"folder": "x"}}, ["tiling.size=64", "tiling.blend=mean"])
    assert Recipe.parse(values).tiling == TilingChoice(size=(64, 64), blend="mean")
    assert short.sized({"coreset": 1}) == {"coreset": 1, "size": [64, 64]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("big", "none, auto, or pixels from 32"),
        (8, "none, auto, or pixels from 32"),
        ("64/65", "a stride of at most the size"),
        ("none/10", "a size where there is a stride"),
        ("64/0", "pixels from 1 to 8192"),
        ({"size": 64, "strid": 3}, "Did you mean"),
        ({"size": 64, "scale": 2}, "less than or equal to 1"),
        ({"size": 64, "learn_from": "both"}, "'tiles' or 'whole'"),
        ({"size": 64, "learn_from": "whole", "overview": True}, "learnt from where there is an overview"),
    ],
)
def test_wrong_choices_are_one_line(value: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        choice(value)
    if isinstance(value, str):
        with pytest.raises(OptionError, match="--tiling"):
            TilingChoice.parse(value)


def test_choices_that_do_not_fit_the_pictures_or_the_method() -> None:
    with pytest.raises(OptionError, match="tiles smaller than the largest pictures, 200×100"):
        propose(choice(200), Frame(200, 200), [(200, 100), (90, 90)])
    with pytest.raises(OptionError, match="It counts; use --tiling none"):
        propose(choice(64), Frame(64, 64), [(200, 100)], whole="It counts")
    with pytest.raises(OptionError, match="at most the size of a tile, 320"):
        propose(choice({"size": "auto", "stride": 400}), FRAME, [(999, 999)])
    with pytest.raises(OptionError, match="the method's own size, 128"):
        choice(64).sized({"size": [128, 128]})


QUICK: dict[str, Any] = {"method": NAME, "options": {}}  # without a network


def tiled(folder: Path, **changes: Any) -> Recipe:
    options = {name: value for name, value in OPTIONS.items() if name != "size"}
    values = {
        "options": options,
        "tiling": "32/24",
        "split": {"calibration": 0.4},
        "calibration": {"false_rejects": 0.3},
    }
    return recipe(folder, **(values | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult, list[str]]:
    """A folder of pictures, the model of their tiles, and what training said."""
    root, said = tmp_path_factory.mktemp("tiled"), list[str]()
    write_pictures(root / "parts" / "good", 30, side=SIDE)
    spotted(root / "parts" / "spot", 4)
    return root / "parts", train(tiled(root / "parts"), root / "model", Run(), Watch(say=said.append)), said


def spotted(folder: Path, count: int, *, masks: bool = False) -> None:
    """Pictures with a dark spot of 6 pixels, each elsewhere."""
    write_pictures(folder, count, seed=1, side=SIDE)
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        pixels, area = np.asarray(Image.open(path)).copy(), np.zeros((SIDE, SIDE), np.uint8)
        spot = np.s_[10 * index : 10 * index + 6, 70:76]
        pixels[spot], area[spot] = 0, 255
        Image.fromarray(pixels).save(path)
        if masks:
            Image.fromarray(area).save(path.with_name(f"{path.stem}_mask.png"))


def test_a_model_of_tiles_finds_what_is_small(made: tuple[Path, TrainResult, list[str]]) -> None:
    parts, result, said = made
    manifest = result.bundle.manifest
    assert manifest.tiling is not None
    assert (manifest.frame.height, manifest.tiling.size, manifest.tiling.stride) == (32, (32, 32), (24, 24))
    assert manifest.options["size"] == [32, 32]
    assert any("4×4 tiles of 32 with overlap 8" in line for line in said)
    inspector = Inspector.load(result.bundle)
    for index, path in enumerate(sorted((parts / "spot").iterdir())):
        prediction = inspector.inspect(path)
        assert prediction.heatmap is not None
        assert prediction.heatmap.shape == (SIDE, SIDE)
        row, column = np.unravel_index(prediction.heatmap.argmax(), prediction.heatmap.shape)
        assert abs(int(row) - (10 * index + 3)) < 10
        assert abs(int(column) - 73) < 10


def test_thresholds_are_those_of_whole_pictures(made: tuple[Path, TrainResult, list[str]]) -> None:
    parts, result, _ = made
    manifest = result.bundle.manifest
    names = {picture.name for picture in manifest.provenance.pictures if picture.role == "calibration"}
    assert len(manifest.calibration.scores) == len(names) == result.counts["calibration"]
    inspector = Inspector.load(result.bundle)
    scores = sorted(inspector.inspect(parts / "good" / name).score for name in names)
    np.testing.assert_allclose(scores, manifest.calibration.scores, rtol=1e-5)
    normal = [picture.frames for picture in manifest.provenance.pictures if picture.role == "normal"]
    assert normal == [16] * result.counts["training"]
    assert manifest.calibrated_tiles == 16


def test_pictures_of_more_tiles_than_calibrated_are_told(
    made: tuple[Path, TrainResult, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts, result, _ = made
    model = Path(shutil.copytree(result.bundle.folder, tmp_path / "model"))
    large = write_pictures(tmp_path / "large", 12, seed=5, side=2 * SIDE)
    some = [next(large.iterdir()), next((parts / "good").iterdir())]

    def told() -> tuple[list[Record], Summary]:
        records = list[Record]()
        return records, inspect_pictures(Inspector.load(model), some, emit=records.append)

    (first, second), summary = told()
    assert first.findings[0].text.startswith(
        "The picture has 64 tiles, those that calibrated the model up to 16"
    )
    assert first.findings[0].values == {"tiles": 64, "tiles_calibrated": 16}
    assert all("tiles" not in finding.values for finding in second.findings)
    assert summary.large == 1
    monkeypatch.setattr("sys.argv", ["flawscope", "inspect", str(model), *map(str, some)])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "more tiles than those that calibrated the model: 1." in capsys.readouterr().err
    calibrate(model, normals=sorted(large.iterdir()))
    (first, second), summary = told()
    assert (summary.large, bundle.load(model).manifest.calibrated_tiles) == (0, 64)


def test_models_that_do_not_know_how_many_tiles_calibrated_them_say_nothing(
    made: tuple[Path, TrainResult, list[str]], tmp_path: Path
) -> None:
    manifest = made[1].bundle.manifest.model_copy(update={"calibrated_tiles": None})
    older = replace(made[1].bundle, manifest=manifest)
    large = next(write_pictures(tmp_path / "large", 1, side=2 * SIDE).iterdir())
    record = inspect_one(Inspector.load(older), large).record
    assert all("tiles" not in finding.values for finding in record.findings)


def test_the_overview_is_on_the_scale_of_the_tiles_and_counts_in_every_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    write_pictures(tmp_path / "good", 40, side=SIDE)
    choice = {"size": 32, "stride": 24, "overview": True}
    values = {"tiling": choice, "split": {"calibration": 0.4, "tuning": 0.2}, **QUICK}
    result = train(tiled(tmp_path / "good", **values), tmp_path / "model", Run())
    manifest = result.bundle.manifest
    assert result.counts["tuning"] == 8
    assert manifest.tiling is not None
    assert manifest.tiling.overview not in (None, Overview())
    roles = {picture.name: picture.role for picture in manifest.provenance.pictures}
    inspector = Inspector.load(result.bundle)
    by_role = {
        role: [
            inspector.inspect(tmp_path / "good" / name).score for name, own in roles.items() if own == role
        ]
        for role in ("calibration", "tuning")
    }
    np.testing.assert_allclose(sorted(by_role["calibration"]), manifest.calibration.scores, rtol=1e-4)
    shares = []
    for name in (name for name, role in roles.items() if role == "tuning"):
        grid = manifest.tiling.grid(SIDE, SIDE)
        image = decode(tmp_path / "good" / name, None)
        frames = [to_frame(image, manifest.frame, placement=tile.placement) for tile in grid.tiles()]
        found = [float(out["score"]) for out in Pipeline.open(result.bundle).score(frames)]
        gain, shift = manifest.tiling.overview.gain, manifest.tiling.overview.shift
        shares.append((gain * found[-1] + shift, max(found[:-1])))
    whole, tiles = np.array(shares).T
    np.testing.assert_allclose([whole.mean(), whole.std()], [tiles.mean(), tiles.std()], rtol=1e-3)
    again = Recipe.parse(read_recipe(result.bundle.folder / "recipe.yaml"))
    assert again.tiling.overview


def test_folds_bring_their_overviews_to_scale_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    write_pictures(tmp_path / "good", 16, side=SIDE)
    values = {
        "tiling": {"size": 32, "stride": 32, "overview": True},
        "split": {"folds": 2, "tuning": 0.4},
        "calibration": {"false_rejects": 0.3, "promise": "on_average"},
        **QUICK,
    }
    manifest = train(tiled(tmp_path / "good", **values), tmp_path / "model", Run()).bundle.manifest
    assert len(manifest.calibration.scores) == 10
    assert manifest.tiling is not None
    assert manifest.tiling.overview not in (None, Overview())


def test_evaluation_and_calibration_of_a_model_of_tiles(
    made: tuple[Path, TrainResult, list[str]], tmp_path: Path
) -> None:
    parts, result, _ = made
    inspector = Inspector.load(result.bundle)
    assert evaluate(inspector, read_dataset(parts), views=2).detection["auroc"].value > 0.9
    fresh = sorted(write_pictures(tmp_path / "fresh", 3, seed=9, side=SIDE).iterdir())
    changed = calibrate(result.bundle.folder, normals=fresh).bundle.manifest.calibration.scores
    added = sorted(inspector.inspect(path).score for path in fresh)
    np.testing.assert_allclose(sorted(set(changed) - set(result.bundle.manifest.calibration.scores)), added)


def test_the_kept_recipe_says_the_tiles(made: tuple[Path, TrainResult, list[str]]) -> None:
    again = Recipe.parse(read_recipe(made[1].bundle.folder / "recipe.yaml"))
    assert again.tiling == TilingChoice(size=(32, 32), stride=(24, 24), scale=1, overview=False)
    assert again.tiling.sized(again.options) == again.options | {"size": [32, 32]}


def test_known_defects_are_learnt_on_tiles(made: tuple[Path, TrainResult, list[str]], tmp_path: Path) -> None:
    parts, result, _ = made
    write_pictures(tmp_path / "good", 30, seed=21, side=SIDE)
    spotted(tmp_path / "bad", 4, masks=True)
    values: dict[str, Any] = {
        "model": str(result.bundle.folder),
        "normals": [str(tmp_path / "good")],
        "defects": str(tmp_path / "bad"),
        "options": {
            "logistic": {},
            "segments": {"kind": "one"},
            "detector_scores": True,
            "unsmoothed": False,
        },
        "engine": {"name": "onnxruntime"},
    }
    said: list[str] = []
    found = learn(LearnRecipe.parse(values), tmp_path / "model", watch=Watch(say=said.append))
    manifest = found.bundle.manifest
    assert manifest.tiling == result.bundle.manifest.tiling
    assert any("Of 4 defective pictures" in line for line in said)
    assert found.gains[0].pictures == (found.counts["forest"], 4)  # pictures, not tiles
    assert len(manifest.calibration.scores) == found.counts["calibration"]
    inspector = Inspector.load(found.bundle)
    worst = max(inspector.inspect(path).score for path in (parts / "good").iterdir())
    for path in (parts / "spot").iterdir():
        prediction = inspector.inspect(path)
        assert prediction.score > worst
        assert prediction.segments is None
        assert prediction.contributions
    placed = values | {"options": {"segments": {"kind": "drafted"}}}
    with pytest.raises(OptionError, match="that kind lies in whole pictures"):
        learn(LearnRecipe.parse(placed), tmp_path / "other")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    folder = write_pictures(tmp_path_factory.mktemp("good"), 9, side=SIDE)
    return tuple(Sample(path, "train", defective=False) for path in sorted(folder.iterdir()))


TILES, SMALL = Tiling(size=(32, 32), stride=(24, 24)), Frame(32, 32)


def test_whole_pictures_are_learnt_from_where_the_recipe_says_so(good: tuple[Sample, ...]) -> None:
    split = NormalSplit(good[:4], tuning=good[4:6], calibration=good[6:], test=())
    whole, tiles = (Selection(split, tiling=TILES, learn_from=way) for way in ("whole", "tiles"))
    assert (len(whole.data(SMALL).normal), len(whole.data(SMALL).tuning)) == (4, 2)
    assert (len(tiles.data(SMALL).normal), len(tiles.data(SMALL).tuning)) == (64, 32)
    assert len(whole.apart(SMALL)) == len(tiles.apart(SMALL)) == 48
    assert {picture.frames for picture in whole.seen()} == {1}
    assert {picture.frames for picture in tiles.seen() if picture.role == "normal"} == {16}


def test_no_more_tiles_are_learnt_from_than_a_method_wants_and_all_are_scored(
    good: tuple[Sample, ...],
) -> None:
    split = NormalSplit(good[:4], tuning=good[4:6], calibration=good[6:], test=(), folds=2)
    chosen = Selection(split, tiling=TILES, most_tiles=20, seed=3)
    data = chosen.data(SMALL)
    assert (len(data.normal), len(data.tuning), len(chosen.apart(SMALL))) == (20, 32, 48)
    assert [tile.path for tile in data.normal.samples] == [one.path for one in good[:4] for _ in range(5)]
    assert data.normal.samples == chosen.data(SMALL).normal.samples
    assert data.normal.samples != replace(chosen, seed=4).data(SMALL).normal.samples
    assert [picture.frames for picture in chosen.seen() if picture.role == "normal"] == [5] * 4
    assert [(len(fit.normal), len(held)) for fit, held in chosen.folds(SMALL, seed=0)] == [(20, 32)] * 2
    whole = replace(chosen, learn_from="whole", most_tiles=2)
    assert len(whole.data(SMALL).normal) == 4


def test_few_pictures_calibrate_in_folds_by_picture(good: tuple[Sample, ...]) -> None:
    split = NormalSplit(good, tuning=(), calibration=(), test=(), folds=3)
    folds = Selection(split, tiling=TILES).folds(SMALL, seed=0)
    for data, apart in folds:
        assert not {s.path for s in data.normal.samples} & {s.path for s in apart.samples}
    held_out = score_in_folds(folds, lambda: Difference(DetectorOptions(size=(32, 32))), Run())
    assert [len(scores) for scores in held_out.scores] == [3, 3, 3]
    assert held_out.levels is not None
    assert len(held_out.levels) == 9


def test_tiles_of_a_picture_have_one_role_inside_segad(good: tuple[Sample, ...]) -> None:
    data = TrainingData(cut(good[:6], SMALL, TILES), cut(good[6:], SMALL, TILES)).for_detector(0.3)
    assert (len(data.normal), len(data.tuning)) == (64, 32)


def test_of_defective_pictures_the_tiles_with_a_marked_area_are_learnt_from(
    good: tuple[Sample, ...], tmp_path: Path
) -> None:
    spotted(tmp_path / "bad", 3, masks=True)
    split = NormalSplit(good, tuning=(), calibration=(), test=())
    chosen = Selection(split, read_defects(tmp_path / "bad"), tiling=TILES)
    found = chosen.data(SMALL).defective
    assert found is not None
    assert [sample.path.name for sample in found.samples] == ["000.png"] * 2 + ["001.png"] * 2 + [
        "002.png"
    ] * 4
    for pixels in found:
        assert pixels.min() == 0
    whole = Selection(split, chosen.defective, tiling=TILES, learn_from="whole").data(SMALL).defective
    assert whole is not None
    assert len(whole) == 3


@pytest.mark.parametrize("masks", [True, False])
def test_training_says_which_defective_tiles_it_takes(tmp_path: Path, masks: bool) -> None:
    write_pictures(tmp_path / "good", 24, side=SIDE)
    spotted(tmp_path / "bad", 3, masks=masks)
    watch, said = Watch(), list[str]()
    watch.stop.set()
    wish = tiled(
        tmp_path,
        data={"folder": str(tmp_path / "good"), "defects": str(tmp_path / "bad")},
        method="classifier",
        options={"weights": "random", "backbone": "test_resnet", "steps": 2},
    )
    with pytest.raises(Stopped if masks else DataError, match="stop" if masks else "3 pictures without any"):
        train(wish, tmp_path / "model", Run(), replace(watch, say=said.append))
    assert any("Of 3 defective pictures 8 tiles are learnt from" in line for line in said) == masks
