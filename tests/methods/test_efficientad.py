"""EfficientAD's training, its maps and its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError, WeightsError
from flawscope.methods.efficientad.detector import EfficientAD
from flawscope.methods.efficientad.options import EfficientADOptions
from flawscope.methods.efficientad.pictures import DefectivePictures
from flawscope.methods.registry import create, options_of
from flawscope.methods.running import score
from flawscope.nn.backbones.teachers import load_teacher
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame

CHANNELS = 16  # of the teacher's map
TINY: dict[str, Any] = {"size": (64, 64), "weights": "random", "channels": CHANNELS, "steps": 3}


@pytest.fixture
def data(training_data: Callable[..., TrainingData]) -> TrainingData:
    pictures = training_data(8).normal
    return TrainingData(normal=pictures.subset(range(6)), tuning=pictures.subset([6, 7]))


def test_teacher_is_normalised_over_the_training_pictures(data: TrainingData) -> None:
    detector = EfficientAD(EfficientADOptions(**TINY))
    detector.fit(data, Run(precision="fp32"))
    pixels = torch.from_numpy(np.stack(list(data.normal)))
    with torch.no_grad():
        features = detector.networks.teacher((pixels - detector.mean) / detector.std)
    values = features.transpose(0, 1).flatten(1)  # (C, N * h * w)
    torch.testing.assert_close(values.mean(1), torch.zeros(CHANNELS), atol=1e-3, rtol=0)
    torch.testing.assert_close(values.std(1), torch.ones(CHANNELS), atol=1e-2, rtol=0)


def test_quantiles_of_the_tuning_pictures_become_0_and_a_tenth(data: TrainingData) -> None:
    detector = EfficientAD(EfficientADOptions(**TINY)).fit(data, Run())
    outputs = score(detector, data.tuning, Run())
    for name in ("local_map", "global_map"):
        low, high = np.quantile(outputs[name].astype(np.float64), (0.9, 0.995))  # TINY pads: no border
        assert low == pytest.approx(0, abs=1e-4)
        assert high == pytest.approx(0.1, abs=1e-4)


def test_local_weight_mixes_the_maps(data: TrainingData) -> None:
    detector = EfficientAD(EfficientADOptions(**TINY, local_weight=0.25))
    pixels = torch.from_numpy(data.normal[0])[None]
    with torch.no_grad():
        default = detector(pixels)
        local = detector(pixels, local_weight=torch.tensor(1.0))
        whole = detector(pixels, local_weight=torch.tensor(0.0))
    expected = 0.25 * local["local_map"] + 0.75 * local["global_map"]
    torch.testing.assert_close(default["score"], expected.flatten(1).amax(1))
    torch.testing.assert_close(local["score"], local["local_map"].flatten(1).amax(1))
    torch.testing.assert_close(whole["score"], whole["global_map"].flatten(1).amax(1))
    torch.testing.assert_close(default["heatmap"], 0.25 * local["heatmap"] + 0.75 * whole["heatmap"])


def test_training_teaches_the_student(data: TrainingData) -> None:
    paper = {**TINY, "channels": 384, "steps": 15, "learning_rate": 1e-3}
    detector = EfficientAD(EfficientADOptions(**paper)).fit(data, Run())
    assert detector.learnt.history[-1]["hard"] < 0.5 * detector.learnt.history[0]["hard"]
    assert detector.learnt.history[-1]["learning_rate"] == pytest.approx(1e-4)
    assert set(detector.learnt.history[0]) == {
        "step",
        "total",
        "hard",
        "penalty",
        "autoencoder",
        "stae",
        "learning_rate",
    }


def test_early_stop_ends_a_training_that_no_longer_improves(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5])
    monkeypatch.setattr(EfficientAD, "_tuning_loss", lambda *given: next(losses))
    detector = EfficientAD(EfficientADOptions(**{**TINY, "steps": 50, "early_stop": 4})).fit(data, Run())
    assert detector.learnt.history[-1]["step"] == 6  # the best at step 2, and 4 without a better one


@pytest.mark.parametrize(
    "changes",
    [
        {"penalty": "none"},
        {"local_map": "discrepancy", "penalty": "none"},
        {"local_map": "discrepancy", "hierarchy": (0.5, 1.0)},
        {"pdn": "medium", "local_map": "discrepancy", "hierarchy": (1.0, 0.5, 1.0), "size": (40, 48)},
        {"stae_weight": 0.0},
        {"autoencoder_weight": 0.0, "stae_weight": 0.0},
        {"hard_weight": 0.0, "penalty": "none"},
        {"batch": 2, "defect_probability": 0.5, "skip_background": True, "defect_sides": "cdo"},
        {"size": (33, 33), "padding": False, "defect_probability": 1.0},
    ],
)
def test_every_choice_trains_and_scores(data: TrainingData, changes: dict[str, Any]) -> None:
    detector = EfficientAD(EfficientADOptions(**{**TINY, "steps": 2, **changes}))
    frame = detector.options.frame
    moved = TrainingData(normal=data.normal.resized(frame), tuning=data.tuning.resized(frame))
    outputs = score(detector.fit(moved, Run()), moved.tuning, Run())
    assert all(np.isfinite(values).all() for values in outputs.values())
    assert outputs["heatmap"].shape == (2, *detector.options.size)


def test_a_training_that_diverges_says_so(data: TrainingData) -> None:
    options = EfficientADOptions(**{**TINY, "steps": 8, "learning_rate": 1e30})
    with pytest.raises(OptionError, match="learning_rate"):
        EfficientAD(options).fit(data, Run())


def test_checkpoints_of_another_training_are_left_alone(data: TrainingData, tmp_path: Path) -> None:
    run = Run(checkpoints=Checkpoints(tmp_path))
    EfficientAD(EfficientADOptions(**TINY)).fit(data, run)
    other = EfficientADOptions(**{**TINY, "learning_rate": 1e-3})
    detector, fresh = EfficientAD(other).fit(data, run), EfficientAD(other).fit(data, Run())
    assert torch.equal(detector.networks.student[0].weight, fresh.networks.student[0].weight)


def test_the_local_map_is_what_its_option_says(data: TrainingData) -> None:
    pixels = torch.from_numpy(data.normal[0])[None]
    for changes in ({}, {"local_map": "discrepancy", "hierarchy": (2.0,)}):
        detector = EfficientAD(EfficientADOptions(**TINY, **changes))
        with torch.no_grad():
            x = (pixels - detector.mean) / detector.std
            expert, apprentice = detector.networks.teacher(x), detector.networks.student(x)[:, :CHANNELS]
            local = detector(pixels)["local_map"] / detector.levels.gain[0] + detector.levels.zero[0]
            expected = (expert - apprentice).square().mean(1)  # section 4.4
            if changes:
                expected = 2 * (2 - 2 * nn.functional.cosine_similarity(expert, apprentice))  # equation 4.10
        torch.testing.assert_close(local, expected, atol=1e-4, rtol=1e-4)


def test_defects_lie_on_the_product_where_its_ground_is_plain(data: TrainingData, tmp_path: Path) -> None:
    picture = np.full((64, 64, 3), 220, np.uint8)
    picture[20:44, 20:44] = 60
    Image.fromarray(picture).save(tmp_path / "good.png")
    samples = [Sample(tmp_path / "good.png", "train", defective=False)] * 3
    plain, said = TrainingData(PictureFiles(samples, Frame(64, 64)), data.tuning), list[str]()
    options = EfficientADOptions(**{**TINY, "steps": 1})
    detector = EfficientAD(options).fit(plain, Run(), Watch(say=said.append))
    assert detector.learnt.facts == {"skip_background": True}
    assert any("plain ground (options.skip_background=true)" in line for line in said)
    assert not DefectivePictures(data.normal, None, options, Run()).defects.skip_background
    for chosen in (True, False):
        told = options.model_copy(update={"skip_background": chosen})
        for pictures in (plain.normal, data.normal):
            assert DefectivePictures(pictures, None, told, Run()).defects.skip_background is chosen


def test_natural_pictures_reach_the_penalty(data: TrainingData) -> None:
    once = {**TINY, "steps": 1}
    options = EfficientADOptions(**once, penalty="ood")
    with pytest.raises(DataError, match="--natural"):
        EfficientAD(options).fit(data, Run())
    detector = EfficientAD(options).fit(replace(data, natural=data.tuning), Run())
    unlike = EfficientAD(EfficientADOptions(**once)).fit(replace(data, natural=data.tuning), Run())
    assert detector.learnt.history[0]["penalty"] != unlike.learnt.history[0]["penalty"]


def test_the_natural_picture_is_the_middle_at_twice_the_size(data: TrainingData) -> None:
    options = EfficientADOptions(**TINY, penalty="ood", batch=8)
    source = DefectivePictures(data.normal, data.tuning, options, Run())
    batch = source.batch(0)
    assert batch.natural is not None
    large = source.natural
    assert large is not None
    middles = [large[index][:, 32:96, 32:96] for index in range(2)]
    coloured = [picture.numpy() for picture in batch.natural if not torch.equal(picture[0], picture[1])]
    assert coloured
    assert all(any(np.array_equal(picture, middle) for middle in middles) for picture in coloured)


def test_defects_come_beside_the_pictures_without_them(data: TrainingData) -> None:
    batch, clean = (
        DefectivePictures(
            data.normal, None, EfficientADOptions(**TINY, batch=6, defect_probability=share), Run()
        ).batch(0)
        for share in (0.5, 0.0)
    )
    assert clean.defects is None
    assert clean.crops is None
    assert torch.equal(batch.pixels, clean.pixels)
    assert batch.defects is not None
    assert batch.crop_defects is not None
    assert 0 < int(batch.defects.flatten(1).any(1).sum()) < 6
    assert batch.defects.sum() == batch.crop_defects.sum()


def test_every_picture_comes_once_a_round(data: TrainingData) -> None:
    options = EfficientADOptions(**TINY, appearance="none", penalty="none")
    source = DefectivePictures(data.normal, None, options, Run(seed=3))
    seen = [source.batch(number).pixels[0].numpy().tobytes() for number in range(12)]
    assert sorted(seen[:6]) == sorted(seen[6:]) == sorted(picture.tobytes() for picture in data.normal)
    assert seen[:6] != seen[6:]


def test_a_small_memory_budget_changes_nothing(data: TrainingData) -> None:
    options = EfficientADOptions(**TINY)
    roomy, narrow = (
        DefectivePictures(data.normal, None, options, Run(memory=memory)) for memory in (1 << 30, 0)
    )
    for number in range(8):
        assert torch.equal(roomy.batch(number).pixels, narrow.batch(number).pixels)


def test_a_maps_peak_lies_at_its_cells_pixel(data: TrainingData) -> None:
    for padding in (True, False):
        detector = EfficientAD(EfficientADOptions(**TINY, padding=padding))
        impulse = torch.zeros(1, 16, 16)
        impulse[0, 8, 5] = 1.0
        heatmap = detector.heatmap(impulse)[0]
        assert divmod(int(heatmap.argmax()), 64) == (32, 20)
        assert heatmap.max().item() == 1.0


def test_presets_are_the_sources() -> None:
    thesis = create("efficientad", options_of("efficientad", "thesis", {})).options
    assert thesis == EfficientADOptions(pdn="medium")
    original = create("efficientad", options_of("efficientad", "efficientad", {})).options
    assert isinstance(original, EfficientADOptions)
    assert (original.padding, original.hard_quantile, original.penalty) == (False, 0.999, "ood")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantiles": (0.9, 0.9)}, "rise"),
        ({"hierarchy": (1.0,) * 5}, "1 to 4"),
        ({"hierarchy": (0.0,)}, "above 0"),
        ({"hierarchy": (1.0, 1.0), "local_map": "discrepancy", "penalty": "none"}, "penalty cdo"),
        ({"hierarchy": (1.0, 1.0)}, "local_map discrepancy"),
        ({"hard_weight": 0, "penalty": "none", "autoencoder_weight": 0, "stae_weight": 0}, "four losses"),
        ({"autoencoder_weight": 0}, "autoencoder_weight above 0"),
        ({"size": (32, 32), "padding": False}, "at least 33"),
        ({"gama": 1}, "gamma"),
    ],
)
def test_wrong_options_are_explained(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(OptionError, match=expected):
        create("efficientad", changes)


def test_fit_needs_tuning_pictures(data: TrainingData) -> None:
    with pytest.raises(DataError, match="tuning pictures"):
        EfficientAD(EfficientADOptions(**TINY)).fit(replace(data, tuning=data.tuning.subset([])), Run())


def test_the_teacher_is_the_shipped_one() -> None:
    detector = EfficientAD(EfficientADOptions(size=(64, 64)))
    detector._load_teacher()
    shipped = load_teacher().body.state_dict()
    assert shipped.keys() == detector.networks.teacher.state_dict().keys()
    for name, tensor in detector.networks.teacher.state_dict().items():
        assert torch.equal(tensor, shipped[name])


def test_fit_names_a_missing_teacher_and_a_wrong_number_of_channels(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLAWSCOPE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("FLAWSCOPE_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="flawscope distill"):
        EfficientAD(EfficientADOptions(pdn="medium", size=(64, 64))).fit(data, Run())
    with pytest.raises(OptionError, match="channels=384"):
        EfficientAD(EfficientADOptions(channels=10, size=(64, 64))).fit(data, Run())
