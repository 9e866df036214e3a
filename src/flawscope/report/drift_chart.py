"""The capital of a stream's martingales over its pictures, with the alarms: an SVG file, or a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from flawscope.errors import OptionError
from flawscope.files import write_text
from flawscope.report.markup import plural
from flawscope.report.page import framed
from flawscope.report.svg import COLOURS, Axis, element, horizontal, own_file, path, text, vertical
from flawscope.runtime.false_rejects import percent
from flawscope.station.replay import Replay

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 960, 300, 84, 24, 16, 48
_LOWEST, _HIGHEST = -5.0, 3.0  # powers of ten of the capital at which an alarm is raised
_POINTS = 900  # of a line
_LINE, _LETTERS = 18, 95  # of the legend: pixels of a row, and how many letters fit into one
_QUIET = "#c4cad3"


def write_drift(path_: Path, replay: Replay, *, title: str) -> Path:
    """Write the chart as .svg, or a page with chart and alarms as .html.

    Raises:
        OptionError: another ending.
        OutputError: it cannot be written.
    """
    suffix = path_.suffix.lower()
    if suffix not in (".svg", ".html"):
        raise OptionError(
            "--out", expected="a name that ends in .svg or .html", got=path_.name, fix="Say drift.html."
        )
    write_text(path_, chart(replay) if suffix == ".svg" else _page(replay, title))
    return path_


def chart(replay: Replay) -> str:
    """Each quantity's capital, as a multiple of that at which its alarm is raised, over the pictures.

    Scores and what raised an alarm have colours, the others are grey. An alarm has a line where it was
    raised, numbered as in the legend, and a shade from where the change most likely began.
    """
    pictures = max(len(replay.logs), 1)
    across = Axis(0.0, float(pictures), _LEFT, _WIDTH - _RIGHT)
    up = Axis(_LOWEST, _HIGHEST, _TOP + _HEIGHT, _TOP)
    names, alarms = replay.drift.names, replay.alarms
    told = list(dict.fromkeys([names[0], *(alarm.about for alarm in alarms)]))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(told)}
    powers = (replay.logs - replay.drift.limits) / np.log(10)  # (pictures, quantities)
    order = sorted(range(len(names)), key=lambda index: names[index] in colours)
    lines = [
        path("line", _line(powers[:, index], across, up), stroke=colours.get(names[index], _QUIET))
        for index in order
        if len(powers)
    ]
    ticks = [(float(power), _multiple(power)) for power in range(-4, 3, 2)]
    bottom = _TOP + _HEIGHT
    parts = (
        vertical(up, _LEFT, "capital, of the alarm's", ticks, right=_WIDTH - _RIGHT),
        path("axis", f"M{_LEFT} {up(0.0):.1f}H{_WIDTH - _RIGHT}", stroke_dasharray="6 4"),
        *_marks(replay, across, colours),
        *lines,
        horizontal(across, bottom, "pictures", across.ticks(8, lambda value: f"{value:g}")),
    )
    legend = list(_legend(replay, colours, bottom + _FOOT + 8))
    height = bottom + _FOOT + _LINE * (len(legend) + 1) + 8
    return own_file(_WIDTH, height, "Capital of martingales over pictures", *parts, *legend)


def _multiple(power: int) -> str:
    return "alarm" if power == 0 else f"{10.0**power:g}"


def _line(powers: NDArray[np.floating], across: Axis, up: Axis) -> str:
    """At most so many points: of each stretch of pictures the last, and the highest."""
    count = len(powers)
    edges = np.unique(np.linspace(0, count, min(count, _POINTS // 2) + 1).astype(int))
    places = set[int]()
    for start, stop in pairwise(edges.tolist()):
        places |= {int(start + np.argmax(powers[start:stop])), int(stop - 1)}
    kept = np.array(sorted(places))
    x, y = across(kept + 1.0), up(np.clip(powers[kept].astype(np.float64), _LOWEST, _HIGHEST))
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _marks(replay: Replay, across: Axis, colours: dict[str, str]) -> Iterator[Markup]:
    for number, alarm in enumerate(replay.alarms, 1):
        since, at = across(float(alarm.since.picture)), across(float(alarm.at.picture))
        shade = f"M{since:.1f} {_TOP}H{at:.1f}V{_TOP + _HEIGHT}H{since:.1f}Z"
        yield element("path", d=shade, fill=colours[alarm.about], fill_opacity="0.12")
        line = f"M{at:.1f} {_TOP}V{_TOP + _HEIGHT}"
        yield element("path", d=line, stroke=colours[alarm.about], stroke_width="1.5", fill="none")
        yield text(at + 4, _TOP + 12 + 14 * ((number - 1) % 4), str(number), class_="title")


def _legend(replay: Replay, colours: dict[str, str], top: float) -> Iterator[Markup]:
    scores = replay.drift.names[0]
    rows = [("", scores)] if not any(alarm.about == scores for alarm in replay.alarms) else []
    for number, alarm in enumerate(replay.alarms, 1):
        told = f"{number}: {alarm.since_when(alarm.at)}; raised with picture {alarm.at.picture}"
        rows.append((told, alarm.about))
    if len(replay.drift.names) > len(colours):
        rows.append(("", "conditions without an alarm"))
    lines = [
        (name, index == 0, line)
        for told, name in rows
        for index, line in enumerate(textwrap.wrap(f"{name}, {told}" if told else name, _LETTERS))
    ]
    for row, (name, first, line) in enumerate(lines):
        y = top + _LINE * (row + 1)
        mark = element(
            "path", d=f"M{_LEFT} {y - 4:.1f}h20", stroke=colours.get(name, _QUIET), stroke_width="2.5"
        )
        yield Markup().join([mark if first else Markup(), text(_LEFT + 28, y, line)])


def _page(replay: Replay, title: str) -> str:
    return framed(
        "drift.html.jinja",
        scripted=False,
        title=title,
        alarms=replay.alarms,
        pictures=plural(replay.drift.pictures, "picture"),
        alpha=percent(replay.alpha),
        promised=replay.drift.promised,
        chart=Markup(chart(replay)),  # noqa: S704 - every part of it is escaped
    )
