"""What `flawscope demo --logical` does beside the plain demo: label maps, their names, and what CSAD says.

It goes the way that a user goes: `flawscope segments components`, a look at the contact sheet, names for the
classes, training on the folder. A person would write the names; here the rendered truth stands in for that,
and for nothing else.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.label_folder import MADE, NAMES, LabelFolder
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import spread
from flawscope.data.segment_maps import read_labels
from flawscope.errors import OutputError
from flawscope.files import write_text
from flawscope.methods.csad.options import PRESETS, CSADOptions
from flawscope.runtime.images import read_image
from flawscope.training.components import PRESET, choice, write_components

if TYPE_CHECKING:
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch

GROUND = "ground"  # what a class is called that shows no part
_LOOKED_AT = 16  # pictures by which classes are named
_GREY, _DARK, _LIGHT = 0.22, 80, 190  # saturation (0 to 1) and value (0 to 255) that tell a colour from none
_HUES = ((20, "red"), (34, "orange"), (75, "yellow"), (165, "green"), (260, "blue"), (330, "violet"))


def forget(labels: Path, pictures: Path) -> None:
    """Remove an earlier demo's label maps of these pictures, unless a person has corrected some.

    Raises:
        OutputError: there are such.
    """
    if not (labels / MADE).is_file():
        return
    folder = LabelFolder(labels, pictures)
    corrected = [sample.path.name for sample in read_dataset(pictures).good() if folder.by_hand(sample)]
    if corrected:
        raise OutputError(
            f"label maps {labels}",
            expected="none that a person has corrected, for the demo makes them anew",
            got=f"{len(corrected)} corrected ones, {corrected[0]} among them",
            fix="Choose another --out.",
        )
    shutil.rmtree(labels)


def learnt_from(labels: Path, pictures: Path, run: Run, watch: Watch) -> dict[str, Any]:
    """Make label maps of the good pictures in `labels` and name their classes; the recipe that learns them.

    Raises:
        DataError: no components to be told from the ground.
        OutputError: the folder cannot be written.
    """
    preset = CSADOptions.model_validate(PRESETS["default"])
    dataset = read_dataset(pictures)
    watch.say("Finding components in the good pictures, as `flawscope segments components` does.")
    chosen = choice(None, PRESET, (), dataset.root)
    made = write_components(dataset, labels, run, watch, choice=chosen, frame=preset.frame)
    names = class_names(made.names, labels, pictures)
    write_text(labels / NAMES, json.dumps(names, indent=2) + "\n")
    watch.say(
        f"Classes: {', '.join(names[1:])}. You would look at {made.sheet} and write such names into "
        f"{labels / NAMES}; here the rendered truth gives the names, and nothing else."
    )
    proposer = {"kind": "folder", "maps": str(labels), "pictures": str(pictures)}
    segments = {**PRESETS["default"]["segments"], "proposer": proposer}
    return {"method": "csad", "options": {"segments": segments}}


def class_names(names: tuple[str, ...], labels: Path, pictures: Path) -> list[str]:
    """What a person might call the classes of label maps: the part that they show most, and where several
    classes show the same part, with its colour.

    Args:
        names: of the classes so far, the background first, which stays; as do those that nothing shows.
        labels: folder of the maps.
        pictures: a rendered product's folder, with its `parts`.
    """
    parts = tuple(json.loads((pictures / "parts" / NAMES).read_text(encoding="utf-8")))
    common, colours = _seen(len(names), len(parts), LabelFolder(labels, pictures), pictures)
    shown = [parts[index] for index in common.argmax(1)]
    called = [names[0]]
    for label in range(1, len(names)):
        part = shown[label]
        if not common[label].any():
            called.append(names[label])
        elif part == parts[0]:
            called.append(GROUND)
        elif shown[1:].count(part) > 1:
            called.append(f"{colour_word(colours[label])} {part}")
        else:
            called.append(part)
    return [name if called.count(name) == 1 else f"{name} {label}" for label, name in enumerate(called)]


def _seen(
    classes: int, parts: int, folder: LabelFolder, pictures: Path
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels (K + 1, P) that each class and each part have in common, and mean colours (K + 1, 3), RGB."""
    common, colours = np.zeros((classes, parts), np.int64), np.zeros((classes, 3))
    good = read_dataset(pictures).good()
    for sample in spread(good, _LOOKED_AT):
        labels = folder.read(sample)
        truth = read_labels(pictures / "parts" / sample.path.relative_to(pictures))
        np.add.at(common, (labels.ravel(), truth.ravel()), 1)
        np.add.at(colours, labels.ravel(), read_image(sample.path).reshape(-1, 3))  # (H * W, 3)
    return common, colours / np.maximum(common.sum(1, keepdims=True), 1)


def colour_word(colour: NDArray[np.floating]) -> str:
    """A word for a colour (3,), RGB from 0 to 255.

    >>> [colour_word(np.array(rgb)) for rgb in ((160, 130, 70), (150, 150, 148), (40, 60, 200))]
    ['yellow', 'grey', 'blue']
    """
    pixel = np.asarray(colour, np.float32).reshape(1, 1, 3) / 255
    hue, saturation, value = cv2.cvtColor(pixel, cv2.COLOR_RGB2HSV)[0, 0]
    if saturation < _GREY:
        return "black" if 255 * value < _DARK else "white" if 255 * value > _LIGHT else "grey"
    return next((word for limit, word in _HUES if hue < limit), "red")
