"""JoinedBanks against plain numpy: distances to other pictures' members, levels, the larger of two maps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from banks_small import SMALL
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError, Stopped
from flawscope.methods.joined_banks import JoinedBanks
from flawscope.methods.registry import create
from flawscope.methods.running import score, taught
from flawscope.nn.banks.features import patch_rows
from flawscope.nn.joining.expected import ExpectedDistance
from flawscope.nn.joining.held import own_groups
from flawscope.nn.joining.joined import Joined
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch
from trained import write_pictures

DEFAULT = {name: value for name, value in SMALL.items() if name != "backbone"}  # users' network
Make = Callable[..., TrainingData]


def fitted(
    data: TrainingData, run: Run | None = None, watch: Watch = UNWATCHED, **options: Any
) -> JoinedBanks:
    detector = create("joined_banks", {**SMALL, **options})
    assert isinstance(detector, JoinedBanks)
    return detector.fit(data, run or Run(precision="fp32"), watch)


def pixels_of(data: TrainingData) -> torch.Tensor:
    return torch.from_numpy(np.stack([data.normal[index] for index in range(len(data.normal))]))


def test_a_member_of_the_own_picture_does_not_count(training_data: Make) -> None:
    data = training_data(4)
    detector = fitted(data)
    rows = patch_rows(detector.patches.fine.grid(detector.backbone(pixels_of(data))))  # (4 * 64, D)
    members = detector.patches.fine.memory.bank + detector.patches.fine.memory.centre
    owners = torch.from_numpy(cdist(members, rows).argmin(1)) // 64
    found = detector.patches.fine.left_out(rows[64:128], own_groups(range(4), (8, 8))[1], owners)
    expected = cdist(rows[64:128].numpy(), members[owners != 1].numpy()).min(1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_the_map_is_the_larger_of_two_in_deviations_of_good_peaks() -> None:
    draw = torch.Generator().manual_seed(0)
    fine, middle, coarse = (torch.rand(40, 6, 6, generator=draw) * scale for scale in (1.0, 5.0, 0.1))
    joined = Joined(weight=0.5, shift=-0.25)
    joined.learn(fine, middle, coarse, lambda maps: maps)

    def deviations(values: torch.Tensor) -> np.ndarray[Any, Any]:
        return ((values - values.mean()) / values.std(correction=0)).numpy()

    def by_peaks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        peaks = values.max((1, 2))
        variance = (39 * peaks.var(ddof=1) + 3 * values.var()) / 42
        return np.asarray((values - peaks.mean()) / np.sqrt(variance))

    near = by_peaks(deviations(fine) + 0.5 * deviations(middle))
    expected = np.maximum(near, by_peaks(coarse.numpy()) - 0.25)
    np.testing.assert_allclose(joined(fine, middle, coarse), expected, atol=1e-4)


def test_usual_distances_are_learnt_and_divided_by() -> None:
    draw = torch.Generator().manual_seed(1)
    patches = torch.randn(3000, 5, generator=draw)
    distances = torch.exp(patches[:, 0])  # good patches of this kind lie that far away
    expected = ExpectedDistance(5, power=1.0)
    expected.learn(patches, distances, steps=200, run=Run(), watch=UNWATCHED, name="usual")
    even = (distances * expected(patches)).log()
    assert float(even.std()) < 0.35 * float(distances.log().std())
    assert torch.equal(ExpectedDistance(5, power=0.0)(patches), torch.ones(3000))


def test_one_picture_is_held_against_its_own_squares() -> None:
    groups = own_groups([0], (8, 8)).reshape(8, 8)
    assert len(groups.unique()) == 4
    assert (groups[:4, :4] == groups[0, 0]).all()
    assert groups[0, 4] != groups[0, 0] != groups[4, 0]


@pytest.mark.parametrize("count", [2, 7])
def test_few_pictures_give_sound_levels(training_data: Make, count: int) -> None:
    detector = fitted(training_data(count))
    scores = detector(pixels_of(training_data(8, name="other", seed=9)))["score"]
    assert -20 < float(scores.median()) < 60  # deviations of good peaks, not thousands of them


def test_one_picture_is_enough(training_data: Make) -> None:
    data = training_data(1)
    detector = fitted(data)
    own, others = detector(pixels_of(data)), detector(pixels_of(training_data(8, name="other", seed=9)))
    assert float(own["score"]) < 0 < float(others["score"].min())
    assert others["heatmap"].isfinite().all()


def test_copies_alone_tell_nothing(training_data: Make, tmp_path: Path) -> None:
    data = training_data(1)
    with pytest.raises(DataError, match=r"differ from each other.*alike in every patch.*Leave copies out"):
        fitted(TrainingData(normal=data.normal.subset([0, 0]), tuning=data.tuning))


def test_a_broken_network_is_told(training_data: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = create("joined_banks", SMALL)
    forward = type(detector.backbone).forward
    monkeypatch.setattr(
        type(detector.backbone),
        "forward",
        lambda self, pixels: {name: maps * torch.nan for name, maps in forward(self, pixels).items()},
    )
    with pytest.raises(DataError, match="finite numbers"):
        detector.fit(training_data(3), Run(precision="fp32"))


def test_features_beyond_the_memory_go_through_a_file(training_data: Make, tmp_path: Path) -> None:
    data = training_data(3)
    small = Run(precision="fp32", memory=1000, checkpoints=Checkpoints(tmp_path / "kept"))
    pixels = pixels_of(training_data(2, name="other", seed=9))
    assert torch.equal(fitted(data, small)(pixels)["score"], fitted(data)(pixels)["score"])


def test_stopped_between_banks_it_resumes_to_the_same_model(training_data: Make, tmp_path: Path) -> None:
    data, stop = training_data(4), threading.Event()
    run = Run(precision="fp32", checkpoints=Checkpoints(tmp_path / "kept"))
    detector = create("joined_banks", SMALL)
    assert isinstance(detector, JoinedBanks)
    keep = detector.patches.middle.keep

    def stopping(*args: Any, **keywords: Any) -> torch.Tensor:
        stop.set()
        return keep(*args, **keywords)

    detector.patches.middle.keep = stopping  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        detector.fit(data, run, Watch(stop=stop))
    again, whole = fitted(data, run), fitted(data)
    pixels = pixels_of(data)
    assert torch.equal(again(pixels)["heatmap"], whole(pixels)["heatmap"])


def test_a_network_without_the_deep_layer_takes_other_strides(training_data: Make) -> None:
    options = {"backbone": "resnet18", "coarse_strides": (16,), "middle_strides": (8,), "fine_strides": (4,)}
    detector = fitted(training_data(3), **options)
    assert detector.patches.coarse.grid.layers == ("layer3",)


def test_a_bank_without_layers_is_told() -> None:
    with pytest.raises(OptionError, match=r"coarse_strides.*32"):
        create("joined_banks", {**DEFAULT, "layers": ("blocks.1", "blocks.2", "blocks.4")})


def test_preflight_refuses_what_cannot_fit() -> None:
    with pytest.raises(OptionError, match="Lower the coreset ratio"):
        create("joined_banks", SMALL).needs().cost(10**8).require()  # type: ignore[misc]


def spotted(folder: Path, training_data: Make) -> TrainingData:
    """Good pictures of another look, all for training."""
    paths = sorted(write_pictures(folder / "spotted", 3, seed=7, spot=True).iterdir())
    samples = [Sample(path, "train", defective=False) for path in paths]
    return replace(training_data(0), normal=PictureFiles(samples, training_data(0).normal.frame))


def test_taught_banks_grow_and_levels_stay(training_data: Make, tmp_path: Path) -> None:
    data, more = training_data(5), spotted(tmp_path, training_data)
    detector = fitted(data)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    rejected = score(detector, more.normal, Run())["score"]
    taught(detector, more, Run(growth=0.5))
    after = detector.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    grown = {f"patches.{bank}.memory.{part}" for bank in ("fine", "middle", "coarse") for part in ("bank",)}
    assert grown <= changed
    assert all(".memory." in name or name.endswith((".neighbours", ".least")) for name in changed)
    for name in grown:
        assert torch.equal(after[name][: len(before[name])], before[name])
        assert len(after[name]) <= 1.5 * len(before[name])
    assert (score(detector, more.normal, Run())["score"] < rejected).all()


def test_kept_maps_give_the_same_fit_and_scores_that_differ_by_rounding(
    training_data: Make, tmp_path: Path
) -> None:
    data = training_data(5)
    plain, keeping = Run(precision="fp32"), Run(precision="fp32", maps=Checkpoints(tmp_path))
    first = fitted(data, plain)
    for _ in range(2):  # kept, then taken from there
        second = fitted(data, keeping)
        tensors = second.state_dict()
        assert all(torch.equal(value, tensors[name]) for name, value in first.state_dict().items())
        found, again = score(first, data.normal, plain), score(second, data.normal, keeping)
        for name, values in found.items():
            np.testing.assert_allclose(again[name], values, rtol=1e-4, atol=1e-4)


def test_a_network_in_the_place_of_its_own_is_what_it_learns_from(training_data: Make) -> None:
    detector = create("joined_banks", {**SMALL, "upright": True, "absent": 4})
    assert isinstance(detector, JoinedBanks)
    stand_in = detector.backbone = create("joined_banks", {**SMALL}).backbone  # type: ignore[assignment]
    detector.fit(training_data(4), Run(precision="fp32"))
    assert detector.backbone is stand_in


def test_the_cost_tells_selection_levels_and_search() -> None:
    told = create("joined_banks", SMALL).needs().cost
    assert told is not None
    few, many = told(2), told(10**6)
    assert 0 < few.seconds < many.seconds
    assert few.seconds_a_search > 0


def test_the_cost_counts_what_the_network_takes_of_memory_beside_few_pictures() -> None:
    def of(pictures: int, side: int) -> int:
        told = create("joined_banks", {**DEFAULT, "size": (side, side)}).needs().cost
        assert told is not None
        return told(pictures).bytes

    small, large = of(2, 64), of(2, 256)
    assert large - small > 100 * 2**20  # maps of eight pictures, not the features of two
    assert of(4, 256) - large < 20 * 2**20
