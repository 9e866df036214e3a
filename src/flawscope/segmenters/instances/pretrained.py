"""The weights that torchvision publishes of a Mask R-CNN learnt on COCO, for fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from flawscope.errors import WeightsError
from flawscope.nn.backbones.weights import fetch, local_files, read_weights
from flawscope.segmenters.instances.network import MaskRCNN

COCO = "maskrcnn_resnet50_fpn"
_CLASSES = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")  # of COCO's 91


def load_coco(network: MaskRCNN) -> Path:
    """Fill all but the layers that name COCO's classes; returns the file.

    It is `maskrcnn_resnet50_fpn.safetensors`, or a longer name that begins so, in a folder of
    `FLAWSCOPE_WEIGHTS` or the cache, else torchvision's download.

    Raises:
        WeightsError: no file and no network, or one that is damaged or lacks a tensor.
    """
    path = next(iter(local_files(COCO)), None) or fetch(COCO)
    tensors = {
        name.replace("backbone.fpn.", "fpn.", 1): value
        for name, value in read_weights(path).items()
        if not name.startswith(_CLASSES)
    }
    _check(network, tensors, path)
    network.load_state_dict(tensors, strict=False)  # the parts themselves know torchvision's older names
    return path


def _check(network: MaskRCNN, tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked") or name.startswith(_CLASSES):
            continue
        known = tensors.get(name, tensors.get(_older(name)))
        if name in ("backbone.mean", "backbone.std"):
            continue
        if known is None or known.shape != value.shape:
            raise WeightsError(
                f"weights {path}",
                expected=f"{name} of shape {tuple(value.shape)}, as torchvision's {COCO} has it",
                got="no such tensor" if known is None else f"shape {tuple(known.shape)}",
                fix=f"Put torchvision's weights of {COCO} there, as safetensors.",
            )


def _older(name: str) -> str:
    """What torchvision's first files call a tensor: convolutions without the block around them."""
    parts = name.split(".")
    if name.startswith("roi_heads.mask_head."):
        return f"roi_heads.mask_head.mask_fcn{int(parts[2]) + 1}.{parts[-1]}"
    if name.startswith(("fpn.", "rpn.head.conv.")):
        keep = 3
        return ".".join([*parts[:keep], parts[-1]])
    return name
