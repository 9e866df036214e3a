"""Shapes: a bent or broken part is told among good ones that lie anywhere and any way round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from drawn_screws import PLACES, SIZE, screw
from flawscope.errors import OptionError
from flawscope.methods.csad.figures import ENTRIES, Describing
from flawscope.methods.csad.kinds import Kind
from flawscope.methods.csad.shapes import NAMES, JudgedShapes, Shapes, ShapesOptions

Labels = NDArray[np.uint8]


def shares(seed: int, **flaw: Any) -> Tensor:
    """(3, H, W) a picture of three screws, class 1, and a ring, class 2; the flaw is the first screw's."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SIZE, np.int64)
    for number, place in enumerate(random.permutation(PLACES)[:4]):
        centre = (int(place[0] + random.integers(-4, 5)), int(place[1] + random.integers(-4, 5)))
        if number < 3:
            given = flaw if number == 0 else {}
            labels[screw(centre, random.uniform(0, 2 * np.pi), **given) > 0] = 1
        else:
            ring = cv2.circle(np.zeros(SIZE, np.uint8), centre, 9, 1, 5)
            labels[ring > 0] = 2
    return torch.from_numpy(np.stack([labels == label for label in range(3)]).astype(np.float32))


def halved(seed: int) -> Tensor:
    """The same, where one picture in five takes a side of each screw for a third class."""
    found = torch.cat([shares(seed), torch.zeros(1, *SIZE)])
    if seed % 5 == 0:
        side = torch.arange(SIZE[1]).expand(SIZE) % 24 < 12
        found[3] = found[1] * side
        found[1] -= found[3]
    return found


def tipped(seed: int) -> Tensor:
    """The same, where one picture in ten takes a screw's tip, a third of it, for a third class."""
    found = torch.cat([shares(seed), torch.zeros(1, *SIZE)])
    if seed % 10 == 0:
        screw_, rows = found[1], torch.arange(SIZE[0]).view(-1, 1)
        first = int(screw_.amax(1).nonzero()[0])  # the topmost row of any screw
        found[3] = screw_ * (rows < first + 8)
        found[1] = screw_ - found[3]
    return found


def beside_a_carrier(seed: int) -> Tensor:
    """The same screws and ring on a plate, class 3, that touches them all: joined ones are one component."""
    found = torch.cat([halved(seed), torch.zeros(1, *SIZE)])
    found[4] = found[0]
    found[0] = 0.0
    return found


def gathered(branch: Shapes, maps: Tensor) -> Tensor:
    return branch.gather(branch.ways(maps))


def judged(branch: Shapes, maps: Tensor) -> JudgedShapes:
    found: JudgedShapes = branch(branch.figures(maps))
    return found


def taught(make: Callable[[int], Tensor] = shares, **options: Any) -> Shapes:
    good = torch.stack([make(seed) for seed in range(60)])
    branch = Shapes(good.shape[1] - 1, SIZE, ShapesOptions.model_validate({"stride": 2, **options}))
    branch.learn(gathered(branch, good))
    return branch.eval()


@pytest.mark.parametrize("flaw", [{"bend": 0.6}, {"length": 17}], ids=["bent", "broken off"])
def test_a_spoilt_screw_scores_higher_and_is_marked(flaw: dict[str, float]) -> None:
    branch = taught()
    spoilt = shares(100, **flaw)
    found = judged(branch, torch.stack([*[shares(seed) for seed in range(200, 220)], spoilt]))
    scores, maps = found.scores, found.maps
    assert scores[-1] > 1.5 * scores[:-1].max()
    assert maps.shape == (21, *SIZE)
    assert maps[-1].max() == pytest.approx(float(scores[-1] - branch.reach[1]))
    assert maps[:-1].max() < 0.2 * maps[-1].max()
    marked = maps[-1] == maps[-1].max()
    assert spoilt[1][marked].float().mean() > 0.8
    assert marked.sum() < 0.6 * spoilt[1].sum()
    assert maps[-1][~torch.nn.functional.max_pool2d(1 - spoilt[:1], 5, 1, 2)[0].bool()].max() == 0


def test_entries_stay_where_a_part_is_turned() -> None:
    describing = Describing(1, SIZE, 1)
    turned = np.stack([screw((64, 48), turn, bend=0.5) for turn in np.linspace(0, 2 * np.pi, 24)])
    mask = torch.from_numpy(turned).float().unsqueeze(1)
    found = describing(torch.cat([1 - mask, mask], 1))
    there = found.areas > 0
    assert there.sum(1).tolist() == [1] * 24
    vectors = found.vectors[there]
    assert vectors.shape == (24, len(ENTRIES))
    assert vectors.std(0).max() < 0.06
    np.testing.assert_allclose(found.areas[there], turned.sum((1, 2)), rtol=1e-4)


def test_length_and_width_are_those_of_a_bar() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:28, 10:50] = 1
    found = Describing(1, (64, 64), 2)(torch.cat([1 - mask, mask], 1))
    vector = found.vectors[0, 0].exp()
    np.testing.assert_allclose(vector[:3], [80, 20 / 12**0.5, 4 / 12**0.5], rtol=0.02)


def test_parts_that_two_classes_share_are_joined() -> None:
    assert len(taught().hole) == 0
    branch = taught(halved)
    assert branch.hole.tolist() == pytest.approx([0.003 * SIZE[0] * SIZE[1] / 4])
    scores = judged(branch, torch.stack([halved(seed) for seed in range(300, 320)])).scores
    spoilt = torch.cat([shares(101, bend=0.6), torch.zeros(1, *SIZE)])
    assert judged(branch, spoilt.unsqueeze(0)).scores > 1.5 * scores.max()


def test_parts_of_which_one_in_ten_pictures_cuts_a_piece_are_joined() -> None:
    """Each piece is one of sixty components, but one good picture in ten would look broken."""
    branch = taught(tipped)
    assert len(branch.hole) == 1
    scores = judged(branch, torch.stack([tipped(seed) for seed in range(300, 320)])).scores
    spoilt = torch.cat([shares(101, bend=0.6), torch.zeros(1, *SIZE)])
    assert judged(branch, spoilt.unsqueeze(0)).scores > 1.5 * scores.max()


def test_parts_on_a_carrier_are_not_joined_with_it() -> None:
    assert len(taught(beside_a_carrier).hole) == 0


def test_a_hole_is_part_of_what_surrounds_it_whatever_its_class() -> None:
    disc = torch.from_numpy(cv2.circle(np.zeros(SIZE, np.uint8), (64, 48), 12, 1, -1)).float()
    hole = torch.from_numpy(cv2.circle(np.zeros(SIZE, np.uint8), (64, 48), 4, 1, -1)).float()
    ground = torch.stack([1 - disc + hole, disc - hole, 0 * hole])
    own_class = torch.stack([1 - disc, disc - hole, hole])
    seen = [Describing(2, SIZE, 2)(maps.unsqueeze(0), torch.tensor(40.0)) for maps in (ground, own_class)]
    areas = [float(found.areas.max()) for found in seen]
    np.testing.assert_allclose(areas[0], areas[1], rtol=0.01)


def test_several_that_touch_are_not_judged() -> None:
    branch = taught()
    labels = screw((30, 48), 0.0) | screw((56, 48), 0.0)
    maps = torch.from_numpy(np.stack([labels == 0, labels == 1, labels > 1]).astype(np.float32))
    assert judged(branch, maps.unsqueeze(0)).scores == 0


def test_taught_pictures_count_as_if_learnt_together() -> None:
    good = torch.stack([shares(seed) for seed in range(40)])
    together, apart = (Shapes(2, SIZE, ShapesOptions()) for _ in range(2))
    together.learn(gathered(together, good))
    apart.learn(gathered(apart, good[:25]))
    apart.teach(gathered(apart, good[25:]))
    for name, value in together.state_dict().items():
        torch.testing.assert_close(apart.state_dict()[name], value)


def test_what_counts_as_a_component_stays_where_further_pictures_share_their_classes() -> None:
    assert len(taught(halved).hole) == 1
    branch = Shapes(3, SIZE, ShapesOptions(stride=2))
    whole, shared = (
        torch.stack([halved(seed) for seed in range(60) if bool(seed % 5) == kept]) for kept in (True, False)
    )
    branch.learn(gathered(branch, whole))
    branch.teach(gathered(branch, shared))
    assert len(branch.hole) == 0


def test_nothing_is_judged_where_good_pictures_show_nothing() -> None:
    branch = Shapes(2, SIZE, ShapesOptions())
    ground = torch.zeros(4, 3, *SIZE)
    ground[:, 0] = 1
    branch.learn(gathered(branch, ground))
    found = judged(branch, torch.stack([shares(0), ground[0]]))
    assert not any(getattr(found, name).any() for name in JudgedShapes.__slots__)


def test_refuses_a_size_that_its_squares_do_not_fill() -> None:
    with pytest.raises(OptionError, match=r"multiples of the shapes' stride 4.*62x64.*shapes.stride=1"):
        Shapes(1, (62, 64), ShapesOptions(stride=4))


@pytest.mark.parametrize(
    ("flaw", "entry", "more"),
    [({"bend": 0.6}, "threefold across", True), ({"length": 17}, "length", False)],
    ids=["bent", "broken off"],
)
def test_the_spoilt_one_is_told_with_what_is_usual(flaw: dict[str, float], entry: str, more: bool) -> None:
    spoilt = shares(100, **flaw)
    found = judged(taught(), spoilt.unsqueeze(0))
    squares = torch.nn.functional.interpolate(found.odd.float().unsqueeze(1), SIZE)[0, 0]
    assert spoilt[1][squares == 1].mean() > 0.8
    told, low, high = (
        dict(zip(NAMES, ends[0].tolist(), strict=True)) for ends in (found.told, found.low, found.high)
    )
    assert told["0/distance"] == pytest.approx(float(found.scores))
    assert told["0/distance"] > 1.5 * high["0/distance"] > 1.5 * low["0/distance"] > 0
    assert 0.9 < low["0/length"] < 1 < high["0/length"] < 1.1
    away = told[f"0/{entry}"] - (high if more else low)[f"0/{entry}"]
    assert away > 0.1 if more else away < -0.1
    assert (told["1/distance"], told["1/length"]) != (0, 0)


class Answers(torch.nn.Module):
    """What a branch says, one tensor after the other."""

    def __init__(self, branch: Shapes) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, maps: Tensor) -> tuple[Tensor, ...]:
        found = judged(self.branch, maps)
        return tuple(getattr(found, name) for name in JudgedShapes.__slots__)


@pytest.mark.slow
@pytest.mark.parametrize("make", [shares, halved], ids=["of one class", "joined"])
def test_engines_answer_as_the_branch_does(
    make: Callable[..., Tensor],
    exported: Callable[[torch.nn.Module, Tensor], dict[str, tuple[NDArray[Any], ...]]],
) -> None:
    branch = Answers(taught(make))
    bent = shares(1, bend=0.6)
    further = [torch.zeros(1, *SIZE)] * (make is halved)
    batch = torch.stack([make(400), torch.cat([bent, *further]), make(403)])
    with torch.no_grad():
        expected = branch(batch)
    for answers in exported(branch, batch).values():
        for found, wanted in zip(answers, expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3, atol=1e-3)


def test_components_that_are_all_of_one_shape_are_a_kind() -> None:
    same = np.repeat(np.array([[100.0, 1, 0.5, 0.25, 0, 0, 0, 0, 0]]), 24, 0)
    kind = Kind(same, 0.02)
    assert (len(kind.vectors), kind.area, kind.usual) == (24, 100.0, 1.0)
