"""Which patch stands out over an area, and where the good patch nearest to it lies."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from brightness_model import make_manifest
from flawscope.runtime.explain import explainer
from flawscope.runtime.explain.nearest_patch import find_match, picture_name
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import HeatmapRange, Manifest
from flawscope.runtime.overlay import find_regions
from flawscope.runtime.prediction import Decision, Finding, Look, Prediction
from flawscope.runtime.provenance import Provenance, SeenPicture
from flawscope.runtime.tiling import Tiling

GRIDS = {64: (5, 16), 32: (25, 4)}  # patches a side over 128 pixels, and their stride


def findings(manifest: Manifest, prediction: Prediction) -> tuple[Finding, ...]:
    return explainer(manifest.explains)(manifest, prediction).findings


def model(*, tiling: Tiling | None = None, frames: int = 1, **changes: Any) -> Manifest:
    names = ["a.png", "b.png", "c.png"]
    pictures = [
        SeenPicture(name="tuning.png", sha256="0" * 64, role="tuning"),
        *(SeenPicture(name=name, sha256="1" * 64, role="normal", frames=frames) for name in names),
    ]
    return make_manifest(
        explains="patches",
        tiling=tiling,
        learnt={"sides": [64, 32], "strides": [16, 4]},
        frame=Frame(**{"height": 128, "width": 128, **changes}),
        heatmap=HeatmapRange(low=1.0, high=3.0, threshold=2.0),
        provenance=Provenance.now(0, pictures),
    )


def answer(height: int = 256, width: int = 256, **frame: Any) -> Prediction:
    """An area around (100, 200) of a picture of 256×256, which is frame pixel (50, 100)."""
    heatmap = np.ones((height, width), np.float32)
    heatmap[196:204, 96:104] = 5.0
    outputs: dict[str, np.ndarray] = {}
    for side, (count, _) in GRIDS.items():
        outputs[f"distance_{side}"] = np.full((count, count), 0.5, np.float32)
        outputs[f"nearest_{side}"] = np.zeros((count, count), np.int64)
    look = Look(model(**frame).frame.placement(height, width), outputs)
    prediction = Prediction(score=9.0, p_value=0.01, decision=Decision.REJECT, looks=(look,))
    return dataclasses.replace(prediction, heatmap=heatmap, regions=find_regions(heatmap, 2.0))


def far(prediction: Prediction, side: int, place: tuple[int, int], distance: float, number: int) -> None:
    prediction.outputs[f"distance_{side}"][place] = distance
    prediction.outputs[f"nearest_{side}"][place] = number


def test_the_farthest_patch_over_the_peak_and_its_good_one() -> None:
    prediction = answer()
    # frame row 98 is covered by the patches that begin at rows 68 to 96, column 48 by those at 20 to 48
    far(
        prediction, 32, (24, 10), 2.0, 2 * 625 + 3 * 25 + 7
    )  # patch at row 96, column 40; picture c, (12, 28)
    far(prediction, 32, (16, 10), 9.0, 0)  # begins at row 64: not over the peak
    match = find_match(model(), prediction, prediction.regions[0])
    assert match is not None
    assert (match.side, match.corner, match.picture, match.origin) == (32, (96, 40), 2, (12, 28))
    assert match.times == pytest.approx(4)
    (finding,) = findings(model(), prediction)
    assert finding.text.endswith(
        "; its patch around (112, 224) comes closest to the good one at (34%, 22%) of c.png, "
        "4 times as far from it as usual here"
    )
    assert finding.text.startswith("unusual area 8 × 8 px around (100, 200), 2.5 times the level")
    assert {key: finding.values[key] for key in finding.values if "_" in key} == {
        "patch_side": 32, "patch_top": 96, "patch_left": 40, "patch_times": 4,
        "nearest_picture": 2, "nearest_top": 12, "nearest_left": 28,
    }  # fmt: skip


def test_the_size_that_raises_the_map_most_is_told() -> None:
    prediction = answer()
    far(prediction, 32, (24, 10), 2.0, 0)  # one of 64 patches over the peak
    far(prediction, 64, (3, 1), 1.5, 25 + 6)  # one of 6: it begins at row 48 and column 16
    match = find_match(model(), prediction, prediction.regions[0])
    assert match is not None
    assert (match.side, match.corner, match.picture, match.origin) == (64, (48, 16), 1, (16, 16))


def test_padded_frames_are_followed() -> None:
    # a picture of 256×512 fills rows 32 to 95 of the frame: (100, 200) is its row 82, column 25
    prediction = answer(256, 512, aspect="pad")
    far(prediction, 32, (20, 6), 2.0, 0)  # rows 80 to 111, columns 24 to 55
    match = find_match(model(aspect="pad"), prediction, prediction.regions[0])
    assert match is not None
    assert match.corner == (80, 24)
    assert match.times == pytest.approx(4)


def test_pixels_that_no_patch_covers() -> None:
    prediction = answer()
    heatmap = np.ones((256, 256), np.float32)
    heatmap[255, 255] = 5.0
    prediction = dataclasses.replace(prediction, heatmap=heatmap, regions=find_regions(heatmap, 2.0))
    for side in GRIDS:  # the grid ends two patches earlier
        for name in ("distance", "nearest"):
            prediction.outputs[f"{name}_{side}"] = prediction.outputs[f"{name}_{side}"][:-2, :-2]
    match = find_match(model(), prediction, prediction.regions[0])
    assert match is not None
    assert match.corner in {(32, 32), (88, 88)}


def test_no_distances_and_no_outputs() -> None:
    prediction = answer()
    for name in list(prediction.outputs):
        prediction.outputs[name][:] = 0
    (finding,) = findings(model(), prediction)
    assert "times" not in finding.text.split(";")[1]
    assert "patch_times" not in finding.values
    bare = dataclasses.replace(prediction, looks=())
    assert ";" not in findings(model(), bare)[0].text
    assert find_match(make_manifest(options={}), prediction, prediction.regions[0]) is None


def test_pictures_without_a_name_have_their_number() -> None:
    assert picture_name(model(), 1) == "b.png"
    assert picture_name(model(), 3) == "training picture 4"
    assert picture_name(model(frames=4), 5) == "tile 2 of b.png"
    assert picture_name(model(frames=4), 12) == "training picture 13"


def test_tiles_tell_places_in_the_whole_picture() -> None:
    """The tile begins at row 172 and column 86 of 300×256; its patch at (20, 4) covers the peak."""
    tiling = Tiling(size=(128, 128), stride=(86, 86))
    placement = tiling.grid(300, 256).placement(7)
    assert placement.corner == (-172, -86)
    prediction = answer(300, 256)
    prediction = dataclasses.replace(prediction, looks=(Look(placement, prediction.outputs),))
    far(prediction, 32, (5, 1), 2.0, 5 * 625 + 3 * 25 + 7)  # rows 20 to 51; picture 6, at (12, 28)
    (finding,) = findings(model(tiling=tiling, frames=4), prediction)
    assert finding.text.endswith(
        "; its patch around (106, 208) comes closest to the good one at (34%, 22%) of tile 2 of b.png, "
        "4 times as far from it as usual here"
    )
    assert (finding.values["tile_top"], finding.values["tile_left"]) == (172, 86)
    elsewhere = tiling.grid(300, 256).placement(0)
    hidden = dataclasses.replace(prediction, looks=(Look(elsewhere, prediction.outputs),))
    assert ";" not in findings(model(tiling=tiling, frames=4), hidden)[0].text  # no look shows its peak
