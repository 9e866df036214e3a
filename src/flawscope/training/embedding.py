"""Embeddings of patches of test pictures in two dimensions by t-SNE, normal against anomalous ones.

For methods that embed patches: those whose class has `patch_embeddings`.

Multi-Scale Patch-Based Representation Learning (Tsai, Wu, Lai, WACV 2022), section 4.4 and figure 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from flawscope.data.masks import union_mask
from flawscope.data.samples import Sample, spread
from flawscope.report.content import Scatter
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.images import decode, to_frame

if TYPE_CHECKING:
    from torch import Tensor

PICTURES, POINTS = 24, 400  # of each kind, good and defective pictures, normal and anomalous patches
_ANOMALOUS = 0.1  # share of a patch that must be defective
_FEWEST = 4  # points below which nothing is drawn


class EmbedsPatches(Protocol):
    """A detector whose patches are points."""

    def patch_embeddings(self, pixels: Tensor) -> dict[int, tuple[int, Tensor]]:
        """For each side in pixels the stride from patch to patch and embeddings (N, D, h, w).

        `pixels` is (N, 3, H, W); the patches' grid begins in the top left corner.
        """
        ...


def scatters(bundle: Bundle, samples: Sequence[Sample]) -> tuple[Scatter, ...]:
    """A drawing for each patch size; empty for other methods, and where weights, torch or truth are missing.

    It is empty for models that see tiles, too.

    Patches count as normal where no pixel of theirs is defective, and as anomalous from a tenth on. At most
    24 good and 24 defective pictures are read, and 400 patches of each kind drawn, by a fixed seed.

    Args:
        bundle: the model, with its weights.
        samples: test pictures with masks.

    Raises:
        BundleError: weights that do not fit the model's options.
        InputError, DataError: a picture or mask that cannot be read.
    """
    if bundle.manifest.tiling is not None:  # what is drawn are patches of whole pictures
        return ()
    chosen = spread([sample for sample in samples if not sample.defective], PICTURES)
    annotated = spread([sample for sample in samples if sample.defective and sample.masks], PICTURES)
    detector = _embedder(bundle) if annotated else None
    if detector is None:
        return ()
    found: dict[int, tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]] = {}
    for sample in (*chosen, *annotated):
        for scale, vectors, shares in _patches(detector, bundle, sample):
            normal, anomalous = found.setdefault(scale, ([], []))
            normal.append(vectors[shares == 0])
            anomalous.append(vectors[shares >= _ANOMALOUS])
    drawn = (_scatter(scale, np.concatenate(n), np.concatenate(a)) for scale, (n, a) in found.items())
    return tuple(scatter for scatter in drawn if scatter is not None)


def _embedder(bundle: Bundle) -> EmbedsPatches | None:
    """The restored detector, or None where it embeds no patches or cannot be restored here."""
    if bundle.weights is None or any(find_spec(name) is None for name in ("torch", "sklearn")):
        return None
    from flawscope.methods.registry import available, method_class  # noqa: PLC0415 - imports torch
    from flawscope.methods.running import restored  # noqa: PLC0415
    from flawscope.nn.backbones.weights import read_weights  # noqa: PLC0415

    manifest = bundle.manifest
    if manifest.method not in available() or not hasattr(method_class(manifest.method), "patch_embeddings"):
        return None
    detector = restored(manifest.method, manifest.options, read_weights(bundle.weights), manifest.learnt)
    return cast(EmbedsPatches, detector)


def _patches(
    detector: EmbedsPatches, bundle: Bundle, sample: Sample
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """For each patch size embeddings (n, D) and the defective share of each patch (n,)."""
    import torch  # noqa: PLC0415
    import torch.nn.functional as F  # noqa: PLC0415

    frame = bundle.manifest.frame
    image = decode(sample.path, frame)
    mask = union_mask(sample, *image.size)[..., None].astype(np.uint8) * 255  # (H, W, 1)
    with torch.inference_mode():
        pixels = torch.from_numpy(to_frame(image, frame))[None]
        shape = replace(frame, intensities=None)
        defective = torch.from_numpy(to_frame(mask, shape)[:1])[None]  # (1, 1, height, width)
        for side, (stride, grid) in detector.patch_embeddings(pixels).items():
            shares = F.avg_pool2d(defective, side, stride)  # (1, 1, h, w)
            rows = grid[0].flatten(1).T.numpy()  # (h * w, D)
            yield side, rows, shares.flatten().numpy()


def _scatter(scale: int, normal: NDArray[np.float32], anomalous: NDArray[np.float32]) -> Scatter | None:
    """t-SNE of a sample of both, or None where there are too few."""
    from sklearn.manifold import TSNE  # noqa: PLC0415

    random = np.random.default_rng(0)
    kinds = [part[np.sort(random.permutation(len(part))[:POINTS])] for part in (normal, anomalous)]
    if min(len(part) for part in kinds) < _FEWEST:
        return None
    rows = np.concatenate(kinds).astype(np.float64)
    perplexity = min(30.0, (len(rows) - 1) / 4)
    places = TSNE(perplexity=perplexity, init="random", random_state=0).fit_transform(rows)
    low, high = places.min(0), places.max(0)
    places = (places - low) / np.maximum(high - low, 1e-9)  # (n, 2) in [0, 1]
    count = len(kinds[0])
    return Scatter(
        title=f"{scale}-pixel patches: {count} normal, {len(kinds[1])} anomalous",
        normal=tuple(map(tuple, places[:count].tolist())),
        anomalous=tuple(map(tuple, places[count:].tolist())),
    )
