"""What CSAD makes of pictures, folders and options that do not suit it: one line, or a defined result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from csad_small import SIDE, SMALL
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, FlawscopeError, OptionError
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.registry import create
from flawscope.methods.running import with_tensors
from flawscope.nn.run import Run

Fit = Callable[..., CSAD]
Picture = NDArray[np.uint8]

COMPONENTS = {
    "kind": "components",
    "steps": 2,
    "width": 4,
    "batch": 1,
    "labels": {"features": {"weights": "random", "rotations": 1, "colour": 1.0}, "cluster": 2},
}
PATCHES = {"kind": "patches", "fine_bank": 40, "coarse_bank": 20, "middle_bank": 20, "evenness_steps": 2}


def scene(seed: int, squares: int = 3, place: int = 6) -> Picture:
    """Red squares on grey ground, one in each of the first corners."""
    random = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
    for corner in range(squares):
        top, left = (place + 34 * value + random.integers(0, 6) for value in divmod(corner, 2))
        picture[top : top + 14, left : left + 14] = (200, 40, 30)
    return picture + random.integers(0, 5, picture.shape, dtype=np.uint8)


def plain(seed: int) -> Picture:
    """Grey ground alone."""
    return scene(seed, 0)


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """Teach CSAD these pictures; the six tuning ones are scenes where nobody says otherwise."""

    def pictures(arrays: Sequence[Picture], detector: CSAD, name: str) -> Pictures:
        samples = []
        (tmp_path / name).mkdir()
        for index, array in enumerate(arrays):
            path = tmp_path / name / f"{index:02d}.png"
            Image.fromarray(array).save(path)
            samples.append(Sample(path, "train", defective=False))
        return PictureFiles(samples, detector.options.frame)

    def make(good: Sequence[Picture], tuning: Sequence[Picture] | None = None, **options: Any) -> CSAD:
        detector = create("csad", {**SMALL, **options})
        assert isinstance(detector, CSAD)
        held = tuning if tuning is not None else [scene(seed) for seed in range(30, 36)]
        data = TrainingData(pictures(good, detector, "good"), pictures(held, detector, "tuning"))
        return detector.fit(data, Run())

    return make


@torch.inference_mode()
def answers(detector: CSAD, *scenes: Picture) -> dict[str, NDArray[Any]]:
    """All outputs, which are finite, and those of the detector restored from its state."""
    pixels = torch.from_numpy(np.stack(scenes).transpose(0, 3, 1, 2).astype(np.float32) / 255)
    found = {name: values.numpy() for name, values in detector(pixels).items()}
    restored = with_tensors(CSAD(detector.options, detector.learnt.facts), detector.state_dict())
    for name, values in restored(pixels).items():
        assert np.isfinite(found[name]).all(), name
        np.testing.assert_array_equal(values.numpy(), found[name])
    return found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"size": (66, 64), "counts": {}},
            "'size': expected multiples of the counts' stride 4, got 66x64. .*counts.strid",
        ),
        (
            {"segments": {"kind": "one"}},
            "of kind one for csad: expected .* got one map for all. .* counts=null, histogram=null",
        ),
        (
            {"segments": {**COMPONENTS, "layers": ["layer2"]}},
            r"'segments.layers' of csad: expected layers that its option 'layers' names too.* got layer2",
        ),
        ({"words": {"layers": ["layer2"]}}, r"layer 'layer2' of the words: .* Known: layer1, layer3"),
    ],
)
def test_options_that_do_not_fit_together_are_refused_before_anything_is_learnt(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        create("csad", {**SMALL, **options})


def test_components_are_read_from_the_layers_that_are_named(fit: Fit) -> None:
    detector = fit(
        [scene(seed) for seed in range(6)],
        layers=["layer2", "layer3"],
        segments=COMPONENTS,
        words={"words": 4},
    )
    assert detector.segmenter.layers == ("layer2", "layer3")
    answers(detector, scene(40))


@pytest.mark.parametrize(
    ("good", "options", "message"),
    [
        ([scene(1), scene(2)], {}, "training pictures: expected at least 4 good pictures for csad, got 2"),
        (
            [plain(seed) for seed in range(4)],
            {"segments": COMPONENTS},
            "components in 4 pictures: .* no mask",
        ),
        (
            [scene(seed) for seed in range(4)],
            {"segments": {**COMPONENTS, "labels": {**COMPONENTS["labels"], "smallest": 0.5}}},
            r"components in 4 pictures: expected masks that pass the filters, got \d+ masks proposed, none l",
        ),
        (
            [scene(seed, min(seed, 1)) for seed in range(4)],
            {"segments": {**COMPONENTS, "labels": {**COMPONENTS["labels"], "least_share": 1.0}}},
            "components in 4 pictures: expected a group of 4 or more that look alike",
        ),
        ([scene(1)] * 4, {"structure": PATCHES}, "good pictures: expected pictures that differ"),
    ],
)
def test_pictures_without_common_components_are_one_line(
    fit: Fit, good: list[Picture], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fit(good, **options)


@pytest.mark.parametrize("count", [2, 3])
def test_few_tuning_pictures_still_bring_all_branches_to_one_scale(fit: Fit, count: int) -> None:
    detector = fit(
        [scene(seed) for seed in range(8)],
        [scene(seed) for seed in range(30, 30 + count)],
        words={"words": 4},
    )
    words = detector.options.branches.index("words")
    assert detector.levels.gain[words] != 1
    answers(detector, scene(40))


def test_a_class_that_only_tuning_pictures_lack_and_none_that_vary_are_defined(fit: Fit) -> None:
    detector = fit([scene(seed, 2) for seed in range(6)], [plain(seed) for seed in range(30, 33)])
    found = answers(detector, scene(40, 2), plain(41))
    assert found["counts"].tolist() == [[2.0], [0.0]]
    assert found["counts_low"].tolist() == [[2.0], [2.0]]


def test_components_that_touch_the_border_count_as_whole_ones(fit: Fit) -> None:
    detector = fit([scene(seed) for seed in range(6)])
    touching = np.roll(scene(40), -12, 0)
    assert answers(detector, scene(41), touching[:, ::-1])["counts"][0] == [3.0]
    at_corner = plain(42)
    at_corner[:14, -14:] = (200, 40, 30)
    assert answers(detector, at_corner)["counts"] == [[1.0]]


def test_a_variant_of_three_pictures_joins_the_nearest(fit: Fit) -> None:
    good = [scene(seed, 3 if seed < 12 else 1) for seed in range(15)]
    gaussian = {"variants": "density", "least_members": 4}
    joined = fit(good, counts={"gaussian": gaussian})
    assert joined.compared.counts is not None
    assert joined.compared.counts.fused.usual.shape == (2, 1, 1)
    answers(joined, scene(40), scene(41, 1))


@pytest.mark.parametrize(
    "options",
    [
        {"size": (32, 32), "words": {"words": 4}, "structure": PATCHES},
        {"size": (100, 76), "words": {"words": 4}, "structure": PATCHES, "segments": COMPONENTS},
        {"size": (64, 96), "aspect": "pad", "segments": COMPONENTS},
    ],
)
def test_small_and_odd_sizes_and_pictures_of_unequal_size_are_taken(
    fit: Fit, options: dict[str, Any]
) -> None:
    good = [np.pad(scene(seed), ((0, 3 * seed), (0, 0), (0, 0)), mode="edge") for seed in range(5)]
    detector = fit(good, **options)
    height, width = detector.options.size
    assert answers(detector, np.zeros((height, width, 3), np.uint8))["heatmap"].shape == (1, height, width)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((SIDE, 40), np.uint8), r"02.png: expected the size of the pictures .*64x64.* got 40x64"),
        (np.full((SIDE, SIDE), 9, np.uint8), r"02.png: expected indices from 0 to 1, .* got index 9 in 4096"),
    ],
)
def test_a_wrong_correction_is_named_and_stays_as_it_is(
    fit: Fit, tmp_path: Path, labels: NDArray[np.uint8], message: str
) -> None:
    maps = tmp_path / "maps" / "good"
    for index in range(4):
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        drawn[8:20, 8:20] = 1
        (maps).mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn).save(maps / f"{index:02d}.png")
    Image.fromarray(labels).save(maps / "02.png")
    before = (maps / "02.png").read_bytes()
    proposer = {"kind": "folder", "maps": str(tmp_path / "maps"), "names": ["square"]}
    with pytest.raises(FlawscopeError, match=message):
        fit([scene(seed) for seed in range(4)], segments={**COMPONENTS, "proposer": proposer})
    assert (maps / "02.png").read_bytes() == before


def test_tiles_are_refused() -> None:
    assert create("csad", SMALL).needs().whole == "CSAD compares the components of whole pictures"
