"""SegAD: what its forest sees and never sees, its features, and what it says of unlike defects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import write_segment_map
from flawscope.data.training import TrainingData, Unseen
from flawscope.errors import DataError, OptionError
from flawscope.methods.patchcore import PatchCore
from flawscope.methods.registry import create
from flawscope.methods.running import score, with_tensors
from flawscope.methods.segad import SegAD, classifying
from flawscope.methods.supervised.classifier import Classifier
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import Watch
from flawscope.runtime.engines import installed
from flawscope.runtime.images import Frame
from flawscope.runtime.pipeline import Pipeline
from flawscope.testing.rings import damaged_rings, good_rings
from flawscope.training.export import export
from segment_loop import NAMES, by_loop
from watched import paths_of, watched_fits

PATCHCORE = {
    "method": "patchcore",
    "options": {"backbone": "test_resnet", "weights": "random", "coreset": 0.05, "layers": ["layer2"]},
}
CLASSIFIER = {"method": "classifier", "options": {"backbone": "test_resnet", "weights": "random", "steps": 1}}
FRAME = Frame(64, 64)


@pytest.fixture
def rings(tmp_path: Path) -> Callable[[str, int, bool], Pictures]:
    """Pictures of good or damaged rings in a folder of the given name."""

    def make(name: str, count: int, defective: bool) -> Pictures:
        (tmp_path / name).mkdir()
        samples = []
        draw = damaged_rings if defective else good_rings
        for index, picture in enumerate(draw(count, seed=sum(name.encode()))):
            path = tmp_path / name / f"{index:02d}.png"
            Image.fromarray(picture).save(path)
            kind = ("scratch", "hole")[index % 2] if defective else "good"
            samples.append(Sample(path, "train", defective=defective, kind=kind))
        return PictureFiles(samples, FRAME)

    return make


Make = Callable[[str, int, bool], Pictures]


def _data(rings: Make, *, defects: int = 8) -> TrainingData:
    return TrainingData(
        rings("normal", 8, False),
        rings("tuning", 12, False),
        defective=rings("bad", defects, True) if defects else None,
    )


def _segad(**options: Any) -> SegAD:
    values = {"size": (64, 64), "detectors": [PATCHCORE], "segments": {"kind": "one"}, **options}
    made = create("segad", values)
    assert isinstance(made, SegAD)
    return made


def test_detectors_never_see_what_the_forest_sees(rings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    data, seen = _data(rings), watched_fits(monkeypatch, PatchCore)
    _segad().fit(data, Run())
    assert seen == [paths_of(data.normal)]


def test_the_classifiers_scores_are_of_pictures_it_has_not_learnt_from(
    rings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = _data(rings), watched_fits(monkeypatch, Classifier)
    scored: list[tuple[int, set[Path]]] = []

    def watched(detector: Any, pictures: Pictures, *args: Any, **named: Any) -> Mapping[str, Any]:
        scored.append((len(seen) - 1, paths_of(pictures)))
        return score(detector, pictures, *args, **named)

    monkeypatch.setattr(classifying, "score", watched)
    _segad(classifier=CLASSIFIER, classifier_folds=3).fit(data, Run())
    everything = paths_of(data.tuning, data.defective)
    assert len(scored) == 3
    assert set().union(*(paths for _, paths in scored)) == everything
    for index, paths in scored:
        assert not paths & seen[index]
        assert seen[index] == (everything | paths_of(data.normal)) - paths
    assert seen[3] == everything | paths_of(data.normal)


def test_the_papers_classifier_learns_from_four_fifths_of_everything(
    rings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = _data(rings), watched_fits(monkeypatch, Classifier)
    _segad(classifier=CLASSIFIER, classifier_folds=0).fit(data, Run())
    assert len(seen) == 1
    shares = {
        name: len(seen[0] & paths_of(part)) for name, part in (("bad", data.defective), ("new", data.tuning))
    }
    assert shares == {"bad": 6, "new": 10}


def test_pictures_of_the_detectors_cannot_be_handed_to_the_forest(rings: Make) -> None:
    good, bad = rings("normal", 4, False), rings("bad", 4, True)
    with pytest.raises(DataError, match="what the detectors learn from"):
        Unseen(good.subset([0]), bad, good)


@pytest.mark.parametrize("kind", ["one", "object", "clusters"])
def test_features_are_those_of_a_plain_loop(rings: Make, kind: str) -> None:
    segments = {
        "kind": kind,
        **({"backbone": "test_resnet", "weights": "random"} if kind == "clusters" else {}),
    }
    second = {"method": "padim", "options": {"backbone": "test_resnet", "weights": "random", "channels": 4}}
    segad = _segad(
        detectors=[PATCHCORE, second], segments=segments, statistics=NAMES, detector_scores=True
    ).fit(_data(rings), Run())
    pixels = torch.from_numpy(np.stack(list(rings("test", 2, True))))
    with torch.inference_mode():
        answer = segad(pixels)
        maps, scores, _ = segad.reader.read(pixels, answer["segments"])
    count = segad.reader.segmenter.count
    for row in range(2):
        expected = by_loop(maps[row].numpy(), answer["segments"][row].numpy(), count)  # (K, L, S)
        found = answer["features"][row].numpy()
        np.testing.assert_allclose(found[:-2], expected.reshape(-1), rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(found[-2:], scores[row].numpy())


def test_score_is_the_bias_and_all_contributions(rings: Make) -> None:
    segad = _segad().fit(_data(rings), Run())
    with torch.inference_mode():
        answer = segad(torch.from_numpy(np.stack(list(rings("test", 4, True)))))
    rest = answer["score"] - answer["contributions"].sum(1)
    torch.testing.assert_close(rest, rest[:1].expand(4), rtol=1e-4, atol=1e-4)


def test_damaged_rings_score_above_good_ones(rings: Make) -> None:
    segad = _segad().fit(_data(rings), Run())
    good = score(segad, rings("fresh", 6, False), Run())["score"]
    damaged = score(segad, rings("test", 6, True), Run())["score"]
    assert np.median(damaged) > np.max(good)


def test_without_defects_it_learns_from_synthetic_ones(rings: Make) -> None:
    segad = _segad().fit(_data(rings, defects=0), Run(seed=3))
    again = _segad().fit(_data_again(rings), Run(seed=3))
    pictures = rings("test", 4, True)
    scores = score(segad, pictures, Run())["score"]
    np.testing.assert_array_equal(scores, score(again, pictures, Run())["score"])
    assert np.median(scores) > np.median(score(segad, rings("fresh", 4, False), Run())["score"])


def _data_again(rings: Make) -> TrainingData:
    folder = Path(rings("probe", 1, False).samples[0].path).parent.parent
    parts = []
    for name in ("normal", "tuning"):
        samples = [Sample(path, "train", defective=False) for path in sorted((folder / name).iterdir())]
        parts.append(PictureFiles(samples, FRAME))
    return TrainingData(*parts)


def test_it_remarks_where_synthetic_defects_look_unlike_real_ones(rings: Make) -> None:
    data = _data(rings)
    blank = data.defective.subset(range(4)) if data.defective else None
    assert blank is not None
    for sample in blank.samples:  # a "defect" that no map shows: the plain ground
        Image.fromarray(np.full((96, 96, 3), 170, np.uint8)).save(sample.path)
    data, said = TrainingData(data.normal, data.tuning, defective=blank), list[str]()
    _segad(defects="synthetic").fit(data, Run(), Watch(say=said.append))
    assert any("patchcore maps synthetic and real defects" in remark for remark in said)


def test_a_restored_static_map_needs_no_file(rings: Make, tmp_path: Path) -> None:
    drawn = np.zeros((96, 96), np.uint8)
    drawn[30:60, 30:60] = 1
    Image.fromarray(drawn).save(tmp_path / "map.png")
    options = {"segments": {"kind": "static", "map": str(tmp_path / "map.png")}}
    segad = _segad(**options).fit(_data(rings), Run())
    save_file({name: value.contiguous() for name, value in segad.state_dict().items()}, tmp_path / "w")
    (tmp_path / "map.png").unlink()
    pictures = rings("test", 3, True)
    restored = with_tensors(_segad(**options), load_file(tmp_path / "w"))
    np.testing.assert_array_equal(
        score(restored, pictures, Run())["score"], score(segad, pictures, Run())["score"]
    )
    assert restored.reader.segmenter.count == 2
    graphs, expected = export(restored, tmp_path), score(restored, pictures, Run())
    for name, _ in installed():
        answers = list(Pipeline.in_engine(graphs, name, threads=1).score(pictures))
        labels = np.stack([answer["segments"] for answer in answers])
        assert labels.dtype == expected["segments"].dtype == np.uint8
        np.testing.assert_array_equal(labels, expected["segments"])


@pytest.mark.parametrize("defects", ["real", "synthetic"])
def test_maps_of_a_folder_count_as_the_one_map_that_they_all_are(
    rings: Make, tmp_path: Path, defects: str
) -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[20:] = 1
    write_segment_map(tmp_path / "map.png", labels)
    data = _data(rings)
    for name, count in (("normal", 8), ("tuning", 12), ("bad", 8)):
        (tmp_path / "maps" / name).mkdir(parents=True)
        for index in range(count):
            np.save(tmp_path / "maps" / name / f"{index:02d}.npy", labels)
    one = {"kind": "static", "map": str(tmp_path / "map.png")}
    many = {"kind": "folder", "maps": str(tmp_path / "maps"), "pictures": str(tmp_path)}
    pictures = data.tuning + data.defective if data.defective else data.tuning
    scores = [
        score(_segad(segments=segments, defects=defects).fit(data, Run()), pictures, Run())["score"]
        for segments in (one, many)
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-4)


def test_trained_detectors_are_taken_up_again(
    rings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, seen = _data(rings), watched_fits(monkeypatch, PatchCore)
    run = Run(trained=Checkpoints(tmp_path / "kept"))
    first = _segad().fit(data, run)
    second = _segad(statistics=["maximum"]).fit(data, run)
    assert len(seen) == 1
    pictures = rings("test", 2, True)
    np.testing.assert_array_equal(
        score(first, pictures, run)["heatmap"], score(second, pictures, run)["heatmap"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detectors": [{"method": "classifier"}]}, "has none: use it as classifier"),
        ({"detectors": [{"method": "patchcor"}]}, "patchcore"),
        ({"detectors": [{**PATCHCORE, "options": {"size": [32, 32]}}]}, "share one size"),
        ({"classifier": {"method": "padim"}}, "learns from defective pictures"),
        ({"classifier": CLASSIFIER, "defects": "synthetic"}, "no classifier with synthetic defects"),
        ({"classifier": CLASSIFIER, "defects": "both"}, "no classifier with synthetic defects"),
        ({"classifier": CLASSIFIER, "classifier_folds": 1}, "at least 2"),
        ({"statistics": ["mean", "mean"]}, "once"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        _segad(**options)


def test_too_few_pictures_of_a_part_are_refused(rings: Make) -> None:
    data = _data(rings, defects=1)
    with pytest.raises(DataError, match="defective pictures: expected at least 2"):
        _segad().fit(data, Run())
    bare = TrainingData(data.normal, data.tuning.subset([0]))
    with pytest.raises(DataError, match=r"tuning pictures: expected at least 2 .* for segad, got 1"):
        _segad().fit(bare, Run())
    none = TrainingData(data.normal, data.tuning)
    with pytest.raises(DataError, match=r"options\.defects=synthetic"):
        _segad(defects="real").fit(none, Run())


def test_a_forest_that_divides_nothing_is_told(rings: Make) -> None:
    data, told = _data(rings, defects=4), list[str]()
    few = TrainingData(data.normal, data.tuning.subset(range(4)), defective=data.defective)
    for options in ({}, {"logistic": {}}):
        _segad(**options).fit(few, Run(), Watch(say=told.append))
    assert len(told) == 1
    assert "its 4 good and 4 defective pictures, so that all pictures score alike" in told[0]


def test_a_segment_that_no_picture_shows_is_refused(rings: Make, tmp_path: Path) -> None:
    drawn = np.zeros((1024, 1024), np.uint8)
    drawn[3, 3] = 1  # vanishes at 64×64
    Image.fromarray(drawn).save(tmp_path / "map.png")
    with pytest.raises(DataError, match="segment 1"):
        _segad(segments={"kind": "static", "map": str(tmp_path / "map.png")}).fit(_data(rings), Run())
    segad = _segad(segments={"kind": "clusters", "backbone": "test_resnet", "weights": "random", "count": 2})
    segad.reader.segmenter.fit = lambda *_: segad.reader.segmenter  # type: ignore[method-assign]
    segad.reader.segmenter.shares = torch.tensor([1.0, 0.0])
    with pytest.raises(DataError, match="segment 1: expected pixels of it"):
        segad.fit(_data_again(rings), Run())
