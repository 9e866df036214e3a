"""What a manifest must and may say, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brightness_model import make_manifest
from flawscope.runtime.manifest import heatmap_range, map_level
from flawscope.runtime.provenance import seen


def test_manifest_with_two_scores_or_no_range() -> None:
    outputs = make_manifest().outputs
    with pytest.raises(ValueError, match="exactly one"):
        make_manifest(outputs=outputs[1:])
    with pytest.raises(ValueError, match="different names"):
        make_manifest(outputs=(*outputs, outputs[0]))
    with pytest.raises(ValueError, match="needs its range"):
        make_manifest(heatmap=None)


def test_heatmap_range_by_hand() -> None:
    """Maxima 1 to 21: their 95 % quantile lies at 20; every median is 0."""
    maps = [np.zeros((3, 3), np.float32) for _ in range(21)]
    for peak, values in enumerate(maps, start=1):
        values[1, 1] = peak
    levels = heatmap_range(map(map_level, maps))
    assert (levels.low, levels.threshold, levels.high) == (0.0, 20.0, 40.0)


def test_seen_names_content_and_role(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    (found,) = seen([tmp_path / "a.png"], "normal")
    assert found.name == "a.png"
    assert found.sha256 == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
