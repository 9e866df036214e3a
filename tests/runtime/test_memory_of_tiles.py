"""A picture of 100 megapixels in tiles takes under two gigabytes, from file to findings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brightness_model import make_manifest, write_graph
from flawscope.runtime import bundle
from flawscope.runtime.images import Frame
from flawscope.runtime.tiling import Tiling

SIDE, LIMIT = 512, 2 * 2**30
INSPECT = """
import json, resource, sys
from pathlib import Path
from flawscope.runtime.inspector import Inspector
with Inspector.load(sys.argv[1], engine="onnxruntime", threads=2) as inspector:
    prediction = inspector.inspect(Path(sys.argv[2]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"peak": peak, "regions": [region.box for region in prediction.regions]}))
"""


@pytest.mark.slow
def test_a_hundred_megapixels_are_inspected_in_under_two_gigabytes(tmp_path: Path) -> None:
    with bundle.writing(tmp_path / "model") as draft:
        write_graph(draft.folder / bundle.GRAPH, side=SIDE)
        draft.manifest = make_manifest(
            frame=Frame(SIDE, SIDE), tiling=Tiling(size=(SIDE, SIDE), stride=(460, 460))
        )
    pixels = np.full((10_000, 10_000, 3), 20, np.uint8)
    pixels[7000:7006, 3000:3008] = 255
    Image.fromarray(pixels).save(tmp_path / "large.tif")
    del pixels
    command = [sys.executable, "-c", INSPECT, str(tmp_path / "model"), str(tmp_path / "large.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    found = json.loads(done.stdout)
    assert found["regions"] == [[3000, 7000, 3008, 7006]]
    assert found["peak"] < LIMIT, found
