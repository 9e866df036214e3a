"""Kinds of good patches that a picture lacks, against plain numpy; few, grouped and further good pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.banks.features import PatchGrid
from flawscope.nn.banks.patchbank import PatchBank
from flawscope.nn.joining.absent import FEWEST, AbsentPatches
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED
from flawscope.runtime.explain.absence import BEYOND

KINDS, CELLS, COUNT = 24, 64, 120
Learnt = tuple[AbsentPatches, PatchBank, dict[str, object]]


@pytest.fixture(scope="module")
def bank() -> PatchBank:
    """Of 8×8 cells, filled with patches that lie around a point of their own."""
    backbone = build_backbone("test_resnet", strides=(8,), size=(64, 64))
    made = PatchBank(PatchGrid(backbone), levelled=True)
    assert made.cells == CELLS
    made.keep(drawn(made, 4, seed=9), 40, projection=None, run=Run(), name="bank")
    return made


def drawn(bank: PatchBank, count: int, *, seed: int, without: bool = False) -> torch.Tensor:
    """Patches (count * 64, D) of clusters: a picture's last one alone is of the third, or of the first."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(5, 2, (3, bank.grid.dim))
    kinds = np.tile(np.r_[np.zeros(40, int), np.ones(23, int), 0 if without else 2], count)
    return torch.from_numpy(centres[kinds] + draw.normal(0, 0.2, (len(kinds), bank.grid.dim))).float()


def learnt(bank: PatchBank, count: int, owners: Sequence[int] | None = None) -> Learnt:
    absent = AbsentPatches(bank.grid.dim, KINDS)
    given = list(range(count)) if owners is None else owners
    patches = drawn(bank, count, seed=1)
    return absent, bank, dict(absent.learn(patches, bank, given, Run(), UNWATCHED))


def ratios(absent: AbsentPatches, bank: PatchBank, patches: torch.Tensor) -> torch.Tensor:
    return absent(bank.extended(patches), bank)


def distances(absent: AbsentPatches, bank: PatchBank, patches: torch.Tensor) -> NDArray[np.float64]:
    """(n, K) as cdist has them."""
    centres = (absent.centres + bank.memory.centre).double().numpy()
    rows = patches.double().numpy().reshape(-1, CELLS, bank.grid.dim)
    return np.stack([cdist(centres, one).min(1) for one in rows])


def reach(found: NDArray[np.float64], owners: Sequence[int]) -> float:
    """The highest z of pictures whose owner is left out, floored as documented."""
    least, marks, highest = 0.05 * np.median(found.mean(0)), np.array(owners), 0.0
    for picture, owner in enumerate(owners):
        others = found[marks != owner]
        spread = np.maximum(others.std(0), least)
        highest = max(highest, float(((found[picture] - others.mean(0)) / spread).max()))
    return highest


@pytest.mark.parametrize("groups", [1, 2])
def test_ratios_are_deviations_by_the_highest_of_pictures_left_out(bank: PatchBank, groups: int) -> None:
    owners = [picture // groups for picture in range(COUNT)]
    absent, _, _ = learnt(bank, COUNT, owners)
    found, more = (distances(absent, bank, drawn(bank, COUNT, seed=seed)) for seed in (1, 2))
    spread = np.maximum(found.std(0), 0.05 * np.median(found.mean(0)))
    expected = (more - found.mean(0)) / spread / reach(found, owners)
    np.testing.assert_allclose(
        ratios(absent, bank, drawn(bank, COUNT, seed=2)), expected, rtol=2e-3, atol=2e-3
    )


def test_what_is_missing_counts_and_what_good_pictures_show_does_not(bank: PatchBank) -> None:
    absent, _, facts = learnt(bank, COUNT)
    good, lacking = (
        ratios(absent, bank, drawn(bank, 10, seed=3, without=without)) for without in (False, True)
    )
    assert float(good.max()) < BEYOND < float(lacking.amax(1).min())
    assert float(AbsentPatches.level(good).max()) < 0 < float(AbsentPatches.level(lacking).min())
    shown, places = facts["shown"], facts["places"]
    assert isinstance(shown, list)
    assert isinstance(places, list)
    kind = int(lacking.mean(0).argmax())
    picture, *place = shown[kind]
    assert 0 <= picture < COUNT
    assert place == places[kind] == [7.5 / 8] * 2  # the last cell of a picture
    assert None in places  # kinds that lie anywhere among forty cells


def test_few_pictures_tell_nothing(bank: PatchBank) -> None:
    pairs = [picture // 2 for picture in range(2 * FEWEST - 2)]
    for absent in (learnt(bank, FEWEST - 1)[0], learnt(bank, 2 * FEWEST - 2, pairs)[0]):
        assert torch.equal(ratios(absent, bank, drawn(bank, 2, seed=4, without=True)), torch.zeros(2, KINDS))
    assert ratios(learnt(bank, FEWEST)[0], bank, drawn(bank, 2, seed=4, without=True)).max() > BEYOND


def test_taught_pictures_come_within_the_reach_and_others_stay(bank: PatchBank) -> None:
    absent, _, _ = learnt(bank, COUNT)
    before = absent.deviation.clone()
    absent.teach(drawn(bank, 3, seed=5), bank, 3)
    torch.testing.assert_close(absent.deviation, before)  # they lay within it
    lacking = drawn(bank, 3, seed=6, without=True)
    absent.teach(lacking, bank, 3)
    assert float(ratios(absent, bank, lacking).max()) <= 1 + 1e-5
    assert (absent.deviation >= before).all()
    assert (absent.deviation == before).any()


def test_fewer_patches_than_kinds_are_enough(bank: PatchBank) -> None:
    absent = AbsentPatches(bank.grid.dim, 4096)
    patches = drawn(bank, FEWEST, seed=1)
    absent.learn(patches, bank, range(FEWEST), Run(), UNWATCHED)
    assert ratios(absent, bank, patches).isfinite().all()
