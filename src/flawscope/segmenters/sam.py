"""Segments that Segment Anything proposes on one picture (Kirillov et al., ICCV 2023), to draft maps with.

From the extra `foundation`. SAM drafts static maps and does not run at the station: it is no `Segmenter`, and
it does not export.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.segment_maps import Labels
from flawscope.errors import DataError, WeightsError, need
from flawscope.nn.backbones.build import IMAGENET
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.segmenters.drafting import cleaned

# The paper's automatic mask generation (section 5 and appendix B), on one scale.
POINTS = 32  # a side of the grid of prompts
QUALITY = 0.88  # least IoU that SAM predicts for its own mask
STABILITY = 0.95  # least IoU of the mask's logits cut at 1 and at -1
OVERLAP = 0.7  # IoU beyond which the worse of two masks is a repetition
_MOST_SEGMENTS = 8
_BATCH = 32  # prompts at a time


class Sam:
    """A SAM model from a local folder or the hub's cache; nothing is downloaded.

    Args:
        model: a folder that holds config.json and model.safetensors, or a name in the hub's cache.
        run: its device computes.
        watch: progress and stop signal.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsError: no such model here, or one that cannot be read.
    """

    def __init__(self, model: str, run: Run, watch: Watch = UNWATCHED) -> None:
        self.run, self.watch = run, watch
        self.network = _loaded(model).eval().to(run.torch_device())
        self.side = int(self.network.config.vision_config.image_size)

    def draft(self, picture: NDArray[np.uint8], segments: int | None = None) -> Labels:
        """Segments (H, W) of a picture (H, W, 3), numbered by size.

        What no mask covers is one segment; of more than `segments` (8 by default) the largest stay.

        Raises:
            DataError: SAM finds no mask that it is sure of.
        """
        masks = self.masks(picture)
        if not len(masks):
            raise DataError(
                "picture to divide into segments",
                expected="objects that SAM finds",
                got="none that it is sure of",
                fix="Draft by features.",
            )
        return cleaned(exclusive(masks, segments or _MOST_SEGMENTS))

    @torch.inference_mode()
    def masks(self, picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Masks (M, H, W) of a picture (H, W, 3), the surest first, without repetitions."""
        height, width = picture.shape[:2]
        pixels, inner = self._prepared(picture)
        embedding = self.network.get_image_embeddings(pixels)  # (1, C, h, w)
        found: list[tuple[float, Tensor]] = []
        with self.watch.stage("asking SAM", POINTS**2) as stage:
            for points in self._prompts(inner):
                self.watch.check_stop(self.run)
                answer = self.network(
                    image_embeddings=embedding, input_points=points[None, :, None], multimask_output=True
                )
                found += self._sure(answer.pred_masks[0], answer.iou_scores[0], inner, (height, width))
                stage.advance(len(points))
        found.sort(key=lambda pair: -pair[0])
        return _without_repetitions([mask for _, mask in found], height, width)

    def _prepared(self, picture: NDArray[np.uint8]) -> tuple[Tensor, tuple[int, int]]:
        """Pixels (1, 3, S, S), normalised, padded below and right, and how far (h, w) the picture reaches."""
        device = self.run.torch_device()
        pixels = torch.from_numpy(picture.copy()).to(device).permute(2, 0, 1).unsqueeze(0).float() / 255
        scale = self.side / max(picture.shape[:2])
        inner = (round(picture.shape[0] * scale), round(picture.shape[1] * scale))
        pixels = F.interpolate(pixels, inner, mode="bilinear", antialias=True, align_corners=False)
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in IMAGENET)
        pixels = (pixels - mean) / std
        return F.pad(pixels, (0, self.side - inner[1], 0, self.side - inner[0])), inner

    def _prompts(self, inner: tuple[int, int]) -> Iterator[Tensor]:
        """Batches (n, 2) of points x, y on a grid over the picture (h, w)."""
        steps = (torch.arange(POINTS, device=self.run.torch_device()) + 0.5) / POINTS
        y, x = torch.meshgrid(steps * inner[0], steps * inner[1], indexing="ij")
        yield from torch.split(torch.stack([x.flatten(), y.flatten()], 1), _BATCH)  # (n, 2) each

    def _sure(
        self, logits: Tensor, quality: Tensor, inner: tuple[int, int], size: tuple[int, int]
    ) -> list[tuple[float, Tensor]]:
        """Quality and mask (H, W) of those of `logits` (n, 3, m, m) that are good and stable."""
        logits, quality = logits.flatten(0, 1), quality.flatten()  # (3 n, m, m), (3 n,)
        core, rim = (logits > 1).sum((1, 2)), (logits > -1).sum((1, 2))
        kept = (quality >= QUALITY) & (core >= STABILITY * rim) & (core > 0)
        if not kept.any():
            return []
        whole = F.interpolate(logits[kept].unsqueeze(1), (self.side, self.side), mode="bilinear")
        shown = whole[:, :, : inner[0], : inner[1]]
        masks = F.interpolate(shown, size, mode="bilinear").squeeze(1) > 0  # (k, H, W)
        return list(zip(quality[kept].tolist(), masks.cpu(), strict=True))


def exclusive(masks: NDArray[np.bool_], segments: int) -> Labels:
    """Labels (H, W) of overlapping masks (M, H, W): smaller ones lie upon larger ones, 0 is what none covers.

    Of more than `segments` labels, 0 among them, those that show the fewest pixels fall to what lies below.
    """
    masks = masks[np.argsort(-masks.sum((1, 2)), kind="stable")]
    seen = np.bincount(_painted(masks).ravel(), minlength=len(masks) + 1)[1:]
    kept = np.sort(np.argsort(-seen, kind="stable")[: segments - 1])
    labels = _painted(masks[kept[seen[kept] > 0]])
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint8)


def _painted(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Labels (H, W) from 1 on, each mask upon those before it; 0 where there is none."""
    labels = np.zeros(masks.shape[1:], np.int64)
    for label, mask in enumerate(masks, 1):
        labels[mask] = label
    return labels


def _without_repetitions(masks: list[Tensor], height: int, width: int) -> NDArray[np.bool_]:
    """Each mask (H, W) that overlaps no earlier one too far: (M, H, W)."""
    kept: list[NDArray[np.bool_]] = []
    for mask in masks:
        area = mask.numpy()
        if all((area & other).sum() <= OVERLAP * (area | other).sum() for other in kept):
            kept.append(area)
    return np.stack(kept) if kept else np.zeros((0, height, width), np.bool_)


def _loaded(model: str) -> Any:
    kind = need("transformers", what="segments by sam", extra="foundation").SamModel
    try:
        return kind.from_pretrained(model, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        place = "that folder" if Path(model).exists() else "the hub's cache, or name a folder"
        raise WeightsError(
            f"SAM model {model}",
            expected="config.json and model.safetensors of a SAM model on this machine",
            got=" ".join(str(error).split())[:200],
            fix=f"Put them into {place}; `hf download {model}` fetches published ones.",
        ) from error
