"""Segments by SAM: a tiny one of random weights, and masks merged by hand."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from flawscope.errors import DataError, MissingExtraError, Stopped, WeightsError
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.segmenters import sam
from flawscope.segmenters.sam import Sam, exclusive


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """A folder with a SAM of a few thousand weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    parts = transformers.SamConfig(
        vision_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 8,
            "mlp_dim": 16,
            "output_channels": 16,
            "window_size": 4,
            "global_attn_indexes": [0],
            "num_pos_feats": 8,
            "initializer_range": 0.1,
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": 64,
            "patch_size": 8,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "attention_downsample_rate": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    folder = tmp_path / "sam"
    model = transformers.SamModel(parts)
    with torch.no_grad():
        for part in model.mask_decoder.output_hypernetworks_mlps:
            part.proj_out.weight *= 1e6  # logits far from 0
    model.save_pretrained(folder)
    return str(folder)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)


def test_sam_proposes_masks_and_a_map(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam, "POINTS", 6)
    monkeypatch.setattr(sam, "QUALITY", -10.0)
    monkeypatch.setattr(sam, "STABILITY", 0.0)
    model = Sam(tiny, Run())
    masks = model.masks(picture())
    assert masks.dtype == np.bool_
    assert masks.shape[1:] == (48, 80)
    assert len(masks) > 0
    np.testing.assert_array_equal(masks, Sam(tiny, Run()).masks(picture()))
    overlaps = [(a & b).sum() / (a | b).sum() for i, a in enumerate(masks) for b in masks[:i]]
    assert all(overlap <= sam.OVERLAP for overlap in overlaps)
    labels = model.draft(picture(), 4)
    assert labels.shape == (48, 80)
    assert labels.max() < 4
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        Sam(tiny, Run(), Watch(stop=stop)).masks(picture())


def test_unsure_masks_are_no_map(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam, "POINTS", 2)
    monkeypatch.setattr(sam, "QUALITY", 10.0)
    with pytest.raises(DataError, match="Draft by features"):
        Sam(tiny, Run()).draft(picture())


def test_a_model_that_is_not_here_is_named(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"config\.json and model\.safetensors"):
        Sam(str(tmp_path / "empty"), Run())


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="foundation"):
        Sam("facebook/sam-vit-base", Run())


def test_masks_become_exclusive_smaller_upon_larger() -> None:
    masks = np.zeros((3, 6, 6), np.bool_)
    masks[0, 2:4, 2:4] = True  # in the middle of the next
    masks[1, 1:5, 1:5] = True
    masks[2, 5, :2] = True
    labels = exclusive(masks, 8)
    expected = np.zeros((6, 6), int)
    expected[1:5, 1:5], expected[2:4, 2:4], expected[5, :2] = 1, 2, 3
    np.testing.assert_array_equal(labels, expected)
    fewer = exclusive(masks, 3)
    expected[5, :2] = 0
    np.testing.assert_array_equal(fewer, expected)
    assert exclusive(np.ones((2, 4, 4), np.bool_), 5).tolist() == np.zeros((4, 4)).tolist()
