"""Local, global and joint map side by side, where a manifest says that there are such maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from brightness_model import make_manifest
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec, ScalarSpec
from flawscope.runtime.overlay import colour_map
from flawscope.runtime.prediction import Decision, Look, Prediction
from flawscope.runtime.tiling import Tiling
from flawscope.station.map_inset import map_inset

MAPS = ("heatmap", "local_map", "global_map")
GREY = np.full((100, 200, 3), 90, np.uint8)


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "method": "another",
        "explains": "two_maps",
        "frame": Frame(64, 64),
        "outputs": (
            OutputSpec(name="score", kind="score"),
            *(OutputSpec(name=name, kind="heatmap") for name in MAPS),
        ),
        "scalars": (ScalarSpec(name="local_weight", value=0.75, low=0, high=1),),
        "heatmap": HeatmapRange(low=0.0, high=0.4, threshold=0.2),
    }
    return make_manifest(**values | changes)


def prediction() -> Prediction:
    """The local map is hot in the left upper quarter, the global map in the right lower one."""
    local, whole = np.zeros((2, 16, 16), np.float32)
    local[:8, :8] = whole[8:, 8:] = 0.4
    outputs: dict[str, NDArray[Any]] = {"local_map": local, "global_map": whole}
    look = Look(manifest().frame.placement(*GREY.shape[:2]), outputs)
    return Prediction(score=1.0, p_value=0.01, decision=Decision.REJECT, looks=(look,))


def test_three_maps_and_their_scale() -> None:
    inset = map_inset(manifest(), GREY, prediction())
    assert inset is not None
    assert inset.about == (
        "local map, global map, and both joined (0.75 · local + 0.25 · global); "
        "colours in each from 0 (weak) to 0.4 (strong)"
    )
    picture = cv2.imdecode(np.frombuffer(inset.picture, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    assert picture.shape == (100, 3 * (200 + 8) + 10, 3)

    def change(panel: int, row: int, column: int) -> float:
        """How far a place of a panel lies from the picture."""
        return float(np.abs(picture[row, panel * 208 + column] - 90).max())

    upper, lower = (25, 50), (75, 150)
    for panel, hot, cold in ((0, upper, lower), (1, lower, upper)):
        assert change(panel, *hot) > 60
        assert change(panel, *cold) < 10
    assert change(2, *upper) > change(2, *lower) > 10
    np.testing.assert_allclose(picture[[2, -3], -5], colour_map()[[-1, 0]], atol=40)


def test_none_where_the_manifest_names_no_such_maps() -> None:
    assert map_inset(manifest(explains="levels"), GREY, prediction()) is None
    empty = Prediction(score=1.0, p_value=0.01, decision=Decision.REJECT)
    assert map_inset(manifest(), GREY, empty) is None


def test_of_tiles_the_one_with_the_highest_score_is_shown() -> None:
    """The left tile of 100 × 100 pixels, at the picture's own size: white, while the other is grey."""
    picture = GREY.copy()
    picture[:, :90] = 250
    tiling = Tiling(size=(100, 100), stride=(100, 100))
    placement = tiling.grid(100, 200).placement(0)
    found = replace(prediction(), looks=(Look(placement, prediction().outputs),))
    tiled = manifest(frame=Frame(100, 100), tiling=tiling)
    inset = map_inset(tiled, picture, found)
    assert inset is not None
    assert inset.about.startswith("the tile at (0, 0): local map")
    drawn = cv2.imdecode(np.frombuffer(inset.picture, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (100, 3 * (100 + 8) + 10, 3)
    assert drawn[75, 30].min() > 240
    assert drawn[25, 30].min() < 200
