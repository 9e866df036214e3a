"""Cells of components, distances of surfaces, and usual numbers equal cases worked out by hand."""

from __future__ import annotations

import pytest
import torch

from flawscope.methods.sadsem.judging import Judging, compared
from flawscope.methods.sadsem.layers import ComponentFacts
from flawscope.methods.sadsem.numbers import NumberOptions, Numbers, usual_numbers
from flawscope.methods.sadsem.options import SADSeMOptions
from flawscope.methods.sadsem.projection import Projection
from flawscope.methods.sadsem.surfaces import Surfaces
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_every_cell_belongs_to_the_component_at_its_centre(size: tuple[int, int]) -> None:
    labels = torch.zeros(1, *size, dtype=torch.int64)
    labels[:, :, :5] = 1
    labels[:, :2, :2] = 2
    cells = Projection(size, {1: (4, 4), 2: (2, 2)})(labels)
    assert cells[1][0, 0].tolist() == [2, 1, 0, 0]
    assert cells[2][0].tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_components_have_as_many_cells_as_their_area_deserves(stride: int) -> None:
    projection = Projection((64, 64), {1: (64 // stride, 64 // stride)})
    for top in range(7):
        labels = torch.zeros(1, 64, 64, dtype=torch.int64)
        labels[:, top : top + 16, 9 : 9 + 32] = 1
        assert int(projection(labels)[1].sum()) == 16 * 32 // stride**2


def surfaces() -> Surfaces:
    """Banks of one component each: features near 0 and 10 for 1, near 100 for 2, which one cell shows."""
    made = Surfaces([(1, (1,)), (2, (1,))], (1, 2), {1: 1}, {1: (1, 2)}, neighbourhood=1)
    for bank, rows in zip(made.each(), ([[0.0], [10.0]], [[100.0]]), strict=True):
        stored = torch.tensor(rows)
        bank.keep(stored, len(stored), projection=8, run=Run(), watch=UNWATCHED, name="bank")
    return made


def test_a_cell_is_compared_with_its_own_component_alone() -> None:
    made = surfaces()
    maps = {1: torch.tensor([[[[12.0, 97.0]]], [[[97.0, 12.0]]]])}
    cells = {1: torch.tensor([[[1, 2]], [[1, 1]]])}
    levelled, peaks = made(maps, cells)
    assert levelled[1,].flatten().tolist() == pytest.approx([2, 3, 87, 2], rel=1e-2)
    assert peaks.flatten().tolist() == pytest.approx([2, 3, 87, 0], rel=1e-2)


def test_the_bounds_of_each_component_are_those_of_tuning_pictures() -> None:
    made = surfaces()
    maps = {1: torch.tensor([[[[12.0, 97.0]]], [[[14.0, 95.0]]]])}
    cells = {1: torch.tensor([[[1, 2]], [[1, 2]]])}
    made.scale(made.extremes(maps, cells))
    levelled, _ = made({1: torch.tensor([[[[13.0, 93.0]]]])}, {1: torch.tensor([[[1, 2]]])})
    assert levelled[1,].flatten().tolist() == pytest.approx([0.5, 2.0], abs=0.05)
    # what no tuning picture shows has the bounds of the others together
    made.scale(made.extremes(maps, {1: torch.tensor([[[1, 0]], [[1, 0]]])}))
    assert made.levels.zero.tolist() == pytest.approx([2, 2], abs=0.05)
    assert made.levels.gain.tolist() == pytest.approx([0.5, 0.5], abs=0.05)


def test_joined_layers_have_equal_say() -> None:
    made = Surfaces([(1, (2, 3))], (1,), {2: 1, 3: 1}, {2: (2, 2), 3: (1, 1)}, neighbourhood=1)
    bank = made.each()[0]
    rows = torch.tensor([[-1.0, -100.0], [1.0, 100.0]])
    made.balance([rows])
    bank.keep(rows, 2, projection=8, run=Run(), watch=UNWATCHED, name="bank")
    assert bank.scale is not None
    assert bank.scale.tolist() == pytest.approx([1, 0.01])
    maps = {2: torch.tensor([[[[1.0, 1.0], [4.0, -1.0]]]]), 3: torch.full((1, 1, 1, 1), 100.0)}
    cells = {layer: torch.ones(1, side, side, dtype=torch.int64) for layer, side in ((2, 2), (3, 1))}
    levelled, peaks = made(maps, cells)  # (-1, 100) lies two layers' deviations from either stored one
    assert levelled[2, 3].flatten().tolist() == pytest.approx([0, 0, 3, 2], abs=0.01)
    assert peaks.item() == pytest.approx(3, abs=0.01)
    bank.grow(torch.tensor([[4.0, 100.0]]), 3, projection=8, run=Run(), watch=UNWATCHED)
    assert made(maps, cells)[1].item() == pytest.approx(2, abs=0.01)


def test_a_component_of_one_cell_has_the_units_of_the_others() -> None:
    made = Surfaces([(1, (2, 3)), (2, (2, 3))], (1, 2), {2: 2, 3: 2}, {2: (2, 2), 3: (1, 1)}, neighbourhood=1)
    many = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    made.balance([many, torch.ones(1, 4)])
    first, second = (bank.scale for bank in made.each())
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)
    assert first.tolist() == pytest.approx([0.5**0.5] * 4, rel=0.1)


def test_peaks_follow_from_extremes() -> None:
    made = surfaces()
    maps = {1: torch.tensor([[[[12.0, 97.0]]], [[[14.0, 95.0]]]])}
    for shown in ([1, 2], [1, 0]):
        cells = {1: torch.tensor([[[1, 2]], [shown]])}
        made.scale(made.extremes(maps, cells))
        assert torch.allclose(made.peaks(made.extremes(maps, cells)), made(maps, cells)[1])


def test_what_varies_much_in_good_pictures_counts_less() -> None:
    options = SADSeMOptions(size=(32, 32), masks=None, counts=None, fusion="excess")
    components = [ComponentFacts(1, "steady", layers=(1,)), ComponentFacts(2, "unsteady", layers=(1,))]
    judging = Judging(options, ("background", "steady", "unsteady"), components, {1: 1}, {1: (1, 2)})
    peaks = torch.tensor([[1.0, 0.2], [0.4, 0.1], [0.7, 1.0], [0.8, 0.0]])  # of two tiles of two pictures
    judging.scale(torch.zeros(4, 32, 32), peaks, [0, 0, 1, 1])
    assert judging.typical is not None
    assert judging.typical.tolist() == pytest.approx([0.9, 0.6])
    raised = judging._raised(torch.tensor([[1.0, 1.0], [1.1, 0.6], [0.9, 1.4]]))
    assert raised.flatten().tolist() == pytest.approx([1, 1, 2, 0, 0, 2], abs=1e-5)
    alike = torch.ones(2, 2)
    judging.scale(torch.zeros(2, 32, 32), alike, [0, 1])  # pictures that do not differ
    assert judging.typical.tolist() == pytest.approx([0.9, 0.9])


def test_numbers_as_usual_leave_scores_below_0_as_they_are() -> None:
    options = SADSeMOptions(size=(32, 32), masks=None, fusion="excess")
    part = ComponentFacts(1, "part", layers=(1,))
    judging = Judging(options, ("background", "part"), [part], {1: 1}, {1: (1, 2)})
    assert judging.numbers is not None
    judging.numbers.usual = torch.tensor([[1.0], [1.0]])
    scores = judging.fused(torch.tensor([[-0.5], [-0.5], [3.0]]), torch.tensor([[1.0], [2.0], [0.0]]))
    assert scores.tolist() == [-0.5, 2.0, 3.0]


def test_components_are_compared_by_each_layer_or_by_all_joined() -> None:
    apart, together = SADSeMOptions(size=(64, 64)), SADSeMOptions(size=(64, 64), joined=True)
    assert compared((2, 3), apart) == [(2,), (3,)]
    assert compared((2, 3), together) == [(2, 3)]
    assert compared((), together) == compared((), apart) == []


def test_rare_numbers_are_those_of_rare_pictures_not_of_rare_tiles() -> None:
    odd = torch.zeros(400, 8, 8, dtype=torch.uint8)
    odd[:4, :4, :4] = 1  # four tiles of 400, of a hundred pictures
    numbers = Numbers(1, (8, 8), NumberOptions(rare=0.01))
    numbers.learn(odd.long(), odd[4:8].long(), tiles=4)
    assert numbers.usual.flatten().tolist() == [0, 1]
    numbers.learn(odd.long(), odd[4:8].long())
    assert numbers.usual.flatten().tolist() == [0, 0]


def test_usual_numbers_leave_rare_pictures_out() -> None:
    counts = torch.tensor([[3.0, 1.0]] * 98 + [[9.0, 1.0], [0.0, 2.0]])
    assert usual_numbers(counts, 0.02).tolist() == [[3, 1], [3, 1]]
    assert usual_numbers(counts, 0.0).tolist() == [[0, 1], [9, 2]]
    assert usual_numbers(counts[-3:], 0.02).tolist() == [[0, 1], [9, 2]]  # two in a hundred of three are none


def test_too_few_and_too_many_score_and_ignored_ones_do_not() -> None:
    numbers = Numbers(2, (16, 16), NumberOptions(stride=1, rare=0))
    labels = torch.zeros(2, 16, 16, dtype=torch.int64)
    labels[:, 1:4, 1:4] = 1
    labels[:, 8:12, 8:12] = 2
    numbers.learn(labels, labels[:1])
    assert numbers.usual.tolist() == [[1, 1], [1, 1]]
    odd = labels.clone()
    odd[0, 1:4, 8:11] = 1
    odd[0, 13:16, 1:5] = 1
    odd[1, 8:12, 8:12] = 0
    counts = numbers.count(odd)[0]
    assert counts.tolist() == [[3, 1], [1, 0]]
    assert numbers.fused(counts, torch.ones(2)).tolist() == [4, 2]
    assert numbers.fused(counts, torch.tensor([1.0, 0.0])).tolist() == [4, 0]


def test_the_nearest_feature_of_any_component_counts_by_its_weight() -> None:
    plan = [(1, (1,)), (2, (1,)), (1, (2,))]
    made = Surfaces(plan, (1, 2), {1: 1, 2: 1}, {1: (1, 3), 2: (1, 3)}, neighbourhood=1, shared=0.25)
    for bank, member in zip(made.each(), (0.0, 100.0, 7.0), strict=True):
        bank.keep(torch.tensor([[member]]), 1, projection=8, run=Run(), watch=UNWATCHED, name="bank")
    values, cells = torch.tensor([[[[10.0, 80.0, 90.0]]]]), torch.tensor([[[1, 1, 2]]])
    maps = {1: values, 2: values}
    found = [distances.flatten() for distances, _ in made.distances(maps, {1: cells, 2: cells})]
    assert found[0].tolist() == pytest.approx([10, 0.75 * 80 + 0.25 * 20, 0.75 * 90 + 0.25 * 10])
    assert found[1].tolist() == pytest.approx([0.75 * 90 + 0.25 * 10, 20, 10])
    assert found[2].tolist() == pytest.approx([3, 73, 83])  # of other layers there is no other bank


@pytest.mark.parametrize("shape", ["smoothed", "raw"])
def test_no_component_scores_what_lies_beside_it(shape: str) -> None:
    """The cell of component 1 lies far from its bank; the heatmap there reaches over component 2, too."""
    options = SADSeMOptions.model_validate(
        {"size": (32, 32), "masks": None, "counts": None, "peaks": shape, "smoothing": 8}
    )
    components = [ComponentFacts(1, "left", layers=(1,)), ComponentFacts(2, "right", layers=(1,))]
    judging = Judging(options, ("background", "left", "right"), components, {1: 1}, {1: (1, 2)})
    assert judging.surfaces is not None
    for bank in judging.surfaces.each():
        bank.keep(torch.zeros(1, 1), 1, projection=8, run=Run(), watch=UNWATCHED, name="bank")
    judging.surfaces.scale(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]))
    labels = torch.ones(1, 32, 32, dtype=torch.int64)
    labels[:, :, 16:] = 2
    found = judging(labels, {1: torch.tensor([[[[10.0, 0.5]]]])})
    left, right = found["parts"][0].tolist()
    assert found["heatmap"][0, :, 16:].max() > 1
    assert right == pytest.approx(0.5, abs=1e-3)
    assert left == pytest.approx(10.0 if shape == "raw" else float(found["heatmap"].max()), rel=1e-3)
