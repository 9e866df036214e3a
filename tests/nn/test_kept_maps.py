"""Maps that are kept for further fits: the same to the bit, under the name of all that they depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.errors import OutputError
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.banks import features
from flawscope.nn.banks.features import map_batches
from flawscope.nn.run import Checkpoints, Run
from flawscope.runtime.images import Frame


@pytest.fixture
def pictures(good_pictures: Callable[..., Path]) -> PictureFiles:
    samples = [Sample(path, "train", defective=False) for path in sorted(good_pictures(11).iterdir())]
    return PictureFiles(samples, Frame(48, 64))


@pytest.fixture
def backbone() -> Backbone:
    return build_backbone("tf_efficientnet_lite0", strides=(4, 16), size=(48, 64))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures the network saw, batch by batch."""
    found, plain = list[int](), features.batches

    def batches(some: Pictures, *rest: object) -> Iterator[Tensor]:
        for pixels in plain(some, *rest):  # type: ignore[arg-type]
            found.append(len(pixels))
            yield pixels

    monkeypatch.setattr(features, "batches", batches)
    return found


def rows(backbone: Backbone, pictures: Pictures, run: Run) -> list[dict[str, Tensor]]:
    return [
        {layer: values[row] for layer, values in maps.items()}
        for maps in map_batches(backbone, pictures, run)
        for row in range(len(next(iter(maps.values()))))
    ]


def alike(first: list[dict[str, Tensor]], second: list[dict[str, Tensor]]) -> bool:
    """Equal but for rounding: what is computed in another batch may be summed in another order."""
    return len(first) == len(second) and all(
        torch.allclose(one[layer], other[layer], rtol=1e-4, atol=1e-5 * float(other[layer].abs().max()))
        for one, other in zip(first, second, strict=True)
        for layer in other
    )


def same(first: list[dict[str, Tensor]], second: list[dict[str, Tensor]]) -> bool:
    return len(first) == len(second) and all(
        one.keys() == other.keys() and all(torch.equal(one[layer], other[layer]) for layer in one)
        for one, other in zip(first, second, strict=True)
    )


def test_further_fits_get_the_same_maps_and_the_network_sees_each_picture_once(
    backbone: Backbone, pictures: PictureFiles, seen: list[int], tmp_path: Path
) -> None:
    plain, keeping = Run(), Run(maps=Checkpoints(tmp_path / "maps"))
    every, odd, late = rows(backbone, pictures, plain), [1, 3, 5, 7, 9], [2, 9, 3, 10]
    del seen[:]
    assert same(rows(backbone, pictures.subset(odd), keeping), [every[index] for index in odd])
    assert same(rows(backbone, pictures.subset(late), keeping), [every[index] for index in late])
    assert sum(seen) == 7
    assert same(rows(backbone, pictures, keeping), every)
    assert sum(seen) == 11
    (batch, rest) = map_batches(backbone, pictures, keeping)
    assert [len(maps[backbone.layers[0]]) for maps in (batch, rest)] == [8, 3]
    assert batch[backbone.layers[0]].is_contiguous(memory_format=torch.channels_last)
    assert sum(seen) == 11


def test_other_weights_formats_and_frames_are_other_maps(
    backbone: Backbone, pictures: PictureFiles, seen: list[int], tmp_path: Path
) -> None:
    keeping = Run(maps=Checkpoints(tmp_path / "maps"))
    rows(backbone, pictures, keeping)
    with torch.no_grad():
        next(backbone.body.parameters()).mul_(2)
    assert same(rows(backbone, pictures, keeping), rows(backbone, pictures, Run()))
    del seen[:]
    rows(backbone, pictures, replace(keeping, precision="bf16"))
    rows(backbone, pictures.resized(Frame(64, 64)), keeping)
    assert sum(seen) == 22


def test_what_does_not_fit_or_is_damaged_is_computed(
    backbone: Backbone,
    pictures: PictureFiles,
    seen: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = rows(backbone, pictures, Run())
    size = sum(4 * values.numel() for values in every[0].values())
    tight = Run(maps=Checkpoints(tmp_path / "tight"), memory=4 * size + 1)
    assert same(rows(backbone, pictures, tight), every)
    kept = sorted((tmp_path / "tight").glob("*.safetensors"))
    assert len(kept) == 4
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    del seen[:]
    assert alike(rows(backbone, pictures, tight), every)
    assert sum(seen) == 8

    def full(*_: object) -> None:
        raise OutputError("disk", expected="room", got="none", fix="Make room.")

    monkeypatch.setattr(Checkpoints, "save", full)
    assert same(rows(backbone, pictures, Run(maps=Checkpoints(tmp_path / "full"))), every)
