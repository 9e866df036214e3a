"""Two models on the same pictures: what flips, what a gate makes of it, and the page about it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from brightness_model import save_model
from flawscope.data.groups import GroupChoice
from flawscope.data.layouts import read_dataset
from flawscope.errors import DataError, InputError, OptionError
from flawscope.report.comparison import comparison_report
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.provenance import Provenance, seen
from flawscope.station import compare as comparing
from flawscope.station.compare import Comparison, compare
from flawscope.station.gate import TEMPLATE, Gate, judge, read_gate
from flawscope.station.pair import parts_right

GOOD, BENT = (40, 60, 80, 120, 160), (120, 150, 200, 240)


def pictures(root: Path) -> Path:
    """Grey squares whose level is their score: 0.16 to 0.63 good, 0.47 to 0.94 defective."""
    for kind, levels in (("good", GOOD), ("bent", BENT)):
        (root / "test" / kind).mkdir(parents=True)
        for level in levels:
            Image.fromarray(np.full((24, 24), level, np.uint8)).save(root / "test" / kind / f"{level}.png")
    (root / "train" / "good").mkdir(parents=True)
    return root


def model(folder: Path, reject: float = 0.6, **changes: Any) -> Inspector:
    """A model that rejects from about that score on, and reviews from two thirds of it on."""
    scores = tuple(np.linspace(0, reject - 0.01, 59))
    changes = {"calibration": Calibration(scores=scores, alpha=0.05), **changes}
    return Inspector.load(save_model(folder, **changes).folder, threads=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("pictures") / "part")


def compared(
    root: Path, tmp_path: Path, old: float, new: float, views: int = 0, **changes: Any
) -> Comparison:
    before, after = model(tmp_path / "old", old), model(tmp_path / "new", new, **changes)
    return compare(before, after, read_dataset(root), views=views)


def became(found: Comparison) -> dict[str, str]:
    return {f"{pair.truth.kind}/{pair.old.name}": pair.kind for pair in found.flips}


def test_a_laxer_model_misses_what_the_old_one_found(root: Path, tmp_path: Path) -> None:
    found = compared(root, tmp_path, 0.4, 0.9)
    assert became(found)["bent/120.png"] == "defect missed now"
    assert became(found)["good/120.png"] == "good part passes now"
    assert found.counts() == {
        "good": 5,
        "defective": 4,
        "new_miss": 2,
        "new_find": 0,
        "new_false_reject": 0,
        "mended_false_reject": 2,
        "flipped": len(found.flips),
        "unreadable": 0,
    }
    assert [pair.new_miss for pair in found.flips[:3]] == [True, True, False]
    assert (found.old.misses, found.new.misses) == (0, 2)
    assert found.auroc_difference == (0, 0, 0)  # the same scores
    assert found.p_value == 1.0  # two right alone on either side


def test_a_stricter_model_is_the_other_way_round(root: Path, tmp_path: Path) -> None:
    counts = compared(root, tmp_path, 0.9, 0.4).counts()
    assert (counts["new_find"], counts["new_false_reject"], counts["new_miss"]) == (2, 2, 0)


def test_the_same_model_passes_every_bound(root: Path, tmp_path: Path) -> None:
    found = compared(root, tmp_path, 0.6, 0.6)
    assert found.flips == []
    gate = Gate(most_new_misses=0, most_new_false_rejects=0, least_auroc_difference=0, most_latency_ratio=50)
    assert [check.passed for check in judge(gate, found)] == [True] * 4
    assert found.old.milliseconds > 0


def test_who_comes_second_gains_nothing_by_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which the second look at a picture takes half as long, whoever has it."""
    spans = itertools.cycle((0.2, 0.1))
    ticks = itertools.chain.from_iterable((0.0, span) for span in spans)
    monkeypatch.setattr(comparing.time, "perf_counter", lambda: next(ticks))
    found = compared(root, tmp_path, 0.6, 0.6)
    assert (found.old.milliseconds, found.new.milliseconds) == (150, 150)
    assert found.latency_ratio == 1


def test_only_bounds_that_are_named_are_judged(root: Path, tmp_path: Path) -> None:
    found = compared(root, tmp_path, 0.4, 0.9)
    (check,) = judge(Gate(most_new_misses=1), found)
    assert (check.passed, check.found) == (False, "2 of 4 defective pictures, 1 allowed")
    (check,) = judge(Gate(most_new_false_rejects=0), found)
    assert check.passed


def test_an_auroc_that_falls_for_sure_or_only_by_its_value(root: Path, tmp_path: Path) -> None:
    found = compared(root, tmp_path, 0.6, 0.6)
    object.__setattr__(found, "auroc_difference", found.old.auroc._replace(value=0.0, low=-0.02, high=0.01))
    by_interval, by_value = (Gate(least_auroc_difference=-0.01, sure=sure) for sure in ("interval", "value"))
    assert [judge(gate, found)[0].passed for gate in (by_interval, by_value)] == [False, True]
    assert "the lower end must be -0.0100 or more" in judge(by_interval, found)[0].found


def test_what_pictures_of_one_class_cannot_tell_does_not_hold(root: Path, tmp_path: Path) -> None:
    only = tmp_path / "good"
    only.mkdir()
    for level in GOOD:
        Image.fromarray(np.full((24, 24), level, np.uint8)).save(only / f"{level}.png")
    found = compare(model(tmp_path / "a"), model(tmp_path / "b"), read_dataset(only))
    checks = judge(Gate(most_new_misses=0, most_new_false_rejects=0, least_auroc_difference=-0.1), found)
    assert [check.passed for check in checks] == [False, True, False]
    assert checks[0].found == "no defective picture to judge it by; the gate's data needs at least one"


def test_a_picture_without_a_verdict_counts_against_the_new_model(tmp_path: Path) -> None:
    root = pictures(tmp_path / "part")
    old, new = model(tmp_path / "old"), model(tmp_path / "new")
    look = new.look

    def failing(file: Any) -> Any:
        if file.path.name in ("40.png", "240.png"):
            raise InputError(f"picture {file.path}", expected="a", got="b", fix="c.")
        return look(file)

    new.look = failing  # type: ignore[method-assign]
    found = compare(old, new, read_dataset(root))
    assert (found.counts()["new_miss"], found.counts()["new_false_reject"]) == (1, 1)
    assert found.to_json()["flips"][0]["new"]["error"].startswith("picture")


def test_a_picture_that_neither_can_read_flips_nothing(tmp_path: Path) -> None:
    root = pictures(tmp_path / "part")
    (root / "test/bent/240.png").write_bytes((root / "test/bent/240.png").read_bytes()[:40])
    counts = compared(root, tmp_path, 0.6, 0.6).counts()
    assert (counts["unreadable"], counts["flipped"], counts["defective"]) == (1, 0, 3)


def test_pictures_of_one_part_are_one_case(tmp_path: Path) -> None:
    """Of two defective parts with two views each the new model misses one, and a view of the other."""
    root = tmp_path / "part"
    levels = {"good": {"1_a": 40, "1_b": 60}, "bent": {"2_a": 120, "2_b": 130, "3_a": 125, "3_b": 240}}
    for kind, own in levels.items():
        (root / kind).mkdir(parents=True)
        for name, level in own.items():
            Image.fromarray(np.full((24, 24), level, np.uint8)).save(root / kind / f"{name}.png")
    old, new, dataset = model(tmp_path / "old", 0.4), model(tmp_path / "new", 0.9), read_dataset(root)
    apart, parts = compare(old, new, dataset), compare(old, new, dataset, groups=GroupChoice(pattern="(.)_"))
    assert (apart.p_value, parts.p_value) == (0.25, 1.0)  # three pictures against none, one part against none
    assert apart.counts() == parts.counts()
    assert sorted(parts_right(parts.pairs)) == [(True, False), (True, True), (True, True)]


def test_parts_are_known_by_each_models_own_rule(tmp_path: Path) -> None:
    """The old model has seen lot b and the new one part 1; the old one's rule calls no part 1."""
    root = tmp_path / "part"
    levels = {
        "good": {"1_a": 40, "2_a": 50, "2_b": 60, "3_c": 80},
        "bent": {"4_a": 120, "5_b": 130, "6_c": 140},
    }
    for kind, own in levels.items():
        (root / kind).mkdir(parents=True)
        for name, level in own.items():
            Image.fromarray(np.full((24, 24), level, np.uint8)).save(root / kind / f"{name}.png")
    made = []
    for name, rule, group in (("old", "_(.)", "b"), ("new", "(.)_", "1")):
        changes = {"group": group, "sha256": "0" * 64}
        known = [one.model_copy(update=changes) for one in seen([root / "good/1_a.png"], "normal")]
        origin = Provenance(created="2025-01-01T00:00:00+00:00", seed=0, pictures=tuple(known))
        scores, groups = tuple(np.linspace(0, 0.5, 59)), tuple(range(59))
        counted = Calibration(scores=scores, alpha=0.05, groups=groups, grouped_by=rule)
        made.append(model(tmp_path / name, provenance=origin, calibration=counted))
    dataset = read_dataset(root)
    found = compare(*made, dataset)
    assert sorted(pair.old.name for pair in found.pairs) == ["2_a.png", "3_c.png", "4_a.png", "6_c.png"]
    assert {pair.part for pair in found.pairs} == {"a", "c"}
    assert found.said.startswith("The models tell parts by different rules, _(.) (old) and (.)_ (new): ")
    assert found.to_json()["parts"] == found.said
    page = comparison_report(found, None, tmp_path / "out").read_text("utf-8")
    assert found.said.partition(" (")[0] in page
    wished = compare(*made, dataset, groups=GroupChoice(pattern="(.)_"))
    assert (wished.said, wished.known) == ("", 1)
    assert compare(made[1], made[1], dataset).said == ""


def test_pictures_that_one_of_them_has_seen_are_left_out(root: Path, tmp_path: Path) -> None:
    known = seen([root / "test/good/40.png", root / "test/bent/240.png"], "calibration")
    origin = Provenance(created="2025-01-01T00:00:00+00:00", seed=0, pictures=known)
    found = compared(root, tmp_path, 0.6, 0.6, provenance=origin)
    assert (found.known, len(found.pairs)) == (2, 7)
    everything = seen(sorted(root.rglob("*.png")), "normal")
    origin = origin.model_copy(update={"pictures": everything})
    with pytest.raises(DataError, match="has not seen"):
        compared(root, tmp_path / "again", 0.6, 0.6, provenance=origin)


def test_the_page_shows_flips_and_the_gate(root: Path, tmp_path: Path) -> None:
    found = compared(root, tmp_path, 0.4, 0.9, views=2)
    checks = judge(Gate(most_new_misses=0), found)
    page = comparison_report(found, checks, tmp_path / "out").read_text(encoding="utf-8")
    assert page.count("<img ") == 4  # two flips, under either heatmap
    assert page.count("defect missed now") == 2
    assert "The new model did not pass." in page
    assert (tmp_path / "out" / "comparison.json").is_file()
    assert "Gate" not in comparison_report(found, None, tmp_path / "told").read_text(encoding="utf-8")


def test_a_name_from_a_folder_is_text_on_the_page(tmp_path: Path) -> None:
    root = pictures(tmp_path / "part")
    (root / "test/bent/120.png").rename(root / "test/bent/<script>.png")
    found = compared(root, tmp_path, 0.4, 0.9)
    page = comparison_report(found, None, tmp_path / "out").read_text(encoding="utf-8")
    assert "&lt;script&gt;.png" in page


def test_the_template_is_a_gate_and_reads_as_yaml_does(tmp_path: Path) -> None:
    (tmp_path / "GATE.yaml").write_text(TEMPLATE)
    gate = read_gate(tmp_path / "GATE.yaml")
    assert gate.data == tmp_path / "gate_pictures"
    expected = yaml.safe_load(TEMPLATE) | {"data": gate.data}
    assert {key: value for key, value in gate.model_dump().items() if value is not None} == expected


@pytest.mark.parametrize(
    "text",
    [
        "data: 'it''s # no comment' # one",
        'data: "a\\tb"',
        "data: plain#text # c",
        "data: a/b c",
        "product: ~",
    ],
)
def test_texts_read_as_yaml_reads_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "gate").write_text(f"---\n{text}\n\nmost_new_misses: 3 # few\nleast_auroc_difference: -.5\n")
    gate, values = read_gate(tmp_path / "gate"), yaml.safe_load(text)
    assert (gate.most_new_misses, gate.least_auroc_difference) == (3, -0.5)
    (key, value) = next(iter(values.items()))
    assert getattr(gate, key) == (value if key == "product" else tmp_path / value)


def test_a_gate_names_groups_as_commands_do(tmp_path: Path) -> None:
    for text, wanted in (
        ("part([0-9]+)_", GroupChoice(pattern="part([0-9]+)_")),
        ("parts.csv:part", GroupChoice(table=tmp_path / "parts.csv", column="part")),
    ):
        (tmp_path / "gate").write_text(f"groups: {text}\nmost_new_misses: 0\n")
        assert read_gate(tmp_path / "gate").groups == wanted


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("most_new_mises: 0", OptionError, 'most_new_mises: expected a known name.*"most_new_misses"'),
        ("most_new_misses: -1", OptionError, "most_new_misses: expected greater than or equal to 0, got -1"),
        ("most_new_misses: few", OptionError, "It is: how many defects"),
        ("sure: maybe\nmost_new_misses: 0", OptionError, "'interval' or 'value', got 'maybe'"),
        ("data: folder", OptionError, "at least one bound, such as most_new_misses: 0"),
        (
            "most_new_misses: 0\nmost_new_misses: 1",
            InputError,
            "line 2: .* got most_new_misses a second time",
        ),
        ("bounds:\n  most_new_misses: 0", InputError, "line 2: expected lines such as most_new_misses: 0"),
        ("most_new_misses: [0]", InputError, r"got '\[0\]'"),
        ("data: 'open", InputError, "quotes that are not closed"),
        ("most_new_misses", InputError, "line 1: .*Start from: flawscope compare --gate-template"),
    ],
)
def test_a_gate_that_cannot_be_read(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    (tmp_path / "gate {x}.yaml").write_text(text + "\n")
    with pytest.raises(error, match=f"(?s){said}") as caught:
        read_gate(tmp_path / "gate {x}.yaml")
    assert "\n" not in str(caught.value)


def test_a_gate_that_is_not_there_or_names_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_gate(tmp_path / "GATE.yaml")
    with pytest.raises(OptionError, match="expected a folder, got none"):
        Gate(most_new_misses=0).dataset()
