"""flawscope calls nobody and leaves nothing in the user's folder, whatever its libraries would do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trained import Trained, write_pictures

# `socket` sees what Python code asks for; strace below sees native code, too.
GUARD = """
import runpy, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("CALLED", event, arguments, flush=True)

sys.addaudithook(refuse)
from flawscope.cli import main

for line in sys.argv[1].splitlines():
    sys.argv = ["flawscope", *line.split()]
    try:
        main()
    except SystemExit as ended:
        print(line.split()[0], "ended with", ended.code, flush=True)
"""
OUTWARD = re.compile(r"(connect|sendto|sendmsg)\(.*AF_INET6?\b.*")


def run(script: str, *arguments: str, home: Path, trace: Path | None = None) -> str:
    """What the script prints, with `home` as the user's folder; `trace` takes its system calls."""
    settings = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key and key != "CI"}
    settings |= {"HOME": str(home), "LOCALAPPDATA": str(home)}
    settings.pop("XDG_CACHE_HOME", None)
    traced = ["strace", "-f", "--seccomp-bpf", "-e", "trace=%network", "-o", str(trace)] if trace else []
    done = subprocess.run(  # noqa: S603 - our own script
        [*traced, sys.executable, "-c", script, *arguments],
        env=settings,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_station_calls_nobody_and_leaves_nothing_at_home(
    trained: Trained, tmp_path: Path, engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    pictures, model, home = tmp_path / "in", tmp_path / "model", tmp_path / "home"
    home.mkdir()
    write_pictures(pictures / "good", 3, seed=5)
    write_pictures(pictures / "spot", 3, seed=6, spot=True)
    shutil.copytree(trained.folder, model)
    commands = f"""inspect {model} {pictures} --engine {engine} --out {tmp_path / "results"}
        evaluate {model} {pictures} --engine {engine} --out {tmp_path / "evaluation"}
        calibrate {model} --normals {pictures / "good"}"""
    trace = tmp_path / "trace" if shutil.which("strace") else None
    told = run(GUARD, commands, home=home, trace=trace)
    assert told.count("ended with 0") == 3, told
    assert "CALLED" not in told
    assert list(home.rglob("*")) == []
    if trace:
        assert [line for line in trace.read_text().splitlines() if OUTWARD.search(line)] == []


TRAIN = """
import sys
assert "onnxruntime" not in sys.modules
sys.path.insert(0, sys.argv[1])
import flawscope
from pathlib import Path
from flawscope.methods.registry import BUILT_IN
from flawscope.nn.run import Run
from flawscope.training.train import train
from trained import write_pictures
from two_filters import recipe_of

events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith("socket.") else None)
BUILT_IN["two_filters"] = "two_filters:TwoFilters"
folder = Path(sys.argv[2])
write_pictures(folder / "good", 12)
train(recipe_of(folder), folder / "model", Run())
print(sorted({event for event in events if "connect" in event or "addr" in event}))
"""


def test_training_calls_nobody_and_leaves_nothing_at_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    trace = tmp_path / "trace" if shutil.which("strace") else None
    assert run(TRAIN, str(Path(__file__).parent), str(tmp_path / "data"), home=home, trace=trace) == "[]\n"
    assert list(home.rglob("*")) == []
    if trace:
        assert [line for line in trace.read_text().splitlines() if OUTWARD.search(line)] == []


@pytest.mark.parametrize("home", ["absent", "file"])
def test_it_works_where_the_users_folder_cannot_be_written(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").write_text("in the way")
    script = """
import flawscope, sys
from flawscope.runtime.engines import installed
print(flawscope.Inspector.__name__, len(installed()) > 0)
"""
    assert run(script, home=tmp_path / home) == "Inspector True\n"
    assert (tmp_path / "file").read_text() == "in the way"
    assert not (tmp_path / "absent").exists()


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    script = "import flawscope, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"
