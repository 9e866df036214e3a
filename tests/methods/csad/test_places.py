"""Places: what lies where good pictures never show it is told, wherever else a loose part may lie."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flawscope.methods.csad.places import Places, PlacesOptions

SIZE = (64, 96)


def shares(seed: int, *, beside: bool = False) -> Tensor:
    """(2, H, W) five squares of class 1 anywhere in the left half, and a bar of class 2 above."""
    random = np.random.default_rng(seed)
    found = np.zeros((2, *SIZE), np.float32)
    for _ in range(5):
        top, left = random.integers(8, 54), random.integers(0, 38)
        found[0, top : top + 8, left : left + 8] = 1
    if beside:
        found[0, 30:38, 80:88] = 1
    found[1, :4] = 1
    return torch.from_numpy(found)


def taught() -> Places:
    branch = Places(2, SIZE, PlacesOptions())
    branch.learn(branch.reduced(torch.stack([shares(seed) for seed in range(60)])))
    return branch.eval()


def test_a_part_beside_the_others_scores_higher_and_is_marked() -> None:
    branch = taught()
    masks = torch.stack([*[shares(seed) for seed in range(100, 120)], shares(200, beside=True)])
    scores, elsewhere = branch(branch.reduced(masks))
    assert scores[-1] > 3 * scores[:-1].max()
    np.testing.assert_allclose(elsewhere[-1, 0], 64 / (64 * 96), rtol=0.3)
    assert elsewhere[:, 1].max() == 0
    heatmap = branch.heatmap(masks, elsewhere)[-1]
    assert heatmap[30:38, 80:88].min() > heatmap[:, :48].max() >= 0


def test_cells_say_what_strays_and_what_is_usual_there() -> None:
    branch = taught()
    assert branch.usual.shape == (64, 64)
    assert (branch.usual[:4] == 2).all()
    assert (branch.usual[5:, 40:] == 0).all()
    shown = branch.reduced(torch.stack([shares(100), shares(200, beside=True)]))
    strays, usual = branch.cells(shown)
    assert (strays.dtype, strays.shape) == (torch.uint8, (2, 64, 64))
    assert torch.equal(usual[1], branch.usual)
    assert not strays[0].any()
    assert (strays[1, 31:37, 54:58] == 1).all()
    assert strays[1, :, :50].max() == 0
    _, elsewhere = branch(shown)
    low, high = branch.range(elsewhere)
    assert (low == 0).all()
    assert elsewhere[0, 0] <= high[0, 0] < elsewhere[1, 0] / 10


def test_cells_show_the_mean_of_their_pixels() -> None:
    branch = Places(1, (200, 130), PlacesOptions())
    masks = torch.rand(2, 1, 200, 130, generator=torch.Generator().manual_seed(0))
    reduced = branch.reduced(masks)
    assert reduced.shape == (2, 1, 64, 64)
    np.testing.assert_allclose(reduced[1, 0, 0, 0], masks[1, 0, :3, :2].mean(), rtol=1e-5)
    np.testing.assert_allclose(branch.reduced(torch.ones(1, 1, 200, 130)), np.ones((1, 1, 64, 64)), rtol=1e-5)


def test_a_picture_is_compared_with_the_places_of_the_others() -> None:
    branch = Places(2, SIZE, PlacesOptions())
    good = torch.stack([shares(seed) for seed in range(30)] + [shares(40, beside=True)])
    left_out = branch.learn(branch.reduced(good))
    assert left_out.argmax() == 30


def test_taught_regions_are_those_of_all_pictures_together() -> None:
    shares = torch.rand(9, 2, 32, 32, generator=torch.Generator().manual_seed(2)).pow(4)
    together, apart = (Places(2, (32, 32), PlacesOptions(pictures=3)) for _ in range(2))
    together.learn(shares)
    apart.learn(shares[:5])
    apart.teach(shares[5:], None, 0)
    for name in ("unusual", "usual", "near", "shown"):
        torch.testing.assert_close(getattr(apart, name), getattr(together, name))
    assert (apart.fused.seen[:5] >= together.fused.seen[:5] - 1e-6).all()
    torch.testing.assert_close(apart.fused.seen[5:], together.fused.seen[5:])
