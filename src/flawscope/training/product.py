"""What `train` takes where nobody names a method: joined banks, and CSAD beside them where parts recur.

Joined banks find what looks unlike good parts; of loose parts they do not see that one is missing. CSAD
counts and compares components, and takes minutes to learn them. So a committee of both is taken where good
pictures show components that recur, as CSAD itself tells from some of them (`LooksFirst`). Joined banks see
pictures that are larger than their frame, and too small for tiles, at a frame of twice its pixels, and in a
committee smaller ones, too: what banks miss of wrong parts at such a frame, CSAD compares. Pictures large
enough for tiles are seen so as well where parts lie at any angle, since whole ones can be turned alike.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset
from flawscope.data.survey import Range
from flawscope.data.tiles import units_of
from flawscope.errors import DataError
from flawscope.methods.committee import Committee
from flawscope.methods.committee.options import CommitteeOptions
from flawscope.methods.detector import Detector
from flawscope.methods.joined_banks import JoinedBanks
from flawscope.methods.registry import create, options_of, parse_options
from flawscope.nn.run import Run
from flawscope.nn.upright.learning import FEWEST as FEWEST_TURNED
from flawscope.nn.upright.learning import lie_anywhere
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.runtime.placement import Pair
from flawscope.training.recipe import Recipe
from flawscope.training.selection import Selection
from flawscope.training.tiled_selection import select_tiled
from flawscope.training.tiling import Proposal, TilingChoice

WITHOUT_COMPONENTS: Mapping[str, Any] = {"method": JoinedBanks.name}  # of a recipe; a matter of a minute
FEWEST = 50  # good pictures that components are learnt from; of fewer than 76 in all, training is in folds
FINE_PIXELS = 448 * 448  # of a frame that is chosen for pictures: twice as many as 320 x 320
SHRUNK = 3  # times that large pictures are shrunk at most so that parts in them can be turned
ENLARGED = 2  # times that pictures are enlarged at most for banks of a committee
_STRETCHED = 1.1  # times by which a frame may stretch pictures and parts be turned all the same
_STEP = 32  # pixels of which a frame's sides are multiples
_NAMES = {"method", "preset", "options"}  # keys of a recipe that name what is trained


@dataclass(frozen=True, slots=True)
class Start:
    """A detector that is yet to be fitted, and its pictures.

    Attributes:
        recipe: with the method that is trained.
        intensities: which of the pictures' values are black and white.
        proposal: the tiles in which pictures are seen, and what is said of them.
        named: whether somebody has named what is trained, which then stays.
    """

    recipe: Recipe
    detector: Detector
    chosen: Selection
    intensities: Range | None
    proposal: Proposal
    named: bool

    @property
    def frame(self) -> Frame:
        """How the detector sees pictures."""
        frame, reduced = self.detector.options.frame, self.recipe.data.reduced
        return dataclasses.replace(frame, intensities=self.intensities, reduced=reduced)


def unfitted(recipe: Recipe) -> Detector:
    """The recipe's detector.

    Raises:
        OptionError: unknown method or option; options with which no model folder can be made.
    """
    given = recipe.tiling.sized(recipe.options)
    detector = create(recipe.method, options_of(recipe.method, recipe.preset, given))
    detector.stages()
    return detector


def start(recipe: Recipe, detector: Detector, dataset: Dataset) -> Start:
    """The detector and the pictures that it may see.

    Raises:
        DataError, InputError, OptionError: as `select_tiled`.
    """
    named = bool(recipe.model_fields_set & _NAMES)
    return Start(recipe, detector, *select_tiled(dataset, detector, recipe), named)


def upright(first: Start, dataset: Dataset, run: Run, watch: Watch) -> Start:
    """`first` with pictures seen whole, where it sees tiles by itself and parts lie at any angle.

    Good pictures that are learnt from tell how they lie, at the frame that `finer` takes. Pictures more than
    three times as high or wide as that stay in tiles, for no such were measured and flaws would be lost, and
    so do those that have fewer pixels, whose frame is not their shape.

    Raises:
        DataError, InputError, Stopped: as those who look at the pictures.
    """
    recipe, detector, chosen = first.recipe, first.detector, first.chosen
    if first.named or first.proposal.tiling is None or recipe.tiling != TilingChoice():
        return first
    if not isinstance(detector, JoinedBanks) or not detector.options.upright:
        return first
    sizes, own = chosen.sizes(), detector.options.size
    height, width = frame_size(sizes, own)
    largest = max(max(high / height, wide / width) for high, wide in sizes)
    parts = len(set(units_of(chosen.training)))
    frame = dataclasses.replace(first.frame, height=height, width=width)
    if (height, width) == own or largest > SHRUNK or parts < FEWEST_TURNED:
        return first
    if not lie_anywhere(PictureFiles(chosen.training, frame), run, watch):
        return first
    sides, left = "x".join(map(str, dict.fromkeys(own))), max(round(4 / largest), 1)
    sentence = (
        "Parts lie at any angle in good pictures: these are seen whole, each part turned to how one of them "
        f"lies; a flaw of 4 pixels would be {left}. --tiling {sides} sees tiles of them."
    )
    whole = start(recipe.model_copy(update={"tiling": TilingChoice(size="none")}), detector, dataset)
    return dataclasses.replace(whole, proposal=Proposal(None, sentence))


def finer(first: Start, run: Run, watch: Watch) -> Start:
    """`first` at a frame of more pixels, where nobody named a method and its own would shrink the pictures.

    Smaller pictures keep the pixels of its own, but in their shape where parts lie at any angle: in a frame
    of another shape a turned part is a sheared one. Where they are seen in tiles, `first` stays.

    Raises:
        DataError, InputError, Stopped: as those who look at the pictures.
    """
    if first.named or first.proposal.tiling is not None:
        return first
    own, sizes = first.detector.options.size, first.chosen.sizes()
    size = frame_size(sizes, own)
    if size != own:
        why = "so that small flaws last"
        less = ", in less time"
    elif (size := _shaped(sizes, own)) != own and _turns(first, size, run, watch):
        why = "in their shape, so that parts, which lie at any angle, can be turned"
        less = ""
    else:
        return first
    recipe = first.recipe.model_copy(update={"options": {"size": list(size)}})
    watch.say(
        f"Pictures are seen at {size[0]}×{size[1]} (height×width), {why}. "
        f"--method {_simpler(recipe)} sees them at {own[0]}×{own[1]}{less}."
    )
    return dataclasses.replace(first, recipe=recipe, detector=unfitted(recipe))


def _turns(first: Start, size: Pair, run: Run, watch: Watch) -> bool:
    """Whether the detector could turn parts, and good pictures at such a frame show them at any angle."""
    detector, training = first.detector, first.chosen.training
    if not isinstance(detector, JoinedBanks) or not detector.options.upright:
        return False
    if len(set(units_of(training))) < FEWEST_TURNED:
        return False
    frame = dataclasses.replace(first.frame, height=size[0], width=size[1])
    return lie_anywhere(PictureFiles(training, frame), run, watch)


def _shaped(sizes: Sequence[Pair], own: Pair) -> Pair:
    """About as many pixels as `own` has, in the shape of half of the pictures or more; `own` near its shape.

    >>> [_shaped([size], (320, 320)) for size in [(240, 320), (220, 400), (300, 310), (30, 2000)]]
    [(288, 384), (224, 416), (320, 320), (320, 320)]
    """
    height, width = (statistics.median(sides) for sides in zip(*sizes, strict=True))
    stretched = (width / height) / (own[1] / own[0])
    if not _STRETCHED < max(stretched, 1 / stretched) <= SHRUNK:
        return own
    scale = math.sqrt(own[0] * own[1] / (height * width))
    return max(_stepped(height * scale), _STEP), max(_stepped(width * scale), _STEP)


def frame_size(sizes: Sequence[Pair], own: Pair, times: float = 1) -> Pair:
    """Height and width at which pictures are seen that are so high and wide, by a method of the frame `own`.

    Half of the pictures are as high or wide, or more. Where these, enlarged by no more than `times`, are
    448 × 448 pixels or more, so many in their shape; where a side would be below that of `own`, it is that
    one, and the other makes up so many pixels. Else `own`.

    >>> [frame_size([size], (320, 320)) for size in [(512, 512), (464, 608), (384, 384), (300, 300)]]
    [(448, 448), (384, 512), (320, 320), (320, 320)]
    >>> [frame_size([size], (320, 320), times=2) for size in [(384, 384), (240, 320), (200, 200)]]
    [(448, 448), (384, 512), (320, 320)]
    """
    height, width = (statistics.median(sides) for sides in zip(*sizes, strict=True))
    if times**2 * height * width < FINE_PIXELS:
        return own
    scale = math.sqrt(FINE_PIXELS / (height * width))
    sides = [
        max(least, _stepped(min(side * scale, FINE_PIXELS / other)))
        for side, least, other in zip((height, width), own, reversed(own), strict=True)
    ]
    return sides[0], sides[1]


def _stepped(side: float) -> int:
    return round(side / _STEP) * _STEP


def with_components(first: Start, dataset: Dataset, run: Run, watch: Watch) -> Start:
    """The committee in the place of `first`, where nobody named a method and components can be compared.

    Where fewer than 50 good pictures are learnt from, or every fit is repeated in folds, where they are seen
    in tiles, defects are learnt from, or none are set aside for the members' levels, `first` stays.

    Raises:
        DataError, InputError, Stopped: as those who look at the pictures.
    """
    recipe, chosen = first.recipe, first.chosen
    if len(chosen.training) < FEWEST or chosen.split.folds or first.proposal.tiling is not None:
        return first
    if first.named or recipe.data.defects:
        return first
    own = first.detector.options.size
    size = frame_size(chosen.sizes(), own, ENLARGED)
    sized = recipe if size == own else recipe.model_copy(update={"options": {"size": list(size)}})
    wider = recipe.model_copy(update={"method": Committee.name, "options": _options(sized)})
    owner = Committee(_parsed(wider.preset, wider.options))
    found = dataclasses.replace(start(wider, owner, dataset), proposal=first.proposal)
    if not (_enough(owner, found, watch) and _all_suited(owner, first, found, run, watch)):
        return first
    if size != own:
        watch.say(f"In it {recipe.method} sees pictures at {size[0]}×{size[1]} (height×width), enlarged.")
    return found


def _simpler(recipe: Recipe) -> str:
    """What is said after --method so that the recipe's own sees pictures as it does."""
    return f"{recipe.method} --tiling none" if recipe.tiling.size == "none" else recipe.method


def _options(recipe: Recipe) -> dict[str, Any]:
    """Options of the committee that sees pictures at the recipe's frame; those that compare at their own."""
    if not recipe.options:
        return {}
    members = _parsed(recipe.preset, {}).model_dump(mode="json")["members"]
    for member in members:
        if member["method"] == recipe.method:
            member["options"] |= recipe.options
    return {**recipe.options, "members": members}


def _parsed(preset: str | None, options: Mapping[str, Any]) -> CommitteeOptions:
    return parse_options(Committee.name, CommitteeOptions, options_of(Committee.name, preset, options))


def _enough(owner: Committee, found: Start, watch: Watch) -> bool:
    """Whether the split leaves what the committee needs; the user is told what is missing."""
    try:
        owner.needs().require(found.chosen.data(found.frame), "a committee that counts components")
    except DataError as error:
        watch.say(f"Components are not counted: that takes {error.expected}; there are {error.got}.")
        return False
    return True


def _all_suited(owner: Committee, first: Start, found: Start, run: Run, watch: Watch) -> bool:
    """Whether each member has something to compare; the user is told what is trained, and what is not."""
    unfit = owner.look(found.chosen.data(found.frame), run, watch)
    for name, why in unfit.items():
        watch.say(f"{name} is left out: {why}.")
    if not unfit:
        names = " and ".join(owner.names)
        watch.say(
            f"Good pictures show components that can be compared: a committee of {names} is trained. "
            f"--method {_simpler(first.recipe)} takes less time, and counts nothing."
        )
    return not unfit
