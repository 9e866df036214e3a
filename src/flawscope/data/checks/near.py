"""Pictures that show the same photograph: equal but for compression, size, brightness or a little noise.

Each picture becomes a 32 x 32 grey thumbnail of zero mean and unit variance; two pictures are near duplicates
where the root mean square difference of their thumbnails is small, in itself and beside the distance that
pictures of this data set usually have. The second condition keeps aligned products apart, whose good pictures
all look alike. On MVTec AD screw (usual distance 1.24) copies saved as JPEG 75 or at 80 % of their size lie
below 0.014; the one pair of near duplicates in it at 0.012, the next pair at 0.080. On BSData, which is
nearly aligned (usual distance 0.31), such copies lie below 0.009 and different photographs from 0.014 on.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.overlay import to_rgb

SIDE = 32
COARSE = 8 * SIDE
LIMIT = 0.02
RELATIVE_LIMIT = 0.03
BLOCK = 2048
DIRECTIONS = 64
SLACK = 1e-5  # of single precision, on squared distances
SAMPLED_ROWS = 256
SAMPLED_PAIRS = 4096
FLAT = 1.0


def thumbnail(image: NDArray[Any]) -> NDArray[np.float16]:
    """A picture (H, W, C) uint8, uint16 or float32 as (1024,) float16 of zero mean and unit variance.

    A picture that is flat (standard deviation below one 8-bit grey level) becomes all zeros. Numbers without
    a full scale count from their lowest to their highest.
    """
    if image.dtype.kind == "f":
        image = to_rgb(image)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image[..., 0]  # (H, W)
    if min(grey.shape) > COARSE:
        grey = cv2.resize(grey, (COARSE, COARSE), interpolation=cv2.INTER_AREA)
    grey = grey * np.float32(255.0 / np.iinfo(image.dtype).max)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()  # (1024,)
    small -= small.mean()
    spread = float(small.std())
    scaled = small / spread if spread >= FLAT else np.zeros_like(small)
    return np.asarray(scaled, np.float16)


def near_groups(thumbnails: NDArray[np.float16]) -> list[list[int]]:
    """Groups of near duplicates among (N, 1024) thumbnails: index lists of two or more, flat ones left out.

    Exact over all pairs, in bounded memory: pairs are first compared in blocks along 64 orthonormal
    directions of largest variance, where distances can only be smaller, and in full where that leaves doubt.
    Rows sorted by their first coordinate leave most blocks out.
    """
    rows = np.flatnonzero(thumbnails.any(axis=1))
    if len(rows) < 2:
        return []
    limit = min(LIMIT, RELATIVE_LIMIT * _usual_distance(thumbnails, rows))
    short = _shortened(thumbnails, rows)  # (n, 64)
    order = np.argsort(short[:, 0])
    rows, short = rows[order], short[order]
    ends = np.searchsorted(short[:, 0], short[:, 0] + 1.01 * limit * SIDE, side="right")
    parent = np.arange(len(rows))
    for start in range(0, len(rows), BLOCK):
        left = slice(start, start + BLOCK)
        for other in range(start, int(ends[left].max()), BLOCK):
            close = _square_distances(short[left], short[other : other + BLOCK]) <= limit**2 + SLACK
            first, second = np.nonzero(close)
            first, second = first + start, second + other
            for at in range(0, len(first), BLOCK):
                block = slice(at, at + BLOCK)
                _join(parent, thumbnails, rows, first[block], second[block], limit=limit)
    roots = _roots(parent, np.arange(len(rows)))
    groups: dict[int, list[int]] = {}
    for row, root in sorted(zip(rows.tolist(), roots.tolist(), strict=True)):
        groups.setdefault(root, []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def _shortened(thumbnails: NDArray[np.float16], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Coordinates (n, 64) of the thumbnails along the directions in which a sample of them varies most."""
    sample = thumbnails[rows[:: max(1, len(rows) // SAMPLED_ROWS)]].astype(np.float32)
    _, _, directions = np.linalg.svd(sample - sample.mean(axis=0), full_matrices=False)
    basis = directions[:DIRECTIONS].T  # (1024, 64)
    chunks = [
        thumbnails[rows[start : start + BLOCK]].astype(np.float32) @ basis
        for start in range(0, len(rows), BLOCK)
    ]
    return np.concatenate(chunks)


def _square_distances(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances of all pairs, (B, B'), as means over the pixels of a thumbnail."""
    norms = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    distances: NDArray[np.float32] = (norms - 2.0 * (left @ right.T)) / np.float32(SIDE * SIDE)
    return distances


def _usual_distance(thumbnails: NDArray[np.float16], rows: NDArray[np.intp]) -> float:
    """Median root mean square difference of pairs drawn at random."""
    draw = np.random.default_rng(0)
    first = draw.integers(0, len(rows), SAMPLED_PAIRS)
    second = (first + draw.integers(1, len(rows), SAMPLED_PAIRS)) % len(rows)
    return float(np.median(np.sqrt(_mean_squares(thumbnails, rows[first], rows[second]))))


def _mean_squares(thumbnails: NDArray[np.float16], first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Mean square difference (P,) of the thumbnails of P pairs."""
    difference = thumbnails[first].astype(np.float32) - thumbnails[second]  # (P, 1024)
    return np.asarray(np.mean(difference**2, axis=1))


def _roots(parent: NDArray[np.intp], index: NDArray[np.intp]) -> NDArray[np.intp]:
    roots = parent[index]
    while not np.array_equal(roots, parent[roots]):
        roots = parent[roots]
    return roots


def _join(
    parent: NDArray[np.intp],
    thumbnails: NDArray[np.float16],
    rows: NDArray[np.intp],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    *,
    limit: float,
) -> None:
    """Join the trees of the pairs that are near in full; pairs in one tree already cost next to nothing."""
    apart = _roots(parent, first) != _roots(parent, second)
    first, second = first[apart], second[apart]
    same = _mean_squares(thumbnails, rows[first], rows[second]) <= limit**2
    for one, two in zip(first[same].tolist(), second[same].tolist(), strict=True):
        low, high = sorted(_roots(parent, np.array([one, two])).tolist())
        parent[high] = low
