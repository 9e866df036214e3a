"""A network that sees pictures enlarged: the same weights, more cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.errors import OptionError
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.enlarged import Enlarged, enlarged_size
from flawscope.nn.banks.features import PatchGrid, bytes_to_see, map_batches
from flawscope.nn.run import Checkpoints, Run
from flawscope.runtime.images import Frame

SIZE = (64, 96)


def pixels() -> Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def test_maps_are_those_of_the_picture_as_a_larger_one() -> None:
    network = build_backbone("resnet18", strides=(4, 16), size=SIZE)
    view = Enlarged(network, SIZE, 2)
    larger = build_backbone("resnet18", strides=(4, 16), size=(128, 192))
    with torch.no_grad():
        found = view(pixels())
        expected = larger(F.interpolate(pixels(), scale_factor=2, mode="bilinear", align_corners=False))
    assert found.keys() == expected.keys()
    for layer, maps in expected.items():
        torch.testing.assert_close(found[layer], maps)
    assert (view.grids, view.strides, view.channels) == (larger.grids, larger.strides, larger.channels)
    assert all(mine is others for mine, others in zip(view.parameters(), network.parameters(), strict=True))


@pytest.mark.parametrize(
    ("size", "times", "expected"),
    [
        ((320, 320), 1.6, (512, 512)),
        ((64, 96), 1.5, (96, 128)),  # 144 lies between two multiples: the even one
        ((100, 60), 1.0, (100, 60)),
        ((100, 60), 1.01, (100, 64)),  # never smaller
    ],
)
def test_a_side_is_a_multiple_of_32_and_no_smaller_than_it_was(
    size: tuple[int, int], times: float, expected: tuple[int, int]
) -> None:
    assert enlarged_size(size, times) == expected


def test_transformers_are_made_for_one_size() -> None:
    network = build_backbone("vit_tiny_patch16_224", layers=["blocks.1"], size=(64, 64))
    with pytest.raises(OptionError, match=r"enlarged for vit_tiny.*Set option enlarged of structure to 1"):
        Enlarged(network, (64, 64), 2)


def test_what_it_takes_of_memory_grows_with_the_picture_that_it_sees() -> None:
    network = build_backbone("resnet18", strides=(4, 16), size=SIZE)
    view = Enlarged(network, SIZE, 2)
    plain, more = (bytes_to_see(one, [PatchGrid(one)], SIZE) for one in (network, view))
    assert more > 1.5 * plain


def test_maps_that_are_kept_are_its_own(good_pictures: Callable[..., Path], tmp_path: Path) -> None:
    samples = [Sample(path, "train", defective=False) for path in sorted(good_pictures(2).iterdir())]
    pictures, run = PictureFiles(samples, Frame(*SIZE)), Run(maps=Checkpoints(tmp_path), precision="fp32")
    network = build_backbone("resnet18", layers=["layer1"], size=SIZE)
    view = Enlarged(network, SIZE, 2)
    for _ in range(2):  # computed, then kept
        for one in (network, view):
            (maps,) = map_batches(one, pictures, run)
            assert maps["layer1"].shape[2:] == one.grids["layer1"]
