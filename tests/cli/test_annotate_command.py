"""`flawscope annotate init` and `flawscope annotate check`, as people call them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotated import polygon
from brightness_model import save_model
from flawscope.data.label_folder import LabelFolder
from flawscope.data.layouts import read_dataset

Run = Callable[..., Any]
SIDE = 64


@pytest.fixture
def bags(tmp_path: Path) -> Path:
    """Six pictures of a plate with a screw on it, half dark and half bright, and their label maps in maps."""
    root = tmp_path / "bags"
    (root / "good").mkdir(parents=True)
    for index in range(6):
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[8:56, 8:56], labels[20 + index : 30 + index, 20:30] = 1, 2
        shades = np.array((30, 120, 200), np.uint8)[labels] + (index % 2) * 40 + index
        Image.fromarray(shades.astype(np.uint8)).convert("RGB").save(root / "good" / f"{index}.png")
    folder = LabelFolder(tmp_path / "maps", root)
    for index, sample in enumerate(read_dataset(root)):
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[8:56, 8:56], labels[20 + index : 30 + index, 20:30] = 1, 2
        folder.write(sample, labels, labelled=True)
    folder.write_names(("background", "plate", "screw"), made=True)
    return root


@pytest.fixture
def init(flawscope: Run, bags: Path, tmp_path: Path) -> Callable[..., Any]:
    options = ("--proposer", f"folder={tmp_path / 'maps'}", "--size", "64x64")
    return lambda *more: flawscope("annotate", "init", bags, "--out", tmp_path / "drafts", *options, *more)


def test_init_then_check(flawscope: Run, init: Run, bags: Path, tmp_path: Path) -> None:
    out = tmp_path / "drafts"
    ended = init("--count", 2, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["components"] == ["screw", "plate"]
    drafted = [Path(path) for path in told["drafted"]]
    assert len(drafted) == 2
    assert {int(path.stem) % 2 for path in drafted} == {0, 1}  # one dark, one bright
    assert all(path.with_suffix(".png").is_file() for path in drafted)
    ended = flawscope("annotate", "check", out, "--pictures", bags, "--out", tmp_path / "over")
    assert ended.code == 0, ended.err
    assert "4 good training pictures are not annotated." in ended.out
    assert len(list((tmp_path / "over").rglob("*.png"))) == 2
    told = json.loads(flawscope("annotate", "check", out, "--pictures", bags, "--json").out)
    assert [(one["name"], one["pictures"], one["pieces"]) for one in told["components"]] == [
        ("screw", 2, 2),
        ("plate", 2, 2),
    ]
    assert told["components"][0]["share"] == pytest.approx(100 / SIDE**2)
    assert told["uncovered"] == pytest.approx(1 - 48**2 / SIDE**2)
    assert told["annotated"] == 2


def test_what_a_person_changed_is_never_overwritten(init: Run, tmp_path: Path) -> None:
    init("--count", 2)
    out = tmp_path / "drafts"
    first, second = sorted((out / "good").glob("*.json"))
    corrected = json.dumps({"shapes": [polygon("screw", (1, 1, 9, 9))]})
    first.write_text(corrected)
    (out / "components.yaml").write_text("- screw\n- {name: plate, ignore: true}\n")
    second.unlink()
    ended = init("--count", 2)
    assert ended.code == 0, ended.err
    assert "1 annotations that somebody has made or changed stay as they are." in ended.out
    assert "components.yaml stays as somebody has written it." in ended.err
    assert first.read_text() == corrected
    assert "ignore: true" in (out / "components.yaml").read_text()
    assert second.is_file()
    second.write_text(corrected)
    ended = init("--count", 2, "--json")
    assert json.loads(ended.out)["drafted"] == []


def test_init_refuses_to_write_among_the_pictures(flawscope: Run, bags: Path) -> None:
    ended = flawscope("annotate", "init", bags, "--out", bags / "drafts")
    assert ended.code == 2
    assert "a folder outside of the pictures" in ended.err


def test_check_ends_with_3_where_something_must_be_mended(
    flawscope: Run, init: Run, bags: Path, tmp_path: Path
) -> None:
    init("--count", 1)
    out = tmp_path / "drafts"
    (out / "good" / "5.json").write_text(json.dumps({"shapes": [polygon("scrw", (1, 1, 9, 9))]}))
    ended = flawscope("annotate", "check", out, "--pictures", bags)
    assert ended.code == 3
    assert 'got "scrw". Did you mean "screw"?' in ended.out
    ended = flawscope("annotate", "check", tmp_path / "nothing", "--pictures", bags)
    assert ended.code == 3
    assert "draft some: flawscope annotate init" in ended.err


def test_evaluate_leaves_ignored_components_out_of_figures_of_place(
    flawscope: Run, bags: Path, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "model").folder
    place = tmp_path / "annotations"
    place.mkdir()
    (place / "0.json").write_text(json.dumps({"shapes": [polygon("date", (1, 1, 9, 9))]}))
    ended = flawscope("evaluate", model, bags, "--annotations", place)
    assert ended.code == 0, ended.err
    assert "No component is ignored" in ended.err
    (place / "components.yaml").write_text("- {name: date, ignore: true}")
    ended = flawscope("evaluate", model, bags, "--annotations", place)
    assert "In 1 pictures pixels of date count in no figure of place." in ended.err
    ended = flawscope("evaluate", model, bags, "--annotations", tmp_path / "nowhere")
    assert ended.code == 3


def test_where_nothing_stands_out_clusters_are_drafted(flawscope: Run, tmp_path: Path) -> None:
    folder = tmp_path / "stripes" / "good"
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    for index in range(4):
        pixels = random.normal(120, 2, (SIDE, SIDE, 3))
        pixels[:, SIDE // 2 :] += random.normal(0, 40, (SIDE, SIDE // 2, 3))  # rough beside smooth
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    options = ("--size", "64x64", "--count", 2, "--segments", 2, "--set", "labels.smallest=0.9")
    ended = flawscope("annotate", "init", folder.parent, "--out", tmp_path / "out", *options)
    assert ended.code == 0, ended.err
    assert "Clusters of features are drafted in their place" in ended.err
    ended = flawscope("annotate", "check", tmp_path / "out", "--pictures", folder.parent, "--json")
    told = json.loads(ended.out)
    assert {one["name"] for one in told["components"]} == {"segment 1", "segment 2"}
    assert told["uncovered"] < 0.05
    ended = flawscope("annotate", "init", folder.parent, "--out", tmp_path / "out", "--by", "cluster")
    assert ended.code == 2
    assert 'Did you mean "clusters"' in ended.err


def test_components_found_without_labels_become_drafts(flawscope: Run, bags: Path, tmp_path: Path) -> None:
    ended = flawscope(
        *("annotate", "init", bags, "--out", tmp_path / "free", "--count", 3, "--size", "64x64", "--json"),
        *("--set", "labels.features.weights=random", "--set", "labels.features.rotations=1"),
        *("--set", "labels.bandwidth=1000", "--set", "labels.numbers=false"),
    )
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert len(told["drafted"]) == 3
    assert told["shapes"] >= 3
    assert flawscope("annotate", "check", tmp_path / "free", "--pictures", bags).code == 0
