"""Arguments and options that several commands share, each with its name, help and type in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from flawscope.data.groups import GroupChoice
    from flawscope.nn.run import RunPrecision
    from flawscope.runtime.groups import Judge as Judged

_SEED = Option("--seed", help="Source of all randomness.", min=0)
RENDERED = "pin_tray, fastener_bag, connector_block, impeller, vent_cover or ground_plate."
_DEVICE = Option("--device", help="cpu, cuda, cuda:1 …")

Model = Annotated[Path, Argument(help="Model folder.")]
Pictures = Annotated[Path, Argument(help="Folder of pictures or a data set in a known layout.")]
GoodPictures = Annotated[
    list[str], Argument(help="Folder of good pictures or a data set; or picture files, patterns in quotes.")
]
Recipe = Annotated[Path | None, Option("--recipe", "-r", help="YAML recipe; the options here override it.")]
Settings = Annotated[
    list[str] | None, Option("--set", help="Set one recipe key, such as options.KEY=VALUE; may be repeated.")
]
Annotations = Annotated[
    Path | None,
    Option(
        "--annotations",
        help="Which components pictures show: a COCO file, or a folder of LabelMe files or label maps.",
    ),
]
Groups = Annotated[
    str | None,
    Option(
        "--groups",
        help="Which pictures show one part and count once: a pattern over file names, as 'part([0-9]+)_', a "
        "column of a table, as parts.csv:part, or none.",
    ),
]
Judge = Annotated[
    str | None,
    Option("--judge", help="With groups, what the promise is on: picture (default), or part (any picture)."),
]
Layout = Annotated[str | None, Option("--layout", help="Layout name; recognised by looking otherwise.")]
Product = Annotated[str | None, Option("--product", help="Product, where there are several.")]
FalseRejectsOfModel = Annotated[
    str | None,
    Option("--false-rejects", help="Share of good pictures that may be rejected, e.g. 1%; else the model's."),
]
ConfidenceOfModel = Annotated[
    str | None, Option("--confidence", help="How sure the promise is, e.g. 95%; else the model's.")
]
Gate = Annotated[
    Path | None,
    Option(
        "--gate", help="File of bounds that a new model must hold; see `flawscope compare --gate-template`."
    ),
]
Seed = Annotated[int, _SEED]
SeedOfRecipe = Annotated[int | None, _SEED]
Device = Annotated[str, _DEVICE]
DeviceOfRecipe = Annotated[str | None, _DEVICE]
PrecisionName = Annotated[
    str, Option("--precision", help="auto, fp32 or bf16; auto: bf16 where the hardware has it.")
]
Engine = Annotated[str, Option("--engine", help="auto, onnxruntime or openvino.")]
EngineOfModel = Annotated[
    str | None,
    Option(
        "--engine", help="What will run the model: auto (the fastest that holds), onnxruntime or openvino."
    ),
]
EnginePrecision = Annotated[
    str | None, Option("--engine-precision", help="Its number format: auto, fp32, bf16 or fp16.")
]
Tiling = Annotated[
    str | None,
    Option(
        "--tiling",
        help="Large pictures in tiles: auto (where nobody says), none, or pixels, SIZE or SIZE/STRIDE.",
    ),
]
ProposerName = Annotated[
    str | None, Option("--proposer", help="areas (default), sam, grounded, or folder=PATH of maps or masks.")
]
ComponentSettings = Annotated[
    list[str] | None, Option("--set", help="Set labels.KEY=VALUE or proposer.KEY=VALUE; may be repeated.")
]
ComponentSize = Annotated[str, Option("--size", help="WIDTHxHEIGHT that pictures are stretched to for it.")]
Threads = Annotated[int | None, Option("--threads", help="Processor threads.", min=1, max=1024)]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace what is in --out.")]
AsJson = Annotated[bool, Option("--json", help="Print one JSON object.")]
JsonLines = Annotated[bool, Option("--json", help="Print JSON, one object a line.")]


def rate(text: str | None, option: str) -> float | None:
    """A share such as 1% or 0.01, given by `option`; None where none was.

    Raises:
        OptionError: no share.
    """
    from flawscope.runtime.calibration import parse_rate

    return None if text is None else parse_rate(text, option)


def groups(text: str | None) -> GroupChoice | None:
    """The groups that `--groups` means; None where it was not given.

    Raises:
        OptionError: a pattern or table that cannot be used.
    """
    from flawscope.data.groups import GroupChoice

    return None if text is None else GroupChoice.parse(text)


def judge(text: str | None) -> Judged | None:
    """What `--judge` names; None where it was not given.

    Raises:
        OptionError: neither picture nor part.
    """
    from flawscope.runtime.groups import check_judge

    if text is not None:
        check_judge(text)
    return text  # type: ignore[return-value]


def milliseconds(text: str | None) -> float | None:
    """A time such as 20ms or 0.02s; None where none was given.

    Raises:
        OptionError: no time above 0.
    """
    from flawscope.errors import OptionError

    if text is None:
        return None
    said = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s)", text.strip().lower())
    if said is None or not float(said[1]):
        raise OptionError(
            "--budget", expected="a time above 0 with its unit", got=repr(text), fix="Say 20ms."
        )
    return float(said[1]) * (1000 if said[2] == "s" else 1)


def picture_size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` as height and width.

    Raises:
        OptionError: something else, or sides that are too short or too long.
    """
    from flawscope.errors import OptionError
    from flawscope.runtime.images import FRAME_LIMIT

    sides = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text.strip().lower())
    if sides is None or not all(32 <= int(side) <= FRAME_LIMIT for side in sides.groups()):
        raise OptionError(
            "size", expected=f"WIDTHxHEIGHT, 32 to {FRAME_LIMIT} each", got=repr(text), fix="Say 256x256."
        )
    return int(sides[2]), int(sides[1])


def tiling(text: str | None) -> dict[str, object] | None:
    """The recipe's key `tiling` that `--tiling` means; None where it was not given.

    Raises:
        OptionError: neither none, auto nor a size.
    """
    from flawscope.training.tiling import TilingChoice

    return None if text is None else TilingChoice.parse(text).model_dump(exclude_unset=True)


def precision(text: str) -> RunPrecision:
    """The number format of training that `--precision` names.

    Raises:
        OptionError: an unknown one.
    """
    from flawscope.errors import unknown

    known = ("auto", "fp32", "bf16")
    if text not in known:
        raise unknown("--precision", text, known)
    return text  # type: ignore[return-value]
