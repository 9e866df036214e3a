"""Masks by SAM and SAM-HQ: tiny ones of random weights, and specks removed by hand."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.errors import DataError, MissingExtraError, Stopped, WeightsError
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.runtime.overlay import to_bytes
from flawscope.segmenters.proposers import SamOptions, build_proposer, sam
from flawscope.segmenters.proposers.sam import SegmentAnything, without_specks
from flawscope.training.segments import draft

ALL = {"points": 6, "quality": -10.0, "stability": 0.0, "smallest": 0}
Tiny = Callable[[str], str]
Picture = NDArray[np.uint8]


def options(folder: str, **changes: Any) -> SamOptions:
    return SamOptions(**({"model": folder, **ALL, "crops": 0} | changes))


@pytest.mark.parametrize("kind", ["sam", "sam_hq"])
def test_masks_are_proposed_at_the_size_asked_for(kind: str, tiny_sam: Tiny, noise: Picture) -> None:
    model = SegmentAnything(options(tiny_sam(kind)), Run())
    masks = model.masks(noise, (24, 40))
    assert masks.dtype == np.bool_
    assert masks.shape[1:] == (24, 40)
    assert len(masks) > 0
    assert masks.any((1, 2)).all()
    np.testing.assert_array_equal(
        masks, SegmentAnything(options(tiny_sam(kind)), Run()).masks(noise, (24, 40))
    )
    boxes = np.array([[0.1, 0.1, 0.4, 0.5], [0.5, 0.2, 1.0, 1.0]])
    inside = model.in_boxes(noise, boxes, (48, 80))
    assert inside.shape == (2, 48, 80)
    assert model.in_boxes(noise, boxes[:0], (48, 80)).shape == (0, 48, 80)


def test_a_proposer_sees_pictures_at_sams_own_size(tiny_sam: Tiny, noise: Picture, tmp_path: Path) -> None:
    Image.fromarray(noise).save(tmp_path / "a.png")
    samples = [Sample(tmp_path / "a.png", "train", defective=False)]
    pictures: Pictures = PictureFiles(samples, Frame(12, 20))
    proposer = build_proposer(options(tiny_sam("sam"), crops=1))
    proposer.prepare(pictures, Run())
    small = np.zeros((12, 20, 3), np.uint8)  # not looked at
    found = proposer.propose(small, samples[0])
    assert found.masks.shape[1:] == (12, 20)
    assert found.named is None
    large = to_bytes(pictures.resized(Frame(38, 64))[0])
    alone = SegmentAnything(options(tiny_sam("sam"), crops=1), Run()).masks(large, (12, 20))
    np.testing.assert_array_equal(found.masks, alone)


def test_unsure_masks_are_none(tiny_sam: Tiny, noise: Picture) -> None:
    model = SegmentAnything(options(tiny_sam("sam"), points=2, quality=10.0), Run())
    assert model.masks(noise, (48, 80)).shape == (0, 48, 80)


def test_a_static_map_is_drafted_from_the_same_masks(
    tiny_sam: Tiny, noise: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(noise).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"none that it is sure of\. Draft by features"):
        draft([tmp_path / "a.png"], tmp_path / "map.png", Run(), by="sam", model=tiny_sam("sam"))
    monkeypatch.setattr(sam, "SamOptions", lambda **given: SamOptions(**{**ALL, **given}))
    facts = draft(
        [tmp_path / "a.png"], tmp_path / "map.png", Run(), by="sam", model=tiny_sam("sam"), segments=3
    )
    assert (facts.height, facts.width) == (48, 80)
    assert 1 <= len(facts.shares) <= 3


def test_it_stops_between_prompts(tiny_sam: Tiny, noise: Picture) -> None:
    stop = threading.Event()
    model = SegmentAnything(options(tiny_sam("sam")), Run(), Watch(stop=stop))
    stop.set()
    with pytest.raises(Stopped):
        model.masks(noise, (48, 80))
    stop.clear()
    assert len(model.masks(noise, (48, 80)))


def test_a_model_that_is_not_here_is_named(tiny_sam: Tiny, tmp_path: Path) -> None:
    tiny_sam("sam")
    with pytest.raises(WeightsError, match=r"SAM model .*config\.json and model\.safetensors"):
        SegmentAnything(SamOptions(model=str(tmp_path)), Run())
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="expected a model of type sam or sam_hq, got bert"):
        SegmentAnything(SamOptions(model=str(tmp_path)), Run())


def test_weights_of_another_network_are_refused(tiny_sam: Tiny, tmp_path: Path) -> None:
    for name, kind in (("config.json", "sam_hq"), ("model.safetensors", "sam")):
        (tmp_path / name).write_bytes(Path(tiny_sam(kind), name).read_bytes())
    with pytest.raises(WeightsError, match=r"got none for .*Fetch the folder again"):
        SegmentAnything(SamOptions(model=str(tmp_path)), Run())


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="foundation"):
        SegmentAnything(SamOptions(), Run())


def test_specks_are_filled_and_removed() -> None:
    masks = np.zeros((3, 20, 20), np.bool_)
    masks[0, 2:12, 2:12] = True
    masks[0, 5, 5] = False  # a hole
    masks[0, 18, 18] = True  # an island
    masks[1, 2:12, 2:12] = True  # the first, tidied
    masks[2, 15:17, 2:4] = True  # an island alone stays
    tidied = without_specks(masks, 5, 0.7)
    np.testing.assert_array_equal(tidied, masks[1:])
    np.testing.assert_array_equal(without_specks(masks, 0, 0.7), masks)
    assert without_specks(masks[:0], 5, 0.7).shape == (0, 20, 20)
