"""Captions under pictures."""

from __future__ import annotations

from typing import Any


def fitted(text: str, font: Any, width: int) -> str:
    """The end of a caption that fits into `width` pixels, in the characters that Pillow's own font has."""
    text = text.encode("ascii", "replace").decode()
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
