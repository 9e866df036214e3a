"""Findings about the values of pictures: one colour alone, a small part of the scale, numbers without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from flawscope.data.checks.issues import Issue, found
from flawscope.data.samples import Sample
from flawscope.data.survey import Range, is_flat, joined, likely_intensities, small_range, used
from flawscope.runtime.images import ImageInfo


@dataclass(frozen=True, slots=True)
class Values:
    """What one picture's values are: bits of a channel (0: numbers without a full scale) and their range."""

    sample: Sample
    bits: int
    used: Range
    flat: bool

    @classmethod
    def of(cls, sample: Sample, info: ImageInfo, image: NDArray[Any]) -> Values:
        """Those of a decoded picture (H, W, C)."""
        bits = info.bits if info.has_scale else 0
        return cls(sample, bits, used(image, bits), is_flat(image))


def value_issues(seen: Sequence[Values]) -> Iterator[Issue]:
    """Findings over all readable pictures."""
    flat = [values.sample for values in seen if values.flat]
    if flat:
        names = ", ".join(sample.path.name for sample in flat[:4])
        more = f" and {len(flat) - 4} more" if len(flat) > 4 else ""
        yield found(
            "flat", flat, f"{len(flat)} of {len(seen)} pictures show one colour alone: {names}{more}."
        )
    by_bits: defaultdict[int, list[Values]] = defaultdict(list)
    for values in seen:
        if not values.flat:
            by_bits[values.bits].append(values)
    for bits, group in by_bits.items():
        span = joined([values.used for values in group])
        samples = [values.sample for values in group]
        if bits == 0:
            holds = "1 picture holds" if len(group) == 1 else f"{len(group)} pictures hold"
            message = f"{holds} numbers from {span[0]:g} to {span[1]:g}, without a full scale."
            yield found("numbers", samples, message)
        elif said := small_range(span, bits):
            black, white = likely_intensities(span)
            fix = (
                f"Train with --set data.intensities=[{black:g},{white:g}], or let the camera fill the scale."
            )
            yield found("small-range", samples, f"{said}.", None if bits <= 8 else fix)
