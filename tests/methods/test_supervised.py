"""What classifier, DevNet and DRA share: bad input, repeatability, resumption, folded weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError
from flawscope.methods.registry import create
from flawscope.methods.running import score
from flawscope.methods.supervised import base as supervised
from flawscope.methods.supervised.base import SupervisedDetector, TrainingPictures
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.run import Checkpoints, Run

METHODS = ("classifier", "devnet", "dra")
SMALL = {
    "weights": "random",
    "backbone": "resnet18",
    "layers": ("layer2",),
    "size": (64, 64),
    "steps": 2,
    "batch": 4,
}

Make = Callable[[int, int], TrainingData]


def small(method: str, **changes: Any) -> SupervisedDetector:
    detector = create(method, {**SMALL, **changes})
    assert isinstance(detector, SupervisedDetector)
    return detector


@pytest.mark.parametrize("method", METHODS)
def test_no_defective_pictures_is_an_error(method: str, supervised_data: Make) -> None:
    data = supervised_data(4, 1)
    for defective in (None, data.normal.subset([])):
        with pytest.raises(DataError, match="defective pictures: expected at least 1"):
            small(method).fit(TrainingData(data.normal, data.tuning, None, defective), Run())


@pytest.mark.parametrize("method", METHODS)
def test_one_defective_picture_is_enough(method: str, supervised_data: Make) -> None:
    data = supervised_data(3, 1)
    answer = score(small(method).fit(data, Run()), data.normal, Run())
    assert answer["score"].shape == (3,)


def test_another_seed_or_other_pictures_do_not_take_up_a_checkpoint(
    supervised_data: Make, tmp_path: Path
) -> None:
    data = supervised_data(5, 3)
    run = Run(checkpoints=Checkpoints(tmp_path / "kept"))
    small("classifier").fit(data, run)
    small("classifier").fit(data, replace(run, seed=1))
    small("classifier").fit(replace(data, defective=data.defective.subset([0, 1])), run)  # type: ignore[union-attr]
    assert len(list((tmp_path / "kept").iterdir())) == 3


def test_backbone_and_heads_learn_and_their_statistics_move(supervised_data: Make) -> None:
    detector = small("devnet")
    before = {name: value.clone() for name, value in detector.networks.state_dict().items()}
    detector.fit(supervised_data(4, 2), Run())
    moved = {
        name for name, value in detector.networks.state_dict().items() if not torch.equal(value, before[name])
    }
    assert {"backbone.body.conv1.weight", "backbone.body.bn1.running_mean", "heads.head.weight"} <= moved
    assert not any(value.requires_grad for value in detector.parameters())


def test_frozen_batch_norms_keep_their_statistics(supervised_data: Make) -> None:
    detector = small("devnet", batch_norm="frozen").fit(supervised_data(4, 2), Run())
    assert not detector.networks.backbone.body.get_buffer("bn1.running_mean").any()


def test_folded_weights_need_frozen_batch_norms(
    supervised_data: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(backbone: Backbone) -> None:
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.zeros_(module.running_mean)

    monkeypatch.setattr(supervised, "load_pretrained", load)
    data = supervised_data(4, 2)
    with pytest.raises(OptionError, match="batch_norm=frozen"):
        small("devnet", weights="pretrained").fit(data, Run())
    small("devnet", weights="pretrained", batch_norm="frozen").fit(data, Run())


def test_heads_read_the_layer_that_is_named() -> None:
    assert small("devnet", layers=("layer3",)).networks.heads["head"].weight.shape == (1, 256, 1, 1)
    assert (
        small("classifier", backbone="tf_efficientnet_lite0", layers=None).networks.heads["head"].in_features
        == 320
    )
    with pytest.raises(OptionError, match="one layer"):
        small("devnet", layers=("layer2", "layer3"))


def test_streams_are_epochs_of_each_part(supervised_data: Make) -> None:
    data = supervised_data(6, 2)
    assert data.defective is not None
    pictures = TrainingPictures(data.normal, data.defective, None, Run())

    def rows(pixels: torch.Tensor, of: Any) -> list[int]:
        known = torch.stack([torch.from_numpy(of[index]) for index in range(len(of))])
        return [int((known - each).abs().flatten(1).amax(1).argmin()) for each in pixels]

    drawn = [pictures.drawn(3, 2, step) for step in range(4)]
    good = [index for pixels, _ in drawn for index in rows(pixels, data.normal)]
    assert sorted(good[:6]) == sorted(good[6:]) == list(range(6))
    assert [sorted(rows(pixels, data.defective)) for _, pixels in drawn] == [[0, 1]] * 4
    mixed = [pictures.mixed(4, step) for step in range(2)]
    assert sum(int(defective.sum()) for _, defective in mixed) == 2
    found = [index for pixels, defective in mixed for index in rows(pixels[defective], data.defective)]
    assert sorted(found) == [0, 1]
