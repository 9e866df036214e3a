"""The contract's surface, its checks, and detectors whose structure is learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from flawscope.data.pictures import PictureFiles
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError, DataError
from flawscope.methods.detector import Detector, DetectorOptions, Facts, Learnt, Needs
from flawscope.methods.registry import BUILT_IN
from flawscope.methods.running import restored, score
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime import bundle
from flawscope.runtime.inspector import Inspector
from flawscope.training.train import train
from trained import recipe, write_pictures

MOST = 9


class Groups(Detector):
    """Distance to the nearest of the mean pictures of a learnt number of groups."""

    name: ClassVar = "groups"
    Options = DetectorOptions

    def __init__(self, options: DetectorOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        count = (facts or {}).get("groups", 0)
        assert isinstance(count, int)
        self.groups = self._modules_for(count)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        self.groups = self._modules_for(len(data.normal) // 10)
        for index, group in enumerate(self.groups):
            means = [torch.from_numpy(data.normal[10 * index + row]) for row in range(10)]
            group.weight.data = torch.stack(means).mean(0).flatten(1)
        return Learnt(facts={"groups": len(self.groups)})

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        height, width = self.options.size
        maps = [(pixels - group.weight.reshape(3, height, width)).square().mean(1) for group in self.groups]
        heatmap = torch.stack(maps).amin(0)  # (N, H, W)
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}

    def _modules_for(self, count: int) -> nn.ModuleList:
        pixels = self.options.size[0] * self.options.size[1]
        return nn.ModuleList(nn.Linear(pixels, 3, bias=False).requires_grad_(False) for _ in range(count))


def test_the_contract_has_few_members() -> None:
    own = {name for name in dir(Detector) if not name.startswith("_")} - set(dir(nn.Module))
    assert {"presets", "explains", "needs", "outputs", "fit", "learn"} <= own
    assert len(own | {"name", "Options"}) <= MOST


def test_a_detector_whose_number_of_modules_is_learnt_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUILT_IN, "groups", f"{__name__}:Groups")
    good = write_pictures(tmp_path / "good", 60, side=32)
    wanted = recipe(
        good, method="groups", options={"size": [32, 32]}, split={"calibration": 0.4, "tuning": 0.0}
    )
    made = train(wanted, tmp_path / "model", Run()).bundle
    count = made.manifest.learnt["groups"]
    assert isinstance(count, int)
    assert count > 1
    tensors = load_file(tmp_path / "model" / bundle.WEIGHTS)
    again = restored("groups", made.manifest.options, tensors, made.manifest.learnt)
    picture = sorted(good.iterdir())[0]
    answer = Inspector.load(made.folder, engine="onnxruntime").inspect(picture).score
    from flawscope.data.samples import Sample

    own = score(again, PictureFiles([Sample(picture, "test", defective=False)], again.options.frame), Run())
    np.testing.assert_allclose(own["score"], [answer], rtol=1e-5)
    with pytest.raises(BundleError, match="the tensors of groups with these options"):
        restored("groups", made.manifest.options, tensors, {"groups": count + 1})


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        (Needs(normal=4), "training pictures: expected at least 4 good pictures for any, got 3"),
        (Needs(tuning=1), "tuning pictures: expected at least 1 good pictures to scale on for any, got 0"),
        (Needs(natural=1), "natural pictures: .*--natural FOLDER, or choose options that need none"),
        (Needs(defective=2), "defective pictures: expected at least 2 for any, which learns from known"),
        (Needs(natural=1, instead={"natural": "choose x=y"}), "FOLDER, or choose x=y"),
    ],
)
def test_what_is_missing_is_told(
    training_data: Callable[[int], TrainingData], needs: Needs, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        needs.require(training_data(3), "any")


def test_optional_pictures_may_be_missing_but_not_few(
    supervised_data: Callable[[int, int], TrainingData], training_data: Callable[..., TrainingData]
) -> None:
    needs = Needs(defective=3, optional=frozenset({"defective"}))
    needs.require(training_data(3, name="other"), "any")
    with pytest.raises(DataError, match="got 2"):
        needs.require(supervised_data(3, 2), "any")
