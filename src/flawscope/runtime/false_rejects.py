"""The arithmetic of promised false-reject rates: the threshold that keeps one, the pictures it needs."""

from __future__ import annotations

import math
from typing import Any, Literal

from flawscope.errors import OptionError

Promise = Literal["with_confidence", "on_average"]

ALPHA = 0.01
DELTA = 0.05
HIGHEST_RATE = 0.5  # a model that rejects every second good part sorts nothing


def order_statistic(count: int, alpha: float, delta: float, promise: Promise) -> int:
    """The largest k such that rejecting above the k-th largest of `count` scores keeps the promise; 0: none.

    >>> [order_statistic(n, 0.01, 0.05, "with_confidence") for n in (298, 299)]
    [0, 1]
    >>> order_statistic(99, 0.01, 0.05, "on_average")
    1
    """
    if promise == "on_average":
        return math.floor(alpha * (count + 1) + 1e-9)
    tail = 0.0
    for k in range(count):
        tail += _binomial(k, count, alpha)
        if tail > delta * (1 + 1e-12):
            return k
    return count


def smallest_rate(count: int, delta: float, promise: Promise) -> float:
    """The smallest false-reject rate that `count` good pictures support: the largest score as threshold."""
    if promise == "on_average":
        return 1.0 / (count + 1)
    return -math.expm1(math.log(delta) / count)


def normals_needed(alpha: float, delta: float = DELTA, promise: Promise = "with_confidence") -> int:
    """How many good pictures, which fit never saw, a false-reject rate of `alpha` needs.

    Raises:
        OptionError: `alpha` outside (0, 0.5), `delta` outside (0, 1), or an unknown promise.

    >>> normals_needed(0.01), normals_needed(0.05), normals_needed(0.01, promise="on_average")
    (299, 59, 99)
    """
    check_promise(promise)
    check_rates(alpha, delta)
    if promise == "on_average":
        return math.ceil(1.0 / alpha - 1.0 - 1e-9)
    return math.ceil(math.log(delta) / math.log1p(-alpha) - 1e-9)


def parse_rate(text: str, what: str = "rate") -> float:
    """A share in (0, 1) written as a percentage or a fraction.

    Raises:
        OptionError: anything else; `what` names it.

    >>> parse_rate("0.5%"), parse_rate(" 0.005 "), parse_rate("95 %")
    (0.005, 0.005, 0.95)
    """
    stripped = text.strip()
    try:
        rate = round(float(stripped[:-1]) / 100, 15) if stripped.endswith("%") else float(stripped)
    except ValueError:
        rate = math.nan
    if not 0.0 < rate < 1.0:
        raise OptionError(
            what,
            expected="a share above 0 % and below 100 %, such as 0.5% or 0.005",
            got=repr(text),
            fix="Write it with a per cent sign, or as a fraction of 1 with a decimal point.",
        )
    return rate


def _binomial(k: int, n: int, rate: float) -> float:
    """P(Binomial(n, rate) = k)."""
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(choose + k * math.log(rate) + (n - k) * math.log1p(-rate))


def check_rate(alpha: float, what: str = "false-reject rate") -> None:
    if not 0.0 < alpha < HIGHEST_RATE:
        raise OptionError(
            what,
            expected="more than 0 % and less than 50 %",
            got=f"{alpha}",
            fix="Use for example 0.01 for 1 %.",
        )


def check_rates(alpha: float, delta: float) -> None:
    check_rate(alpha)
    if not 0.0 < delta < 1.0:
        raise OptionError(
            "delta",
            expected="a probability in (0, 1), one minus the confidence",
            got=f"{delta}",
            fix="Use for example 0.05 for 95 % confidence.",
        )


def check_promise(promise: Any) -> None:
    if promise not in ("with_confidence", "on_average"):
        raise OptionError(
            "promise",
            expected='"with_confidence" or "on_average"',
            got=repr(promise),
            fix="Use one of the two.",
        )


def percent(rate: float) -> str:
    """A rate in per cent with two digits that count, rounded up so that nothing better is claimed."""
    digits = 1 - math.floor(math.log10(100 * rate))
    return f"{math.ceil(100 * rate * 10**digits - 1e-6) / 10**digits:g} %"
