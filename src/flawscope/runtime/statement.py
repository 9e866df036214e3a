"""The promise of a calibration in plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flawscope.runtime.false_rejects import normals_needed, percent

if TYPE_CHECKING:
    from flawscope.runtime.calibration import Calibration


def statement(calibration: Calibration) -> str:
    """What is promised, on what ground, and what more good pictures would buy."""
    return f"{_promised(calibration)} {_more(calibration)}"


def units(calibration: Calibration) -> str:
    """What the promise counts."""
    return "good parts" if calibration.groups else "good pictures"


def ground(calibration: Calibration) -> str:
    """What the promise rests on, such as 80 good parts (400 pictures)."""
    pictures = f" ({len(calibration.scores)} pictures)" if calibration.groups else ""
    return f"{calibration.count} {units(calibration)}{pictures}"


def _promised(calibration: Calibration) -> str:
    kept, rests = percent(calibration.alpha_kept), ground(calibration)
    rejected = "good parts are rejected"
    if calibration.judge == "part":
        rejected = "good parts have a picture that is rejected"
    elif calibration.groups:
        rejected = "pictures of good parts are rejected"
    if calibration.cross_conformal:
        return (
            f"About {kept} of {rejected}, on average. This is the weaker promise: "
            f"the {rests} served both to train and to calibrate, each scored by a model "
            "that was trained without it, so the figure is an estimate and not a bound."
        )
    if calibration.promise == "with_confidence":
        sure = f"{round(100 * (1 - calibration.delta), 6):g} %"
        return (
            f"At most {kept} of {rejected}, with {sure} confidence, from {rests} that training has not seen."
        )
    return (
        f"On average at most {kept} of {rejected}, "
        f"from {rests} that training has not seen; one calibration may do worse."
    )


def _more(calibration: Calibration) -> str:
    count, counted = calibration.count, units(calibration)
    if calibration.alpha_kept > calibration.alpha:
        asked, needed = percent(calibration.alpha), calibration.normals_needed
        return f"Asked for were {asked}, which need {needed} {counted}: {needed - count} more."
    half = calibration.alpha / 2
    needed = max(normals_needed(half, calibration.delta, calibration.promise), count)
    shares = calibration.groups and calibration.judge == "picture" and calibration.promise == "on_average"
    most = "at most " if shares else ""
    return (
        f"The rate to expect is {most}{percent(calibration.expected_rate)}. {needed} {counted} support "
        f"{percent(half)}; more than now also bring the threshold closer to the promise, "
        "so that fainter flaws are found."
    )
