"""An inspection that is killed again and again: the chain verifies, and nothing is lost or told twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from brightness_model import save_model
from flawscope.runtime.inspector import Inspector
from flawscope.station.audit import audit
from flawscope.station.inspection import inspect_pictures
from flawscope.station.results import read_records

COUNT = 60
INSPECT = """
import sys
from pathlib import Path
from flawscope.runtime.inspector import Inspector
from flawscope.station.inspection import inspect_pictures
model, pictures, out = map(Path, sys.argv[1:])
inspector = Inspector.load(model, engine="onnxruntime", threads=1)
tell = lambda record: print(record.path, flush=True)
inspect_pictures(inspector, sorted(pictures.iterdir()), out=out, overlays="all", emit=tell)
"""


def killed_after(lines: int, model: Path, pictures: Path, out: Path) -> list[str]:
    """Inspect until so many pictures were told, and then no longer; what was told."""
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", INSPECT, str(model), str(pictures), str(out)],
        stdout=subprocess.PIPE,
        text=True,
    ) as inspection:
        assert inspection.stdout is not None
        told = [inspection.stdout.readline().strip() for _ in range(lines)]
        inspection.kill()
        rest, _ = inspection.communicate()
    return [*told, *rest.split()]


def test_killed_inspections_lose_nothing_and_tell_nothing_twice(tmp_path: Path) -> None:
    model, pictures, out = save_model(tmp_path / "model").folder, tmp_path / "in", tmp_path / "out"
    pictures.mkdir()
    for index in range(COUNT):
        Image.fromarray(np.full((60, 80), 40 + 3 * index, np.uint8)).save(pictures / f"{index:02d}.png")
    told = [path for lines in (1, 20) for path in killed_after(lines, model, pictures, out)]
    found = audit(out)
    assert found.whole
    assert set(told) <= {record.path for record in read_records(out)}
    assert 21 <= len(told) == len(set(told)) <= found.rows["picture"]
    summary = inspect_pictures(
        Inspector.load(model, engine="onnxruntime", threads=1), sorted(pictures.iterdir()), out=out
    )
    assert summary.skipped == found.rows["picture"]
    assert sorted(record.path for record in read_records(out)) == [str(p) for p in sorted(pictures.iterdir())]
    ended = audit(out, head=found.head, pictures=True)
    assert (ended.whole, ended.rows["picture"], ended.changed, ended.gone) == (True, COUNT, [], 0)
