"""Versions of a small model, and what its folder and its log hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brightness_model import save_model
from flawscope.runtime import chain, versions


def first(folder: Path) -> Path:
    """Model 1, with a report beside its files."""
    save_model(folder)
    (folder / "report").mkdir()
    (folder / "report" / "report.html").write_text("report")
    return folder


def candidate(model: Path, number: float) -> Path:
    """The model `number`, which divides by it, at the place for candidates."""
    return save_model(versions.candidate_place(model), divide_by=number).folder


def switched(model: Path, *numbers: float) -> list[str]:
    """The names of the models in use, one after another."""
    names = [str(versions.name_of(model))]
    return names + [versions.switch(model, candidate(model, number)).id for number in numbers]


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".turn"))


def changes(model: Path) -> list[tuple[Any, ...]]:
    """What the log tells: event, from, to; its chain holds."""
    rows = versions.rows(model)
    assert chain.verify(rows) is None
    return [tuple(row.entry.get(key) for key in ("event", "from", "to")) for row in rows]
