"""Banks for parts of the picture, against distances worked out part by part."""

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
from torch import Tensor

import flawscope.nn.banks.patchbank as module
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError, Stopped
from flawscope.methods.patchcore import PatchCore
from flawscope.methods.registry import create
from flawscope.methods.running import restored, score, taught
from flawscope.nn.banks.placed import PlacedBanks
from flawscope.nn.run import Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch
from trained import write_pictures

SMALL: dict[str, Any] = {
    "backbone": "resnet18",
    "weights": "random",
    "size": (64, 64),
    "coreset": 0.3,
    "reweighting": 0,
}
RUN = Run(precision="fp32")
Make = Callable[..., TrainingData]


def made(**options: Any) -> PatchCore:
    detector = create("patchcore", {**SMALL, **options})
    assert isinstance(detector, PatchCore)
    return detector


def placed(detector: PatchCore) -> PlacedBanks:
    assert isinstance(detector.bank, PlacedBanks)
    return detector.bank


def members(detector: PatchCore) -> list[Tensor]:
    return [memory.members for memory in placed(detector).memories]


def features(detector: PatchCore, data: TrainingData) -> Tensor:
    """(n, h, w, D) of all good pictures."""
    pixels = torch.from_numpy(np.stack([data.normal[index] for index in range(len(data.normal))]))
    with torch.inference_mode():
        return detector.bank.grid(detector.backbone(pixels)).permute(0, 2, 3, 1)


PARTS = [  # of 8 by 8 cells
    (slice(0, 3), slice(0, 4)),
    (slice(0, 3), slice(4, 8)),
    (slice(3, 6), slice(0, 4)),
    (slice(3, 6), slice(4, 8)),
    (slice(6, 8), slice(0, 4)),
    (slice(6, 8), slice(4, 8)),
]


def test_each_cell_is_compared_with_the_good_ones_of_its_part(training_data: Make) -> None:
    data, others = training_data(3), training_data(2, name="other", seed=9)
    detector = made(positions=(3, 2), score="maximum").fit(data, RUN, UNWATCHED)
    seen = features(detector, others).double().numpy()
    wanted = np.zeros(seen.shape[:3])
    for part, bank in zip(PARTS, members(detector), strict=True):
        own = seen[:, part[0], part[1]]
        nearest = cdist(own.reshape(-1, own.shape[-1]), bank.double().numpy()).min(1)
        wanted[:, part[0], part[1]] = nearest.reshape(own.shape[:3])
    pixels = torch.from_numpy(np.stack([others.normal[index] for index in range(2)]))
    with torch.inference_mode():
        outputs, distances = detector.forward_unsmoothed(pixels)
    np.testing.assert_allclose(distances.numpy(), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs["score"].numpy(), wanted.max((1, 2)), rtol=1e-4)


def test_each_bank_holds_its_share_of_patches_of_its_part(training_data: Make) -> None:
    data = training_data(3)
    detector = made(positions=(3, 2), bank_limit=25).fit(data, RUN, UNWATCHED)
    seen = features(detector, data)
    for part, bank in zip(PARTS, members(detector), strict=True):
        assert len(bank) in {3, 4}
        own = seen[:, part[0], part[1]].reshape(-1, seen.shape[-1]).double().numpy()
        assert cdist(bank.double().numpy(), own).min(1).max() < 1e-4
    assert placed(detector).size <= 25


def test_what_is_good_elsewhere_is_not_good_here(training_data: Make) -> None:
    data = training_data(4)
    one, apart = (made(positions=positions).fit(data, RUN, UNWATCHED) for positions in (None, (2, 2)))
    swapped = torch.from_numpy(data.normal[0][:, ::-1].copy())[None]
    with torch.inference_mode():
        assert float(apart(swapped)["score"]) > float(one(swapped)["score"])


def test_one_position_is_one_bank(training_data: Make) -> None:
    data = training_data(3)
    one, same = (made(positions=positions).fit(data, RUN, UNWATCHED) for positions in (None, (1, 1)))
    pixels = torch.from_numpy(data.normal[1])[None]
    with torch.inference_mode():
        assert torch.equal(one(pixels)["heatmap"], same(pixels)["heatmap"])


def test_taught_banks_keep_their_members_and_cover_more(training_data: Make, tmp_path: Path) -> None:
    data = training_data(3)
    detector = made(positions=(3, 2), bank_limit=24).fit(data, RUN, UNWATCHED)
    paths = sorted(write_pictures(tmp_path / "spotted", 3, seed=7, spot=True).iterdir())
    samples = [Sample(path, "train", defective=False) for path in paths]
    more = replace(data, normal=PictureFiles(samples, data.normal.frame))
    before, rejected = members(detector), score(detector, more.normal, RUN)["score"]
    after = members(taught(detector, more, replace(RUN, growth=1.0)))
    for old, new in zip(before, after, strict=True):
        assert len(new) <= 2 * len(old) + 1
        assert torch.equal(old, new[: len(old)])
    assert sum(map(len, before)) <= 24 < placed(detector).size <= 48
    assert (score(detector, more.normal, RUN)["score"] < rejected).all()
    kept = restored("patchcore", detector.options.model_dump(), detector.state_dict())
    assert (score(kept, more.normal, RUN)["score"] == score(detector, more.normal, RUN)["score"]).all()


def test_a_stopped_selection_is_taken_up_where_it_was(
    training_data: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, stop = training_data(3), threading.Event()
    whole = members(made(positions=(2, 2)).fit(data, RUN, UNWATCHED))
    select, resumed = module.select_coreset, list[int | None]()

    def counted(patches: Tensor, count: int, **keywords: Any) -> Tensor:
        kept = keywords["resume"]
        resumed.append(None if kept is None else len(kept))
        if len(resumed) == 2:
            stop.set()
            keywords["progress"](0)
        return select(patches, count, **keywords)

    monkeypatch.setattr(module, "select_coreset", counted)
    run = replace(RUN, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(Stopped):
        made(positions=(2, 2)).fit(data, run, Watch(stop=stop))
    again = members(made(positions=(2, 2)).fit(data, run, UNWATCHED))
    assert resumed == [None, None, len(whole[0]), None, None, None]
    assert all(map(torch.equal, again, whole))


def test_every_part_has_its_share(training_data: Make) -> None:
    whole = made(positions=(3, 2), coreset=1.0).fit(training_data(3), RUN, UNWATCHED)
    assert [len(bank) for bank in members(whole)] == [36, 36, 36, 36, 24, 24]


def test_positions_want_whole_pictures() -> None:
    assert "whole pictures" in made(positions=(2, 1)).needs().whole
    assert not made(positions=(1, 1)).needs().whole
    assert not made().needs().whole


def test_the_estimate_holds_a_part_beside_all_patches() -> None:
    one, two = (made(positions=positions).needs().cost for positions in (None, (1, 2)))
    assert one is not None
    assert two is not None
    patches = 20_000 * 64 * 384 * 4  # bytes of 20 000 pictures; a third of them and the banks lie there twice
    assert two(20_000).bytes > 1.5 * patches
    assert two(20_000).lasting == one(20_000).lasting


def test_positions_that_do_not_fit() -> None:
    with pytest.raises(OptionError, match="at most 8 rows and 8 columns"):
        made(positions=(9, 1))
    with pytest.raises(OptionError, match="positions"):
        made(positions=(0, 2))
    with pytest.raises(OptionError, match="bank_limit of at least 6"):
        made(positions=(3, 2), bank_limit=5)
    with pytest.raises(OptionError, match="reweighting 0 with positions"):
        made(positions=(2, 2), reweighting=9)
