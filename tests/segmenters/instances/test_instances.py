"""The instance segmenter: it learns annotated parts, answers the same everywhere, and its state restores."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torchvision.models.detection.image_list import ImageList

from areas import Area
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.errors import DataError, OptionError, Stopped
from flawscope.metrics.overlap import overlaps
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters import InstancesOptions, Segmenter, SegmentOptions, build_segmenter
from flawscope.segmenters.instances import boxes
from flawscope.segmenters.instances.finding import Found
from flawscope.segmenters.instances.segmenter import Instances
from flawscope.segmenters.instances.training import sized
from instances_small import FRAME, SIDE, SMALL, annotated_bars, segmenter, without

LEARNING = {
    "weights": "pretrained", "backbone": "tf_efficientnet_lite0", "frozen": 4, "width": 32, "head": 64,
    "sampled": 64, "steps": 50, "learning_rate": 0.003, "near": 2,
}  # fmt: skip


def same(first: Instances, second: Instances) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def stacked(pictures: Pictures) -> torch.Tensor:
    return torch.from_numpy(np.stack(list(pictures)))


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pictures, NDArray[np.uint8]]:
    return annotated_bars(tmp_path_factory.mktemp("annotated"), 6)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def fitted(annotated: tuple[Pictures, NDArray[np.uint8]], said: list[str]) -> Instances:
    pictures = annotated[0]
    made = segmenter(**LEARNING, held_out=0.3)
    return made.fit(pictures, Run(seed=1), Watch(say=said.append), pictures)


def test_a_short_training_finds_parts_in_pictures_that_were_held_out(
    fitted: Instances, annotated: tuple[Pictures, NDArray[np.uint8]], said: list[str]
) -> None:
    pictures, truth = annotated
    assert fitted.names == ("background", "bar", "plate")
    assert fitted.order.tolist() == [1, 2, 0]
    assert fitted.history[-1]["total"] < 0.5 * fitted.history[0]["total"]
    with torch.inference_mode():
        labels = fitted(stacked(pictures)).numpy()
    named = np.array([0, 2, 1])[truth]  # drawn as plate 1 and bar 2
    assert overlaps(labels, named, fitted.names).mean > 0.6
    assert fitted.facts["miou"] > 0.6
    assert fitted.facts["by_class"].keys() == set(fitted.names)
    told = [
        line for line in said if line.startswith("Agreement with 2 annotated pictures that were held out")
    ]
    assert f"mIoU {fitted.facts['miou']:.3f} (background" in told[0]
    np.testing.assert_allclose(fitted.shares, np.bincount(labels.ravel()) / labels.size, atol=1e-5)


def test_instances_are_told_slot_by_slot(
    fitted: Instances, annotated: tuple[Pictures, NDArray[np.uint8]]
) -> None:
    with torch.inference_mode():
        found = fitted.found(stacked(annotated[0])[:2])
    assert found.classes.shape == found.scores.shape == found.areas.shape == (2, 8)
    assert found.boxes.shape == (2, 8, 4)
    assert torch.equal(found.scores, found.scores.sort(1, descending=True).values)
    empty = found.classes == 0
    assert not empty.all()
    for values in (found.scores, found.areas, found.boxes.abs().sum(2)):
        assert not values[empty].any()
    assert (found.scores[~empty] > 0.5).all()
    bars = (found.classes[0] == 1).nonzero().flatten()
    box, truth = found.boxes[0, bars[0]].numpy(), np.argwhere(annotated[1][0] == 2)
    np.testing.assert_allclose(box[[1, 0]], truth.min(0), atol=4)
    np.testing.assert_allclose(box[[3, 2]], truth.max(0), atol=4)


@pytest.mark.slow
def test_a_picture_alone_and_in_every_engine_has_the_same_labels(
    fitted: Instances,
    annotated: tuple[Pictures, NDArray[np.uint8]],
    exported: Callable[..., dict[str, NDArray[Any]]],
) -> None:
    pixels = stacked(annotated[0])[:3]
    with torch.inference_mode():
        labels = fitted(pixels)
        assert all(torch.equal(fitted(pixels[row : row + 1])[0], labels[row]) for row in range(3))
    for engine, answer in exported(fitted, pixels.numpy()).items():
        assert answer.shape == labels.shape
        assert (answer == labels.numpy()).mean() > 0.999, engine


def test_where_nothing_is_found_all_is_ground_and_other_sizes_have_labels_too(fitted: Instances) -> None:
    with torch.inference_mode():
        blank = fitted.found(torch.zeros(1, 3, SIDE, SIDE))
        wide = fitted.found(torch.rand(1, 3, 40, 100))
    assert not blank.labels.any() or blank.classes.any()
    assert wide.labels.shape == (1, 40, 100)
    with torch.inference_mode():
        nothing = segmenter(score=0.99).eval().found(torch.zeros(1, 3, SIDE, SIDE))
    assert not nothing.labels.any()
    assert not nothing.classes.any()


def test_instances_are_those_of_torchvision(
    annotated: tuple[Pictures, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes, "_ORDERED", 1e-6)  # proposals of random weights differ by less than usual
    made = segmenter(score=0.05, candidates=1000, proposals=12, slots=100)
    made.network, made.order = made._fresh(3, 1), torch.tensor([1, 2, 3, 0])
    pixels = stacked(annotated[0])[:2]
    network, sizes = made.network, [(SIDE, SIDE)] * 2
    with torch.inference_mode():
        found: Found = made.found(pixels)
        maps = network.pyramid(network.backbone(pixels))
        proposals, _ = network.rpn(ImageList(pixels, sizes), maps)
        expected, _ = network.roi_heads(maps, proposals, sizes)
    for row, one in enumerate(expected):
        count = len(one["scores"])
        assert count > 3
        torch.testing.assert_close(found.scores[row, :count], one["scores"])
        assert torch.equal(found.classes[row, :count], one["labels"])
        torch.testing.assert_close(
            found.boxes[row, :count], one["boxes"], atol=0.51, rtol=0
        )  # cut half a pixel later
        assert not found.scores[row, count:].any()


def test_the_state_restores(
    fitted: Instances,
    annotated: tuple[Pictures, NDArray[np.uint8]],
    restored: Callable[[Segmenter, Segmenter], Segmenter],
) -> None:
    plain = build_segmenter(fitted.options, FRAME)
    plain.load_state_dict(fitted.state_dict())
    pixels = stacked(annotated[0])[:1]
    for twin in (plain, restored(build_segmenter(fitted.options, FRAME), fitted)):
        assert twin.names == fitted.names
        assert twin.facts == fitted.facts
        with torch.inference_mode():
            assert torch.equal(twin.eval()(pixels), fitted(pixels))


def test_the_backbones_maps_are_features_and_may_be_handed_in(
    fitted: Instances, annotated: tuple[Pictures, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = stacked(annotated[0])[:1]
    with torch.inference_mode():
        maps, labels = fitted.backbone(pixels), fitted(pixels)
        features = fitted.features(pixels)
        assert [SIDE // grid.shape[2] for grid in features] == [4, 8, 16, 32]
        monkeypatch.setattr(fitted.backbone, "forward", lambda *_: pytest.fail("the backbone runs twice"))
        assert torch.equal(fitted(pixels, maps), labels)
    assert fitted.layers == tuple(maps)


@dataclass
class Stopping:
    """Progress that asks to stop after some steps of the training; counts the steps that it is told of."""

    stop: threading.Event
    after: int
    told: int = 0

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Stopping]:
        self.title = title
        yield self

    def advance(self, steps: int = 1) -> None:
        if self.title == "training":
            self.told += steps
            if self.told == self.after:
                self.stop.set()


def test_a_stopped_training_goes_on_to_the_same_weights(
    annotated: tuple[Pictures, NDArray[np.uint8]], tmp_path: Path
) -> None:
    values = {"optimiser": "sgd", "sizes": (48, SIDE), "crop": 40, "mirrored": ("left_right",)}
    pictures = annotated[0]
    through = segmenter(**values).fit(pictures, Run(), parts=pictures)
    run, stop = Run(checkpoints=Checkpoints(tmp_path)), threading.Event()
    with pytest.raises(Stopped, match="Progress is kept"):
        segmenter(**values).fit(pictures, run, Watch(Stopping(stop, 2), stop), pictures)
    rest = Stopping(threading.Event(), 99)
    resumed = segmenter(**values).fit(pictures, run, Watch(rest, rest.stop), pictures)
    assert rest.told == 4
    assert same(through, resumed)
    assert through.history == resumed.history
    assert not same(through, segmenter(**values).fit(pictures, Run(seed=2), parts=pictures))


def test_lower_levels_stay_where_they_are_frozen_and_all_others_learn(
    annotated: tuple[Pictures, NDArray[np.uint8]],
) -> None:
    pictures = annotated[0]
    start = segmenter(frozen=2).network.backbone.body.state_dict()
    learnt = segmenter(frozen=2, steps=1).fit(pictures, Run(), parts=pictures)
    moved = {
        name
        for name, value in learnt.network.backbone.body.named_parameters()
        if not torch.equal(value, start[name])
    }
    assert {name.split(".")[0] for name in moved} == {"layer3", "layer4"}
    free = segmenter(steps=1, frozen=0).fit(pictures, Run(), parts=pictures)
    still = dict(free.network.backbone.body.named_buffers())
    first = next(iter(start))
    assert not torch.equal(free.network.backbone.body.state_dict()[first], start[first])
    assert all(torch.equal(value, start[name]) for name, value in still.items())  # statistics
    assert not any(parameter.requires_grad for parameter in free.parameters())


def test_products_are_learnt_jointly_by_the_names_of_their_parts(
    annotated: tuple[Pictures, NDArray[np.uint8]], tmp_path: Path
) -> None:
    other, _ = annotated_bars(tmp_path, 2)
    both = annotated[0].subset([0, 1]) + without(without(other, 0, "plate"), 1, "plate")
    assert segmenter().fit(both, Run(), parts=both).names == ("background", "bar", "plate")


def test_what_is_annotated_once_or_found_nowhere_is_told(
    annotated: tuple[Pictures, NDArray[np.uint8]],
) -> None:
    pictures, said = annotated[0].subset([0, 1, 2]), list[str]()
    for index in (0, 1):
        pictures = without(pictures, index, "bar")
    made = segmenter(steps=1, score=0.99).fit(pictures, Run(), Watch(say=said.append), pictures)
    assert "'bar' is annotated in a single picture" in " ".join(said)
    assert "'plate' is found in none of the good pictures" in " ".join(said)
    assert made.absent == (1, 2)
    stray = Area("stray", np.zeros((SIDE, SIDE), np.bool_))
    (last,) = pictures.subset([2]).samples
    alone = PictureFiles([replace(last, parts=(*last.parts, stray))], pictures.frame)
    single = segmenter(steps=1, slots=1).fit(alone, Run(), Watch(say=said.append), alone)
    assert "Too few annotated pictures to hold any out" in " ".join(said)
    assert "no annotated picture shows a pixel of them: stray" in " ".join(said)
    assert "An annotated picture shows 2 instances, of which 1 are found at most" in " ".join(said)
    assert single.names == ("background", "bar", "plate")
    assert single.facts == {}
    assert math.isnan(float(single.agreement[0]))


def test_without_annotations_nothing_is_learnt(annotated: tuple[Pictures, NDArray[np.uint8]]) -> None:
    with pytest.raises(DataError, match="annotated pictures for segments of kind instances"):
        segmenter().fit(annotated[0], Run())


def test_a_preset_fills_what_is_not_given() -> None:
    paper, given = InstancesOptions(), InstancesOptions(preset="cpu", steps=7)
    assert (paper.batch, paper.crop, paper.sizes) == (10, 256, (256, 512, 768, 1024))
    assert (given.optimiser, given.steps) == ("adamw", 7)
    assert InstancesOptions.model_validate(given.model_dump(mode="json")) == given


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "gpu"}, "option 'preset' of segments of kind instances: expected 'paper' or 'cpu'"),
        ({"sizes": (16,)}, "sizes must be at least 32"),
        ({"frozen": 5}, "option 'frozen' of segments of kind instances: expected less than or equal to 4"),
    ],
)
def test_wrong_options_are_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TypeAdapter(SegmentOptions).validate_python({"kind": "instances", **SMALL, **values})


def test_a_size_that_is_drawn_keeps_the_frames_proportions() -> None:
    assert sized(Frame(300, 600, "pad"), 256) == Frame(128, 256, "pad")
