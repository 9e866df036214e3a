"""What an evaluation measures of heatmaps, picture by picture, and maps cut beside the truth."""

from __future__ import annotations

from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.annotations.partition import ignored_area
from flawscope.data.masks import defect_areas, seems_inverted, union_mask
from flawscope.data.pictures import THREADS
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import InputError
from flawscope.metrics import RegionOverlap, Saturation, max_f1
from flawscope.progress import Progress
from flawscope.runtime.images import check_image
from flawscope.runtime.overlay import Picture, to_webp_bytes
from flawscope.runtime.prediction import Prediction
from flawscope.runtime.record import Inset
from flawscope.station.untold import doubt_masks

_SAMPLED = 64  # rows and columns of a picture's pixels that count
_SIDE = 180  # longest side of a drawn mask in pixels, at most twice that
_GROUND, _CUT, _TRUTH = (24, 30, 42), (242, 146, 77), (98, 168, 229)


def look_at_masks(samples: Sequence[Sample], progress: Progress) -> tuple[dict[str, str], list[str]]:
    """Pictures whose masks cannot be used, by path, and why; and sentences about masks that leave doubt.

    Masks cannot be used where they are damaged or of another size than the picture. Every mask is read. A
    picture that cannot be read itself is left to the inspection, which says so.
    """
    masked = [sample for sample in samples if sample.masks]
    found, inverted, on_good = dict[str, str](), list[str](), list[str]()
    with (
        progress.stage("reading masks", len(masked)) as stage,
        ThreadPoolExecutor(THREADS, thread_name_prefix="masks") as pool,
    ):
        for sample, (reason, area) in zip(masked, pool.map(_mask_of, masked), strict=True):
            if reason:
                found[str(sample.path)] = reason
            elif area is not None and not sample.defective and area.any():
                on_good.append("/".join(sample.path.parts[-2:]))
            elif area is not None and sample.defective and seems_inverted(area):
                inverted.append("/".join(sample.path.parts[-2:]))
            stage.advance()
    return found, doubt_masks(inverted, on_good)


def _mask_of(sample: Sample) -> tuple[str, NDArray[np.bool_] | None]:
    """Why a picture's masks cannot be used, empty where they can; the area that they mark, where known."""
    try:
        info = check_image(sample.path)
    except (InputError, OSError):
        return "", None
    area = np.zeros((info.height, info.width), np.bool_)
    try:
        for one, _ in defect_areas(sample, info.height, info.width):
            area |= one
    except (InputError, OSError) as error:
        return str(error), None
    return "", area


class Localisation:
    """Pixel metrics, fed picture by picture at each picture's own resolution.

    Each pixel of each test picture counts once, good pictures' too, as in the evaluation code of MVTec AD and
    MVTec LOCO; so a picture weighs as much as it is large. A defective one without an annotated area is left
    out, and so are pixels of components that are marked as none to judge.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._masked, self.unmasked = dataset.masked, 0
        categories = ("logical", "structural") if any(sample.category for sample in dataset) else ()
        self.overlap, self.defects = RegionOverlap(), {name: RegionOverlap() for name in categories}

    def add(self, sample: Sample, heatmap: NDArray[np.float32] | None) -> None:
        """Count one picture by its heatmap (H, W) at its own size; None counts for nothing.

        A defective one without an annotated area is left out, and counted as such.
        """
        if not self._masked or heatmap is None:
            return
        left_out = ignored_area(sample.parts, *heatmap.shape)
        mask = union_mask(sample, *heatmap.shape) & ~left_out
        if sample.defective and not mask.any():
            self.unmasked += 1
            return
        self.overlap.update(mask, heatmap, left_out)
        for name, overlap in self.defects.items():
            if sample.category == name:
                areas = [(area & ~left_out, pixels) for area, pixels in defect_areas(sample, *heatmap.shape)]
                areas = [(area, pixels) for area, pixels in areas if area.any()]
                limits = [Saturation(pixels) for _, pixels in areas]
                masks = np.stack([area for area, _ in areas])
                overlap.update_defects(masks, heatmap, limits, left_out=left_out)
            elif not sample.defective:
                overlap.update_defects(None, heatmap, left_out=left_out)

    def metrics(self) -> dict[str, float]:
        """By name; empty unless there are normal and defective pixels."""
        if not self.overlap.usable:
            return {}
        ranked = self.overlap.ranking()
        found = {
            "pixel_auroc": ranked.auroc,
            "pixel_average_precision": ranked.average_precision,
            "aupro_30": self.overlap.compute(0.3),
            "aupro_05": self.overlap.compute(0.05),
        }
        usable = {name: overlap for name, overlap in self.defects.items() if overlap.usable}
        return found | {f"au_spro_05_{name}": overlap.compute(0.05) for name, overlap in usable.items()}


class Cuts:
    """Heatmaps cut at the threshold with the highest F1 over all pixels, beside the truth.

    The threshold needs annotated defects, and so serves comparison with papers that cut there; verdicts never
    use it. It is read off a regular sample of each picture's pixels; memory stays bounded by what is drawn.
    """

    def __init__(self) -> None:
        self._labels: list[NDArray[np.bool_]] = []
        self._values: list[NDArray[np.float32]] = []
        self._maps: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}

    def add(self, sample: Sample, prediction: Prediction, drawn: Container[str]) -> None:
        """Count one picture's pixels, and keep its map where its path is among those `drawn`.

        Pictures that were kept before and are no longer drawn are forgotten. A defective picture without an
        annotated area, or an answer without a heatmap, counts for nothing.
        """
        heatmap = prediction.heatmap
        self._maps = {path: kept for path, kept in self._maps.items() if path in drawn}
        if heatmap is None:
            return
        left_out = ignored_area(sample.parts, *heatmap.shape)
        mask = union_mask(sample, *heatmap.shape) & ~left_out
        if sample.defective and not mask.any():
            return
        rows, columns = (
            (np.arange(_SAMPLED) + 0.5) * length // _SAMPLED if length > _SAMPLED else np.arange(length)
            for length in heatmap.shape
        )
        places = np.ix_(rows.astype(np.intp), columns.astype(np.intp))
        counted = ~left_out[places]  # (h, w)
        self._labels.append(mask[places][counted])
        self._values.append(heatmap[places][counted])
        step = max(1, max(heatmap.shape) // _SIDE)
        if str(sample.path) in drawn:
            self._maps[str(sample.path)] = (heatmap[::step, ::step].copy(), mask[::step, ::step].copy())

    def insets(self) -> dict[str, Inset]:
        """A drawing for each kept picture by its path; empty where no pixel, or every one, is defective."""
        if not self._labels:
            return {}
        labels, values = np.concatenate(self._labels), np.concatenate(self._values)
        if labels.all() or not labels.any():
            return {}
        f1, threshold = max_f1(labels, values)
        level = f"{threshold:.4g}".replace("-", "\N{MINUS SIGN}")
        about = f"area: map from {level} on, F1 over all pixels at its highest, {f1:.2f}; line: truth"
        return {
            path: Inset(to_webp_bytes(_draw(heatmap >= threshold, mask)), about)
            for path, (heatmap, mask) in self._maps.items()
        }


def _draw(cut: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Picture:
    """The cut map as an area and the truth as a line, (h, w, 3)."""
    picture = np.full((*cut.shape, 3), _GROUND, np.uint8)
    picture[cut] = _CUT
    outlines, _ = cv2.findContours(truth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, _TRUTH, 1)
    return picture
