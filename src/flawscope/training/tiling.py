"""What a recipe says of tiles, and the tiles that follow from the pictures' sizes, in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from flawscope.errors import OptionError
from flawscope.runtime.frozen import Frozen, first_problem
from flawscope.runtime.images import FRAME_LIMIT, Frame
from flawscope.runtime.placement import Pair
from flawscope.runtime.tiling import Blend, Grid, Overview, Tiling, auto_scale

# Sides of a picture to those of the frame up to which `auto` leaves it whole. Tiles were measured at 3.2 and
# more; up to 2 a flaw of two pixels keeps one, and four tiles or more would be paid for little.
LEAST_RATIO = 2.0
OVERLAP = 0.1  # of a tile's side with the next tile, where nobody says otherwise
MOST_TILES = 64  # a picture, for `auto`
_SMALLEST = 32
_SIDES = re.compile(r"(\d+)(?:x(\d+))?")


def _sides(value: Any) -> Any:
    """`[320, 480]`, `320` or `320x480` as (height, width)."""
    if isinstance(value, str) and (found := _SIDES.fullmatch(value.strip())):
        value = [int(side) for side in found.groups() if side]
    sides = [value] if isinstance(value, int) else value
    whole = isinstance(sides, list | tuple) and all(isinstance(side, int) for side in sides)
    if not whole or not 1 <= len(sides) <= 2 or not all(1 <= side <= FRAME_LIMIT for side in sides):
        raise ValueError(f"pixels from 1 to {FRAME_LIMIT}, such as 320 or [320, 480]")
    return sides[0], sides[-1]


def _size(value: Any) -> Any:
    if value in ("none", "auto"):
        return value
    try:
        sides = _sides(value)
    except ValueError:
        sides = (0, 0)
    if min(sides) < _SMALLEST:
        raise ValueError(
            f"none, auto, or pixels from {_SMALLEST} to {FRAME_LIMIT}, such as 320 or [320, 480]"
        )
    return sides


class TilingChoice(Frozen):
    """Whether pictures are cut into tiles, and how; `none`, `auto` and `SIZE/STRIDE` are short for a size.

    Raises:
        ValidationError: a stride larger than the size, or with a size of `none`.
    """

    size: Annotated[tuple[int, int] | Literal["none", "auto"], BeforeValidator(_size)] = Field(
        "auto",
        description="none: pictures are seen whole; auto: large ones in tiles of the method's own size; or "
        "height and width of a tile in pixels, which the method then has for its size",
    )
    stride: Annotated[tuple[int, int], BeforeValidator(_sides)] | None = Field(
        None, description="pixels from one tile to the next; null: nine tenths of the size"
    )
    scale: float | None = Field(
        None,
        gt=0,
        le=1,
        description="at which part of their own size pictures are cut; null: 1, or as auto says",
    )
    blend: Blend = Field(
        "linear", description="weights of overlapping maps: falling toward the tile's border, or their mean"
    )
    overview: bool | None = Field(
        None,
        description="look at the whole picture, shrunk to a tile, too: for flaws that are large or faint. A "
        "tenth of the good pictures then brings its scores to the scale of the tiles'; null: where at least "
        "five can be set aside for that",
    )
    learn_from: Literal["tiles", "whole"] = Field(
        "tiles", description="what the method learns from: tiles, or whole pictures shrunk to a tile's size"
    )

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if isinstance(value, str | int):
            size, _, stride = str(value).partition("/")
            return {"size": size, "stride": stride or None}
        return value

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.overview and (self.size == "none" or self.learn_from == "whole"):
            raise ValueError("tiles that are learnt from where there is an overview")
        if self.stride is None or self.size == "auto":
            return self
        if self.size == "none":
            raise ValueError("a size where there is a stride")
        if any(step > side for step, side in zip(self.stride, self.size, strict=True)):
            raise ValueError("a stride of at most the size, so that tiles leave no gaps")
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `none`, `auto` or `SIZE[/STRIDE]`.

        Raises:
            OptionError: something else.
        """
        try:
            return cls.model_validate(text)
        except ValidationError as error:
            raise OptionError(
                "--tiling", expected=first_problem(error)[1], got=repr(text), fix="Use --tiling auto, say."
            ) from error

    def sized(self, options: dict[str, Any]) -> dict[str, Any]:
        """The method's options with the tile's size for its own.

        Raises:
            OptionError: they name another size.
        """
        if not isinstance(self.size, tuple):
            return options
        if "size" in options and tuple(options["size"]) != self.size:
            raise OptionError(
                "tiling.size",
                expected=f"the method's own size, {_text(tuple(options['size']))}",
                got=_text(self.size),
                fix="Leave out options.size, which follows from the tiles.",
            )
        return {**options, "size": list(self.size)}


@dataclass(frozen=True, slots=True)
class Proposal:
    """Tiles for a folder's pictures.

    Attributes:
        tiling: how they are cut; None: they are seen whole.
        sentence: what that means for them, for people; empty where nobody asked.
        grid: the tiles of the largest one; None where that is seen whole.
    """

    tiling: Tiling | None
    sentence: str = ""
    grid: Grid | None = None

    def to_json(self) -> dict[str, Any] | None:
        """Plain values for JSON; None where pictures are seen whole."""
        if self.tiling is None or self.grid is None:
            return None
        tiles = {"rows": len(self.grid.rows), "columns": len(self.grid.columns)}
        return {**self.tiling.model_dump(), **tiles, "sentence": self.sentence}

    def written(self, choice: TilingChoice) -> TilingChoice:
        """The choice with what follows from it written out."""
        if self.tiling is None:
            return TilingChoice(size="none")
        made = self.tiling.model_dump(exclude={"overview"})
        return choice.model_copy(update={**made, "overview": self.tiling.overview is not None})


def propose(
    choice: TilingChoice, frame: Frame, sizes: Sequence[Pair], *, whole: str = "", asked: bool = True
) -> Proposal:
    """The tiles that a choice means for pictures of such sizes (height, width) and a method of such a frame.

    Where nobody has chosen tiles, the sentence tells how to do without.

    Args:
        choice: of the recipe, with an overview where it says so; null is none.
        asked: whether somebody has made that choice.
        frame: of the method, the tile.
        sizes: of the good pictures, at least one.
        whole: why the method sees pictures whole alone; empty where it may see tiles.

    Raises:
        OptionError: tiles for a method that cannot see them, larger than every picture, or with a stride
            larger than they are.
    """
    size, largest = (frame.height, frame.width), max(sizes, key=lambda one: _ratio(one, frame))
    named = isinstance(choice.size, tuple)
    if named and whole:
        raise OptionError("tiling", expected="none", got=_text(size), fix=f"{whole}; use --tiling none.")
    if named and all(side >= most for side, most in zip(size, _most(sizes), strict=True)):
        raise OptionError(
            "tiling.size",
            expected=f"tiles smaller than the largest pictures, {_text(_most(sizes))}",
            got=_text(size),
            fix="Use smaller tiles, or --tiling none.",
        )
    if choice.size == "none":
        return Proposal(None)
    if not named and (whole or _ratio(largest, frame) <= LEAST_RATIO):
        said = f"Pictures of {_pictures(sizes, largest)} are seen whole, at {_text(size)}"
        return Proposal(None, "" if not asked else f"{said}: {whole}." if whole else f"{said}.")
    tiling = _tiling(choice, size, sizes)
    grid = max((tiling.grid(*one) for one in dict.fromkeys(sizes)), key=lambda one: one.parts)
    said = _sentence(grid, frame, sizes)
    return Proposal(tiling, said if asked else f"{said} --tiling none keeps them whole.", grid)


def _tiling(choice: TilingChoice, size: Pair, sizes: Sequence[Pair]) -> Tiling:
    stride = choice.stride or tuple(max(round(side * (1 - OVERLAP)), 1) for side in size)
    if any(step > side for step, side in zip(stride, size, strict=True)):
        raise OptionError(
            "tiling.stride",
            expected=f"at most the size of a tile, {_text(size)}",
            got=_text((stride[0], stride[-1])),
            fix="Leave it out: nine tenths of the size.",
        )
    scale = choice.scale or 1.0
    made = Tiling(size=size, stride=(stride[0], stride[-1]), scale=scale, blend=choice.blend)
    made = made.model_copy(update={"overview": Overview() if choice.overview else None})
    if choice.scale is None and not isinstance(choice.size, tuple):
        scale = min(auto_scale(made, *one, MOST_TILES) for one in dict.fromkeys(sizes))
        return made.model_copy(update={"scale": scale})
    return made


def _sentence(grid: Grid, frame: Frame, sizes: Sequence[Pair]) -> str:
    scale = grid.tiling.scale
    lost, kept = round(_ratio(grid.picture, frame)), round(1 / scale)
    of = f"Pictures of {_pictures(sizes, grid.picture)}"
    of += f" at {scale:g} of their size, so that {MOST_TILES} tiles suffice" if scale < 1 else ""
    also = f", in tiles one of {kept}" if kept > 1 else ""
    return f"{of}: {_tiles(grid)}; shrunk whole, a flaw of {lost} pixels would be 1{also}."


def _tiles(grid: Grid) -> str:
    size, stride = grid.tiling.size, grid.tiling.stride
    overlap = _text((size[0] - stride[0], size[1] - stride[1]))
    also = ", and the whole picture" if grid.tiling.overview is not None else ""
    return f"{len(grid.rows)}×{len(grid.columns)} tiles of {_text(size)} with overlap {overlap}{also}"


def _pictures(sizes: Sequence[Pair], largest: Pair) -> str:
    """Width × height of the largest, and whether all are alike."""
    return f"{'up to ' if len(set(sizes)) > 1 else ''}{largest[1]}×{largest[0]}"


def _most(sizes: Sequence[Pair]) -> Pair:
    heights, widths = zip(*sizes, strict=True)
    return max(heights), max(widths)


def _ratio(size: Pair, frame: Frame) -> float:
    """How many times as long as the frame's the longer side of a picture is."""
    return max(size[0] / frame.height, size[1] / frame.width)


def _text(size: Pair) -> str:
    """One number for a square, else height × width."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]}×{size[1]}"
