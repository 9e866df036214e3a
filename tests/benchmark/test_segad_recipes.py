"""The recipes of SegAD's tables hold what the paper prints, and rows share what they may share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarked import BENCHMARK, write_product
from flawscope.benchmark.plan import Wishes, built_on, counted, plan, resolved_options, shortened
from flawscope.benchmark.recipe import Benchmark, load_benchmark, shipped
from flawscope.benchmark.table import caption
from flawscope.errors import OptionError
from flawscope.methods.registry import options_of
from flawscope.nn.run import Run
from trained import OPTIONS

NAMES = tuple(name for name in shipped() if name.startswith("segad"))
MAP = "options.segments.map=map.png"
# table 2 to 4: image AUROC and FPR at 95 % TPR with their deviations, copied a second time
TABLES: dict[str, str] = {
    "segad_vad_one_class": """
        FastFlow 79.1 1.7 76.2 1.9
        RD4AD 84.5 0.2 65.8 2
        PatchCore 88.3 0.3 60.4 2.8
        EfficientAD 89.1 0.8 44.5 2.2
        FastFlow + Ours 83.3 1.3 71.5 5
        RD4AD + Ours 87.5 1.2 61.0 7.9
        PatchCore + Ours 89.7 0.8 58.8 3.7
        EfficientAD + Ours 85.6 1.6 100 0
        All AD + Ours 90.4 0.5 52.4 4.5""",
    "segad_vad_high_shot": """
        DevNet 86.9 1.2 66.6 2.7
        DRA 87.4 0.6 60.9 4.4
        WRN 95.0 0.6 32.8 4.3
        FastFlow + Ours 86.9 0.5 56.9 3.9
        RD4AD + Ours 90.2 0.3 46.9 2.6
        PatchCore + Ours 91.7 0.3 48.0 2.9
        EfficientAD + Ours 91.4 0.2 36.8 1
        All AD + WRN + Ours 96.5 0.3 16.4 1.9""",
    "segad_vad_low_shot": """
        DevNet 73.1 2.3 88.3 2.3
        DRA 78.9 1.8 74.6 1.9
        WRN 78.7 1.8 77.9 4.4
        FastFlow + Ours 84.3 1.4 64.5 2.5
        RD4AD + Ours 88.6 0.2 51.1 0.9
        PatchCore + Ours 90.8 0.5 52.7 4.3
        EfficientAD + Ours 90.6 0.7 40.1 2.4
        All AD + Ours 92.7 0.5 36.8 3.1""",
}
# tables 8 and 9: the means that the paper prints under the products
MEANS: dict[str, dict[str, float]] = {
    "segad_visa": {
        "RD4AD": 94.7,
        "EfficientAD": 97.9,
        "DRA": 88.9,
        "DevNet": 89.3,
        "RD4AD + Ours": 95.3,
        "EfficientAD + Ours": 98.3,
        "All AD + Ours": 98.4,
    },
    "segad_mvtec": {
        "FastFlow": 93.5,
        "RD4AD": 98.0,
        "EfficientAD": 98.1,
        "FastFlow + Ours": 94.5,
        "RD4AD + Ours": 98.4,
        "EfficientAD + Ours": 96.7,
        "All AD + Ours": 98.4,
    },
}


def settings(name: str) -> list[str]:
    return [] if name in MEANS else [MAP]


@pytest.mark.parametrize("name", TABLES)
def test_figures_and_deviations_are_as_printed(name: str) -> None:
    rows = {row.label: row.paper for row in load_benchmark(name).rows}
    for line in TABLES[name].strip().splitlines():
        label, *figures = line.strip().rsplit(maxsplit=4)
        paper = rows[label]
        found = [
            number
            for measure in ("image_auroc", "fpr_at_95_tpr")
            for number in (getattr(paper, measure), paper.std[measure])
        ]
        assert found == [float(figure) for figure in figures], label


def test_dra_at_its_own_size_differs_from_dra_in_size_alone() -> None:
    benchmark = load_benchmark("segad_vad_high_shot")
    rows = {row.label: row for row in benchmark.rows}
    large, plain = rows["DRA at 448x448"], rows["DRA"]
    assert large.paper.image_auroc == 92.8
    recipes = [benchmark.resolve(row, Path("vad"), settings=[MAP]) for row in (large, plain)]
    found, expected = (options_of(recipe.method, recipe.preset, recipe.options) for recipe in recipes)
    assert found == {**expected, "size": [448, 448]}


@pytest.mark.parametrize("name", MEANS)
def test_the_products_figures_have_the_printed_mean(name: str) -> None:
    benchmark = load_benchmark(name)
    rows = {row.label: row for row in benchmark.rows}
    for label, mean in MEANS[name].items():
        products = [rows[part] for part in rows[label].mean_of]
        assert len(products) == (12 if name == "segad_visa" else 15)
        figures = [row.paper.image_auroc or 0.0 for row in products]
        assert sum(figures) / len(figures) == pytest.approx(mean, abs=0.1), label  # each figure is rounded
        assert all(row.data.product and row.label.endswith(row.data.product) for row in products)


def test_the_ablations_lines_are_means_of_four_detectors() -> None:
    benchmark = load_benchmark("segad_ablation")
    means = {row.label: row for row in benchmark.rows if row.mean_of}
    assert {label: row.paper.image_auroc for label, row in means.items()} == {
        "An. Det.": 87.3,
        "One Seg.": 88.6,
        "Max.": 89.4,
        "BT": 88.4,
        "RF": 89.8,
        "SegAD": 90.1,
    }
    assert all(len(row.mean_of) == 4 for row in means.values())
    assert [row.label for row in benchmark.choose(["rf"])] == [*means["RF"].mean_of, "RF"]


@pytest.mark.parametrize("name", NAMES)
def test_rows_resolve_and_share_detectors_and_pictures(name: str) -> None:
    benchmark = load_benchmark(name)
    assert len(benchmark.seeds) == (10 if name in MEANS else 5)
    assert benchmark.spread == "std"
    alone, shared = dict[str, Any](), dict[str, Any]()
    product = next(row.data.product for row in benchmark.runs)
    for row in benchmark.runs:
        if row.data.product != product:
            continue
        recipe = benchmark.resolve(row, Path("data"), settings=settings(name))
        options = resolved_options(recipe)
        parts = list(built_on(options))
        natural = any(part["options"].get("penalty") == "ood" for part in parts)
        assert row.natural == (natural or options.get("penalty") == "ood")
        if recipe.method == "segad":
            assert recipe.split.aside is None
            shared |= {part["method"]: part["options"] for part in parts}
            share = recipe.split.tuning
        elif row.method in {"fastflow", "rd4ad", "patchcore", "efficientad"}:
            alone[recipe.method] = options
            assert recipe.split.tuning == 0.1, "as SegAD scales its detectors"
            assert recipe.split.aside == benchmark.base["split"]["tuning"]
    assert share == benchmark.base["split"]["tuning"]
    assert alone
    assert all(shared[method] == options for method, options in alone.items())


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(MEANS)))
def test_without_its_segment_map_the_error_asks_for_one(name: str) -> None:
    benchmark = load_benchmark(name)
    with pytest.raises(
        OptionError, match=r"of kind static: expected a value, got none\. It is: an indexed PNG"
    ):
        resolved_options(benchmark.resolve(benchmark.runs[-1], Path("data")))


MIXED: dict[str, Any] = BENCHMARK | {
    "base": {"method": "segad", "preset": None, "split": {"calibration": 0.25, "defective": 1}},
    "methods": {
        "bank": {"method": "patchcore", "options": OPTIONS},
        "flow": {"method": "fastflow", "options": {"backbone": "resnet18", "weights": "random"}},
    },
    "rows": [
        {"label": "bank", "method": "bank"},
        {"label": "both", "options": {"detectors": ["bank", "flow", "padim"], "classifier": "devnet"}},
        {"label": "three", "method": "bank", "options": {"coreset": 0.5}, "split": {"defective": 3}},
    ],
    "charts": [],
}


def test_rows_name_methods_by_their_own_or_the_benchmarks_names() -> None:
    benchmark = Benchmark.parse(MIXED)
    bank, both, three = (
        benchmark.resolve(row, Path("data"), settings=["methods.bank.options.coreset=0.2"])
        for row in benchmark.runs
    )
    assert (bank.method, bank.preset, bank.options["coreset"]) == ("patchcore", None, 0.2)
    assert (three.options["coreset"], three.split.defective, bank.split.defective) == (0.5, 3, 1)
    assert [part["method"] for part in both.options["detectors"]] == ["patchcore", "fastflow", "padim"]
    assert both.options["detectors"][0]["options"]["coreset"] == 0.2
    assert both.options["classifier"]["method"] == "devnet"
    for setting, message in (
        ("methods.bnk.options.a=1", '"bank"'),
        ("methods.bank.optoins.a=1", '"options"'),
    ):
        with pytest.raises(OptionError, match=f"Did you mean {message}"):
            benchmark.resolve(benchmark.rows[0], Path("data"), settings=[setting])


def test_fewer_steps_reach_the_methods_that_a_row_builds_on() -> None:
    benchmark = Benchmark.parse(MIXED)
    recipe = benchmark.resolve(
        benchmark.rows[1],
        Path("data"),
        settings=["options.size=[64, 64]", "methods.bank.options.size=[64, 64]"],
    )
    assert counted("segad", resolved_options(recipe)) == {"fastflow": None, "devnet": None}
    short = shortened(recipe, 7)
    assert counted("segad", resolved_options(short)) == {"fastflow": 7, "devnet": 7}


def test_every_row_of_a_seed_is_tested_on_the_same_pictures(tmp_path: Path) -> None:
    write_product(tmp_path / "square", spotted=6)
    values = MIXED | {"base": MIXED["base"] | {"data": {"product": "square"}}, "seeds": [3, 4]}
    size = ("options.size=[64, 64]",)

    def tested(values: dict[str, Any]) -> dict[int, set[str]]:
        outcome = plan(Benchmark.parse(values), tmp_path, tmp_path / "out", Wishes(size, steps=2), Run())
        found: dict[int, set[str]] = {}
        for planned in outcome.planned:
            spots = {sample.path.name for sample in planned.dataset.select(defective=True)}
            assert found.setdefault(planned.seed, spots) == spots
            assert len(spots) == 3, "three of six are learnt from by some row"
        varied = values.get("seeds_vary") == "defects"
        assert [planned.recipe.seed for planned in outcome.planned] == ([0, 0] if varied else [3, 4]) * 3
        said = " ".join(caption(outcome))
        assert "2 steps in place of all epochs" in said
        assert outcome.trained == tmp_path / "out" / "trained"
        return found

    whole, drawn = tested(values), tested(values | {"seeds_vary": "defects"})
    assert whole == drawn
    assert whole[3] != whole[4]


def test_too_few_defects_leave_a_row_out(tmp_path: Path) -> None:
    write_product(tmp_path / "square", spotted=2)
    values = MIXED | {"base": MIXED["base"] | {"data": {"product": "square"}}}
    outcome = plan(
        Benchmark.parse(values), tmp_path, tmp_path / "out", Wishes(("options.size=[64, 64]",)), Run()
    )
    assert list(outcome.left_out) == ["three"]
    assert "at most the 2 defective pictures" in outcome.left_out["three"]
