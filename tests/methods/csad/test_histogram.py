"""Patch histograms of known label maps are exact; extra and missing parts raise the score and the map."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flawscope.methods.csad.cells import CellShares, borders, choose_grids, entry_names
from flawscope.methods.csad.histogram import PatchHistogram, PatchHistogramOptions

SIZE = (64, 96)
GRIDS = ((1, 1), (2, 2), (3, 4))


def labelled(seed: int, *, loose: bool = False, skip: int | None = None) -> Tensor:
    """A tray of 3×4 compartments with a part of class 1 in each, and a label of class 2 at the top left."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SIZE, np.int64)
    for place in range(12):
        row, column = divmod(place, 4)
        top, left = row * 21 + random.integers(2, 8), column * 24 + random.integers(2, 10)
        if loose:
            top, left = random.integers(0, 54), random.integers(0, 86)
        if place != skip:
            labels[top : top + 8, left : left + 8] = 1
    labels[:2, :5] = 2
    return torch.from_numpy(labels)


def good(count: int, *, loose: bool = False) -> Tensor:
    return torch.stack([labelled(seed, loose=loose) for seed in range(count)])


def fitted(grids: tuple[tuple[int, int], ...] = GRIDS, **options: object) -> PatchHistogram:
    branch = PatchHistogram(2, SIZE, grids, PatchHistogramOptions.model_validate(options))
    learn(branch, good(30))
    return branch.eval()


def counted(branch: PatchHistogram, labels: Tensor) -> Tensor:
    """Histograms (n, D) of label maps (n, H, W)."""
    return branch.count(branch.masks(labels))


def learn(branch: PatchHistogram, labels: Tensor, held_out: Tensor | None = None) -> Tensor:
    seen = None if held_out is None else counted(branch, held_out)
    return branch.learn(labels, counted(branch, labels), seen)


def heatmap(branch: PatchHistogram, labels: Tensor) -> Tensor:
    return branch.heatmap(branch.masks(labels), counted(branch, labels))


def test_shares_of_a_known_map_are_exact() -> None:
    labels = torch.randint(0, 5, (3, 50, 70), generator=torch.Generator().manual_seed(0))
    shares = CellShares((1, 2, 3, 4), (50, 70), [(1, 1), (3, 3), (2, 5)])(labels)
    for (rows, columns), found in zip([(1, 1), (3, 3), (2, 5)], shares, strict=True):
        down, across = borders(50, rows), borders(70, columns)
        expected = [
            [
                np.float32((cell == label).sum()) / np.float32(cell.size)
                for row in range(rows)
                for column in range(columns)
                for cell in [one[down[row] : down[row + 1], across[column] : across[column + 1]]]
                for label in range(1, 5)
            ]
            for one in labels.numpy()
        ]
        np.testing.assert_array_equal(found.numpy(), np.array(expected, np.float32))


def test_a_missing_and_an_extra_part_score_higher_than_any_good_picture() -> None:
    branch = fitted()
    held_out = torch.stack([labelled(seed) for seed in range(100, 130)])
    scores = branch(counted(branch, held_out))
    missing = labelled(200, skip=6)
    extra = labelled(201)
    extra[30:38, 40:42] = 1
    odd = branch(counted(branch, torch.stack([missing, extra])))
    assert odd.min() > scores.max()


def test_levels_come_from_held_out_pictures_and_else_from_each_against_the_others() -> None:
    branch = PatchHistogram(2, SIZE, GRIDS, PatchHistogramOptions())
    left_out = learn(branch, good(30))
    alone = branch.fused.levels.zero.clone()
    learn(branch, good(30), torch.stack([labelled(seed) for seed in range(100, 105)]))
    few = branch.fused.levels.zero.clone()
    learn(branch, good(30), torch.stack([labelled(seed) for seed in range(100, 140)]))
    assert left_out.shape == (30,)
    assert not torch.equal(alone, few)
    held_out = branch.fused.distances(counted(branch, torch.stack([labelled(s) for s in range(100, 140)])))
    for grid in range(3):
        values = held_out[:, grid].double()
        low, high = values.quantile(0.2), values.quantile(0.8)
        inner = values[(values >= low) & (values <= high)]
        np.testing.assert_allclose(branch.fused.levels.zero[grid], inner.mean(), rtol=1e-5)
    assert (alone - branch.fused.levels.zero).abs().max() < 0.5 * branch.fused.levels.zero.abs().max()


def test_the_heatmap_marks_what_is_extra_and_where_something_is_missing() -> None:
    branch = fitted(grids=((3, 4),))
    missing, extra = labelled(200, skip=6), labelled(200)
    extra[30:38, 62:70] = 1  # in compartment 7, as the missing one; counted from 0 it is 6
    labels = torch.stack([missing, extra])
    maps = heatmap(branch, labels)
    cell = torch.zeros(SIZE, dtype=torch.bool)
    cell[21:42, 48:72] = True
    assert maps.min() >= 0
    for one in maps:
        assert one[cell].max() > 5 * one[~cell].max()
    assert maps[1][extra == 0].max() < maps[1].max() / 5  # only pixels of the class itself
    area = 21 * 24  # pixels of the compartment, of which good pictures show 64 in class 1
    np.testing.assert_allclose(maps[0].max(), 64 / area, rtol=0.1)


def test_deviations_lift_small_parts() -> None:
    plain, scaled = fitted(grids=((1, 1),)), fitted(grids=((1, 1),), heatmap="deviations")
    labels = labelled(300)
    labels[:2, :8] = 2  # the label is 3 pixels too long, of a size that never varies
    maps = [heatmap(branch, labels[None])[0] for branch in (plain, scaled)]
    np.testing.assert_allclose(maps[1][labels == 2], maps[0][labels == 2].mean() / 1e-4, rtol=1e-2)


def test_the_background_counts_where_asked_for() -> None:
    branch = fitted(grids=((1, 1),), background=True)
    labels = labelled(1)
    histograms = counted(branch, labels[None])
    assert branch.names == ("1x1/0/0", "1x1/0/1", "1x1/0/2")
    np.testing.assert_allclose(histograms.sum(), 1, rtol=1e-6)
    assert heatmap(branch, labels[None]).shape == (1, *SIZE)


def test_a_restored_branch_answers_alike() -> None:
    branch = fitted(gaussian={"variants": "density"})
    other = PatchHistogram(2, SIZE, GRIDS, branch.options)
    state = branch.state_dict()
    for name, buffer in list(other.named_buffers()):
        if name in state and state[name].shape != buffer.shape:
            module, _, last = name.rpartition(".")
            other.get_submodule(module).register_buffer(last, torch.empty_like(state[name]))
    other.load_state_dict(state)
    seen = counted(branch, good(3))
    torch.testing.assert_close(other(seen), branch(seen))


def test_auto_finds_the_compartments_and_leaves_loose_parts_alone() -> None:
    options = PatchHistogramOptions(cells="auto")
    assert options.grids(good(40), 2)[1] in {(3, 4), (6, 4)}
    assert options.grids(good(40, loose=True), 2) == ((1, 1), (2, 2))
    assert choose_grids(np.zeros((2, 8, 8), np.int64), (1, 2))[0] == (1, 1)  # nothing to judge by


def test_auto_compares_each_variant_with_its_own() -> None:
    other = good(20)
    other[:, :42] = 0  # a variant with parts in the lowest row alone
    both = torch.cat([good(20), other])
    options = PatchHistogramOptions.model_validate({"cells": "auto", "gaussian": {"variants": "density"}})
    plain = PatchHistogramOptions(cells="auto")
    assert plain.grids(both, 1) == ((1, 1), (2, 2))
    assert options.grids(both, 1)[1] in {(3, 4), (6, 4)}


def test_names_tell_grid_cell_and_class() -> None:
    branch = PatchHistogram(2, SIZE, ((1, 1), (2, 2)), PatchHistogramOptions())
    assert branch.names == entry_names(((1, 1), (2, 2)), (1, 2))
    assert PatchHistogramOptions(cells=(256, 85, (3, 4))).grids(good(2), 2) == ((1, 1), (3, 3), (3, 4))
