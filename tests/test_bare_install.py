"""The package without extras in an empty environment: all of the station's work, and no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trained import Trained, write_pictures

ROOT = Path(__file__).resolve().parents[1]
UNWANTED = ("torch", "torchvision", "timm", "scipy", "sklearn", "onnx", "safetensors", "yaml", "openvino")
MOST_BYTES = 500 * 2**20


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that holds the runtime alone."""
    place = tmp_path_factory.mktemp("bare") / "env"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)  # noqa: S603
    interpreter = place / "bin" / "python"
    installing = [str(interpreter), "-m", "pip", "install", "--quiet", str(ROOT)]
    done = subprocess.run(installing, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        pytest.skip(f"the package's dependencies cannot be installed here: {done.stderr.strip()[-300:]}")
    return interpreter


@pytest.fixture(scope="module")
def place(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the trained model, its pictures, and good pictures that it has not seen."""
    folder = tmp_path_factory.mktemp("station")
    shutil.copytree(trained.folder, folder / "model")
    shutil.copytree(trained.pictures, folder / "product")
    write_pictures(folder / "new", 20, seed=5)
    return folder


def _run(python: Path, place: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603
        [str(python), *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_holds_nothing_of_training(python: Path, place: Path) -> None:
    code = f"from importlib.util import find_spec; print([n for n in {UNWANTED} if find_spec(n)])"
    assert _run(python, place, "-c", code).strip() == "[]"
    packages = python.parents[1] / "lib"
    taken = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert taken < MOST_BYTES


@pytest.mark.slow
def test_the_station_works(python: Path, place: Path) -> None:
    flawscope = ("-m", "flawscope")
    lines = _run(python, place, *flawscope, "inspect", "model", "product/spot", "--out", "results", "--json")
    answers = [json.loads(line) for line in lines.splitlines()]
    assert sum("score" in answer for answer in answers) == 6
    assert (place / "results" / "report.html").stat().st_size > 10_000
    changed = _run(python, place, *flawscope, "calibrate", "model", "--false-rejects", "10%", "--json")
    assert "promise" in json.loads(changed)
    figures = _run(python, place, *flawscope, "evaluate", "model", "product", "--out", "figures", "--json")
    assert json.loads(figures)["detection"]["auroc"]["value"] > 0.5
    assert (place / "figures" / "report.html").stat().st_size > 10_000
    _run(python, place, *flawscope, "export", "model", "--out", "copy")
    again = _run(python, place, *flawscope, "inspect", "copy", "new", "--json")
    assert again.count('"decision"') >= 20


@pytest.mark.slow
def test_what_needs_training_says_what_to_install(python: Path, place: Path) -> None:
    done = subprocess.run(  # noqa: S603
        [str(python), "-m", "flawscope", "train", "product/good", "--out", "other"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8
    assert "pip install 'flawscope[train]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
