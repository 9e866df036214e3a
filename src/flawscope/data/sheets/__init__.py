"""Contact sheets: many pictures on one, for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flawscope.errors import OptionError

PAPER, INK = (250, 250, 250), (40, 40, 40)
CAPTION = 22  # pixels of a line of text


def require_png(out: Path) -> None:
    """Refuse an output file of another name than a sheet has.

    Raises:
        OptionError: the name does not end in .png.
    """
    if out.suffix.lower() != ".png":
        raise OptionError("out", expected="a file name that ends in .png", got=str(out), fix="Rename it.")


def fitted(text: str, font: Any, width: int) -> str:
    """The end of a caption that fits into `width` pixels, in the characters that Pillow's own font has."""
    text = text.encode("ascii", "replace").decode()
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
