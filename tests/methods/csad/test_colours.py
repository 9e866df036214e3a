"""Colours: a cracked or stained part is told among good ones that lie anywhere and any way round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.errors import OptionError
from flawscope.methods.csad.colours import NAMES, Colours, ColoursOptions, JudgedColours, rows_of
from flawscope.methods.csad.figures import Describing
from flawscope.methods.registry import create

SIZE = (96, 128)
PLACES = ((24, 24), (24, 72), (72, 24), (72, 72), (104, 48))
STEEL, BRASS, GROUND = (0.5, 0.5, 0.55), (0.6, 0.5, 0.2), (0.3, 0.25, 0.2)

Scene = tuple[Tensor, Tensor]


def scene(seed: int, flaw: str = "") -> Scene:
    """Pixels (3, H, W) and shares (3, H, W): three washers, class 1, and a nut, class 2, on the same outline.

    The flaw is the first washer's: a crack through it or a brown stain on it, which no label map shows.
    """
    random = np.random.default_rng(seed)
    pixels, labels = np.empty((*SIZE, 3), np.float32), np.zeros(SIZE, np.uint8)
    pixels[:] = np.array(GROUND) * random.uniform(0.9, 1.1)
    for number, place in enumerate(random.permutation(PLACES)[:4]):
        centre = int(place[0] + random.integers(-4, 5)), int(place[1] + random.integers(-4, 5))
        metal = np.array(BRASS if number == 3 else STEEL) * random.uniform(0.9, 1.1)
        cv2.circle(labels, centre, 11, 1 + (number == 3), -1)
        cv2.circle(pixels, centre, 9, metal.tolist(), 5)
        turn = random.uniform(0, 2 * math.pi)
        x, y = round(centre[0] + 9 * math.cos(turn)), round(centre[1] + 9 * math.sin(turn))
        if flaw == "crack" and number == 0:
            cv2.line(pixels, centre, (2 * x - centre[0], 2 * y - centre[1]), GROUND, 3)
        if flaw == "stain" and number == 0:
            cv2.circle(pixels, (x, y), 4, (0.25, 0.12, 0.05), -1)
    pixels += random.normal(0, 0.01, pixels.shape).astype(np.float32)
    shares = np.stack([labels == label for label in range(3)]).astype(np.float32)
    return torch.from_numpy(pixels.transpose(2, 0, 1).clip(0, 1)), torch.from_numpy(shares)


def stacked(scenes: Sequence[Scene]) -> Scene:
    pixels, shares = zip(*scenes, strict=True)
    return torch.stack(pixels), torch.stack(shares)


class Branch(torch.nn.Module):
    """Looks at components of one class each, all of which can be judged."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.describing = Describing(2, SIZE, 2)
        self.colours = Colours(2, ColoursOptions.model_validate({"rings": 4, **options}))

    def rows(self, scenes: Sequence[Scene]) -> Tensor:
        pixels, shares = stacked(scenes)
        figures = self.describing(shares)
        return rows_of(self.colours.described(pixels, figures), figures.kinds, (figures.areas > 0).float())

    def judged(self, *scenes: Scene) -> JudgedColours:
        pixels, shares = stacked(scenes)
        figures = self.describing(shares)
        found: JudgedColours = self.colours(pixels, figures, (figures.areas > 0).float())
        return found

    def forward(self, pixels: Tensor, shares: Tensor) -> tuple[Tensor, ...]:
        figures = self.describing(shares)
        found = self.colours(pixels, figures, (figures.areas > 0).float())
        return found.scores, found.told, found.low, found.high


@pytest.fixture(scope="module", params=[None, 6], ids=["measured", "ranked"])
def taught(request: pytest.FixtureRequest) -> Branch:
    branch = Branch(ranks=request.param)
    branch.colours.learn(branch.rows([*map(scene, range(40))]), branch.rows([*map(scene, range(50, 72))]))
    return branch.eval()


@pytest.mark.parametrize(("flaw", "entry", "more"), [("crack", "contrast", True), ("stain", "blue", False)])
def test_a_spoilt_part_scores_higher_and_is_told_by_its_colours(
    taught: Branch, flaw: str, entry: str, more: bool
) -> None:
    spoilt = scene(100, flaw)
    found = taught.judged(*map(scene, range(200, 220)), spoilt)
    assert found.scores[-1] > 2 * found.scores[:-1].max()
    figures = taught.describing(spoilt[1].unsqueeze(0))
    assert figures.kinds[0, found.order[-1, 0]] == 1
    changed = ((spoilt[0] - scene(100)[0]).abs().amax(0) > 0.05).nonzero().float().mean(0)  # down and across
    middle = 2 * figures.centres[0, found.order[-1, 0]] + 0.5
    assert (changed.flip(0) - middle).norm() < 11
    told, low, high = (
        dict(zip(NAMES, ends[-1].tolist(), strict=True)) for ends in (found.told, found.low, found.high)
    )
    assert told["0/distance"] > 1.5 * high["0/distance"] > low["0/distance"] > 0
    assert told[f"0/{entry}"] > high[f"0/{entry}"] if more else told[f"0/{entry}"] < low[f"0/{entry}"]
    assert low["0/light"] < 1 < high["0/light"]


def test_entries_are_mean_logarithms_of_rings_from_dark_to_light() -> None:
    colours = Colours(1, ColoursOptions(rings=2, ranks=2, reach=2.0))
    part = np.zeros((64, 64), np.float32)
    part[12:52, 12:52] = 1
    shares = torch.from_numpy(np.stack([1 - part, part])[None])
    pixels = torch.full((1, 3, 64, 64), 0.8)
    pixels[:, :, :, :32] = 0.2
    pixels[:, 2] = 0.4
    figures = Describing(1, (64, 64), 2)(shares)
    entries = colours.described(pixels, figures)[0, 0].reshape(3, 2, 2)
    expected = np.log([[[0.2, 0.8]] * 2] * 2 + [[[0.4, 0.4]] * 2])
    np.testing.assert_allclose(entries, expected, atol=0.1)  # where the halves meet, pixels are read between
    np.testing.assert_allclose(figures.centres[0, 0], [15.5, 15.5], atol=1e-3)


def test_entries_are_mean_deviation_and_roughness_of_light_and_hues() -> None:
    colours = Colours(1, ColoursOptions(rings=1, reach=1.0))
    part = np.zeros((64, 64), np.float32)
    part[12:52, 12:52] = 1
    shares = torch.from_numpy(np.stack([1 - part, part])[None])
    pixels = torch.full((1, 3, 64, 64), 0.8)
    pixels[:, 0, :, :32] = 0.2  # red alone differs, by a factor of 4, from half to half
    entries = colours.described(pixels, Describing(1, (64, 64), 2)(shares))[0, 0].reshape(5, 3)
    half = np.log(4) / 2
    uneven = [np.log(half), np.log(half * np.sqrt(4 / 48))]  # four of 48 steps are half of the way each
    still = [np.log(0.01)] * 2
    red, green = np.log(0.4), np.log(0.8)
    expected = [[red, *uneven], [green, *still], [green, *still], [red - green, *uneven], [0, *still]]
    np.testing.assert_allclose(entries, expected, atol=0.15)  # pixels are read between
    np.testing.assert_allclose(entries[:, 0], np.array(expected)[:, 0], atol=1e-5)


@pytest.mark.parametrize("ranks", [None, 6])
def test_entries_stay_where_a_part_is_turned_and_moved(ranks: int | None) -> None:
    colours, describing = Colours(1, ColoursOptions(rings=4, ranks=ranks)), Describing(1, (96, 96), 2)
    canvas, mask = np.full((96, 96, 3), 0.2, np.float32), np.zeros((96, 96), np.uint8)
    for image, colour in ((canvas, (0.7, 0.6, 0.5)), (mask, 1)):
        cv2.ellipse(image, (48, 48), (30, 9), 0, 0, 360, colour, -1)
    cv2.circle(canvas, (66, 48), 5, (0.3, 0.2, 0.1), -1)
    vectors = []
    for turn in range(0, 360, 45):
        way = cv2.getRotationMatrix2D((48, 48), turn, 1)
        way[:, 2] += turn / 90
        turned = cv2.warpAffine(canvas, way, (96, 96), borderMode=cv2.BORDER_REPLICATE)
        part = cv2.warpAffine(mask, way, (96, 96)).astype(np.float32)
        figures = describing(torch.from_numpy(np.stack([1 - part, part])[None]))
        vectors.append(colours.described(torch.from_numpy(turned.transpose(2, 0, 1)[None]), figures)[0, 0])
    assert torch.stack(vectors).std(0).max() < 0.12
    assert vectors[0].std() > 0.3


def test_a_class_with_few_good_components_is_not_judged_and_one_without_any_neither() -> None:
    branch = Branch()
    branch.colours.learn(branch.rows([*map(scene, range(12))]))  # 36 washers, 12 nuts
    assert branch.colours.known.tolist() == [1, 0]
    pixels, shares = scene(0)
    nuts = torch.stack([1 - shares[2], 0 * shares[1], shares[2]])
    ground = torch.stack([torch.ones(SIZE), *torch.zeros(2, *SIZE)])
    found = branch.eval().judged((pixels, nuts), (pixels, ground))
    assert found.scores.tolist() == [-8, -8]
    assert not any(getattr(found, name).any() for name in ("told", "low", "high"))
    nothing = Branch()
    nothing.colours.learn(nothing.rows([(pixels, ground)] * 3))
    assert nothing.eval().judged((pixels, shares)).scores.tolist() == [-8]


def test_where_few_are_held_out_each_good_one_counts_as_if_it_had_been() -> None:
    good, further = [*map(scene, range(40))], [*map(scene, range(50, 80))]
    alone, beside = Branch(), Branch()
    alone.colours.learn(alone.rows(good))
    beside.colours.learn(beside.rows(good), beside.rows(further))
    torch.testing.assert_close(alone.colours.levels.zero, beside.colours.levels.zero, rtol=0.1, atol=0)


def test_taught_pictures_count_as_if_learnt_together() -> None:
    good, further = [*map(scene, range(30))], [*map(scene, range(50, 72))]
    together, apart = Branch(), Branch()
    together.colours.learn(together.rows(good), together.rows(further))
    apart.colours.learn(apart.rows(good[:20]), apart.rows(further))
    apart.colours.teach(apart.rows(good[20:]))
    for name, value in together.colours.state_dict().items():
        torch.testing.assert_close(apart.colours.state_dict()[name], value)


def test_no_more_components_are_kept_than_asked_and_those_of_before_make_room() -> None:
    branch = Branch(components=30)
    branch.colours.learn(branch.rows([*map(scene, range(40))]))
    washers, nuts = (branch.colours.seen[branch.colours.seen[:, 1] == label, 0] for label in (1, 2))
    assert washers.unique().tolist() == [round(index * 39 / 9) for index in range(10)]
    assert nuts.tolist() == [round(index * 39 / 29) for index in range(30)]
    branch.colours.teach(branch.rows([*map(scene, range(50, 54))]))
    washers = branch.colours.seen[branch.colours.seen[:, 1] == 1, 0]
    assert washers.unique().tolist()[-4:] == [40, 41, 42, 43]
    assert len(washers) == 30


@pytest.mark.parametrize("components", [20, 21, 29])
def test_the_fewest_components_that_can_be_asked_for_are_enough_to_judge_by(components: int) -> None:
    branch = Branch(components=components)  # three washers a picture: 6 pictures hold 18 of them
    rows = branch.rows([*map(scene, range(40))])
    branch.colours.learn(rows)
    assert branch.colours.known.tolist() == [1, 1]
    branch.colours.teach(rows[rows[:, 0] < 5])
    assert branch.colours.known.tolist() == [1, 1]
    assert all(20 <= (branch.colours.seen[:, 1] == label).sum() < components + 3 for label in (1, 2))


def test_a_class_is_taught_that_good_pictures_did_not_show_before() -> None:
    branch = Branch(components=30)
    rows = branch.rows([*map(scene, range(30))])
    branch.colours.learn(rows[rows[:, 1] == 2])
    branch.colours.teach(rows)  # more than all that are kept of a class
    assert branch.colours.known.tolist() == [1, 1]


def test_little_more_components_are_looked_at_than_good_pictures_have(taught: Branch) -> None:
    good, spoilt = [*map(scene, range(40))], scene(100, "crack")
    branch = Branch(ranks=taught.colours.options.ranks)
    branch.colours.learn(branch.rows(good), branch.rows([*map(scene, range(50, 72))]), most=4)
    found, expected = branch.eval().judged(spoilt), taught.judged(spoilt)
    assert (len(branch.colours.slots), len(taught.colours.slots)) == (4 + 1 + 4, 64)
    for name in ("scores", "told", "low", "high"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))
    branch.colours.teach(branch.rows(good[:4]), most=3)
    assert len(branch.colours.slots) == 9


def test_colours_need_shapes() -> None:
    with pytest.raises(OptionError, match="colours need shapes, which find the components"):
        create("csad", {"colours": {}})


@pytest.mark.slow
def test_engines_answer_as_the_branch_does(
    taught: Branch, exported: Callable[..., dict[str, tuple[NDArray[Any], ...]]]
) -> None:
    batch = stacked([scene(400), scene(401, "crack"), scene(402, "stain")])
    with torch.no_grad():
        expected = taught(*batch)
    for answers in exported(taught, *batch).values():
        for found, wanted in zip(answers, expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), rtol=2e-3, atol=2e-3)
