"""What the components of a product may be called, for Grounding DINO to look for (CSAD, 3.1, table 8).

Tags that a model finds are cleaned: words that name no thing, materials and the background go. What a person
gives stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from flawscope.errors import DataError, MissingExtraError, WeightsError, need
from flawscope.nn.backbones.weights import read_weights
from flawscope.nn.run import Run
from flawscope.runtime.frozen import Frozen
from flawscope.segmenters.kinds import explained
from flawscope.segmenters.proposers import loading

Pictures = Sequence[NDArray[np.uint8]]

DROPPED = (
    "attach", "connect", "fill", "hang", "hold", "open", "lay", "sit", "stand", "stack", "black",
    "blue", "brown", "green", "grey", "pink", "purple", "red", "silver", "white", "yellow", "glass",
    "leather", "metal", "paper", "plastic", "rubber", "steel", "wood", "background", "bag",
    "conveyor", "desk", "floor", "food", "ground", "mixture", "package", "picture", "plastic bag",
    "product", "surface", "table", "tool", "topping", "wall", "zip-lock bag",
)  # fmt: skip
WORDS = (
    "bearing", "bolt", "bottle", "box", "bracket", "button", "cable", "cap", "capacitor", "chip",
    "clamp", "clip", "coin", "connector", "container", "fruit", "gasket", "gear", "hook", "hose",
    "key", "label", "lens", "lever", "lid", "nail", "needle", "nut", "pill", "pin", "pipe", "plate",
    "plug", "pushpin", "resistor", "ring", "rivet", "screw", "seal", "sensor", "socket", "spring",
    "switch", "terminal", "tray", "tube", "valve", "washer", "wheel", "wire",
)  # fmt: skip
_CLIP, _RAM = "CLIP model", "RAM++ model"
_RAM_SIDE = 384


class _TaggerOptions(Frozen):
    kind: str
    pictures: int = Field(
        8,
        ge=1,
        description="good pictures, spread over all, whose tags are joined; paper A.1: one of each variant "
        "of the product, chosen by hand",
    )
    drop: tuple[str, ...] = Field(
        DROPPED,
        description="words that are no tags: no nouns, materials, background; the paper drops by hand",
    )


class ClipTagsOptions(_TaggerOptions):
    """Options of tags that CLIP chooses from a list of words."""

    kind: Literal["clip"] = "clip"
    model: str = Field(
        "openai/clip-vit-base-patch32",
        description="folder of a CLIP model, or its name in the hub's cache; ours, to need no package beyond "
        "transformers",
    )
    words: tuple[str, ...] = Field(WORDS, min_length=2, description="words to choose from; by default parts")
    least: float = Field(
        0.05, gt=0, lt=1, description="probability among all the words from which one is a tag; ours"
    )


class RamTagsOptions(_TaggerOptions):
    """Options of tags by RAM++ (Huang et al. 2023), where the package `ram` is installed."""

    kind: Literal["ram"] = "ram"
    model: Path = Field(description="safetensors file of RAM++ (Swin-L, 384 pixels); paper: RAM++")


TaggerOptions = Annotated[
    ClipTagsOptions | RamTagsOptions,
    Field(discriminator="kind"),
    explained("tagger", {"clip": ClipTagsOptions, "ram": RamTagsOptions}, "clip"),
]


def found_tags(options: ClipTagsOptions | RamTagsOptions, pictures: Pictures, run: Run) -> tuple[str, ...]:
    """Tags of any of the pictures (H, W, 3), cleaned, in the order in which they are found.

    Raises:
        MissingExtraError: transformers, or the package `ram`, is not installed.
        WeightsError: the model is not on this machine.
        DataError: no tag is left.
    """
    if isinstance(options, ClipTagsOptions):
        found = _by_clip(options, pictures, run)
    else:
        found = _by_ram(options, pictures, run)
    tags = cleaned(found, options.drop)
    if not tags:
        raise DataError(
            "tags of the product",
            expected=f"a component that the tagger {options.kind} can name",
            got="none in the pictures",
            fix="Name the components yourself: tags: [screw, washer].",
        )
    return tags


def cleaned(tags: Iterable[str], drop: Iterable[str]) -> tuple[str, ...]:
    """The tags in small letters, each once, in order, but for those to drop.

    >>> cleaned(["Screw", "plastic", "screw "], ["plastic"])
    ('screw',)
    """
    dropped = {word.strip().lower() for word in drop}
    small = (tag.strip().lower() for tag in tags)
    return tuple(dict.fromkeys(tag for tag in small if tag and tag not in dropped))


@torch.inference_mode()
def _by_clip(options: ClipTagsOptions, pictures: Pictures, run: Run) -> list[str]:
    """Zero-shot: words whose probability in any picture is at least `least`, the likeliest first."""
    device = run.torch_device()
    network = loading.network(options.model, _CLIP, {"clip": "CLIPModel"}, device)
    processor = loading.processor(options.model, _CLIP)
    inputs = processor(
        text=[f"a photo of a {word}" for word in options.words],
        images=[Image.fromarray(picture) for picture in pictures],
        return_tensors="pt",
        padding=True,
    )
    logits = network(**inputs.to(device)).logits_per_image  # (N, words)
    likely = logits.softmax(1).amax(0)  # (words,)
    order = likely.argsort(descending=True, stable=True).tolist()
    return [options.words[index] for index in order if likely[index] >= options.least]


@torch.inference_mode()
def _by_ram(options: RamTagsOptions, pictures: Pictures, run: Run) -> list[str]:
    with _without_network():
        ram, models = _ram_module("ram"), _ram_module("ram.models")
        with loading.named(str(options.model), _RAM, "the tokenizer bert-base-uncased in the hub's cache"):
            network = models.ram_plus(pretrained="", image_size=_RAM_SIDE, vit="swin_l")
    lacking = network.load_state_dict(read_weights(options.model), strict=False).missing_keys
    absent = [key for key in lacking if "relative_position_index" not in key and "attn_mask" not in key]
    if absent:
        raise WeightsError(
            f"{_RAM} {options.model}",
            expected="the tensors of RAM++ with Swin-L at 384 pixels",
            got=f"none for {absent[0]}, say",
            fix="Save the entry `model` of the published checkpoint as safetensors.",
        )
    device = run.torch_device()
    network = network.eval().to(device)
    prepared = ram.get_transform(image_size=_RAM_SIDE)
    tags: list[str] = []
    for picture in pictures:
        pixels = prepared(Image.fromarray(picture)).unsqueeze(0).to(device)  # (1, 3, 384, 384)
        tags += network.generate_tag(pixels)[0][0].split("|")
    return tags


def _ram_module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            "tags by ram",
            expected="the package ram",
            got=" ".join(str(error).split())[:120],
            fix="Install it from github.com/xinyu1205/recognize-anything, or take the tagger clip.",
        ) from error


@contextmanager
def _without_network() -> Iterator[None]:
    """Within, what asks the hub finds its cache alone: the package `ram` would fetch a tokenizer."""
    constants = need("huggingface_hub", what="tags by ram", extra="foundation").constants
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
