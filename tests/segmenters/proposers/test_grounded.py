"""Components by their names: tiny models of random weights, and masks painted by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.errors import OptionError, WeightsError
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.proposers import ProposerOptions, build_proposer
from flawscope.segmenters.proposers.grounded import painted

Options = Callable[..., Any]
Picture = NDArray[np.uint8]


@pytest.fixture
def options(tiny_sam: Callable[[str], str], tiny_dino: str, tiny_clip: str) -> Options:
    """Options with tiny models and scores that any box reaches."""
    sam = {"model": tiny_sam("sam_hq"), "points": 4, "quality": -10.0, "stability": 0.0, "crops": 0}
    values = {"kind": "grounded", "model": tiny_dino, "sam": sam, "box": 0.0, "text": 0.0}
    tagger = {"kind": "clip", "model": tiny_clip, "words": ["nut", "table", "wire"], "least": 0.001}
    adapter: TypeAdapter[Any] = TypeAdapter(ProposerOptions)
    return lambda **changes: adapter.validate_python(values | {"tagger": tagger} | changes)


@pytest.fixture
def pictures(noise: Picture, tmp_path: Path) -> Pictures:
    Image.fromarray(noise).save(tmp_path / "a.png")
    return PictureFiles([Sample(tmp_path / "a.png", "train", defective=False)], Frame(12, 20))


def test_what_has_a_name_is_masked_beside_all_masks(options: Options, pictures: Pictures) -> None:
    proposer = build_proposer(options(tags=["screw", "Hex nut"]))
    proposer.prepare(pictures, Run())
    found = proposer.propose(np.zeros((12, 20, 3), np.uint8), pictures.samples[0])
    assert found.masks.shape[1:] == (12, 20)
    assert found.names == ("screw", "Hex nut")
    assert found.named is not None
    assert found.named.shape == (12, 20)
    assert found.named.dtype == np.uint8
    assert 0 < found.named.max() <= 2


class _Boxed:
    """Stands in for SAM: a mask fills its box, and there are no others."""

    def in_boxes(
        self, picture: Picture, boxes: NDArray[np.float64], size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        masks = np.zeros((len(boxes), *size), np.bool_)
        for mask, box in zip(masks, boxes, strict=True):
            left, top, right, bottom = (box * (size[1], size[0], size[1], size[0])).round().astype(int)
            mask[top:bottom, left:right] = True
        return masks

    def masks(self, picture: Picture, size: tuple[int, int]) -> NDArray[np.bool_]:
        return np.zeros((0, *size), np.bool_)


def test_boxes_have_the_tag_that_their_tokens_say(options: Options, pictures: Pictures) -> None:
    proposer: Any = build_proposer(options(tags=["ab", "c d"], box=0.3, text=0.3))
    proposer.prepare(pictures, Run())
    logits = torch.full((1, 5, 24), -5.0)  # boxes by tokens: [CLS] a ##b . c d . [SEP]
    logits[0, 0, 2] = 2.0
    logits[0, 1, 4] = 1.0
    logits[0, 2, 3] = 3.0  # between the tags
    logits[0, 3, 5] = -1.0  # a score of 0.27
    logits[0, 4, 20] = 3.0  # beyond the prompt
    boxes = torch.tensor([[0.1, 0.5, 0.2, 1.0], [0.8, 0.5, 0.6, 1.0], *[[0.5, 0.5, 1.0, 1.0]] * 3])
    proposer.network = lambda **_: SimpleNamespace(logits=logits, pred_boxes=boxes[None])
    proposer.sam = _Boxed()
    found = proposer.propose(np.zeros((12, 20, 3), np.uint8), pictures.samples[0])
    expected = np.zeros((12, 20), np.uint8)
    expected[:, :4], expected[:, 10:] = 1, 2
    np.testing.assert_array_equal(found.named, expected)
    proposer.network = lambda **_: SimpleNamespace(logits=logits - 9, pred_boxes=boxes[None])
    nothing = proposer.propose(np.zeros((12, 20, 3), np.uint8), pictures.samples[0]).named
    np.testing.assert_array_equal(nothing, np.zeros((12, 20)))


def test_each_token_belongs_to_its_tag(options: Options, pictures: Pictures) -> None:
    proposer: Any = build_proposer(options(tags=["ab", "c d"]))
    proposer.prepare(pictures, Run())
    assert proposer.tokens.tolist() == [-1, 0, 0, -1, 1, 1, -1, -1]  # [CLS] a ##b . c d . [SEP]


def test_tags_are_found_where_none_are_given(options: Options, pictures: Pictures) -> None:
    said: list[str] = []
    proposer: Any = build_proposer(options())
    proposer.prepare(pictures, Run(), Watch(say=said.append))
    assert set(proposer.tags) <= {"nut", "wire"}  # a table is background
    assert said == [f"Components are looked for as: {', '.join(proposer.tags)}."]


def test_what_cannot_be_is_refused(options: Options, pictures: Pictures, tiny_clip: str) -> None:
    with pytest.raises(OptionError, match=r"'tags\.0' of proposer of kind grounded"):
        options(tags=["a nut. a bolt"])
    with pytest.raises(OptionError, match="'words' of tagger of kind clip"):
        options(tagger={"kind": "clip", "words": ["nut"]})
    with pytest.raises(OptionError, match=r"kind of tagger: .* Did you mean .ram.\? Known: clip, ram"):
        options(tagger={"kind": "rem"})
    with pytest.raises(OptionError, match="tags: expected at most 24 tokens together"):
        build_proposer(options(tags=["screw", "washer", "connector", "needle"])).prepare(pictures, Run())
    with pytest.raises(WeightsError, match="expected a model of type grounding-dino, got clip"):
        build_proposer(options(tags=["nut"], model=tiny_clip)).prepare(pictures, Run())


def test_smaller_named_masks_lie_upon_larger_and_the_best_upon_equals() -> None:
    masks = np.zeros((4, 40, 40), np.bool_)
    masks[0, 4:8, 4:8] = True
    masks[1, :20] = True
    masks[2, 4:8, 4:8] = True  # as large as the first, and surer
    masks[3, 30, 30] = True  # less than a thousandth
    named = painted(masks, np.array([0, 1, 2, 3]))
    expected = np.zeros((40, 40), np.uint8)
    expected[:20], expected[4:8, 4:8] = 2, 3
    np.testing.assert_array_equal(named, expected)
