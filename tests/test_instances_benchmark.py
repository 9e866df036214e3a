"""The measurement of instances: annotations are learnt, others compared, and rows kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from flawscope.products.loco import write_loco

Load = Callable[[str], ModuleType]


def test_rows_are_measured_on_pictures_that_were_not_learnt(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from instances_small import SMALL

    root = write_loco(tmp_path, "pin_tray", seed=0, size=64, train=4, validation=0, test_good=2, per_flaw=1)
    out, benchmark = tmp_path / "out.json", load("instances")
    given = ["--data", str(root), "--annotated", "3", "--size", "64", "--json", str(out)]
    options = {name: value for name, value in SMALL.items() if name != "preset"} | {"steps": 1}
    for count in (1, 2):
        assert benchmark.main([*given, "--options", json.dumps(options)]) == 0
        rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
        assert len(rows) == count
    assert (rows[0]["annotated"], rows[0]["pictures"], rows[0]["data"]) == (3, 2, "pin_tray")
    assert rows[0]["unseen"] == rows[1]["unseen"]
    assert set(rows[0]["unseen"]["by_class"]) == {"background", "pin", "tray"}
    assert "mIoU" in capsys.readouterr().out
