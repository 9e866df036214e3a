"""`--groups` and `--judge` on the command line: what they print, and what is refused at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trained import Trained, write_pictures

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three views each of twelve parts."""
    folder = write_pictures(tmp_path_factory.mktemp("views") / "good", 36, seed=5)
    for index in range(36):
        (folder / f"{index:03d}.png").rename(folder / f"part{index // 3:02d}_{'abc'[index % 3]}.png")
    return folder


def test_data_check_proposes_a_pattern_and_counts_parts_where_it_is_given(
    flawscope: Run, views: Path
) -> None:
    ended = flawscope("data", "check", views, "--json")
    found = {issue["rule"]: issue for issue in map(json.loads, ended.out.splitlines())}
    assert r"--groups 'part(\d+)_'" in found["unnamed-groups"]["fix"]
    ended = flawscope("data", "check", views, "--groups", r"part(\d+)_", "--json")
    found = {issue["rule"]: issue for issue in map(json.loads, ended.out.splitlines())}
    assert "unnamed-groups" not in found
    assert "calibration parts; 12 can be held out in turn" in found["few-normals"]["message"]


def test_calibrate_replaces_scores_that_nobody_grouped(
    flawscope: Run, trained: Trained, views: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(trained.folder, tmp_path / "model")
    table = tmp_path / "parts.csv"
    rows = [f"{path.name},{path.name[:6]}" for path in sorted(views.iterdir())]
    table.write_text("\n".join(["picture,part", *rows]))
    ended = flawscope("calibrate", model, "--normals", views, "--groups", f"{table}:part", "--judge", "part")
    assert ended.code == 0, ended.err
    assert "36 pictures of 12 parts, 3 of each." in ended.err
    assert "36 good pictures scored in onnxruntime fp32, in place of" in ended.out
    assert "of good parts have a picture that is rejected" in ended.out
    assert "from 12 good parts (36 pictures)" in ended.out
    told = json.loads(flawscope("calibrate", model, "--judge", "picture", "--json").out)
    assert (told["scores"], told["parts"]) == (36, 12)
    assert "of pictures of good parts are rejected" in told["promise"]
    evaluated = flawscope("evaluate", model, views, "--groups", f"{table}:part")
    assert evaluated.code == 3
    assert "all of them known to it" in evaluated.err


def test_update_says_at_once_what_groups_it_cannot_make(
    flawscope: Run, trained: Trained, views: Path
) -> None:
    words = ("update", trained.folder, "--normals", views, "--groups")
    for groups, said in (
        ("part(", "expected a regular expression"),
        ("part", "got one that counts pictures"),
    ):
        ended = flawscope(*words, groups)
        assert (ended.code, said in " ".join(ended.err.split())) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--groups", "part("), 2, "expected a regular expression"),
        (("--groups", r"(\d+)+x"), 2, "a pattern whose time is bounded"),
        (("--groups", "piece"), 2, "found in none of 36"),
        (("--groups", "part"), 2, "all 36 pictures in one"),
        (("--groups", "parts.csv"), 2, "a table and its column"),
        (("--groups", "missing.csv:part"), 3, "a readable file"),
        (("--judge", "batch"), 2, '"picture" or "part"'),
        (("--judge", "part"), 2, "groups of pictures, each of one part"),
    ],
)
def test_what_cannot_be_counted_is_one_line(
    flawscope: Run, views: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ended = flawscope("train", views, "--out", tmp_path / "m", "--method", "padim", *arguments)
    assert ended.code == code, ended.err
    assert words in " ".join(ended.err.split())
    assert not (tmp_path / "m").exists()
