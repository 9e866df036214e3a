"""Targets, pictures, and a student that learns, stops and goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import r2_score
from torch import Tensor

from flawscope.distill.features import Targets
from flawscope.distill.options import DistillOptions
from flawscope.distill.pictures import PictureCache, views
from flawscope.distill.students import build_student
from flawscope.distill.training import Distilled, distill, measure, split
from flawscope.errors import OptionError, Stopped
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.listing import list_images

TINY = DistillOptions(
    teacher=("resnet18",),
    layers=(("layer1",),),
    features="layers",
    steps=6,
    batch=2,
    student_size=16,
    teacher_size=(32,),
    held_out=0.3,
    weights="random",
)
RUN = Run(precision="fp32")


@pytest.fixture
def pictures(good_pictures: Callable[..., Path]) -> PictureCache:
    return PictureCache(list_images(good_pictures(8, side=32)), TINY.cached_sizes, RUN)


def targets(options: DistillOptions = TINY) -> Targets:
    assert options.layers is not None
    backbones = [
        build_backbone(name, layers, size=(size, size))
        for name, layers, size in zip(options.teacher, options.layers, options.sizes, strict=True)
    ]
    return Targets(backbones, features=options.features, channels=options.channels)


def run_tiny(
    pictures: PictureCache, options: DistillOptions = TINY, run: Run = RUN, watch: Watch = UNWATCHED
) -> Distilled:
    psi = targets(options)
    return distill(psi, build_student(options, psi.channels, run), pictures, options, run, watch=watch)


def patchcore_reference(maps: Sequence[Tensor], channels: int) -> Tensor:
    """PatchCore's steps one by one: unfold, resize the grid of patches, pool, stack, pool again."""
    height, width = maps[0].shape[2:]
    stacked = []
    for each in maps:
        n, c, h, w = each.shape
        patches = F.unfold(each, 3, padding=1).view(n, c * 9, h, w)
        patches = F.interpolate(patches, size=(height, width), mode="bilinear", align_corners=False)
        rows = patches.permute(0, 2, 3, 1).reshape(-1, 1, c * 9)  # (N * h * w, 1, C * 9)
        stacked.append(F.adaptive_avg_pool1d(rows, 1024).squeeze(1))
    joined = torch.stack(stacked, 1).flatten(1)  # (N * h * w, layers * 1024)
    pooled = F.adaptive_avg_pool1d(joined[:, None], channels).squeeze(1)
    return pooled.view(-1, height, width, channels).permute(0, 3, 1, 2)


def test_one_network_at_two_sizes_has_figures_of_each() -> None:
    options = TINY.model_copy(
        update={
            "teacher": ("resnet18", "resnet18"),
            "layers": (("layer1",), ("layer1",)),
            "teacher_size": (32, 64),
        }
    )
    assert targets(options).groups == {"resnet18 1.layer1": (0, 64), "resnet18 2.layer1": (64, 128)}


@pytest.mark.parametrize(
    ("layers", "channels"), [(("layer1", "layer2"), 384), (("layer1", "layer2", "layer3"), 100)]
)
def test_patchcore_features_are_those_of_its_steps(layers: tuple[str, ...], channels: int) -> None:
    backbone = build_backbone("resnet18", layers, size=(40, 40))
    pixels = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    psi = Targets([backbone], features="patchcore", channels=channels)
    maps = backbone(pixels)
    torch.testing.assert_close(
        psi([pixels]), patchcore_reference([maps[layer] for layer in layers], channels), atol=1e-4, rtol=1e-4
    )


def test_two_teachers_are_joined_on_the_finest_grid_under_their_names() -> None:
    options = TINY.model_copy(
        update={
            "teacher": ("resnet18", "timm:vit_tiny_patch16_224"),
            "layers": (("layer1", "layer2"), ("blocks.1",)),
            "teacher_size": (32, 64),
        }
    )
    psi = targets(options)
    pixels = [torch.rand(1, 3, 32, 32), torch.rand(1, 3, 64, 64)]
    joined = psi(pixels)
    assert psi.groups == {
        "resnet18.layer1": (0, 64),
        "resnet18.layer2": (64, 192),
        "vit_tiny_patch16_224.blocks.1": (192, 384),
    }
    assert joined.shape == (1, 384, 8, 8)
    first = psi.backbones[0](pixels[0])
    torch.testing.assert_close(joined[:, :64], first["layer1"])
    resized = F.interpolate(first["layer2"], size=(8, 8), mode="bilinear")
    torch.testing.assert_close(joined[:, 64:192], resized)


def test_channels_that_the_layers_do_not_have() -> None:
    with pytest.raises(OptionError, match="expected 64, the sum over the layers, got 384"):
        targets(TINY.model_copy(update={"channels": 384}))


def test_any_backbone_whose_layer_fits_can_learn(pictures: PictureCache) -> None:
    options = TINY.model_copy(update={"student": "resnet18", "student_layer": "layer1", "steps": 1})
    student = run_tiny(pictures, options).student
    untouched = build_backbone("resnet18", ["layer1"]).body.state_dict()
    assert student.body.state_dict().keys() == untouched.keys()
    assert not torch.equal(student.body.state_dict()["conv1.weight"], untouched["conv1.weight"])
    with pytest.raises(OptionError, match=r"expected a layer of 64 channels.*got layer2 with 128"):
        build_student(options.model_copy(update={"student_layer": "layer2"}), 64, RUN)


def test_r2_is_that_of_scikit_learn(pictures: PictureCache) -> None:
    options = TINY.model_copy(update={"layers": (("layer1", "layer2"),)})
    psi, indices = targets(options), [0, 3, 5]
    student = build_student(options, psi.channels, RUN).eval()
    mean, std = torch.rand(192), torch.rand(192) + 0.5
    found = measure(psi, student, pictures, indices, statistics=(mean, std), options=options, run=RUN)
    inputs, seen = views(next(pictures.batches([indices])), options.unchanged)
    with torch.no_grad():
        output = student(inputs)
        truth = (psi(seen) - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
        truth = F.interpolate(truth, size=output.shape[2:], mode="bilinear")
    rows = [each.permute(0, 2, 3, 1).flatten(0, 2).double().numpy() for each in (truth, output)]
    for name, columns in {"layer1": slice(64), "layer2": slice(64, 192), "all": slice(192)}.items():
        expected = r2_score(*(part[:, columns] for part in rows), multioutput="variance_weighted")
        assert found[name] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_the_student_learns_and_statistics_are_those_of_the_training_pictures(pictures: PictureCache) -> None:
    options = TINY.model_copy(update={"steps": 16, "learning_rate": 1e-3, "grey": 0.0})
    before = run_tiny(pictures, options.model_copy(update={"steps": 1}))
    after = run_tiny(pictures, options)
    assert after.r2["layer1"] > before.r2["layer1"] + 0.1
    assert after.r2["all"] == pytest.approx(after.r2["layer1"])
    _, seen = views(next(pictures.batches([after.trained_on])), options.unchanged)
    values = targets()(seen).transpose(0, 1).flatten(1)
    torch.testing.assert_close(after.mean, values.mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.std, values.std(1, correction=0), atol=1e-5, rtol=1e-3)


class Recorder(PictureCache):
    """Pictures that remember which were asked for."""

    asked: list[list[int]]

    def batch(self, indices: Sequence[int]) -> dict[int, Tensor]:
        self.asked.append(list(indices))
        return super().batch(indices)


def test_held_out_pictures_are_only_measured(good_pictures: Callable[..., Path]) -> None:
    recorder = Recorder(list_images(good_pictures(8, side=32)), TINY.cached_sizes, RUN)
    recorder.asked = []
    made = run_tiny(recorder)
    assert set(made.trained_on) | set(made.held_out) == set(range(8))
    assert len(made.held_out) == 2
    *before, last = recorder.asked
    assert tuple(last) == made.held_out
    assert {index for batch in before for index in batch} == set(made.trained_on)


def test_a_share_too_small_for_one_picture_still_holds_one_out() -> None:
    assert [len(part) for part in split(5, DistillOptions(), RUN)] == [4, 1]
    assert [len(part) for part in split(5, DistillOptions(held_out=0), RUN)] == [5, 0]
    assert [len(part) for part in split(2, DistillOptions(held_out=0.9), RUN)] == [1, 1]


def test_enlarged_pixels_are_the_students_own(pictures: PictureCache, tmp_path: Path) -> None:
    options = TINY.model_copy(update={"enlarge": True})
    assert options.cached_sizes == (16,)
    own = PictureCache(pictures.paths, options.cached_sizes, RUN)
    inputs, (seen,) = views(next(own.batches([[1, 2]])), options.unchanged)
    torch.testing.assert_close(seen, F.interpolate(inputs, size=(32, 32), mode="bilinear"))


@dataclasses.dataclass
class StopAfter:
    """Progress that asks for a stop after so many training steps."""

    stop: threading.Event
    steps: int
    training: bool = False

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Iterator[StopAfter]:
        self.training = title == "training"
        yield self

    def advance(self, steps: int = 1) -> None:
        self.steps -= steps * self.training
        if self.steps == 0:
            self.stop.set()


def test_stopped_and_resumed_gives_the_same_weights(pictures: PictureCache, tmp_path: Path) -> None:
    options = TINY.model_copy(update={"crop": 0.5, "flips": True, "grey": 0.5, "schedule": "cosine"})
    whole = run_tiny(pictures, options)
    stop = threading.Event()
    run = Run(precision="fp32", checkpoints=Checkpoints(tmp_path))
    with pytest.raises(Stopped):
        run_tiny(pictures, options, run, Watch(StopAfter(stop, 3), stop))
    assert (tmp_path / "distillation.safetensors").is_file()
    resumed = run_tiny(pictures, options, run)
    for key, value in whole.student.body.state_dict().items():
        assert torch.equal(value, resumed.student.body.state_dict()[key])
    assert torch.equal(whole.mean, resumed.mean)
    assert whole.r2 == resumed.r2
    assert [entry["learning_rate"] for entry in resumed.history] == pytest.approx(
        [1e-4 * (1 + np.cos(np.pi * step / 6)) / 2 for step in range(6)]
    )


def test_half_precision_trains_close_to_full(pictures: PictureCache) -> None:
    half, full = (run_tiny(pictures, run=Run(precision=name)) for name in ("bf16", "fp32"))
    assert half.student.body.state_dict()["0.weight"].dtype == torch.float32
    for first, second in zip(half.history, full.history, strict=True):
        assert first["total"] == pytest.approx(second["total"], rel=0.05)


def test_pictures_decoded_ahead_are_those_kept(good_pictures: Callable[..., Path]) -> None:
    paths = list_images(good_pictures(5, side=32))
    kept, ahead = (PictureCache(paths, (16, 24), Run(memory=memory)) for memory in (1 << 20, 0))
    assert kept.kept
    assert not ahead.kept
    order = [[0, 4], [1], [2, 3], [4, 0], [1]]
    for first, second in zip(kept.batches(order), ahead.batches(order), strict=True):
        assert first.keys() == second.keys() == {16, 24}
        assert all(torch.equal(first[size], second[size]) for size in first)


def test_student_and_teacher_see_the_same_crop_mirroring_and_grey(pictures: PictureCache) -> None:
    options = TINY.model_copy(
        update={"crop": 0.5, "flips": True, "grey": 0.5, "student_size": 32, "teacher_size": (32,)}
    )
    assert options.cached_sizes == (32,)
    torch.manual_seed(0)
    inputs, (seen,) = views(next(pictures.batches([range(8)])), options)
    assert torch.equal(inputs, seen)
    grey = [bool(torch.equal(each[0], each[1])) for each in inputs]
    assert len(set(grey)) == 2
    whole, _ = views(next(pictures.batches([range(8)])), options.unchanged)
    assert not torch.equal(whole, inputs)
    assert all(0 <= float(value) <= 1 for value in (inputs.min(), inputs.max()))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_trains_as_the_cpu_does(good_pictures: Callable[..., Path]) -> None:
    run = Run(device="cuda", precision="fp32")
    paths = list_images(good_pictures(8, side=32))
    there = run_tiny(PictureCache(paths, TINY.cached_sizes, run), run=run)
    here = run_tiny(PictureCache(paths, TINY.cached_sizes, RUN))
    assert there.student.mean.device.type == "cpu"
    for first, second in zip(there.history, here.history, strict=True):
        assert first["total"] == pytest.approx(second["total"], rel=0.01)
