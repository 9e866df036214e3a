"""CSAD as a detector: what it makes of parts missing and extra, its outputs, its checks, its options."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from csad_small import SIDE, SMALL
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError, OptionError
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.csad.dividing import shares_of
from flawscope.methods.csad.fused import FusedGaussians
from flawscope.methods.csad.gaussian import GaussianOptions
from flawscope.methods.csad.options import PRESETS, CSADOptions
from flawscope.methods.registry import create
from flawscope.methods.running import taught as learn_more
from flawscope.methods.running import with_tensors
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame


def scene(seed: int, squares: int = 3) -> NDArray[np.uint8]:
    """Red squares on grey ground, one in each of the first corners."""
    random = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
    for place in range(squares):
        top, left = (6 + 34 * value + random.integers(0, 6) for value in divmod(place, 2))
        picture[top : top + 14, left : left + 14] = (200, 40, 30)
    return picture + random.integers(0, 5, picture.shape, dtype=np.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Pictures]:
    """Pictures of the scenes of these seeds."""

    def make(seeds: range, squares: int = 3) -> Pictures:
        samples = []
        for seed in seeds:
            path = tmp_path / f"{squares}-{seed}.png"
            Image.fromarray(scene(seed, squares)).save(path)
            samples.append(Sample(path, "train", defective=False))
        return PictureFiles(samples, Frame(SIDE, SIDE))

    return make


@pytest.fixture
def taught(pictures: Callable[..., Pictures]) -> Callable[..., CSAD]:
    def make(watch: Watch = UNWATCHED, **options: Any) -> CSAD:
        detector = create("csad", {**SMALL, **options})
        assert isinstance(detector, CSAD)
        data = TrainingData(normal=pictures(range(24)), tuning=pictures(range(30, 54)))
        return detector.fit(data, Run(), watch)

    return make


@torch.inference_mode()
def answers(detector: CSAD, *scenes: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    pixels = torch.from_numpy(np.stack(scenes).transpose(0, 3, 1, 2).astype(np.float32) / 255)
    return {name: values.numpy() for name, values in detector(pixels).items()}


def test_parts_missing_and_extra_score_higher_than_good_pictures(taught: Callable[..., CSAD]) -> None:
    detector = taught(names={"the object": "square"})
    assert detector.learnt.facts == {"names": ["the background", "square"], "grids": [[1, 1], [2, 2]]}
    good = answers(detector, *map(scene, range(60, 80)))
    odd = answers(detector, scene(90, 2), scene(91, 4))
    assert odd["score"].min() > 3 * good["score"].max() + 1
    assert odd["counts"].tolist() == [[2.0], [4.0]]
    assert odd["counts_low"].tolist() == odd["counts_high"].tolist() == [[3.0], [3.0]]
    assert odd["heatmap"].max((1, 2)).min() > good["heatmap"].max()
    assert odd["heatmap"][1, 40:54, 40:54].mean() > odd["heatmap"][1, :20, :20].mean()
    assert odd["branches"].shape == (2, 1)


@pytest.mark.parametrize(("single", "idle"), [(18, False), (19, True)])
def test_it_is_idle_where_19_of_20_good_pictures_show_no_two_components(
    taught: Callable[..., CSAD], single: int, idle: bool
) -> None:
    detector = taught()
    counts = detector.compared.counts
    assert counts is not None
    assert detector.idle() == ""
    counts.fused.seen = torch.tensor([[1.0]] * single + [[2.0]] * (20 - single))
    assert detector.idle() == ("19 of 20 good pictures show no two components" if idle else "")


def test_names_of_no_class_are_told(taught: Callable[..., CSAD]) -> None:
    said: list[str] = []
    taught(Watch(say=said.append), names={"the objekt": "square"})
    assert said[-1] == ("No class is called the objekt (option names); there are the background, the object.")


def test_a_restored_detector_answers_alike(taught: Callable[..., CSAD]) -> None:
    detector = taught()
    restored = with_tensors(CSAD(detector.options, detector.learnt.facts), detector.state_dict())
    assert [output.name for output in restored.outputs] == [output.name for output in detector.outputs]
    for name, values in answers(restored, scene(3), scene(4, 2)).items():
        np.testing.assert_array_equal(values, answers(detector, scene(3), scene(4, 2))[name])


@pytest.mark.parametrize("fusion", ["sum", "largest"])
def test_a_score_that_contradicts_its_parts_is_refused(taught: Callable[..., CSAD], fusion: str) -> None:
    detector = taught(fusion=fusion)
    outputs = answers(detector, scene(3), scene(4, 2), scene(5, 4))
    detector.hold(outputs, "an engine")
    outputs["score"] = outputs["score"] + np.float32([0, 5, 0])
    with pytest.raises(BundleError, match="scores by an engine: expected what its branches and counts"):
        detector.hold(outputs, "an engine")


def test_branches_may_be_left_out(taught: Callable[..., CSAD]) -> None:
    detector = taught(histogram=None, words={"words": 8})
    good = answers(detector, *map(scene, range(60, 70)))
    assert set(good) == {"score", "components", "branches", "counts", "counts_low", "counts_high"}
    assert {output.name for output in detector.outputs} == set(good)
    assert answers(detector, scene(90, 2))["score"].min() > good["score"].max()


def test_shapes_and_looks_are_of_the_product_and_neither_of_the_paper_nor_of_earlier_models() -> None:
    of = {name: CSADOptions.model_validate(values).branches for name, values in PRESETS.items()}
    for later in ("shapes", "colours", "hues"):
        assert [later in branches for branches in (of["default"], of["released"])] == [True, False]
        assert later not in CSADOptions().branches
    nothing = {"shapes": None, "colours": None, "hues": None}
    earlier = CSADOptions.model_validate({**PRESETS["default"], **nothing}).model_dump(mode="json")
    del earlier["colours"], earlier["shapes"], earlier["hues"]
    assert CSADOptions.model_validate(earlier).branches == ("structure", "histogram", "counts", "places")


def test_options_that_make_no_sense_are_refused() -> None:
    nothing = {"histogram": None, "structure": None}
    with pytest.raises(
        OptionError, match="at least one of structure, histogram, counts, places, shapes, hues and words"
    ):
        create("csad", nothing)
    with pytest.raises(OptionError, match="trimmed must rise"):
        create("csad", {"trimmed": (0.8, 0.2)})


def test_a_taught_composition_is_usual_afterwards(
    taught: Callable[..., CSAD], pictures: Callable[..., Pictures]
) -> None:
    detector = taught(places={}, shapes={}, colours={}, words={"words": 4})
    fewer, test = pictures(range(60, 72), 2), torch.from_numpy(pictures(range(80, 81), 2)[0])[None]
    before = {name: value.numpy() for name, value in detector(test).items()}
    facts = detector.learnt.facts
    for tuning in (fewer.subset([]), pictures(range(30, 54))):
        again = copy.deepcopy(detector)
        learn_more(again, TrainingData(normal=fewer, tuning=tuning), Run())
        after = {name: value.numpy() for name, value in again(test).items()}
        assert after["score"] < before["score"]
        assert before["counts_low"][0, 0] == 3 > after["counts_low"][0, 0]
        assert again.learnt.facts == facts
        again.hold(after, "torch")
        assert len(again.compared.histogram.fused.seen) == 36
        restored = with_tensors(CSAD(again.options, facts), again.state_dict())
        assert restored(test)["score"] == again(test)["score"]
    scaled = copy.deepcopy(detector)
    learn_more(scaled, TrainingData(normal=fewer, tuning=fewer.subset([])), Run())
    assert torch.equal(scaled.levels.zero, detector.levels.zero), "no tuning picture is at hand"


def test_taught_vectors_are_described_as_all_together() -> None:
    vectors, held_out = torch.rand(40, 6), torch.rand(5, 6)
    options = GaussianOptions(shrinkage=True)
    together, apart = (FusedGaussians((2, 4), options, 0.01) for _ in range(2))
    together.learn(vectors, held_out)
    apart.learn(vectors[:25], held_out)
    apart.teach(vectors[25:])
    for name, value in together.state_dict().items():
        assert torch.equal(value, apart.state_dict()[name]), name


def test_shares_of_classes_are_the_softmax_of_their_logits_however_large() -> None:
    logits = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0)) * 300
    torch.testing.assert_close(shares_of(logits), torch.softmax(logits, 1))
