"""What the study of `learn` gives to training: every picture that was drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from flawscope.data.samples import Sample


def test_pictures_of_one_name_are_all_there(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    samples = []
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "000.png").write_text(split)
        samples.append(Sample(tmp_path / split / "000.png", split, defective=False))
    folder = load("learn").folder_of(tmp_path / "drawn", samples)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "000.png": "train",
        "test_000.png": "test",
    }
