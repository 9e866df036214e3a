"""Recipes: YAML in, one clear line for every mistake, YAML out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flawscope.errors import InputError, OptionError
from flawscope.methods.registry import create
from flawscope.training.recipe import Recipe
from flawscope.training.settings import RECIPE_LIMIT, apply_settings, read_recipe


def test_round_trip_keeps_every_value(tmp_path: Path) -> None:
    recipe = Recipe.parse(
        {
            "data": {"folder": "good"},
            "method": "patchcore",
            "options": {"coreset": 0.01, "layers": ["layer2"]},
            "seed": 7,
        }
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.parse(read_recipe(path)) == recipe


def test_settings_nest_and_keep_types() -> None:
    values = apply_settings({}, ["options.size=[320, 320]", "data.folder=good", "preset=null"])
    assert values == {"options": {"size": [320, 320]}, "data": {"folder": "good"}, "preset": None}


def test_settings_leave_their_input_alone() -> None:
    values = {"options": {"a": 1}}
    apply_settings(values, ["options.a=2"])
    assert values == {"options": {"a": 1}}


@pytest.mark.parametrize("setting", ["options", "=3", "a..b=1", "seed.x=1", "a=2024-13-45", "a=["])
def test_a_malformed_setting_is_named(setting: str) -> None:
    with pytest.raises(OptionError, match=r"--set|recipe key 'seed\.x'"):
        apply_settings({"seed": 0}, [setting])


def test_an_unknown_key_gets_a_suggestion() -> None:
    with pytest.raises(OptionError, match='Did you mean "calibration"'):
        Recipe.parse({"data": {"folder": "good"}, "split": {"calibrtion": 0.1}})


def test_a_value_out_of_range_names_its_key() -> None:
    with pytest.raises(OptionError, match=r"calibration\.false_rejects"):
        Recipe.parse({"data": {"folder": "good"}, "calibration": {"false_rejects": 0.7}})


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2", "!!python/object/apply:os.getcwd []"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"recipe"):
        read_recipe(path)


def test_a_missing_or_huge_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recipe"):
        read_recipe(tmp_path / "absent.yaml")
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * (RECIPE_LIMIT + 1))
    with pytest.raises(InputError, match="below 4 MiB"):
        read_recipe(huge)


def test_intensities_stand_in_the_recipe_only_where_they_are_said() -> None:
    """A recipe without them is what it was: work and results kept under its digest are found again."""
    silent = Recipe.parse({"data": {"folder": "a"}})
    assert "intensities" not in silent.model_dump()["data"]
    assert "intensities" not in silent.to_yaml()
    said = Recipe.parse({"data": {"folder": "a", "intensities": [0, 4095]}})
    assert said.model_dump(mode="json")["data"]["intensities"] == [0, 4095]
    assert Recipe.parse(said.model_dump(mode="json")) == said
    with pytest.raises(OptionError, match="intensities"):
        Recipe.parse({"data": {"folder": "a", "intensities": [0]}})


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("method: patchcore\nseed: 1\nmethod: padim\n", "method", 3),
        ("options:\n  coreset: 0.1\n  size: [64, 64]\n  coreset: 0.2\n", "coreset", 4),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, text: str, key: str, line: int) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"each key once, got '{key}' again in line {line}"):
        read_recipe(path)


def test_a_missing_recipe_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got no such file or directory") as refused:
        read_recipe(tmp_path / "absent.yaml")
    assert "Errno" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"data": {"folder": "good"}, "seed": True}, "seed"),
        ({"data": {"folder": "good"}, "split": {"training": True}}, "split.training"),
        ({"data": {"folder": "good", "intensities": [False, 4095]}}, "data.intensities.0"),
    ],
)
def test_yes_and_no_are_neither_numbers_nor_names(values: dict[str, Any], key: str) -> None:
    """YAML reads yes as true, and a seed of 1 for it would say nothing."""
    with pytest.raises(OptionError, match=f"recipe key '{key}': expected something else than yes, no"):
        Recipe.parse(values)


def test_a_folder_called_no_needs_quotes() -> None:
    with pytest.raises(
        OptionError, match=r"recipe key 'data.folder': expected a path, put in quotes .* got False"
    ):
        Recipe.parse({"data": {"folder": False}})


def test_yes_and_no_are_no_numbers_of_a_method_either() -> None:
    with pytest.raises(OptionError, match="option 'steps' of efficientad: expected something else than yes"):
        create("efficientad", {"steps": True})
    nested = {"segments": {"kind": "components", "steps": True}}
    with pytest.raises(OptionError, match="expected something else than yes"):
        create("csad", nested)
    assert create("efficientad", {"padding": False}).options.model_dump()["padding"] is False
