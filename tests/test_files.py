"""Files that are written: through links, and never in the place of a device."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flawscope.errors import OutputError
from flawscope.files import writable_file, write_text


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "head.json").write_text("before")
    link = tmp_path / "head.json"
    link.symlink_to(tmp_path / "real" / "head.json")
    write_text(writable_file(link), "after")
    assert link.is_symlink()
    assert (tmp_path / "real" / "head.json").read_text() == "after"
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["head.json"]


def test_a_link_that_leads_round_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    write_text(tmp_path / "round", "text")
    assert (tmp_path / "round").read_text() == "text"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for write in (writable_file, lambda path: write_text(path, "text")):
        with pytest.raises(OutputError, match="got a device or a pipe, not a file"):
            write(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
