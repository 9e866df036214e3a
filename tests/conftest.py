"""Where real pictures and weights lie, and pictures that tests make."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

import two_filters
from trained import Trained, make

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# the same examples every time; HYPOTHESIS_PROFILE=default draws new ones
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


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
    return make(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def knobbed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A small trained model with a knob, of 66 pictures and 14 that calibrate; tests copy it to change it."""
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
