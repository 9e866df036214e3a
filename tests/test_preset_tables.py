"""The comparison of presets: paired resamples, the choice with one product left out, kept maps."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flawscope.data.samples import Sample
from flawscope.metrics import auroc
from flawscope.nn.banks.features import map_batches
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame

KINDS = "g" * 30 + "s" * 12 + "l" * 12


def _row(tables, preset, product, seed, shift, *, noise=0, pixel=0.5):
    draw = np.random.default_rng([seed, noise])
    scores = np.round(draw.normal(size=len(KINDS)) + shift * (np.array(list(KINDS)) != "g"), 1)
    return {
        "preset": preset,
        "product": product,
        "pictures": f"{product}@{seed}",
        "seed": seed,
        **tables.image_figures(KINDS, scores),
        "pixel_auroc": pixel,
        "aupro_0.3": 0.4,
        "fit_seconds": 1.0,
        "fit_processor": 2.0,
        "kinds": KINDS,
        "scores": " ".join(map(str, scores)),
    }


def test_resamples_are_aurocs_of_pictures_drawn_anew(load, monkeypatch):
    tables = load("_preset_tables")
    monkeypatch.setattr(tables, "ROUNDS", 400)
    row = _row(tables, "a", "x", 0, 0.7)
    rounds = tables.image_rounds(row)
    assert rounds.shape == (400,)
    assert rounds.mean() == pytest.approx(row["image_auroc"], abs=0.01)
    scores, bad = np.array(row["scores"].split(), float), np.array(list(KINDS)) != "g"
    draw = np.random.default_rng(0)
    plain = [
        auroc(np.repeat([0, 1], [30, 24]), np.r_[draw.choice(scores[~bad], 30), draw.choice(scores[bad], 24)])
        for _ in range(400)
    ]
    assert np.std(plain) == pytest.approx(rounds.std(), rel=0.2)


def test_presets_are_compared_on_the_same_resamples(load):
    tables = load("_preset_tables")
    rows = [_row(tables, "a", "x", 0, 0.5), _row(tables, "b", "x", 0, 0.5)]
    rows.append({**rows[0], "preset": "c", "scores": rows[0]["scores"].replace("-", "")})
    table = tables.Table(rows, ["a", "b", "c"])
    assert table.gain("b", "x") == (0, 0, 0)
    rounds = table.rounds("c", "x") - table.rounds("a", "x")
    assert rounds.std() < np.hypot(table.rounds("c", "x").std(), table.rounds("a", "x").std())
    assert table.gain("c").low < np.mean(rounds) < table.gain("c").high


def test_gains_stand_by_product_and_in_the_mean(load):
    tables = load("_preset_tables")
    rows = [
        _row(tables, name, product, 0, shift) for name, shift in (("a", 0.5), ("b", 2)) for product in "xy"
    ]
    lines = list(tables.gains(tables.Table(rows, ["b", "a"])))
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| x", "| y", "| mean"]
    assert lines[0] == "| product | a |"
    assert all("-" in line and "+" not in line for line in lines[2:])


def test_tables_hold_what_all_presets_have(load):
    tables = load("_preset_tables")
    rows = [_row(tables, name, product, 0, 1) for name in "ab" for product in "xy"]
    rows += [_row(tables, "a", "x", 1, 1), _row(tables, "a", "z", 0, 1)]
    table = tables.Table(rows, ["a", "b"])
    assert table.seeds == {"x": [0], "y": [0]}
    wider = tables.Table(rows, ["a"])
    assert wider.seeds == {"x": [0, 1], "y": [0], "z": [0]}
    figures = [row["structural_auroc"] for row in rows if (row["preset"], row["product"]) == ("a", "x")]
    assert wider.figure("a", "x", "structural_auroc") == pytest.approx(np.mean(figures))
    assert "| x | 0, 1 |" in "\n".join(tables.markdown(wider))
    assert list(tables.by_seed(table))[-1] == "| b | +0.00 [+0.00, +0.00] |"


def test_what_is_chosen_without_a_product_is_what_it_is_judged_by(load):
    tables = load("_preset_tables")
    pixels = {"a": {"x": 0.9, "y": 0.1, "z": 0.5}, "b": {"x": 0.1, "y": 0.6, "z": 0.5}}
    rows = [
        _row(tables, name, product, 0, 1, pixel=value)
        for name, by_product in pixels.items()
        for product, value in by_product.items()
    ]
    lines = list(tables.choice(tables.Table(rows, ["a", "b"])))
    taken = {line.split(" | ")[0].strip("| "): line.split(" | ")[1] for line in lines[2:5]}
    assert taken == {"x": "b", "y": "a", "z": "a"}
    assert lines[-1].endswith(f"| {np.mean([0.1, 0.1, 0.5]):.4f} |")


def test_presets_are_read_and_one_name_stays_one_preset(load, tmp_path):
    presets = load("presets")
    plain = presets.preset("old=patchcore:fast")
    more = presets.preset('new=patchcore:fast:{"bank_limit": 7}')
    assert plain.options == {**more.options, "bank_limit": 2000}
    assert presets.preset('own=patchcore:{"coreset": 0.5}').options == {"coreset": 0.5}
    path = tmp_path / "out.json"
    path.write_text(json.dumps(presets.opened(path, [plain, more])))
    presets.opened(path, [more])
    with pytest.raises(SystemExit, match="new is another preset"):
        presets.opened(path, [presets.preset("new=patchcore:fast")])


def test_a_detector_on_kept_maps_gets_those_of_its_pictures(load, tmp_path):
    cached = load("_cached_maps")
    grids, channels = {"fine": (8, 8), "coarse": (4, 4)}, {"fine": 3, "coarse": 5}
    network = SimpleNamespace(name="n", layers=tuple(grids), grids=grids, channels=channels, strides={})
    maps = {
        layer: np.random.default_rng(0).normal(size=(5, *grids[layer], channels[layer])).astype(np.float16)
        for layer in grids
    }
    samples = [Sample(tmp_path / f"{number}.png", "train", defective=False) for number in range(5)]
    numbers = {sample.path: number for number, sample in enumerate(samples)}
    pictures = cached.Numbered(samples, Frame(32, 32), numbers).subset([4, 2, 0])
    found = list(map_batches(cached.CachedBackbone(network, maps), pictures, Run()))
    assert len(found) == 1
    for layer, values in maps.items():
        expected = torch.tensor(values[[4, 2, 0]]).permute(0, 3, 1, 2).float()
        torch.testing.assert_close(found[0][layer], expected)
