"""PatchCore against a plain numpy reading of the paper's equations."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter, zoom
from scipy.spatial.distance import cdist
from torch import Tensor

import flawscope.nn.banks.patchbank as module
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError, Stopped
from flawscope.methods.patchcore.detector import PatchCore, top_mean
from flawscope.methods.registry import create
from flawscope.nn.run import Checkpoints, Run

SMALL: dict[str, Any] = {"backbone": "resnet18", "weights": "random", "size": (64, 64), "coreset": 0.3}
Make = Callable[..., TrainingData]


def fitted(data: TrainingData, run: Run | None = None, **options: Any) -> PatchCore:
    detector = create("patchcore", {**SMALL, **options})
    assert isinstance(detector, PatchCore)
    return detector.fit(data, run or Run(precision="fp32"))


def reference_patches(detector: PatchCore, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Section 3.1 in numpy: averages over 3×3 with zeros around, the coarse layer enlarged: (P, D)."""
    with torch.inference_mode():
        fine, coarse = (
            maps[0].double().numpy() for maps in detector.backbone(torch.from_numpy(pixels)[None]).values()
        )

    def mean(maps: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([uniform_filter(one, 3, mode="constant") for one in maps])

    coarse = np.stack([zoom(one, 2, order=1, mode="nearest", grid_mode=True) for one in mean(coarse)])
    joined = np.concatenate([mean(fine), coarse])  # (D, h, w)
    return joined.reshape(len(joined), -1).T


def test_distances_scores_and_heatmap_follow_the_equations(training_data: Make) -> None:
    detector = fitted(training_data(4), reweighting=3)
    pixels = training_data(1, name="other", seed=9).normal[0]
    patches = reference_patches(detector, pixels)
    bank = (detector.banks[0].memory.bank + detector.banks[0].memory.centre).double().numpy()
    distances = cdist(patches, bank)
    nearest = distances.min(1)
    test = int(nearest.argmax())
    star = int(distances[test].argmin())
    around = np.argsort(cdist(bank[[star]], bank)[0])[:3]
    exponents = np.exp(distances[test])
    expected = (1 - exponents[star] / exponents[around].sum()) * nearest[test]  # equation 7
    large = zoom(nearest.reshape(8, 8), 8, order=1, mode="nearest", grid_mode=True)
    answer = {key: value.numpy()[0] for key, value in detector(torch.from_numpy(pixels)[None]).items()}
    assert answer["score"] == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(
        answer["heatmap"], gaussian_filter(large, 4, mode="reflect"), rtol=2e-3, atol=2e-3
    )
    chosen = distances[np.arange(64), answer["nearest"].ravel()]
    np.testing.assert_allclose(chosen, nearest, rtol=1e-4)


def test_the_bank_holds_patches_of_the_pictures_that_origins_name(training_data: Make) -> None:
    data = training_data(3)
    detector = fitted(data)
    bank = (detector.banks[0].memory.bank + detector.banks[0].memory.centre).numpy()
    assert len(bank) == int(0.3 * 3 * 64)
    assert len({tuple(row) for row in detector.banks[0].origins.tolist()}) == len(bank)
    for row, (picture, line, column) in list(zip(bank, detector.banks[0].origins.tolist(), strict=True))[:5]:
        patches = reference_patches(detector, data.normal[picture])
        np.testing.assert_allclose(row, patches[line * 8 + column], rtol=1e-3, atol=1e-4)


def test_image_scores(training_data: Make) -> None:
    data = training_data(3)
    pixels = torch.from_numpy(training_data(1, name="other", seed=9).normal[0])[None]
    plain = fitted(data, reweighting=0, smoothing=0.0)
    distances = plain.banks[0](plain.backbone(pixels))[0]
    assert float(plain(pixels)["score"]) == pytest.approx(float(distances.max()))
    top = fitted(data, reweighting=0, score="top 1 %")
    assert float(top(pixels)["score"]) == pytest.approx(float(distances.max()))  # 1 % of 64 patches is one
    smooth = fitted(data, score="smoothed maximum")(pixels)
    assert float(smooth["score"]) == float(smooth["heatmap"].max())


def test_the_mean_of_the_top_hundredth() -> None:
    assert top_mean(torch.arange(300.0).repeat(2, 1)).tolist() == [298.0, 298.0]


def test_density_divides_by_the_spacing_of_the_nearest_member(training_data: Make) -> None:
    data = training_data(3)
    pixels = torch.from_numpy(training_data(1, name="other", seed=9).normal[0])[None]
    plain, dense = fitted(data, reweighting=0), fitted(data, reweighting=0, density=4)
    bank = plain.banks[0].memory.bank.double().numpy()
    spacing = np.sort(cdist(bank, bank), 1)[:, 1:5].mean(1)
    distances, indices, _ = plain.banks[0](plain.backbone(pixels))
    expected = distances.numpy() / spacing[indices.numpy()]
    np.testing.assert_allclose(dense.banks[0](dense.backbone(pixels))[0].numpy(), expected, rtol=1e-3)
    soft = fitted(data, reweighting=0, density=4, density_power=0.5)
    softer = distances.numpy() / np.sqrt(spacing[indices.numpy()])
    np.testing.assert_allclose(soft.banks[0](soft.backbone(pixels))[0].numpy(), softer, rtol=1e-3)


def test_several_banks_are_levelled_on_tuning_pictures_and_added(training_data: Make) -> None:
    normal, tuning = training_data(5).normal, training_data(2, name="tuning", seed=3).normal
    banks = [{"layers": ["layer2"]}, {"layers": ["layer3"], "limit": 9, "density": 2}]
    options = {"banks": banks, "reweighting": 0}
    with pytest.raises(DataError, match="at least one, on which several banks are levelled"):
        fitted(TrainingData(normal, tuning.subset([])), **options)
    detector = fitted(TrainingData(normal, tuning), **options)
    assert [len(bank.memory.bank) for bank in detector.banks] == [96, 9]
    maps = [bank(detector.backbone(torch.from_numpy(np.stack(list(tuning)))))[0] for bank in detector.banks]
    for one, (mean, deviation) in zip(maps, detector.levels.tolist(), strict=True):
        assert float(one.mean()) == pytest.approx(mean, rel=1e-4)
        assert float(one.std()) == pytest.approx(deviation, rel=1e-3)
    levelled = [(one - level[0]) / level[1] for one, level in zip(maps, detector.levels, strict=True)]
    joined = levelled[0] + F.interpolate(levelled[1][:, None], size=(8, 8), mode="bilinear")[:, 0]
    answer = detector(torch.from_numpy(np.stack(list(tuning))))
    torch.testing.assert_close(answer["score"], joined.amax((1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"banks": [{"layers": ["layer2"]}, {"layers": ["layer3"]}]},
        {"banks": [{"layers": ["layer2"]}], "layers": ["layer2"]},
        {"banks": [{"layers": []}]},
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        create("patchcore", {**SMALL, **options})


def test_balanced_layers_have_equal_say(training_data: Make) -> None:
    detector = fitted(training_data(3), balance=True, coreset=1.0, stride=16)
    assert detector.grid == (4, 4)
    fine, coarse = (
        detector.banks[0].memory.bank.double().split([128, 256], 1)
    )  # centred features of all patches
    assert float(fine.square().sum(1).mean()) == pytest.approx(1, rel=1e-3)
    assert float(coarse.square().sum(1).mean()) == pytest.approx(1, rel=1e-3)


def test_features_beyond_the_memory_go_through_a_file(training_data: Make, tmp_path: Path) -> None:
    data, folder = training_data(3), tmp_path / "kept"
    small = Run(precision="fp32", memory=1000, checkpoints=Checkpoints(folder))
    assert torch.equal(fitted(data, small).banks[0].memory.bank, fitted(data).banks[0].memory.bank)
    assert list(folder.iterdir()) == []


def test_bank_limit(training_data: Make) -> None:
    assert len(fitted(training_data(2), bank_limit=7).banks[0].memory.bank) == 7


def test_bfloat16_features_stay_near(training_data: Make) -> None:
    data = training_data(4)
    whole, half = fitted(data, coreset=1.0), fitted(data, Run(precision="bf16"), coreset=1.0)

    def bank(detector: PatchCore) -> Tensor:
        return detector.banks[0].memory.bank[np.lexsort(detector.banks[0].origins.numpy().T[::-1]).tolist()]

    difference = (bank(whole) - bank(half)).norm() / bank(whole).norm()
    assert 0 < float(difference) < 0.05
    assert half.backbone.body.get_parameter("conv1.weight").dtype == torch.float32


def test_interrupted_selection_resumes_to_the_same_bank(
    training_data: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, stop = training_data(4), threading.Event()
    run = Run(precision="fp32", checkpoints=Checkpoints(tmp_path / "kept"), stop=stop)
    whole = fitted(data)
    select = module.select_coreset
    resumed: list[int] = []

    def interrupted(patches: Tensor, count: int, **keywords: Any) -> Tensor:
        if keywords["resume"] is None:
            keywords["on_checkpoint"](select(patches, 10, **{**keywords, "progress": None}))
            stop.set()
            keywords["progress"](10, count)
        resumed.append(len(keywords["resume"]))
        return select(patches, count, **keywords)

    monkeypatch.setattr(module, "select_coreset", interrupted)
    with pytest.raises(Stopped, match="Run the same command again"):
        fitted(data, run)
    again = fitted(data, dataclasses.replace(run, stop=threading.Event()))
    assert resumed == [10]
    assert torch.equal(again.banks[0].origins, whole.banks[0].origins)


def test_a_checkpoint_of_other_pictures_is_not_taken_up(training_data: Make, tmp_path: Path) -> None:
    run = Run(precision="fp32", checkpoints=Checkpoints(tmp_path / "kept"))
    other = training_data(3, name="other", seed=5)
    key = torch.zeros(32, dtype=torch.uint8)
    run.checkpoints.save("coreset0", {"chosen": torch.tensor([999]), "key": key})  # type: ignore[union-attr]
    assert torch.equal(fitted(other, run).banks[0].origins, fitted(other).banks[0].origins)


def test_stopping_while_features_are_read(training_data: Make) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        fitted(training_data(2), Run(stop=stop))


def test_no_pictures(training_data: Make) -> None:
    with pytest.raises(DataError, match="at least 1 good pictures for PatchCore, got 0"):
        fitted(training_data(0))


def test_preflight_refuses_what_cannot_fit() -> None:
    detector = create("patchcore", SMALL)
    assert isinstance(detector, PatchCore)
    with pytest.raises(OptionError, match="Lower the coreset ratio"):
        detector.preflight(10**8).require()


@pytest.mark.real
def test_finds_screws_flaws(real_data: Path, real_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.metrics import roc_auc_score

    from flawscope.data.pictures import PictureFiles, Pictures
    from flawscope.data.samples import Sample

    monkeypatch.setenv("FLAWSCOPE_WEIGHTS", str(real_weights))
    detector = create(
        "patchcore", {"backbone": "resnet18", "bank_limit": 1500, "projection": 64, "reweighting": 0}
    )
    screw = real_data / "mvtec_ad_512" / "screw"

    def pictures(pattern: str, step: int) -> Pictures:
        paths = sorted(screw.glob(pattern))[::step]
        return PictureFiles([Sample(path, "test", defective=False) for path in paths], detector.frame)

    good, bad = pictures("test/good/*", 4), pictures("test/scratch_*/*", 4)
    detector.fit(TrainingData(normal=pictures("train/good/*", 8), tuning=good.subset([])), Run())
    scores = [*detector.score(good, Run())["score"], *detector.score(bad, Run())["score"]]
    assert roc_auc_score([0] * len(good) + [1] * len(bad), scores) > 0.7
