"""Benchmark recipes: the shipped ones hold what the papers print, and every mistake is one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarked import BENCHMARK
from flawscope.benchmark.plan import resolved_options
from flawscope.benchmark.recipe import Benchmark, load_benchmark, shipped
from flawscope.errors import InputError, OptionError
from flawscope.methods.registry import available
from flawscope.training.recipe import Recipe

# image AUROC and AU-PRO(0.3) by row, copied from the thesis's tables a second time
PUBLISHED: dict[str, dict[str, tuple[float | None, float | None]]] = {
    "efficientad_training_sizes": {
        "all pictures": (97.85, 92.03),
        "500 pictures": (96.07, 95.48),
        "100 pictures": (92.82, 95.67),
    },
    "efficientad_loss_curves": {
        "all pictures": (None, None),
        "500 pictures": (None, None),
        "100 pictures": (None, None),
    },
    "efficientad_components": {
        "autoencoder": (91.66, 94.801),
        "student": (97.60, 73.68),
        "student + autoencoder": (97.85, 92.03),
        "student + autoencoder, penalty": (96.18, 80.86),
        "student, penalty": (95.91, 63.18),
    },
    "efficientad_pdn_sizes": {"small": (None, 84.79), "medium": (None, 92.03)},
    "efficientad_cdo": {
        "without penalty": (97.85, 92.03),
        "CDO": (97.07, 95.48),
        "ImageNet penalty": (96.18, 80.86),
    },
    "efficientad_cdo_products": {
        "plastic_nut (Real-IAD)": (97.07, 95.48),
        "usb (Real-IAD)": (97.16, 94.11),
        "metal_nut (MVTec AD)": (99.26, 94.14),
        "cable (MVTec AD)": (96.92, 83.93),
        "hazelnut (MVTec AD)": (96.82, 81.80),
    },
    "efficientad_penalty_sweep": {
        "weight 0": (97.85, 92.03),
        "weight 0.1": (None, None),
        "weight 0.25": (None, None),
        "weight 0.5": (None, None),
        "weight 1": (96.18, 80.86),
    },
}


def test_every_recipe_of_the_thesis_is_checked_here() -> None:
    assert {name for name in shipped() if name.startswith("efficientad")} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_figures_are_as_printed(name: str) -> None:
    rows = load_benchmark(name).rows
    found = {row.label: (row.paper.image_auroc, row.paper.aupro_30) for row in rows}
    assert found == PUBLISHED[name]


@pytest.mark.skipif("efficientad" not in available(), reason="the method efficientad is not there yet")
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_row_is_a_run_of_its_own_with_options_that_the_method_takes(name: str) -> None:
    benchmark = load_benchmark(name)
    recipes = [benchmark.resolve(row, Path("data")) for row in benchmark.rows]
    assert len({recipe.to_yaml() for recipe in recipes}) == len(recipes)
    for row, recipe in zip(benchmark.rows, recipes, strict=True):
        options = resolved_options(recipe)
        assert options["steps"] == 70_000
        assert (options["penalty"] == "ood") == row.natural
        assert (options["defect_probability"] > 0) == (options["penalty"] == "cdo")


def test_defects_keep_off_the_background_of_the_products_that_cdos_code_names() -> None:
    rows = load_benchmark("efficientad_cdo_products").rows
    found = {row.label.split()[0]: row.options.get("skip_background", "auto") for row in rows}
    named = {"metal_nut": True, "cable": False, "hazelnut": True}
    assert found == {"plastic_nut": "auto", "usb": "auto"} | named


def test_a_row_changes_the_base_and_nothing_else() -> None:
    benchmark = Benchmark.parse(BENCHMARK)
    everything, ten, _ = (benchmark.resolve(row, Path("data")) for row in benchmark.rows)
    assert (everything.split.training, ten.split.training) == (None, 10)
    assert (everything.options["coreset"], ten.options["coreset"]) == (0.1, 0.5)
    same = {"split": everything.split, "options": everything.options}
    assert ten.model_copy(update=same) == everything


def test_a_row_may_cut_its_pictures_into_tiles() -> None:
    row = {"label": "Tiles", "tiling": "64/48"}
    base = {**BENCHMARK["base"], "options": {"weights": "random"}}
    benchmark = Benchmark.parse({**BENCHMARK, "base": base, "rows": [*BENCHMARK["rows"], row], "charts": []})
    whole, *_, tiles = (benchmark.resolve(row, Path("data")) for row in benchmark.rows)
    assert (whole.tiling.size, tiles.tiling.size, tiles.tiling.stride) == ("none", (64, 64), (48, 48))
    assert resolved_options(tiles)["size"] == [64, 64]


def test_settings_change_the_base_but_not_what_a_row_compares() -> None:
    benchmark = Benchmark.parse(BENCHMARK)
    settings = ["options.coreset=0.3", "options.size=[32, 32]"]
    everything, ten, _ = (benchmark.resolve(row, Path("data"), settings=settings) for row in benchmark.rows)
    assert (everything.options["coreset"], ten.options["coreset"]) == (0.3, 0.5)
    assert everything.options["size"] == ten.options["size"] == [32, 32]


def changed(key: str, value: Any) -> dict[str, Any]:
    """The small benchmark with one row, in which `key` is set."""
    row = {"label": "one"} | ({key: value} if key != "base" else {})
    return BENCHMARK | {"rows": [row]} | ({"base": value} if key == "base" else {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed("lable", "x"), 'Did you mean "label"'),
        (changed("paper", {"image_aurocs": 97}), 'Did you mean "image_auroc"'),
        (changed("paper", {"aupro_30": 0.9548e3}), "100"),
        (changed("training_pictures", 0), "greater than or equal to 1"),
        (changed("base", {"spilt": {}}), 'Did you mean "split"'),
        (BENCHMARK | {"titel": "x"}, 'Did you mean "title"'),
        (BENCHMARK | {"rows": []}, "at least 1 item"),
        (BENCHMARK | {"rows": [{"label": "A b"}, {"label": "a-B"}]}, "a-b comes twice"),
        (BENCHMARK | {"charts": [{"kind": "pie", "title": "x"}]}, "'losses', 'shares', 'sweep'"),
        (BENCHMARK | {"charts": [{"kind": "histograms", "title": "x", "rows": ["ten"]}]}, "Ten pictures"),
        (changed("mean_of", ["one"]), "row that runs, in mean_of or charts"),
        (changed("paper", {"std": {"image_auroc": 1}}), "of what is printed"),
        (BENCHMARK | {"methods": {"p": {"method": "x", "optoins": {}}}}, "methods.p.optoins"),
        (BENCHMARK | {"seeds": [1, 1]}, "different whole numbers"),
        (BENCHMARK | {"measures": ["auroc"]}, "image_auroc"),
    ],
)
def test_every_mistake_is_one_clear_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message) as raised:
        Benchmark.parse(values)
    assert "\n" not in str(raised.value)


def test_a_rows_folder_stays_inside_the_data() -> None:
    with pytest.raises(InputError, match="leads outside"):
        Benchmark.parse(changed("data", {"folder": "../elsewhere"}))


def test_rows_are_chosen_by_label_with_suggestions() -> None:
    benchmark = Benchmark.parse(BENCHMARK)
    assert [row.label for row in benchmark.choose(["ten pictures"])] == ["Ten pictures"]
    assert len(benchmark.choose([])) == 3
    with pytest.raises(OptionError, match='Did you mean "Ten pictures"'):
        benchmark.choose(["Tenpictures"])


def test_an_unknown_name_and_a_wrong_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='Did you mean "efficientad_cdo"'):
        load_benchmark("efficientad_cd")
    with pytest.raises(InputError, match="readable YAML"):
        load_benchmark(str(tmp_path / "absent.yaml"))
    (tmp_path / "table.txt").write_text("title: x")
    with pytest.raises(InputError, match=r"end in \.yaml"):
        load_benchmark(str(tmp_path / "table.txt"))


def test_the_number_of_training_pictures_is_part_of_a_recipe() -> None:
    with pytest.raises(OptionError, match="greater than or equal to 1"):
        Recipe.parse({"data": {"folder": "good"}, "split": {"training": 0}})
