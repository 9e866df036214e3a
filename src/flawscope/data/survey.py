"""Good pictures looked at before anything learns from them: which values they use, whether they differ."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.data.pictures import THREADS, Pictures
from flawscope.data.samples import Dataset, Sample, Split, spread
from flawscope.data.splits import FEWEST_NORMALS
from flawscope.errors import DataError
from flawscope.files import remembered_sha256
from flawscope.runtime.images import ImageInfo, check_image, read_image

Range = tuple[float, float]

_LEARNT: tuple[Split, ...] = ("train", "validation")
_QUANTILES = (0.001, 0.999)  # of a picture's pixels: a hot one does not count
_PIXELS = 256  # rows and columns of a picture that are looked at, evenly spread
_MARGIN = 0.25  # of the range that good pictures use, kept free at each end for what defects may show
_SMALL = {8: 1 / 8}  # share of the scale up to which its use is small, by bits
_SMALL_DEEP = 1 / 4
_LOOKED_AT = 8  # pictures whose values are looked at before training
_FLAT = 1e-5  # of full scale: less than a step of 16 bits, more than the rounding of a resize


def used(image: NDArray[Any], bits: int) -> Range:
    """Lowest and highest value that a picture (H, W, C) uses, in units of its file; odd pixels apart."""
    rows, columns = (max(1, side // _PIXELS) for side in image.shape[:2])
    values = image[::rows, ::columns]
    low, high = np.quantile(values[np.isfinite(values)] if image.dtype.kind == "f" else values, _QUANTILES)
    unit = 1.0 if image.dtype.kind == "f" else (2**bits - 1) / float(np.iinfo(image.dtype).max)
    return float(low) * unit, float(high) * unit


def joined(ranges: Sequence[Range]) -> Range:
    """From the lowest to the highest value of several pictures."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def small_range(span: Range, bits: int) -> str | None:
    """What is said of pictures of so many bits that use a small part of their scale; None where they do not.

    >>> small_range((0.0, 4080.0), 16)
    '16-bit pictures use values from 0 to 4080 alone, 6 % of their scale'
    """
    low, high = span
    share = (high - low) / (2**bits - 1)
    if share > _SMALL.get(bits, _SMALL_DEEP):
        return None
    part = f"{100 * share:.0f} % of their scale"
    return f"{bits}-bit pictures use values from {low:.0f} to {high:.0f} alone, {part}"


def likely_intensities(span: Range) -> Range:
    """Black and white of a sensor whose pictures use a small range: the fewest bits that hold it.

    >>> likely_intensities((3.0, 3900.0))
    (0.0, 4095.0)
    """
    return 0.0, float(2 ** max(int(span[1]).bit_length(), 8) - 1)


def intensities_of(
    good: Sequence[tuple[Path, ImageInfo]], learnt: Sequence[Path], declared: Range | None
) -> Range | None:
    """Which values become black and white: those declared, else fitted to numbers without a full scale.

    Numbers are fitted to what good pictures use, with a quarter of that range kept free at each end. None
    where all pictures have a full scale and nothing is declared.

    Args:
        good: all good pictures, as their headers tell.
        learnt: those to fit on.
        declared: by the user.

    Raises:
        DataError: pictures of 8 bits where intensities are declared; some with a full scale, some without.
    """
    scaled = [path for path, info in good if info.has_scale and (declared is None or info.bits <= 8)]
    numbers = [path for path, info in good if not info.has_scale]
    wanted = declared is not None or bool(numbers)
    if wanted and scaled:
        raise DataError(
            f"picture {scaled[0]}",
            expected="more than 8 bits, since intensities are declared"
            if declared is not None
            else f"numbers without a full scale, as in {numbers[0]}",
            got="8 bits a channel" if declared is not None else "a picture with a full scale",
            fix="Save all pictures in one format.",
        )
    if not wanted or declared is not None:
        return declared
    with ThreadPoolExecutor(THREADS, thread_name_prefix="survey") as pool:
        low, high = joined(list(pool.map(lambda path: used(read_image(path), 0), learnt)))
    free = _MARGIN * (high - low) or 0.5
    return float(f"{low - free:.6g}"), float(f"{high + free:.6g}")


def about_values(good: Sequence[Path], intensities: Range | None) -> str | None:
    """What the user should know of the values of good pictures, where he declared none; None: nothing.

    Args:
        good: pictures of one kind.
        intensities: fitted to them, or None where they have a full scale.
    """
    if intensities is not None:
        low, high = intensities
        return (
            f"Values from {low:g} (black) to {high:g} (white), fitted to the good pictures; "
            "--set data.intensities=[LOW,HIGH] declares others."
        )
    bits = check_image(good[0]).bits
    if bits <= 8:
        return None
    span = joined([used(read_image(path), bits) for path in spread(good, _LOOKED_AT)])
    said = small_range(span, bits)
    if said is None:
        return None
    low, high = likely_intensities(span)
    return f"{said}: contrast is lost. --set data.intensities=[{low:g},{high:g}] makes use of it all."


def each_once(dataset: Dataset) -> tuple[Dataset, str]:
    """The data set without copies of good pictures, and what the user should know; empty where none is.

    Otherwise one copy would calibrate what another has taught. Of copies for training or validation an
    annotated one stays, else one that has a group, else the first. Where too few contents are left to learn
    from, all stay, so that what is wrong with them is told.
    """
    good = [one for split in _LEARNT for one in dataset.select(split=split, defective=False)]
    first, left_out = dict[str, Sample](), set[int]()
    for sample in sorted(_of_one_size(good), key=lambda one: (not one.parts, one.group is None)):
        with contextlib.suppress(OSError):  # told where it is read
            if first.setdefault(remembered_sha256(sample.path), sample) is not sample:
                left_out.add(id(sample))
    if not left_out:
        return dataset, ""
    copies = f"{len(left_out)} of {len(good)} good pictures are copies of others"
    if len(good) - len(left_out) < FEWEST_NORMALS:
        return dataset, f"{copies}, so that the promise about rejects looks surer than it is."
    kept = tuple(sample for sample in dataset if id(sample) not in left_out)
    return replace(dataset, samples=kept), (
        f"{copies} and are left out, so that none calibrates what its copy has taught. flawscope data check "
        "names them."
    )


def _of_one_size(samples: Sequence[Sample]) -> list[Sample]:
    """Those of whose file's size there are others, which alone can be copies."""
    sizes = dict[int, list[Sample]]()
    for sample in samples:
        with contextlib.suppress(OSError):
            sizes.setdefault(sample.path.stat().st_size, []).append(sample)
    return [sample for group in sizes.values() if len(group) > 1 for sample in group]


def is_flat(image: NDArray[Any]) -> bool:
    """Whether a picture (H, W, C) shows one colour and nothing else."""
    return bool((image == image[:1, :1]).all())


def require_spread(pictures: Pictures) -> None:
    """Refuse good pictures from which nothing can be learnt; reads no more of them than it must.

    Raises:
        DataError: all are alike, or each shows one colour and nothing else.
        InputError: a picture that cannot be read.
    """
    first, alike, flat, low, high = None, len(pictures) > 1, True, 1.0, 0.0
    for pixels in pictures:
        first = pixels if first is None else first
        alike = alike and np.array_equal(first, pixels)
        flat = flat and float(np.ptp(pixels, axis=(1, 2)).max()) < _FLAT
        low, high = min(low, float(pixels.min())), max(high, float(pixels.max()))
        if not alike and not flat:
            return
    if first is None or not (alike or flat):
        return
    colour = "black" if high == 0 else "white" if low > 1 - _FLAT else "one colour"
    raise DataError(
        "good pictures",
        expected="pictures of parts, which differ a little from one to the next",
        got=f"{len(pictures)} pictures that are {f'{colour} all over' if flat else 'all alike'}",
        fix="Check the camera, its light and the export, and record them again.",
    )
