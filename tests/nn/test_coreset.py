"""Greedy k-centre selection against a plain reference, and its estimate."""

import gc
import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch

from flawscope.errors import DataError, OptionError, Stopped
from flawscope.nn import memory
from flawscope.nn.banks import coreset
from flawscope.nn.banks.coreset import continue_coreset, coreset_size, select_coreset
from flawscope.nn.banks.preflight import Preflight, estimate, together
from flawscope.nn.banks.store import patch_store
from flawscope.nn.memory import available_bytes


def plain_greedy(rows, count, first):
    """Algorithm 1, one centre at a time, in integers; ties fall to the lowest index."""
    points = (rows[:, :-2] / -2).numpy().astype(np.int64)
    nearest = np.full(len(points), np.iinfo(np.int64).max)
    chosen = [first]
    while True:
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(1))
        nearest[chosen[-1]] = -1
        if len(chosen) == count:
            return chosen
        chosen.append(int(nearest.argmax()))


def clusters(patches=1500, dim=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(12, dim, generator=generator) * 3
    return centres[torch.arange(patches) % 12] + torch.randn(patches, dim, generator=generator)


def reference(features, count, projection, seed=0):
    rows = coreset._projected(features, projection, seed, None)
    return plain_greedy(rows, count, int(np.random.default_rng(seed).integers(len(features))))


@pytest.mark.parametrize("projection", [8, 64, None])
@pytest.mark.parametrize("pool", [1, 50, 4096])
def test_the_sequence_is_that_of_the_plain_loop(monkeypatch, projection, pool):
    monkeypatch.setattr(coreset, "POOL", pool)
    monkeypatch.setattr(coreset, "BLOCK_ROWS", 400)
    monkeypatch.setattr(coreset, "BLOCK_COLUMNS", 30)
    features = clusters()
    found = select_coreset(features, 300, seed=3, projection=projection)
    assert found.tolist() == reference(features, 300, projection, seed=3)


@pytest.mark.parametrize("pool", [1, 50, 4096])
def test_a_selection_goes_on_with_further_patches_down_to_the_radius(monkeypatch, pool):
    monkeypatch.setattr(coreset, "POOL", pool)
    monkeypatch.setattr(coreset, "BLOCK_COLUMNS", 30)
    features = clusters()
    members, patches = features[select_coreset(features, 100)], clusters(300, seed=1) * 1.5
    rows = coreset._projected([members, patches], 64, 0, None)
    points = (rows[:, :-2] / -2).double()
    apart = torch.cdist(points, points)
    radius = apart[:100, :100].fill_diagonal_(torch.inf).min()
    nearest, expected = apart[:100, 100:].amin(0), []
    while nearest.max() > radius:
        expected.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, apart[100 + expected[-1], 100:])
    assert 20 < len(expected) < 300
    assert continue_coreset(members, patches, 300).tolist() == expected
    assert continue_coreset(members, patches, 7).tolist() == expected[:7]


def test_a_selection_does_not_go_on_with_what_it_covers():
    features = clusters()
    members = features[select_coreset(features, 100)]
    assert not len(continue_coreset(members, members[:5], 5))
    assert not len(continue_coreset(members, features, 1500)), "the radius covers what it was chosen from"
    assert not len(continue_coreset(members, clusters(9) + 50, 0))
    assert continue_coreset(members[:1], features[:9] + 50, 9).tolist() != []


@pytest.mark.parametrize("pool", [1, 5, 50])
@pytest.mark.parametrize("values", [2, 4])
def test_ties_and_duplicates_fall_to_the_lowest_index(monkeypatch, values, pool):
    monkeypatch.setattr(coreset, "POOL", pool)
    features = torch.randint(values, (120, 3), generator=torch.Generator().manual_seed(1)).float()
    assert select_coreset(features, 120).tolist() == reference(features, 120, None)


def test_equal_patches_are_all_chosen_once():
    chosen = select_coreset(torch.ones(9, 4), 9, seed=1).tolist()
    assert sorted(chosen) == list(range(9))
    assert chosen[1:] == sorted(chosen[1:])


@pytest.mark.parametrize("dim", [3, 64, 1024])
def test_distances_on_the_grid_are_exact_in_float32(dim):
    features = clusters(150, dim) * 1e-3
    features[0] *= 50
    rows = coreset._projected(features, None, 0, None)
    points = coreset._Points(rows)
    found = rows @ points.columns(torch.arange(150))
    whole = (rows[:, :dim] / -2).to(torch.int64)
    assert torch.equal(whole.float(), rows[:, :dim] / -2)
    assert whole.square().sum(1).max() <= coreset.GRID_NORM**2
    truth = torch.stack([(whole - point).square().sum(1) for point in whole])
    assert torch.equal(found.to(torch.int64), truth)


def test_the_grid_keeps_the_shape_of_the_features():
    features = clusters(300, 64)
    rows = coreset._projected(features, None, 0, None)
    scaled = torch.cdist(rows[:, :64], rows[:, :64])
    true = torch.cdist(features, features)
    ratio = scaled / true
    far = true > true.median()
    assert ratio[far].std() / ratio[far].mean() < 0.005


def test_chunks_give_what_one_tensor_gives():
    features = clusters()
    whole = select_coreset(features, 100, seed=5)
    assert torch.equal(select_coreset(iter(features.split(1500)), 100, seed=5), whole)
    assert len(set(select_coreset(iter(features.split(217)), 100, seed=5).tolist())) == 100


def test_threads_do_not_change_the_choice():
    features, before = clusters(3000, 96), torch.get_num_threads()
    rows = coreset._projected(features, 64, 0, None)
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            points = coreset._Points(rows)
            points.cover(torch.tensor([0]))
            found.append(points.farthest(300))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_relaxed_matrix_precision_does_not_reach_the_search():
    features = clusters()
    expected = select_coreset(features, 80)
    torch.set_float32_matmul_precision("medium")
    try:
        seen = []
        found = select_coreset(
            features, 80, progress=lambda *_: seen.append(torch.get_float32_matmul_precision())
        )
        assert torch.equal(found, expected)
        assert seen[0] == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("done", [1, 17, 99, 100])
def test_resuming_gives_the_same_result(done):
    features = clusters()
    whole = select_coreset(features, 100)
    assert torch.equal(select_coreset(features, 100, resume=whole[:done]), whole)


def test_a_stop_leaves_a_checkpoint_to_resume_from(monkeypatch):
    monkeypatch.setattr(coreset, "POOL", 50)
    monkeypatch.setattr(coreset, "CHECKPOINT_SECONDS", -1)
    features, saved, calls = clusters(), [], itertools.count()

    def stop_at_third(_chosen):
        if next(calls) == 2:
            raise Stopped("training", expected="an end", got="a stop", fix="Resume.")

    with pytest.raises(Stopped):
        select_coreset(features, 200, progress=stop_at_third, on_checkpoint=saved.append)
    assert 1 <= len(saved[-1]) < 200
    assert torch.equal(select_coreset(features, 200, resume=saved[-1]), select_coreset(features, 200))


def test_progress_ends_at_the_count():
    seen = []
    select_coreset(clusters(), 60, progress=seen.append)
    assert sum(seen) == 60
    assert min(seen) >= 1


def test_the_seed_decides_alone():
    features = clusters()
    assert torch.equal(select_coreset(features, 50, seed=1), select_coreset(features, 50, seed=1))
    assert not torch.equal(select_coreset(features, 50, seed=1), select_coreset(features, 50, seed=2))


@pytest.mark.parametrize("count", [0, 1501])
def test_a_count_outside_the_patches_is_refused(count):
    with pytest.raises(OptionError, match="expected 1 to 1500 patches"):
        select_coreset(clusters(), count)


@pytest.mark.parametrize("resume", [[0, 1], [], [3, 3], [3] * 200])
def test_a_foreign_checkpoint_is_refused(resume):
    with pytest.raises(OptionError, match="another selection"):
        select_coreset(clusters(), 100, resume=torch.tensor(resume, dtype=torch.int64))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(value):
    features = clusters()
    features[7, 3] = value
    with pytest.raises(DataError, match="expected finite numbers"):
        select_coreset(features, 10)


@pytest.mark.parametrize("features", [[], [torch.ones(4)], torch.ones(4, 0)])
def test_no_patches_are_refused(features):
    with pytest.raises(DataError, match="chunks of shape"):
        select_coreset(features, 1)


def test_coreset_size_rounds_down_but_keeps_one():
    assert [coreset_size(n, r) for n, r in [(327680, 0.01), (99, 0.01), (250, 0.01), (10, 1)]] == [
        3276,
        1,
        2,
        10,
    ]
    with pytest.raises(OptionError, match="coreset ratio"):
        coreset_size(10, 0)


def test_a_store_beyond_its_budget_lies_in_a_file_that_disappears(tmp_path):
    store = patch_store(300, 8, budget_bytes=100, folder=tmp_path)
    features = clusters(300, 8)
    store.copy_(features)
    assert torch.equal(select_coreset(store, 40), select_coreset(features, 40))
    assert torch.equal(patch_store(300, 8, budget_bytes=2**20, folder=tmp_path).copy_(features), store)
    del store
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_the_estimate_grows_with_the_work_and_refuses_what_cannot_fit():
    small, large = estimate(10_000, 128, 100), estimate(1_000_000, 1024, 10_000)
    assert 0 < small.seconds < large.seconds
    assert 4_000 * 2**20 < large.bytes < 8 * 2**30
    assert estimate(1_000_000, 1024, 10_000, stored=False).bytes < 2 * 2**30
    with pytest.raises(OptionError, match="memory bank: expected at most 1"):
        Preflight(1.0, 2**32, 2**30).require()
    Preflight(1.0, 10, None).require()


def test_banks_that_are_selected_in_turn_share_the_room_for_it():
    fine, coarse = estimate(3_200_000, 64, 6000), estimate(800_000, 432, 2000)
    both = together([fine, coarse])
    stores = 4 * (3_200_000 * 64 + 800_000 * 432)
    assert fine.lasting + coarse.lasting == both.lasting
    assert both.lasting == pytest.approx(stores, rel=0.01)
    assert max(fine.bytes, coarse.bytes) < both.bytes < fine.bytes + coarse.bytes
    assert both.bytes - both.lasting == max(fine.bytes - fine.lasting, coarse.bytes - coarse.lasting)


def test_the_estimate_counts_no_copy_of_features_that_are_not_projected():
    plain, projected = estimate(1_000_000, 64, 100), estimate(1_000_000, 64, 100, projection=63)
    assert plain.bytes < projected.bytes - 200 * 10**6


def test_available_memory_is_the_lesser_of_kernel_and_control_group(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda path: tmp_path / path.removeprefix("/"))
    assert available_bytes() is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    assert available_bytes() == 2 * 2**20
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("3000000\n")
    for limit, expected in (("max", 2 * 2**20), ("3500000", 500_000), ("2000000", 0), ("9000000", 2 * 2**20)):
        (group / "memory.max").write_text(f"{limit}\n")
        assert available_bytes() == expected


MILLION = """
import resource, torch
from flawscope.nn.banks.coreset import select_coreset
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
base = torch.randn(10_000, 1024, generator=torch.Generator().manual_seed(0))
chosen = select_coreset((base.roll(step, 1) for step in range(100)), 500)
assert len(set(chosen.tolist())) == 500
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_million_patches_of_1024_dimensions_fit_into_their_estimate():
    answer = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", MILLION], check=True, capture_output=True, text=True
    )
    added = int(answer.stdout) * 1024
    assert added <= 1.1 * estimate(1_000_000, 1024, 500, stored=False).bytes < 2 * 2**30
    assert estimate(1_000_000, 1024, 10_000).bytes < 8 * 2**30
