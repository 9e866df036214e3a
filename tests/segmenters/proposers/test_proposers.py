"""Proposers by their kind, and the one that needs neither download nor training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.errors import OptionError
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.products import render
from flawscope.runtime.images import Frame
from flawscope.segmenters.proposers import AreasOptions, ProposerOptions, build_proposer

Save = Callable[..., Pictures]
SAMPLE = Sample(Path("a.png"), "train", defective=False)


def drawn(seed: int) -> NDArray[np.uint8]:
    """A disc and a bar on grey ground, another bar upon a large plate, in light that differs by picture."""
    random = np.random.default_rng(seed)
    picture = np.full((96, 128, 3), 90.0)
    cv2.circle(picture, (24, 30), 10, (200, 60, 40), -1)
    cv2.rectangle(picture, (60, 10), (120, 80), (40, 60, 200), -1)
    cv2.rectangle(picture, (80, 30), (90, 60), (220, 220, 60), -1)
    noisy = picture * random.uniform(0.85, 1.15) + random.normal(0, 2, picture.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def test_areas_differ_from_the_ground_and_from_larger_areas_around_them(saved: Save) -> None:
    pictures = saved([drawn(seed) for seed in range(6)], Frame(height=96, width=128))
    proposer = build_proposer(AreasOptions())
    proposer.prepare(pictures, Run())
    found = proposer.propose(drawn(9), SAMPLE)
    assert found.named is None
    assert found.masks.dtype == np.bool_
    sizes = sorted(found.masks.sum((1, 2)).tolist())
    assert sizes == pytest.approx([317, 341, 61 * 71 - 341], rel=0.1)
    bar, plate = found.masks[:, 45, 85], found.masks[:, 45, 65]
    assert (bar.sum(), plate.sum(), (bar & plate).sum()) == (1, 1, 0)


def faint(seed: int) -> NDArray[np.uint8]:
    """Two discs that hardly differ from the ground, and one that does, at any place."""
    random = np.random.default_rng(seed)
    picture = np.full((96, 96, 3), (90.0, 110.0, 90.0))
    for place, colour in zip(
        random.permutation(9), [(99, 108, 90), (99, 108, 90), (200, 60, 40)], strict=False
    ):
        x, y = 18 + 30 * (place % 3), 18 + 30 * (place // 3)
        cv2.circle(picture, (int(x), int(y)), 9, colour, -1)
    return (picture + random.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8)


def test_areas_begin_where_most_of_them_are_constant_in_number(saved: Save) -> None:
    """Faint parts are found, where a distance that is given, and stands, misses them."""
    pictures = saved([faint(seed) for seed in range(14)], Frame(height=96, width=96))
    heard: list[str] = []
    counts = {}
    for distance in (None, 20.0):
        proposer = build_proposer(AreasOptions(distance=distance))
        proposer.prepare(pictures, Run(), Watch(say=heard.append))
        counts[distance] = [len(proposer.propose(faint(seed), SAMPLE).masks) for seed in range(20, 30)]
    assert counts[None] == [3] * 10
    assert sum(counts[20.0]) < 25
    assert len(heard) == 1
    assert heard[0].startswith("Areas begin ")


def pale(seed: int, *, glint: bool) -> NDArray[np.uint8]:
    """A bar of which both ends differ clearly from the ground and the middle hardly does; a faint disc."""
    random = np.random.default_rng(seed)
    picture = np.full((96, 96, 3), (90.0, 90.0, 90.0))
    y = int(random.integers(20, 70))
    cv2.rectangle(picture, (20, y), (70, y + 8), (107, 107, 107), -1)
    for left in (20, 58):
        cv2.rectangle(picture, (left, y), (left + 12, y + 8), (130, 130, 130), -1)
    if glint:
        cv2.circle(picture, (84, 10), 8, (107, 107, 107), -1)
    return (picture + random.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("grown", "expected"), [(1.0, [117, 117]), (0.5, [459]), (0.3, [459])])
def test_areas_reach_further_in_from_where_they_begin(saved: Save, grown: float, expected: list[int]) -> None:
    pictures = saved([pale(seed, glint=False) for seed in range(6)], Frame(height=96, width=96))
    proposer = build_proposer(AreasOptions(distance=8.0, grown=grown))
    proposer.prepare(pictures, Run())
    sizes = proposer.propose(pale(9, glint=True), SAMPLE).masks.sum((1, 2)).tolist()
    assert sizes == pytest.approx(expected, rel=0.1)


def test_plain_pictures_have_no_areas(saved: Save) -> None:
    plain = np.full((64, 96, 3), 90, np.uint8)
    proposer = build_proposer(AreasOptions())
    proposer.prepare(saved([plain, plain], Frame(height=64, width=96)), Run())
    assert proposer.propose(plain, SAMPLE).masks.shape == (0, 64, 96)


def test_pins_of_a_rendered_tray_are_found(saved: Save) -> None:
    rendered = [render("pin_tray", seed=seed, size=192) for seed in range(6)]
    proposer = build_proposer(AreasOptions())
    proposer.prepare(saved([each.picture for each in rendered], Frame(height=192, width=192)), Run())
    masks = proposer.propose(rendered[0].picture, SAMPLE).masks
    small = masks[masks.sum((1, 2)) < 192 * 192 * 0.02].any(0)
    truth = rendered[0].parts == 2
    assert (small & truth).sum() / (small | truth).sum() > 0.75


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "area"}, "kind of proposer: expected a known one, written {kind: areas}, got 'area'. Did"),
        ({}, "kind of proposer: expected a known one, written {kind: areas}, got none. Known: areas, folder"),
        ({"kind": "folder"}, "'maps' of proposer of kind folder: expected a value, got none. It is: folder"),
        (
            {"kind": "areas", "maps": "a"},
            "of proposer of kind areas: expected an option of that kind, got one",
        ),
        ({"kind": "folder", "map": "a", "maps": "a"}, 'got an unknown one. Did you mean "maps"?'),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        TypeAdapter(ProposerOptions).validate_python(values)
