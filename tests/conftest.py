"""Where real pictures and weights lie, and pictures that tests make."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from _pytest.doctest import DoctestModule
from hypothesis import given, settings
from hypothesis.strategies import none
from PIL import Image
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:  # what needs torch is imported where tests run: the process that deals them out needs none
    from flawscope.testing import Subject
    from trained import Trained

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# the same examples every time; HYPOTHESIS_PROFILE=default draws new ones
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# a suite begun in a shell's background inherits that Ctrl-C is ignored, and its commands would inherit it too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files whose single tests are long come first, so that no worker is left with one of them at the end.
LONG = (
    "test_quickstart",
    "test_documented_python",
    "test_contract",
    "test_segad_runs",
    "test_learn",
    "test_train",
    "test_train_defects",
    "test_train_efficientad",
)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput"):
        return  # others run the tests
    import shortened

    config.pluginmanager.register(shortened, "shortened")


class ByMethod(LoadScopeScheduling):
    """One worker gets all tests about a method, or all of a file: what they share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if "test_contract" not in file:
            return file
        return test.partition("[")[2].partition("]")[0].partition("-")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByMethod:
    return ByMethod(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for examples in docstrings of `src` alone: tests have none, and the search takes seconds."""
    collected = yield
    return [each for each in collected if not isinstance(each, DoctestModule)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of every later search for garbage, and search less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # torch's traces make objects by the million and hardly any garbage
    given(none())(lambda nothing: None)()  # hypothesis's first example searches all that is not left out


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Give back the memory of a method when its last check is over."""
    subject = _subject(item)
    if subject is not None and (nextitem is None or _subject(nextitem) is not subject):
        subject.release()


def _subject(item: pytest.Item) -> Subject | None:
    """The method that a test is about, by its parameter `check` or `subject`."""
    from flawscope.testing import Check

    given = getattr(getattr(item, "callspec", None), "params", {})
    check = given.get("check")
    return check.subject if isinstance(check, Check) else given.get("subject")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures, or a skip that says what is missing."""
    folder = Path(os.environ.get("FLAWSCOPE_DATA", SHARED / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real pictures at {folder}; name their folder in FLAWSCOPE_DATA")
    return folder


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """The folder of pretrained weights beside the checkout, or a skip that says what is missing."""
    folder = Path(os.environ.get("FLAWSCOPE_WEIGHTS", str(SHARED / "weights")).split(os.pathsep)[0])
    if not folder.is_dir():
        pytest.skip(f"no weights at {folder}; name their folder in FLAWSCOPE_WEIGHTS")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A small trained model; tests copy it before they change it."""
    from trained import make

    return make(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def knobbed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A small trained model with a knob, of 66 pictures and 14 that calibrate; tests copy it to change it."""
    import two_filters

    return two_filters.make(tmp_path_factory.mktemp("knobbed"))


@pytest.fixture
def good_pictures(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of small good pictures: textured grey squares with a little noise, seeded."""

    def make(count: int, *, side: int = 48, name: str = "good", seed: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        random = np.random.default_rng(seed)
        rows, columns = np.mgrid[:side, :side]
        for index in range(count):
            wave = 90 + 40 * np.sin(rows / 5 + random.uniform(0, 6)) + 30 * np.cos(columns / 7)
            noisy = wave[..., None] + random.normal(0, 6, (side, side, 3))
            Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{index:03d}.png")
        return folder

    return make


@pytest.fixture(params=["quick", pytest.param("default", marks=pytest.mark.slow)])
def preset(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Pages train at the default preset: here of a tiny network and few steps, with `--all` as users do.

    Pictures that they render have 128 pixels a side at most: a quarter of those of the default.
    """
    from flawscope import products
    from flawscope.methods.joined_banks import JoinedBanks
    from zoo import ZOO

    chosen: str = request.param
    write_loco = products.write_loco

    def small(*where: Any, size: int = 256, **counts: Any) -> Path:
        return write_loco(*where, size=min(size, 128), **counts)

    if chosen == "quick":
        monkeypatch.setattr(JoinedBanks, "presets", {"default": ZOO["joined_banks"][1].options})
        monkeypatch.setattr(products, "write_loco", small)
    return chosen


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import a module of the benchmarks by name; afterwards none of them is left."""
    folder = ROOT / "benchmarks"
    if not folder.exists():
        pytest.skip("the benchmarks are not part of this copy")
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module
    for name in {script.stem for script in folder.glob("*.py")} & sys.modules.keys():
        del sys.modules[name]


@pytest.fixture
def refuse_listing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have the system refuse to list folders of a name, as it does with another user's."""
    scan = os.scandir

    def refuse(name: str) -> None:
        def refusing(path: Path) -> object:
            if Path(path).name == name:
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", refusing)

    return refuse
