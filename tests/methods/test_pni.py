"""PNI: what is usual at a place, by position and by neighbourhood, in cases worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.pni.detector import PNI, Neighbourhoods, usual_by_position
from flawscope.methods.pni.surroundings import Surroundings
from flawscope.methods.registry import create
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame

SMALL: dict[str, Any] = {
    "size": (64, 64),
    "backbone": "test_resnet",
    "weights": "random",
    "neighbourhood": 1,
    "reach": 1,
    "coreset": 0.3,
    "classes": 8,
    "width": 16,
    "depth": 3,
    "steps": 30,
    "batch": 32,
}


def test_members_are_usual_where_good_pictures_show_them() -> None:
    where = torch.tensor([[[0, 0, 1, 2]], [[0, 0, 1, 1]]])  # two pictures of 1×4 cells, three members
    usual = usual_by_position(where, 3, 0, 0.5)
    assert usual.tolist() == [
        [True, False, False],
        [True, False, False],
        [False, True, False],
        [False, True, True],
    ]
    # within one cell, the third has 2 of 6 from its left and 1 of 6 from its right: all count from 1/6 on
    assert usual_by_position(where, 3, 1, 0.5)[2].tolist() == [True, True, False]
    assert usual_by_position(where, 3, 1, 0.4)[2].tolist() == [True, True, True]


def surroundings() -> Surroundings:
    torch.manual_seed(0)
    made = Surroundings(3, 4, reach=1, width=5, depth=3, dropout=0.5)
    return made.requires_grad_(False).eval()


def test_the_network_does_not_see_the_cell_itself() -> None:
    network, features = surroundings(), torch.rand(1, 3, 3, 3)
    other = features.clone()
    other[..., 1, 1] = 9
    torch.testing.assert_close(network(features), network(other))
    other[..., 0, 1] = 9
    assert not torch.allclose(network(features), network(other))


def test_neighbourhoods_are_those_of_whole_maps() -> None:
    network, features = surroundings(), torch.rand(2, 4, 5, 3)  # (n, h, w, D)
    told = torch.arange(40).view(2, 4, 5)
    draws = Neighbourhoods(features, told, 1)
    around, kinds = draws(torch.arange(len(draws)))
    assert kinds.tolist() == list(range(40))
    whole = network(network.padded(features.permute(0, 3, 1, 2)))  # (2, 4, 4, 5)
    torch.testing.assert_close(network(around).flatten(1), whole.permute(0, 2, 3, 1).flatten(0, 2))


def halves(folder: Path, count: int) -> Pictures:
    """Dark at the left, bright at the right."""
    samples = []
    for number in range(count):
        picture = np.random.default_rng(number).integers(40, 60, (64, 64, 3), dtype=np.uint8)
        picture[:, 32:] += 150
        path = folder / f"{number}.png"
        Image.fromarray(picture).save(path)
        samples.append(Sample(path, "train", defective=False))
    return PictureFiles(samples, Frame(64, 64))


@pytest.mark.parametrize("information", ["both", "position", "neighbourhood"])
def test_what_is_usual_elsewhere_is_found(information: str, tmp_path: Path) -> None:
    pictures = halves(tmp_path, 6)
    detector = create("pni", {**SMALL, "information": information})
    assert isinstance(detector, PNI)
    data = TrainingData(normal=pictures.subset(range(5)), tuning=pictures.subset(range(0)))
    detector.fit(data, Run())
    good = torch.from_numpy(pictures[5])
    odd = good.clone()
    odd[:, 16:48, 8:24] = good[:, 16:48, 40:56]  # a bright patch among the dark ones
    with torch.inference_mode():
        answer = detector(torch.stack([good, odd]))
    assert answer["score"][1] > answer["score"][0]
    if information != "neighbourhood":
        assert answer["score"][1] > 1.5 * answer["score"][0]
        assert answer["heatmap"][1, :, :32].amax() > answer["heatmap"][1, :, 40:].amax()
    assert bool(detector.learnt.history) == (information != "position")


def test_a_picture_too_small_for_its_borders_is_refused() -> None:
    with pytest.raises(OptionError, match="option 'size' of pni: expected more than 8 cells a side"):
        create("pni", {**SMALL, "neighbourhood": 9})
