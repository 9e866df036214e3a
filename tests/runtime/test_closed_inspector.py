"""Streams of answers that outlive their inspector's threads."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.runtime.inspector import Inspector


@pytest.fixture
def inspector(tmp_path: Path) -> Inspector:
    return Inspector.load(save_model(tmp_path / "model"), engine="onnxruntime", threads=1)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures that take the one thread long enough for others to wait."""
    for number in range(12):
        Image.fromarray(np.full((500, 500), 9 * number, np.uint8)).save(tmp_path / f"{number:02}.png")
    return sorted(tmp_path.glob("*.png"))


def test_a_stream_that_is_dropped_after_its_inspector_was_closed_ends(
    inspector: Inspector, paths: list[Path]
) -> None:
    def dropped() -> None:
        with inspector:
            answers = inspector.inspect_many(paths)
            next(answers)

    thread = threading.Thread(target=dropped, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_a_stream_goes_on_though_its_inspector_is_closed_meanwhile(
    inspector: Inspector, paths: list[Path]
) -> None:
    answers = inspector.inspect_many(paths)
    found = [next(answers)]
    inspector.close()
    found += answers
    inspector.close()
    assert [path for path, _ in found] == paths
    assert [answer.score for _, answer in found] == [inspector.inspect(path).score for path in paths]
