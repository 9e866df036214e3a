"""Pictures and features for many epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.run import Run
from flawscope.nn.training.stores import FeatureStore, PixelStore, shuffled, steps_of
from flawscope.runtime.images import Frame


@pytest.fixture
def pictures(good_pictures: Callable[..., Path]) -> Pictures:
    folder = good_pictures(5)
    samples = [Sample(path, "train", defective=False) for path in sorted(folder.iterdir())]
    return PictureFiles(samples, Frame(48, 64))


def test_every_epoch_holds_each_picture_once_across_batch_borders() -> None:
    drawn = torch.cat([shuffled(7, 3, step, Run(seed=4)) for step in range(7)])
    for epoch in range(3):
        assert sorted(drawn[7 * epoch : 7 * epoch + 7].tolist()) == list(range(7))
    assert not torch.equal(drawn[:7], drawn[7:14])


def test_a_batch_larger_than_the_pictures_spans_epochs() -> None:
    drawn = shuffled(2, 5, 1, Run())
    assert len(drawn) == 5
    assert set(drawn.tolist()) == {0, 1}


def test_draws_follow_seed_step_and_purpose_alone() -> None:
    assert torch.equal(shuffled(50, 8, 3, Run(seed=1)), shuffled(50, 8, 3, Run(seed=1)))
    assert not torch.equal(shuffled(50, 8, 3, Run(seed=1)), shuffled(50, 8, 3, Run(seed=2)))
    assert not torch.equal(shuffled(50, 8, 3, Run()), shuffled(50, 8, 3, Run(), 1))


def test_steps_fill_the_last_batch_up() -> None:
    assert steps_of(2, 10, 16) == 2
    assert steps_of(1, 3, 16) == 1


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_pixels_are_the_pictures_to_one_level_kept_or_not(pictures: Pictures, memory: int) -> None:
    store = PixelStore(pictures, Run(memory=memory))
    assert (store.kept is None) == (memory == 0)
    batch = store.batch([3, 0])
    assert batch.shape == (2, 3, 48, 64)
    assert (batch[0] - torch.from_numpy(pictures[3])).abs().max() <= 0.5 / 255 + 1e-6
    torch.testing.assert_close(store.picture(3).float() / 255, batch[0])


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_features_are_the_backbones_kept_or_not(pictures: Pictures, memory: int) -> None:
    backbone = build_backbone("resnet18", size=(48, 64))
    store = FeatureStore(backbone, pictures, Run(memory=memory))
    assert (len(store.kept) == 0) == (memory == 0)
    found = store.batch(torch.tensor([4, 1]))
    expected = backbone(torch.stack([torch.from_numpy(pictures[4]), torch.from_numpy(pictures[1])]))
    for layer, maps in expected.items():
        torch.testing.assert_close(found[layer], maps, rtol=1e-4, atol=1e-5)


def test_memory_decides_nothing_in_half_precision(pictures: Pictures) -> None:
    backbone = build_backbone("resnet18", size=(48, 64))
    kept, read = (
        FeatureStore(backbone, pictures, Run(precision="bf16", memory=memory)).batch([4, 1])
        for memory in (1 << 30, 0)
    )
    for layer, maps in kept.items():
        torch.testing.assert_close(read[layer], maps, rtol=1e-3, atol=1e-4)


def test_a_trainable_backbone_follows_train_and_a_frozen_one_does_not() -> None:
    assert not build_backbone("resnet18").train().training
    learner = build_backbone("resnet18", trainable=True).train()
    assert learner.training
    assert all(parameter.requires_grad for parameter in learner.parameters())
