"""Nearest-neighbour search against float64, within its budget, and exported."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from flawscope.errors import OptionError
from flawscope.nn.banks import neighbours
from flawscope.nn.banks.neighbours import MemoryBank, nearest


def features(rows, dim=24, seed=0, offset=0.0):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)) + offset


def resolution(centred):
    """How far from 0 rounding may leave the distances of rows (N, D) to themselves, in any order of sums.

    |q|² + |b|² − 2 q·b are sums of D products, each off by at most (D + 2) u of the sum of its terms' sizes,
    u = 2⁻²⁴; for q = b of norm n that is 4 (D + 2) u n² in all, and the distance its root.
    """
    rows = centred.double()
    return rows.norm(dim=1) * 2 * ((rows.shape[1] + 2) * 2**-24) ** 0.5


def truth(queries, bank, k):
    distances = torch.cdist(queries.double(), bank.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(k, 1, largest=False)


@pytest.mark.parametrize("k", [1, 9])
@pytest.mark.parametrize("budget_bytes", [4, 4 * 12 * 12, 2**20])
def test_distances_and_indices_are_those_of_float64(k, budget_bytes):
    queries, bank = features(70), features(50, seed=1)
    distances, indices = nearest(queries, bank, k, budget_bytes=budget_bytes)
    expected = truth(queries, bank, k)
    assert torch.equal(indices, expected.indices)
    assert torch.allclose(distances.double(), expected.values, rtol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_common_offset_costs_no_precision(offset):
    queries, bank = features(40, offset=offset), features(60, seed=1, offset=offset)
    expected = truth(queries, bank, 1)
    for distances, indices in (nearest(queries, bank), MemoryBank(bank)(queries)):
        assert torch.equal(indices.flatten(), expected.indices.flatten())
        assert torch.allclose(distances.flatten().double(), expected.values.flatten(), rtol=1e-4)


def test_a_member_is_at_distance_zero_within_the_stated_resolution():
    bank = features(200, 384)
    distances, indices = nearest(bank, bank)
    assert torch.equal(indices.flatten(), torch.arange(200))
    assert not distances.isnan().any()
    assert (distances[:, 0] <= resolution(bank - bank.mean(0))).all()


def test_no_block_exceeds_the_budget(monkeypatch):
    blocks, search = [], neighbours._search

    def watched(queries, bank, centre, k, columns):
        blocks.append(len(queries) * min(columns, len(bank)) * 4)
        return search(queries, bank, centre, k, columns)

    monkeypatch.setattr(neighbours, "_search", watched)
    nearest(features(5000), features(3000, seed=1), budget_bytes=100_000)
    assert max(blocks) <= 100_000
    assert len(blocks) < 1000


def test_ties_fall_to_the_first_member_in_every_form():
    bank = features(10).repeat(4, 1)
    for distances, indices in (
        nearest(bank[:10], bank),
        nearest(bank[:10], bank, budget_bytes=36),
        MemoryBank(bank)(bank[:10]),
        MemoryBank(bank, budget_bytes=4 * 7, queries=1)(bank[:10]),
    ):
        assert torch.equal(indices.flatten() % 10, torch.arange(10))
        assert (distances.flatten() <= resolution(bank[:10] - bank.mean(0))).all()


def test_no_queries_give_no_neighbours():
    distances, indices = nearest(features(0), features(5), 2)
    assert distances.shape == indices.shape == (0, 2)


@pytest.mark.parametrize(
    ("queries", "k"), [(torch.ones(3, 5), 1), (torch.ones(24), 1), (features(3), 0), (features(3), 11)]
)
def test_what_does_not_fit_is_refused(queries, k):
    with pytest.raises(OptionError, match=r"nearest neighbours|expected 1 to the bank"):
        nearest(queries, features(10), k)


@pytest.mark.parametrize("block", [1000, 30, 7])
def test_the_module_finds_what_the_function_finds(block):
    queries, bank = features(70, offset=2.0), features(100, seed=1, offset=2.0)
    distances, indices = MemoryBank(bank, budget_bytes=4 * block, queries=1)(queries)
    expected = nearest(queries, bank)
    assert torch.equal(indices, expected[1][:, 0])
    assert torch.allclose(distances, expected[0][:, 0], rtol=1e-5)


def test_a_filled_module_is_the_module_it_was_filled_from():
    bank = MemoryBank(features(30, offset=1.0))
    empty = MemoryBank(torch.zeros(30, 24))
    empty.load_state_dict(bank.state_dict())
    queries = features(5, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(empty(queries), bank(queries), strict=True))


def test_neighbours_of_members_and_distances_to_them():
    members, queries = features(40, offset=1.0), features(3, seed=4, offset=1.0)
    bank = MemoryBank(members)
    table = bank.neighbours(9)
    assert torch.equal(table, truth(members, members, 9).indices)
    assert torch.equal(table[:, 0], torch.arange(40))
    found = bank.distance_to(queries, table[:3])
    expected = (queries[:, None] - members[table[:3]]).norm(dim=2)
    assert torch.allclose(found, expected, rtol=1e-5)
    assert MemoryBank(features(4)).neighbours(9).shape == (4, 4)


class Reweighted(nn.Module):
    """Search, then distances from the first query to its member's neighbours."""

    def __init__(self, bank):
        super().__init__()
        self.search = bank
        self.register_buffer("table", bank.neighbours(3))

    def forward(self, queries):
        distances, indices = self.search(queries)
        return distances, indices, self.search.distance_to(queries[:1], self.table[indices[:1]])


@pytest.mark.parametrize("block", [10_000, 300])
@pytest.mark.filterwarnings("ignore")
def test_onnxruntime_gives_what_torch_gives_for_any_number_of_queries(tmp_path, block):
    members = features(1000, 64, offset=3.0)
    members[:, 16:] *= 0.05
    bank = MemoryBank(members, budget_bytes=4 * block, queries=1)
    module = Reweighted(bank).eval()
    program = torch.onnx.export(
        module,
        (members[:6],),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("queries", min=1)},),
        verbose=False,
    )
    file = tmp_path / "bank.onnx"
    program.save(file)
    stored = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    assert stored < 1.5 * members.numel() * 4  # the bank is stored once
    session = onnxruntime.InferenceSession(file)
    for rows in (1, 5, 200):
        queries = features(rows, 64, seed=5, offset=3.0)
        found = session.run(None, {session.get_inputs()[0].name: queries.numpy()})
        for mine, theirs in zip(module(queries), found, strict=True):
            np.testing.assert_allclose(theirs, mine.numpy(), rtol=1e-4)


def test_distances_bear_half_precision():
    members, queries = features(200), features(50, seed=1)
    bank = MemoryBank(members, rounded=True)
    assert torch.equal(bank.bank, bank.bank.bfloat16().float())
    assert torch.allclose(bank.bank, members - members.mean(0), rtol=2**-8, atol=0)
    rows = bank.extended(queries)
    exact, half = bank.distances(rows).double(), bank.distances(rows.bfloat16().float()).double()
    expected = truth(queries - members.mean(0), bank.bank, 1).values[:, 0]
    assert torch.allclose(exact, expected, rtol=1e-4)
    norms = rows[:, :-4].double().norm(dim=1)
    assert ((half.square() - expected.square()).abs() <= 2 * 2**-8 * (norms * expected)).all()


def narrow(count, seed=0, beside=0.1):
    """Features that mostly vary along 6 of 24 directions."""
    draw = torch.Generator().manual_seed(7)
    turn = torch.linalg.qr(torch.randn(24, 24, generator=draw)).Q
    scale = torch.cat([torch.ones(6), torch.full((18,), beside)])
    return features(count, seed=seed) * scale @ turn


def test_distances_on_principal_axes_are_wrong_by_what_they_state_at_most():
    bank, queries = MemoryBank(narrow(80), axes=6), narrow(40, seed=1)
    assert bank.width == 11
    found = 2 * bank.extended(queries).double() @ bank.columns(bank.bank).double().T
    moved = queries - bank.centre
    beside = moved - moved @ bank.axes @ bank.axes.T, bank.bank - bank.bank @ bank.axes @ bank.axes.T
    bound = 2 * (1 + bank.alikeness) * beside[0].norm(dim=1)[:, None] * beside[1].norm(dim=1)
    wrong = (found - torch.cdist(moved.double(), bank.bank.double()).square()).abs()
    assert (wrong <= bound + 1e-4).all()
    assert wrong.max() > 1e-2
    assert 0 <= bank.alikeness <= 1
    nearest_one = found.amin(1).clamp_min(0).sqrt().float()
    assert torch.allclose(bank.distances(bank.extended(queries)), nearest_one, rtol=1e-4)
    assert torch.equal(
        bank.distances_to_others(queries, torch.zeros(80, dtype=torch.bool)),
        bank.distances(bank.extended(queries)),
    )


@pytest.mark.parametrize("axes", [6, 24, 99])
def test_distances_on_all_axes_that_vary_are_exact(axes):
    members, queries = narrow(80, beside=0), narrow(40, seed=1, beside=0)
    bank = MemoryBank(members, axes=axes)
    assert bank.reduced == (axes < 24)
    expected = truth(queries, members, 1).values[:, 0]
    assert torch.allclose(bank.distances(bank.extended(queries)).double(), expected, rtol=1e-3, atol=1e-3)


def test_a_query_far_beside_the_axes_is_far():
    members = narrow(80, beside=0)
    bank = MemoryBank(members, axes=6)
    away = torch.linalg.svd(members - members.mean(0)).Vh[-1]  # no member lies there
    assert (bank.distances(bank.extended(members + 5 * away)) >= 5 - 1e-3).all()


def test_a_grown_and_a_filled_bank_keep_their_axes():
    bank = MemoryBank(narrow(30), axes=6)
    axes = bank.axes.clone()
    bank.grow(narrow(10, seed=3))
    assert torch.equal(bank.axes, axes)
    empty = MemoryBank(torch.zeros(40, 24), axes=6)
    empty.load_state_dict(bank.state_dict())
    rows = bank.extended(narrow(5, seed=2))
    assert torch.equal(empty.distances(empty.extended(narrow(5, seed=2))), bank.distances(rows))
    assert MemoryBank(narrow(1), axes=6).alikeness == 0


def test_distances_on_axes_bear_half_precision():
    bank = MemoryBank(narrow(200), rounded=True, axes=6)
    rows = bank.extended(narrow(50, seed=1))
    assert torch.equal(bank.compared[:, :6], bank.compared[:, :6].bfloat16().float())
    exact, half = bank.distances(rows), bank.distances(rows.bfloat16().float())
    assert torch.allclose(
        half.square(), exact.square(), atol=2 * 2**-8 * float((rows[:, :6].norm(dim=1) * exact).max())
    )


class Distances(nn.Module):
    """Queries to distances, as a graph finds them."""

    def __init__(self, bank):
        super().__init__()
        self.bank = bank

    def forward(self, queries):
        return self.bank.distances(self.bank.extended(queries))


@pytest.mark.filterwarnings("ignore")
def test_a_graph_on_axes_holds_what_it_compares_with_and_rounds_nothing(tmp_path):
    module, queries = Distances(MemoryBank(narrow(200), rounded=True, axes=6)).eval(), narrow(50, seed=1)
    program = torch.onnx.export(module, (queries,), dynamo=True, verbose=False)
    assert not {node.op_type for node in program.model.graph} & {"Cast", "CastLike"}
    stored = [value.const_value.shape for value in program.model.graph.initializers.values()]
    assert [200, 24] not in [list(shape) for shape in stored]  # the bank itself stays outside
    program.save(tmp_path / "bank.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "bank.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: queries.numpy()})
    np.testing.assert_allclose(found, module(queries).numpy(), rtol=1e-4)
