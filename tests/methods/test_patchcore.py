"""PatchCore against a plain numpy reading of the paper's equations."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter, zoom
from scipy.spatial.distance import cdist
from torch import Tensor

import flawscope.nn.banks.patchbank as module
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError, Stopped
from flawscope.methods.patchcore import PatchCore, top_mean
from flawscope.methods.registry import create
from flawscope.methods.running import restored, score, taught
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch
from trained import write_pictures

SMALL: dict[str, Any] = {"backbone": "resnet18", "weights": "random", "size": (64, 64), "coreset": 0.3}
Make = Callable[..., TrainingData]


def fitted(data: TrainingData, run: Run | None = None, watch: Watch = UNWATCHED, **options: Any) -> PatchCore:
    detector = create("patchcore", {**SMALL, **options})
    assert isinstance(detector, PatchCore)
    return detector.fit(data, run or Run(precision="fp32"), watch)


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
    bank = (detector.bank.memory.bank + detector.bank.memory.centre).double().numpy()
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


def test_the_bank_holds_patches_of_the_pictures(training_data: Make) -> None:
    data = training_data(3)
    detector = fitted(data)
    bank = (detector.bank.memory.bank + detector.bank.memory.centre).numpy()
    assert len(bank) == int(0.3 * 3 * 64)
    patches = np.concatenate([reference_patches(detector, pixels) for pixels in data.normal])
    distances = cdist(bank, patches)
    assert len(set(distances.argmin(1).tolist())) == len(bank)
    assert distances.min(1).max() < 1e-3 * np.linalg.norm(patches, axis=1).mean()


def test_image_scores(training_data: Make) -> None:
    data = training_data(3)
    pixels = torch.from_numpy(training_data(1, name="other", seed=9).normal[0])[None]
    plain = fitted(data, reweighting=0, smoothing=0.0)
    distances = plain.bank(plain.backbone(pixels))[0]
    assert float(plain(pixels)["score"]) == pytest.approx(float(distances.max()))
    top = fitted(data, reweighting=0, score="top 1 %")
    assert float(top(pixels)["score"]) == pytest.approx(float(distances.max()))  # 1 % of 64 patches is one
    smooth = fitted(data, score="smoothed maximum")(pixels)
    assert float(smooth["score"]) == float(smooth["heatmap"].max())


def test_the_mean_of_the_top_hundredth() -> None:
    assert top_mean(torch.arange(300.0).repeat(2, 1), 0.01).tolist() == [298.0, 298.0]


def test_one_neighbour_alone_weighs_nothing() -> None:
    with pytest.raises(OptionError, match="reweighting 0 or at least 2"):
        create("patchcore", {**SMALL, "reweighting": 1})


def test_balanced_layers_have_equal_say(training_data: Make) -> None:
    detector = fitted(training_data(3), balance=True, coreset=1.0, stride=16)
    assert detector.bank.grid.shape == (4, 4)
    fine, coarse = detector.bank.memory.bank.double().split([128, 256], 1)  # centred features of all patches
    assert float(fine.square().sum(1).mean()) == pytest.approx(1, rel=1e-3)
    assert float(coarse.square().sum(1).mean()) == pytest.approx(1, rel=1e-3)


def test_features_beyond_the_memory_go_through_a_file(training_data: Make, tmp_path: Path) -> None:
    data, folder = training_data(3), tmp_path / "kept"
    small = Run(precision="fp32", memory=1000, checkpoints=Checkpoints(folder))
    assert torch.equal(fitted(data, small).bank.memory.bank, fitted(data).bank.memory.bank)
    assert [path.name for path in folder.iterdir()] == ["coreset.safetensors"]


def test_bank_limit(training_data: Make) -> None:
    assert len(fitted(training_data(2), bank_limit=7).bank.memory.bank) == 7


def test_bfloat16_features_stay_near(training_data: Make) -> None:
    data = training_data(4)
    whole, half = fitted(data, coreset=1.0), fitted(data, Run(precision="bf16"), coreset=1.0)

    features = [detector.bank.memory.bank + detector.bank.memory.centre for detector in (whole, half)]
    difference = torch.cdist(features[0], features[1]).amin(1).norm() / features[0].norm()
    assert 0 < float(difference) < 0.05
    assert half.backbone.body.get_parameter("conv1.weight").dtype == torch.float32


def test_interrupted_selection_resumes_to_the_same_bank(
    training_data: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, stop = training_data(4), threading.Event()
    run = Run(precision="fp32", checkpoints=Checkpoints(tmp_path / "kept"))
    whole = fitted(data)
    select = module.select_coreset
    resumed: list[int] = []

    def interrupted(patches: Tensor, count: int, **keywords: Any) -> Tensor:
        if keywords["resume"] is None:
            keywords["on_checkpoint"](select(patches, 10, **{**keywords, "progress": None}))
            stop.set()
            keywords["progress"](10)
        resumed.append(len(keywords["resume"]))
        return select(patches, count, **keywords)

    monkeypatch.setattr(module, "select_coreset", interrupted)
    with pytest.raises(Stopped, match="Run the same command again"):
        fitted(data, run, Watch(stop=stop))
    again = fitted(data, run)
    assert resumed == [10]
    assert torch.equal(again.bank.memory.bank, whole.bank.memory.bank)


def test_a_checkpoint_of_other_pictures_is_not_taken_up(training_data: Make, tmp_path: Path) -> None:
    run = Run(precision="fp32", checkpoints=Checkpoints(tmp_path / "kept"))
    other = training_data(3, name="other", seed=5)
    key = torch.zeros(32, dtype=torch.uint8)
    run.checkpoints.save("coreset", {"chosen": torch.tensor([999]), "key": key})  # type: ignore[union-attr]
    assert torch.equal(fitted(other, run).bank.memory.bank, fitted(other).bank.memory.bank)


def test_stopping_while_features_are_read(training_data: Make) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        fitted(training_data(2), Run(), Watch(stop=stop))


def test_no_pictures(training_data: Make) -> None:
    with pytest.raises(DataError, match="at least 1 good pictures for patchcore, got 0"):
        fitted(training_data(0))


def test_preflight_refuses_what_cannot_fit() -> None:
    detector = create("patchcore", SMALL)
    assert isinstance(detector, PatchCore)
    with pytest.raises(OptionError, match="Lower the coreset ratio"):
        detector.needs().cost(10**8).require()  # type: ignore[misc]


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
        return PictureFiles([Sample(path, "test", defective=False) for path in paths], detector.options.frame)

    good, bad = pictures("test/good/*", 4), pictures("test/scratch_*/*", 4)
    detector.fit(TrainingData(normal=pictures("train/good/*", 8), tuning=good.subset([])), Run())
    scores = [*score(detector, good, Run())["score"], *score(detector, bad, Run())["score"]]
    assert roc_auc_score([0] * len(good) + [1] * len(bad), scores) > 0.7


def spotted(folder: Path, training_data: Make) -> TrainingData:
    """Good pictures of another look, all for training."""
    paths = sorted(write_pictures(folder / "spotted", 3, seed=7, spot=True).iterdir())
    samples = [Sample(path, "train", defective=False) for path in paths]
    return replace(training_data(0), normal=PictureFiles(samples, training_data(0).normal.frame))


def test_a_taught_bank_keeps_its_members_and_covers_more(training_data: Make, tmp_path: Path) -> None:
    data, more = training_data(4), spotted(tmp_path, training_data)
    detector = fitted(data, coreset=1.0, bank_limit=60, balance=True)
    before, scale = detector.bank.memory.members, detector.bank.grid.scale.clone()
    centre = detector.bank.memory.centre.clone()
    rejected = score(detector, more.normal, Run())["score"]
    taught(detector, more, Run(growth=0.5))
    assert len(before) == 60
    assert 60 < len(detector.bank.memory.bank) <= 90
    assert torch.equal(detector.bank.memory.members[:60], before)
    assert torch.equal(detector.bank.memory.centre, centre)
    assert torch.equal(detector.bank.grid.scale, scale)
    assert len(detector.bank.neighbours) == len(detector.bank.memory.bank)
    assert (score(detector, more.normal, Run())["score"] < rejected).all()
    size = len(detector.bank.memory.bank)
    taught(detector, more, Run(growth=0.5))
    assert len(detector.bank.memory.bank) <= max(size, 90)
    assert isinstance(restored("patchcore", detector.options.model_dump(), detector.state_dict()), PatchCore)


def test_a_bank_without_a_limit_grows_by_its_share(training_data: Make, tmp_path: Path) -> None:
    data, more = training_data(4), spotted(tmp_path, training_data)
    for growth, most in ((0.0, 3 * 64 // 10), (2.0, 2 * 25)):
        detector = fitted(data, coreset=0.1)
        taught(detector, more, Run(growth=growth))
        assert 25 < len(detector.bank.memory.bank) <= 25 + most
