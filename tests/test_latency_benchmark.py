"""The benchmark of latency: a model in turns with the same one as an earlier flawscope's, without a peer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import flawscope
from brightness_model import save_model

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "latency.py"


def test_a_model_is_timed_in_turns(tmp_path: Path) -> None:
    if not SCRIPT.exists():
        pytest.skip("the benchmarks are not part of this copy")
    (tmp_path / "product/test/good").mkdir(parents=True)
    Image.fromarray(np.full((20, 20), 90, np.uint8)).save(tmp_path / "product/test/good/0.png")
    save_model(tmp_path / "bright")
    options = ["--product", "product", "--turns", "2", "--pictures", "3", "--stream", "4", "--threads", "1"]
    options += ["--earlier", str(Path(flawscope.__file__).parents[1]), "bright"]
    subprocess.run(  # noqa: S603 - our own script
        [sys.executable, SCRIPT, "bright", "--engines", "onnxruntime:fp32", "--out", "out.json", *options],
        cwd=tmp_path,
        check=True,
    )
    row, earlier = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert (row["tool"], row["what"], row["chosen"]) == ("flawscope", "bright", True)
    assert (row["pictures"], row["streams"]) == (6, 2)
    assert 0 < row["one_ms"]["least"] <= row["one_ms"]["median"] <= row["one_ms"]["most"]
    assert (earlier["tool"], earlier["what"], earlier["pictures"]) == ("earlier", "bright", 6)
    assert (tmp_path / "out.md").read_text().count("| bright |") == 2
