"""Masks that Segment Anything proposes (Kirillov et al., ICCV 2023; SAM-HQ: Ke et al., NeurIPS 2023).

From the extra `foundation`. The grid of prompts, the filters and the suppression of repetitions are those of
transformers' pipeline for mask generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import Size
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame
from flawscope.runtime.overlay import to_bytes
from flawscope.segmenters.proposers import loading
from flawscope.segmenters.proposers.proposal import Proposal, Proposer, ProposerOptions

_WHAT = "SAM model"
_CLASSES = {"sam": "SamModel", "sam_hq": "SamHQModel"}
_BATCH = 64  # prompts at a time

Masks = NDArray[np.bool_]
Picture = NDArray[np.uint8]


class SamOptions(ProposerOptions):
    """Options of `Sam`; the defaults are the CSAD authors' released settings."""

    kind: Literal["sam"] = "sam"
    model: str = Field(
        "syscv-community/sam-hq-vit-huge",
        description="folder of a SAM or SAM-HQ model, or its name in the hub's cache; "
        "paper A.2: SAM-HQ, ViT-H",
    )
    points: int = Field(
        32, ge=1, le=64, description="prompts along each side of their grid; released settings"
    )
    quality: float = Field(
        0.88, description="least IoU that SAM predicts for its own mask; released settings, and SAM's own"
    )
    stability: float = Field(
        0.96,
        description="least IoU of a mask's logits cut at 1 and at -1; released settings (SAM's own: 0.95)",
    )
    overlap: float = Field(
        0.7,
        gt=0,
        le=1,
        description="IoU of boxes beyond which the worse mask is a repetition; released settings",
    )
    smallest: int = Field(
        500,
        ge=0,
        description="pixels below which holes are filled and islands removed, counted where SAM's input has "
        "1024 a side; released settings, which count in the pictures of MVTec LOCO",
    )
    crops: int = Field(
        1,
        ge=0,
        le=3,
        description="layers of crops that are asked again, four in the first; released settings",
    )


class SegmentAnything:
    """A SAM or SAM-HQ model, as its folder's config.json says.

    Args:
        options: the model, and which masks are kept.
        run: its device computes.
        watch: progress and stop signal.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsError: no such model here, or one that cannot be read.
    """

    def __init__(self, options: SamOptions, run: Run, watch: Watch = UNWATCHED) -> None:
        self.options, self.run, self.watch = options, run, watch
        device = run.torch_device()
        self.network = loading.network(options.model, _WHAT, _CLASSES, device)
        self.side = int(self.network.config.vision_config.image_size)
        library = loading.transformers(_WHAT)
        square = {"height": self.side, "width": self.side}
        images = library.SamImageProcessor(size={"longest_edge": self.side}, pad_size=square)
        self.processor = library.SamProcessor(images)
        self.pipeline = library.MaskGenerationPipeline(
            model=self.network, image_processor=images, device=device
        )

    def masks(self, picture: Picture, size: Size) -> Masks:
        """All masks (M, height, width) at `size` of a picture (H, W, 3), the surest first; they may overlap.

        Raises:
            Stopped: the watch's stop signal was set.
        """
        large = self._large(picture)
        batches = -(-(self.options.points**2) // _BATCH) * sum(
            4**layer for layer in range(self.options.crops + 1)
        )
        with self.watch.stage("asking SAM", batches) as stage:

            def told(*_: Any) -> None:
                self.watch.check_stop(self.run)
                stage.advance()

            hook = self.network.register_forward_pre_hook(told)
            try:
                found = self.pipeline(
                    Image.fromarray(large),
                    points_per_batch=_BATCH,
                    points_per_crop=self.options.points,
                    crops_n_layers=self.options.crops,
                    pred_iou_thresh=self.options.quality,
                    stability_score_thresh=self.options.stability,
                    crops_nms_thresh=self.options.overlap,
                )["masks"]
            finally:
                hook.remove()
        masks = np.array([np.asarray(mask) for mask in found], np.bool_).reshape(-1, *large.shape[:2])
        smallest = round(self.options.smallest * (self.side / 1024) ** 2)
        small = resized(without_specks(masks, smallest, self.options.overlap), size)
        return small[small.any((1, 2))]

    @torch.inference_mode()
    def in_boxes(self, picture: Picture, boxes: NDArray[np.floating], size: Size) -> Masks:
        """The one mask in each box on a picture (H, W, 3).

        Args:
            picture: 8 bits RGB.
            boxes: (B, 4) left, top, right, bottom, as shares of the picture from 0 to 1.
            size: height and width of the masks.

        Returns:
            (B, height, width) at `size`; one may be empty.
        """
        if not len(boxes):
            return np.zeros((0, *size), np.bool_)
        large = self._large(picture)
        height, width = large.shape[:2]
        corners = (boxes * np.array([width, height, width, height])).tolist()
        inputs = self.processor(Image.fromarray(large), input_boxes=[corners], return_tensors="pt")
        inputs = inputs.to(self.run.torch_device())
        sizes, inner = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
        logits: Tensor = self.network(**inputs, multimask_output=False).pred_masks  # (1, B, 1, h, w)
        (masks,) = self.processor.image_processor.post_process_masks(logits.cpu(), sizes, inner)
        return resized(masks[:, 0].numpy(), size)  # (B, 1, H, W) -> (B, H, W)

    def _large(self, picture: Picture) -> Picture:
        """The picture with the longer side that the network takes, so that areas have one measure."""
        scale = self.side / max(picture.shape[:2])
        height, width = (max(round(side * scale), 1) for side in picture.shape[:2])
        shrunk = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(picture, (width, height), interpolation=shrunk), np.uint8)


class Sam(Proposer):
    """All masks that SAM is sure of. It sees pictures at its own input size, whatever the frame's."""

    Options: ClassVar = SamOptions
    options: SamOptions

    def prepare(self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> None:
        """See `Proposer.prepare`: load the model; raises as `SegmentAnything`."""
        self.model = SegmentAnything(self.options, run, watch)
        self.views = LargeViews(pictures, self.model.side)

    def propose(self, picture: Picture, sample: Sample) -> Proposal:
        """See `Proposer.propose`."""
        height, width = picture.shape[:2]
        return Proposal(self.model.masks(self.views.of(picture, sample), (height, width)))


class LargeViews:
    """Pictures of a frame as a model sees them that takes larger ones: read again, the longer side `side`."""

    def __init__(self, pictures: Pictures, side: int) -> None:
        scale = side / max(pictures.frame.height, pictures.frame.width)
        height, width = (
            max(round(part * scale), 1) for part in (pictures.frame.height, pictures.frame.width)
        )
        self.pictures = pictures.resized(Frame(height, width, pictures.frame.aspect))
        self.places = {(one.path, one.tile): index for index, one in enumerate(pictures.samples)}

    def of(self, picture: Picture, sample: Sample) -> Picture:
        """The large picture (H, W, 3) of a sample; the small one where its sample is none of these."""
        index = self.places.get((sample.path, sample.tile))
        return picture if index is None else to_bytes(self.pictures[index])


def without_specks(masks: Masks, smallest: int, overlap: float) -> Masks:
    """Masks (M, H, W), the surest first, with small holes filled and small islands removed (SAM, appendix B).

    Where that makes two of them alike, the one that it did not touch stays.
    """
    if not len(masks) or not smallest:
        return masks
    tidied = np.stack([_tidied(mask, smallest) for mask in masks])
    touched = (tidied != masks).any((1, 2))
    boxes = [cv2.boundingRect(mask.astype(np.uint8)) for mask in tidied]
    kept: list[int] = []
    for index in np.argsort(touched, kind="stable").tolist():
        if all(_overlap(boxes[index], boxes[other]) <= overlap for other in kept):
            kept.append(index)
    return tidied[sorted(kept)]


def _tidied(mask: NDArray[np.bool_], smallest: int) -> NDArray[np.bool_]:
    """The mask (H, W) without holes and islands below `smallest` pixels; its largest island always stays."""
    holes = _sizes(~mask)
    filled = mask | ((holes > 0) & (holes < smallest))
    islands = _sizes(filled)
    return np.asarray(filled & (islands >= min(smallest, int(islands.max()))))


def _sizes(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Pixels of the connected area that each pixel of the mask (H, W) lies in; 0 outside of the mask."""
    _, areas, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA]
    sizes[0] = 0
    return np.asarray(sizes[areas])


def _overlap(first: Sequence[int], second: Sequence[int]) -> float:
    """IoU of two boxes (left, top, width, height)."""
    wide, high = (
        min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis])
        for axis in (0, 1)
    )
    shared = max(wide, 0) * max(high, 0)
    return shared / max(first[2] * first[3] + second[2] * second[3] - shared, 1)


def resized(masks: Masks, size: Size) -> Masks:
    """Masks (M, H, W) at another height and width: a pixel is in where at least half of it is."""
    height, width = size
    result = np.zeros((len(masks), height, width), np.bool_)
    for small, mask in zip(result, masks, strict=True):
        shares = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        small[:] = shares >= 0.5
    return result
