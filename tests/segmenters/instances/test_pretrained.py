"""Weights of torchvision's Mask R-CNN, from a file that the test makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from flawscope.errors import WeightsError
from flawscope.nn.backbones import _sources
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.run import write_tensors
from flawscope.segmenters.instances.network import STRIDES, MaskRCNN
from flawscope.segmenters.instances.options import InstancesOptions
from flawscope.segmenters.instances.pretrained import load_coco
from instances_small import small

CLASSES = 3
OWN = ("backbone.mean", "backbone.std")


def network(classes: int = CLASSES) -> MaskRCNN:
    backbone = build_backbone("test_resnet", strides=STRIDES, trainable=True)
    return MaskRCNN(backbone, classes, small())


def published(*, older: bool) -> dict[str, Tensor]:
    """Tensors under torchvision's names, of now or of its first files, as if learnt on 90 classes."""
    tensors = {}
    for name, value in network(90).state_dict().items():
        if name in OWN or name.endswith("num_batches_tracked"):
            continue
        key = f"backbone.{name}" if name.startswith("fpn.") else name
        if older:
            key = re.sub(r"(blocks\.\d)\.0\.", r"\1.", key)
            key = key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
            key = key.replace("roi_heads.mask_head.0.0.", "roi_heads.mask_head.mask_fcn1.")
        tensors[key] = torch.full_like(value, 0.25)
    return tensors


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_coco-bf2d0c1e"])
def test_all_but_the_classes_come_from_the_file(
    name: str, older: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAWSCOPE_WEIGHTS", str(tmp_path))
    write_tensors(tmp_path / f"{name}.safetensors", published(older=older))
    made = network()
    assert load_coco(made) == tmp_path / f"{name}.safetensors"
    for key, value in made.state_dict().items():
        own = key in OWN or "box_predictor" in key or "mask_fcn_logits" in key
        if not key.endswith("num_batches_tracked"):
            assert bool((value == 0.25).all()) != own, key


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAWSCOPE_WEIGHTS", str(tmp_path))
    tensors = published(older=False)
    del tensors["rpn.head.bbox_pred.bias"]
    write_tensors(tmp_path / "maskrcnn_resnet50_fpn.safetensors", tensors)
    with pytest.raises(WeightsError, match=r"expected rpn\.head\.bbox_pred\.bias of shape \(12,\)"):
        load_coco(network())


def test_offline_the_error_names_the_file_its_size_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(_sources.urllib.request, "urlopen", refuse)
    monkeypatch.setenv("FLAWSCOPE_CACHE", str(tmp_path))
    monkeypatch.delenv("FLAWSCOPE_WEIGHTS", raising=False)
    with pytest.raises(WeightsError, match=r"maskrcnn_resnet50_fpn\.safetensors, about 170 MB"):
        load_coco(network())


def test_coco_goes_with_its_own_network_alone() -> None:
    with pytest.raises(ValidationError, match="weights coco go with backbone=resnet50, width=256"):
        InstancesOptions(weights="coco")
    assert InstancesOptions(weights="coco", backbone="resnet50").frozen == 0
