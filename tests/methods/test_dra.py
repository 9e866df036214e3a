"""DRA's heads, losses, pseudo anomalies and references."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from flawscope.data.pictures import PictureFiles
from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.methods.dra import (
    AREA,
    DRA,
    NORMAL,
    PSEUDO,
    SEEN,
    HeadScores,
    NormalityHead,
    ResidualHead,
    head_losses,
    moved_pieces,
)
from flawscope.methods.registry import create
from flawscope.nn.run import Run

SMALL = {"weights": "random", "backbone": "resnet18", "size": (64, 64), "steps": 1, "batch": 8}
Make = Callable[[int, int], TrainingData]


def small(**changes: Any) -> DRA:
    detector = create("dra", {**SMALL, **changes})
    assert isinstance(detector, DRA)
    return detector


def test_head_losses_by_hand() -> None:
    prior = torch.tensor([-1.0, 0.0, 1.0])  # mean 0, standard deviation 1
    kinds = torch.tensor([NORMAL, SEEN, PSEUDO])
    scores = HeadScores(
        seen=torch.tensor([1.0, 2.0, 100.0]),  # the pseudo anomaly is none of its own
        pseudo=torch.tensor([-0.5, 100.0, 4.0]),
        residual=torch.tensor([0.25, 1.0, 6.0]),
        normality=torch.tensor([3.0, 0.5, -2.0]),
    )
    losses = head_losses(scores, kinds, prior, margin=5.0)
    expected = {
        "seen": (1.0 + 3.0) / 2,
        "pseudo": (0.5 + 1.0) / 2,
        "residual": (0.25 + 4.0 + 0.0) / 3,
        "normality": (2.0 + 0.5 + 2.0) / 3,
    }
    assert {name: float(losses[name]) for name in expected} == pytest.approx(expected)
    assert float(losses["total"]) == pytest.approx(sum(expected.values()))
    torch.testing.assert_close(scores.anomaly(), torch.tensor([-2.25, 102.5, 112.0]))


def test_heads_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 3.0]], [[2.0, 4.0]]]])  # (1, 2, 1, 2)
    residual = ResidualHead(2).eval()
    with torch.no_grad():
        for parameter in residual.parameters():
            parameter.zero_()
        residual.mix[0].weight[0, 0, 1, 1] = residual.mix[0].weight[1, 1, 1, 1] = 1.0
        residual.mix[1].weight.fill_((1 + residual.mix[1].eps) ** 0.5)
        residual.plain.score.weight[0, :, 0, 0] = torch.tensor([1.0, 10.0])
        found = residual(maps, torch.tensor([[[[2.0, 2.0]], [[2.5, 0.0]]]]))
    torch.testing.assert_close(found, torch.tensor([[[6.0, 0.0]]]))  # 1 + 5, and both negative
    normality = NormalityHead(2).eval()
    with torch.no_grad():
        pooled = torch.tensor([[2.0, 3.0]])
        expected = normality.score(normality.hidden(pooled).clamp_min(0))[0]
        torch.testing.assert_close(normality(maps), expected)


def test_pieces_move_within_the_picture_and_hold_the_stated_area() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(40, 3, 48, 64) * 0.3 + 0.35
    before = pixels.clone()
    made = moved_pieces(pixels)
    assert torch.equal(pixels, before)
    assert made.min() >= 0
    assert made.max() <= 1
    for picture, source in zip(made, pixels, strict=True):
        changed = (picture != source).any(0)
        rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
        box = (int(rows.max() - rows.min()) + 1) * (int(columns.max() - columns.min()) + 1)
        assert AREA[0] * 0.8 <= box / changed.numel() <= AREA[1] * 1.1
        assert int(changed.sum()) > 0.9 * box  # one rectangle


def test_references_are_the_mean_features_of_a_few_good_pictures(supervised_data: Make) -> None:
    data = supervised_data(3, 2)
    detector = small(reference_pictures=5).fit(data, Run())  # fewer than asked for: all three
    pixels = torch.from_numpy(np.stack(list(data.normal)))
    with torch.inference_mode():
        full = detector.maps(pixels).mean(0, keepdim=True)
        half = detector.maps(F.avg_pool2d(pixels, 2)).mean(0, keepdim=True)
    torch.testing.assert_close(detector.get_buffer("reference_0"), full)
    torch.testing.assert_close(detector.get_buffer("reference_1"), half)


@pytest.mark.parametrize("absolute", [False, True])
def test_outputs_follow_from_heads_and_scales(supervised_data: Make, absolute: bool) -> None:
    detector = small(absolute=absolute, layers=("layer2",)).fit(supervised_data(6, 2), Run())
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    heads: Any = detector.networks.heads
    outcome = torch.abs if absolute else torch.clone
    maps, scores = [], []
    with torch.inference_mode():
        for scale, seen in enumerate((pixels, F.avg_pool2d(pixels, 2))):
            features = detector.maps(seen)
            reference = detector.get_buffer(f"reference_{scale}")
            areas = [
                outcome(heads["seen"](features)),
                outcome(heads["pseudo"](features)),
                outcome(heads["residual"](features, reference)),
            ]
            count = max(int(areas[0][0].numel() * 0.1), 1)
            best = [area.flatten(1).sort(1, descending=True).values[:, :count].mean(1) for area in areas]
            scores.append(torch.stack([*best, outcome(heads["normality"](features))], 1))
            maps.append(F.interpolate(sum(areas)[:, None], (64, 64), mode="bilinear")[:, 0])
        answer = detector(pixels)
    expected = (scores[0] + scores[1]) / 2
    torch.testing.assert_close(answer["heads"], expected)
    torch.testing.assert_close(answer["score"], expected[:, :3].sum(1) - expected[:, 3])
    torch.testing.assert_close(answer["heatmap"], (maps[0] + maps[1]) / 2, rtol=1e-4, atol=1e-5)


def test_natural_pictures_as_pseudo_anomalies(supervised_data: Make) -> None:
    data = supervised_data(4, 2)
    with pytest.raises(DataError, match="natural pictures"):
        small(pseudo="natural").fit(data, Run())
    natural = TrainingData(data.normal, data.tuning, data.tuning, data.defective)
    assert small(pseudo="natural").fit(natural, Run()).learnt.history


def test_beside_segad_it_gets_natural_pictures_and_defects_of_other_parts(supervised_data: Make) -> None:
    known = supervised_data(6, 4)
    data = replace(known, natural=known.normal.subset([0]), normal=known.normal.subset(range(1, 6)))
    spec = {"backbone": "test_resnet", "weights": "random"}
    beside = {"method": "dra", "options": {**spec, "pseudo": "natural", "steps": 1, "batch": 4}}
    values = {
        "size": [64, 64],
        "segments": {"kind": "one"},
        "detectors": [{"method": "patchcore", "options": {**spec, "layers": ["layer2"]}}],
        "classifier": beside,
        "classifier_folds": 2,
        "logistic": {},
    }
    assert "the classifier/score" in str(create("segad", values).fit(data, Run()).outputs)
    same = [replace(sample, group="a") for sample in data.defective.samples] if data.defective else []
    one = replace(data, defective=PictureFiles(same, data.normal.frame))
    with pytest.raises(DataError, match=r"at least 2 parts, .*, got 4 of 1 part"):
        create("segad", values).fit(one, Run())
