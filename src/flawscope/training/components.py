"""Label maps of a product's components: proposed, grouped into classes, and written to look through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flawscope.data.label_folder import SHEET, LabelFolder
from flawscope.data.outputs import refuse_inside
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset
from flawscope.errors import OptionError, unknown
from flawscope.files import writable_folder
from flawscope.runtime.images import Frame
from flawscope.segmenters.proposers import AreasOptions, ProposerOptions, build_proposer
from flawscope.segmenters.pseudo_labels import PseudoLabelOptions, make_labels
from flawscope.segmenters.pseudo_labels.folder import maps_by_hand, write_labels
from flawscope.training.recipe import Document
from flawscope.training.settings import apply_settings, settled

if TYPE_CHECKING:
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch

PRESET = "fast"


class ComponentChoice(Document):
    """How label maps of components are made."""

    proposer: ProposerOptions = AreasOptions()
    labels: PseudoLabelOptions = PseudoLabelOptions()


@dataclass(frozen=True, slots=True)
class ComponentFacts:
    """Label maps that were written.

    Attributes:
        folder: where they are.
        sheet: the PNG that shows up to 24 of them.
        pictures: how many pictures they are of.
        labelled: how many of them may be learnt from.
        by_hand: how many a person has drawn or corrected, which stayed as they were.
        names: of the classes, the background first.
        shares: mean share of the pixels that each class takes.
    """

    folder: Path
    sheet: Path
    pictures: int
    labelled: int
    by_hand: int
    names: tuple[str, ...]
    shares: tuple[float, ...]


def choice(proposer: str | None, preset: str, settings: Sequence[str], pictures: Path) -> ComponentChoice:
    """The options that a command line names.

    Args:
        proposer: a kind, or `folder=PATH`; None for the default.
        preset: one of `PseudoLabelOptions.presets`.
        settings: KEY=VALUE for keys that begin with `proposer.` or `labels.`.
        pictures: the data set's folder, which a folder of maps mirrors.

    Raises:
        OptionError: unknown names or values out of range.
    """
    presets = PseudoLabelOptions.presets
    if preset not in presets:
        raise unknown("--preset", preset, presets)
    kind, equals, place = (proposer or "areas").partition("=")
    values: dict[str, Any] = {"proposer": {"kind": kind}, "labels": presets[preset]}
    if kind == "folder":
        if not place:
            fix = "Write --proposer folder=PATH."
            raise OptionError("--proposer folder", expected="the folder of maps", got="none", fix=fix)
        values = settled(values, {"proposer.maps": place, "proposer.pictures": str(pictures)}, [])
    elif equals:
        fix = f"Write --proposer {kind} and --set proposer.KEY=VALUE."
        raise OptionError("--proposer", expected="a kind, or folder=PATH", got=repr(proposer), fix=fix)
    return ComponentChoice.parse(apply_settings(values, settings))


def write_components(
    dataset: Dataset, out: Path, run: Run, watch: Watch, *, choice: ComponentChoice, frame: Frame
) -> ComponentFacts:
    """Make label maps of the data set's good pictures (training ones where any) and write them as a folder.

    Maps that a person has drawn or corrected there stay as they are, see `write_labels`.

    Raises:
        DataError: as `make_labels`; a map by hand that does not fit its picture or its names.
        InputError: a picture or a map by hand that cannot be read.
        OptionError: a folder among the pictures.
        OutputError: the folder cannot be written.
    """
    refuse_inside(out, dataset)
    pictures = PictureFiles(dataset.good(), frame)
    folder = LabelFolder(writable_folder(out), dataset.root)
    maps_by_hand(folder, pictures)  # what is wrong with them is told before the long work
    labels = make_labels(pictures, build_proposer(choice.proposer), choice.labels, run, watch)
    written = write_labels(folder, pictures, labels)
    return ComponentFacts(
        out,
        out / SHEET,
        len(pictures),
        int(written.labelled.sum()),
        int(written.by_hand.sum()),
        written.names,
        tuple(written.shares().tolist()),
    )
