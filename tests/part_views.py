"""Pictures that show parts from several sides."""

from __future__ import annotations

from pathlib import Path

from trained import write_pictures

VIEWS, PATTERN = 3, r"part(\d+)_"


def write_views(folder: Path, parts: int, *, first: int = 0, seed: int = 0, spot: bool = False) -> Path:
    """Three views of each of so many parts, as part012_v1.png."""
    write_pictures(folder, parts * VIEWS, seed=seed, spot=spot)
    for index in range(parts * VIEWS):
        name = f"part{first + index // VIEWS:03d}_v{index % VIEWS}.png"
        (folder / f"{index:03d}.png").rename(folder / name)
    return folder


def write_both(root: Path) -> Path:
    """A folder of 28 good parts, and one of 4 with a spot, whose numbers begin at 40."""
    write_views(root / "good", 28)
    write_views(root / "spot", 4, first=40, seed=3, spot=True)
    return root
