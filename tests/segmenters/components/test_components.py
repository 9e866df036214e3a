"""The component segmenter: it learns label maps, answers the same everywhere, and its state restores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from areas import PRODUCT, annotated_pictures
from flawscope.data.pictures import Pictures
from flawscope.errors import OptionError
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.run import Run
from flawscope.products import PRODUCTS
from flawscope.runtime.images import Frame
from flawscope.segmenters import ComponentsOptions, Segmenter, SegmentOptions, build_segmenter
from flawscope.segmenters.components.segmenter import Components

SIDE = 128
FRAME = Frame(SIDE, SIDE)
SMALL = {"kind": "components", "preset": "cpu", "width": 32, "steps": 40, "learning_rate": 0.01}


def options(**values: Any) -> ComponentsOptions:
    found = TypeAdapter(SegmentOptions).validate_python({**SMALL, **values})
    assert isinstance(found, ComponentsOptions)
    return found


def iou(segmenter: Segmenter, pictures: Pictures, truth: NDArray[np.uint8]) -> float:
    """Mean over the classes of the intersection over union, all pictures together."""
    with torch.inference_mode():
        found = segmenter(torch.from_numpy(np.stack(list(pictures)))).numpy()
    each = [
        ((found == label) & (truth == label)).sum() / ((found == label) | (truth == label)).sum()
        for label in range(segmenter.count)
    ]
    return float(np.mean(each))


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pictures, NDArray[np.uint8]]:
    return annotated_pictures(tmp_path_factory.mktemp("annotated"), 8, SIDE)


@pytest.fixture(scope="module")
def fitted(annotated: tuple[Pictures, NDArray[np.uint8]]) -> Components:
    pictures, _ = annotated
    return Components(options(), FRAME).fit(pictures, Run(seed=1), parts=pictures)


def test_a_short_training_finds_components_in_new_pictures(fitted: Components, tmp_path: Path) -> None:
    pictures, truth = annotated_pictures(tmp_path, 2, SIDE, first=100)
    assert fitted.names == PRODUCTS[PRODUCT].part_names
    assert fitted.count == 9
    first, last = fitted.history[0], fitted.history[-1]
    assert last["total"] < 0.5 * first["total"]
    assert iou(fitted, pictures, truth) > 0.6
    start = Components(options(steps=1), FRAME).fit(pictures, Run(seed=1), parts=pictures)
    assert iou(start, pictures, truth) < 0.2


def test_shares_are_those_of_the_labels_found(
    fitted: Components, annotated: tuple[Pictures, NDArray[np.uint8]]
) -> None:
    pictures, _ = annotated
    with torch.inference_mode():
        labels = fitted(torch.from_numpy(np.stack(list(pictures)))).numpy()
    assert labels.shape == (8, SIDE, SIDE)
    assert labels.dtype == np.int64
    shares = np.bincount(labels.ravel(), minlength=9) / labels.size
    np.testing.assert_allclose(fitted.shares.numpy(), shares, atol=1e-5)


def test_labels_are_the_largest_logits_here_and_in_the_engines(
    annotated: tuple[Pictures, NDArray[np.uint8]],
    exported: Callable[..., dict[str, NDArray[Any]]],
) -> None:
    pictures, _ = annotated
    pixels = np.stack(list(pictures))[:3]
    small = {"backbone": "test_resnet", "layers": ("layer2", "layer1"), "weights": "random", "width": 8}
    segmenter = Components(options(**small, steps=20, rates=(1,)), FRAME)
    segmenter.fit(pictures, Run(), parts=pictures)
    with torch.inference_mode():
        logits = segmenter.logits(torch.from_numpy(pixels))
        labels = segmenter(torch.from_numpy(pixels))
    assert logits.shape == (3, 9, SIDE, SIDE)
    assert torch.equal(labels, logits.argmax(1))
    assert len(labels.unique()) > 1
    for engine, answer in exported(segmenter, pixels).items():
        assert answer.shape == labels.shape
        assert (answer == labels.numpy()).mean() > 0.999, engine


def test_the_state_restores_names_classes_and_labels(
    fitted: Components,
    annotated: tuple[Pictures, NDArray[np.uint8]],
    restored: Callable[[Segmenter, Segmenter], Segmenter],
) -> None:
    pixels = torch.from_numpy(np.stack(list(annotated[0]))[:1])
    plain = build_segmenter(options(), FRAME)
    plain.load_state_dict(fitted.state_dict())
    for twin in (plain, restored(build_segmenter(options(), FRAME), fitted)):
        assert twin.names == fitted.names
        with torch.inference_mode():
            assert torch.equal(twin.eval()(pixels), fitted(pixels))


def test_an_owner_hands_in_the_maps_that_it_has(
    fitted: Components, annotated: tuple[Pictures, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.from_numpy(np.stack(list(annotated[0]))[:1])
    owned = build_backbone(fitted.backbone.name, ["blocks.1", "blocks.4", "blocks.2"], size=(SIDE, SIDE))
    owned.load_state_dict(fitted.backbone.state_dict())
    assert set(fitted.layers) <= set(owned.layers)
    with torch.inference_mode():
        maps, labels = owned(pixels), fitted(pixels)
        monkeypatch.setattr(fitted.backbone, "forward", lambda *_: pytest.fail("the backbone runs twice"))
        assert torch.equal(fitted(pixels, maps), labels)


def test_a_preset_fills_what_is_not_given() -> None:
    given = options(losses={"dice": 2.0}, augmentation={"pieces": [1, 1]})
    assert (given.width, given.separable, given.decay) == (32, True, "cosine")
    assert (given.losses.dice, given.losses.focal) == (2.0, 1.0)
    assert given.augmentation.pieces == (1, 1)
    assert given.augmentation.rotated
    assert ComponentsOptions.model_validate(given.model_dump(mode="json")) == given
    released = ComponentsOptions.model_validate({"preset": "released", "losses": {"dice": 2.0}})
    assert (released.losses.dice, released.losses.focal, released.losses.cross_entropy) == (2.0, 10.0, 0.5)
    assert (released.augmentation.source, released.augmentation.rotated) == ("same", True)
    paper = ComponentsOptions().losses
    assert list(paper.model_dump().values()) == [0.5, 10.0, 1.0, 10.0, 1.0]


def test_the_schedule_counts_epochs_over_labelled_pictures() -> None:
    assert ComponentsOptions().steps_for(100) == (3000, 1250)
    assert ComponentsOptions(steps=240).steps_for(100) == (240, 100)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"preset": "gpu"},
            "option 'preset' of segments of kind components: expected 'paper', 'released'",
        ),
        ({"losses": {"dice": -1}}, "option 'losses.dice' of segments of kind components: expected greater"),
        ({"epochs": 10}, "supervised_epochs must be at most the 10 epochs"),
        ({"count": 3}, "option 'count' of segments of kind components: expected an option of that kind"),
    ],
)
def test_wrong_options_are_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        options(**values)
