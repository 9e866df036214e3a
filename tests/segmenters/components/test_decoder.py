"""DeepLabV3+'s decoder takes maps of any grids and gives logits at the pictures' size."""

from __future__ import annotations

import pytest
import torch

from flawscope.segmenters.components.decoder import Decoder, Shape


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 25, 35), (5, 7, 9)],  # strides 4 and 16 of 100x140, rounded up
        [(5, 7, 9)],
        [(2, 50, 70), (3, 25, 35), (4, 13, 18), (5, 7, 9)],
        [(5, 7, 7), (5, 7, 7)],  # a vision transformer's
    ],
)
@pytest.mark.parametrize("separable", [False, True])
def test_every_picture_gets_logits_at_its_size(shapes: list[Shape], separable: bool) -> None:
    torch.manual_seed(0)
    decoder = Decoder(shapes, (100, 140), 4, width=8, skip=3, rates=(1, 6), separable=separable).eval()
    maps = [torch.randn(2, *shape) for shape in shapes]
    with torch.inference_mode():
        logits = decoder(maps)
        alone = decoder([found[1:] for found in maps])
    assert logits.shape == (2, 4, 100, 140)
    torch.testing.assert_close(logits[1:], alone, rtol=1e-4, atol=1e-5)


def test_every_map_and_the_whole_picture_reach_each_pixel() -> None:
    torch.manual_seed(0)
    shapes = [(3, 16, 16), (5, 8, 8)]
    decoder = Decoder(shapes, (32, 32), 2, width=8, skip=3, rates=(1,), separable=False).eval()
    maps = [torch.randn(1, *shape, requires_grad=True) for shape in shapes]
    decoder(maps)[0, 0, 0, 0].backward()
    fine, deep = (found.grad for found in maps)
    assert fine is not None
    assert deep is not None
    assert fine[..., 0, 0].abs().sum() > 0
    assert fine[..., -1, -1].abs().sum() == 0
    assert deep[..., -1, -1].abs().sum() > 0  # by the mean of the whole map


def test_one_picture_is_enough_to_train_on() -> None:
    decoder = Decoder([(3, 4, 4)], (8, 8), 2, width=4, skip=2, rates=(1,), separable=True).train()
    decoder([torch.randn(1, 3, 4, 4)]).mean().backward()
    assert all(value.grad is not None for value in decoder.parameters())
