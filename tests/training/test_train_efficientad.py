"""EfficientAD from pictures to verdicts: resuming, losses on disk, α after training, what stops it early."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flawscope.errors import DataError, InputError, OptionError, Stopped
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.inspector import Inspector
from flawscope.station.calibrate import calibrate
from flawscope.station.picture import inspect_one
from flawscope.training.recipe import Recipe
from flawscope.training.train import train
from trained import recipe, write_pictures

CALIBRATION = {"false_rejects": 0.2, "promise": "on_average"}


def small(folder: Path, *, data: dict[str, str] | None = None, **options: Any) -> Recipe:
    return recipe(
        folder,
        method="efficientad",
        data={"folder": str(folder), **(data or {})},
        options={"size": [48, 48], "steps": 4, "weights": "random", "channels": 16, **options},
        split={"tuning": 0.1, "calibration": 0.25},
        calibration=CALIBRATION,
    )


class StopAt:
    """Progress that asks to stop at a training step."""

    def __init__(self, step: int, stop: threading.Event) -> None:
        self.left, self.stop, self.training = step, stop, False

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[StopAt]:
        self.training = title == "training"
        yield self

    def advance(self, steps: int = 1) -> None:
        if self.training and steps:
            self.left -= steps
            if self.left == 0:
                self.stop.set()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("efficientad")
    write_pictures(root / "product" / "good", 40)
    write_pictures(root / "product" / "spot", 3, seed=1, spot=True)
    return root / "product"


@pytest.fixture(scope="module")
def model(pictures: Path) -> Path:
    """A model with natural pictures, whose training was stopped after its second step and taken up again."""
    out = pictures.parent / "model"
    natural = write_pictures(pictures.parent / "natural", 3, seed=8, side=90)
    wish = small(pictures, data={"natural": str(natural)}, penalty="ood")
    stop = threading.Event()
    with pytest.raises(Stopped):
        train(wish, out, Run(), Watch(StopAt(2, stop), stop))
    train(wish, out, Run())
    return out


def test_a_stopped_training_is_taken_up_and_leaves_nothing_behind(model: Path) -> None:
    assert (model / "manifest.json").is_file()
    assert not (model / ".unfinished").exists()


def test_a_training_stopped_in_a_fold_keeps_its_steps(tmp_path: Path) -> None:
    few = write_pictures(tmp_path / "good", 12)
    stop, said = threading.Event(), list[str]()
    wish = recipe(
        few, method="efficientad", options={"size": [64, 64], "steps": 4, "weights": "random", "channels": 16}
    )
    with pytest.raises(Stopped, match=r"\.unfinished"):
        train(wish, tmp_path / "model", Run(), Watch(StopAt(2, stop), stop, said.append))
    assert len(list((tmp_path / "model").rglob("unfinished-0/efficientad-*.safetensors"))) == 1
    assert any("4 training steps, in 5 folds and once more" in line for line in said)


def test_the_loss_curve_lies_in_the_model_folder(model: Path) -> None:
    curve = json.loads((model / "losses.json").read_text())
    assert [entry["step"] for entry in curve] == [1, 2, 3, 4]
    assert {"total", "hard", "penalty", "autoencoder", "stae", "learning_rate"} <= curve[0].keys()


def test_findings_tell_local_from_global(model: Path, pictures: Path) -> None:
    inspector = Inspector.load(model)
    found = [inspector.inspect(path) for path in sorted((pictures / "spot").iterdir())]
    areas = [(each, finding) for each in found for finding in each.findings if finding.region]
    assert areas
    for prediction, finding in areas:
        x0, y0, x1, y1 = finding.region.box  # type: ignore[union-attr]
        rows, columns = (slice(12 * low // 64, -(-12 * high // 64)) for low, high in ((y0, y1), (x0, x1)))
        local, whole = (
            max(0.0, float(prediction.outputs[name][rows, columns].max()))
            for name in ("local_map", "global_map")
        )
        assert finding.values["local_share"] == pytest.approx(local / (local + whole), rel=1e-5)
        cause = "spot itself" if local >= 2 * whole else "arrangement" if whole >= 2 * local else "and in the"
        assert cause in finding.text


def test_flagged_pictures_show_their_maps_side_by_side(model: Path, pictures: Path) -> None:
    with Inspector.load(model) as inspector:
        paths = [next((pictures / kind).iterdir()) for kind in ("good", "spot")]
        looked = [inspect_one(inspector, path, views=lambda record: True) for path in paths]
    for one in looked:
        assert one.views is not None
        told = [inset.about for inset in one.views.insets if inset.about.startswith("local map, global map")]
        assert len(told) == one.record.flagged
    assert looked[1].record.flagged


def test_the_local_weight_changes_without_training(model: Path, tmp_path: Path) -> None:
    fresh = write_pictures(tmp_path / "fresh", 20, seed=5)
    spotted = write_pictures(tmp_path / "spot", 1, seed=6, spot=True) / "000.png"
    before = Inspector.load(model).inspect(spotted)
    maps = before.outputs["local_map"], before.outputs["global_map"]
    graph = (model / "model.onnx").read_bytes()
    changed = calibrate(model, scalars={"local_weight": 0.8}, normals=sorted(fresh.iterdir()))
    inspector = Inspector.load(model)
    after = inspector.inspect(spotted)
    assert after.score == pytest.approx(float((0.8 * maps[0] + 0.2 * maps[1]).max()), rel=1e-4)
    assert (model / "model.onnx").read_bytes() == graph
    scores = [inspector.inspect(path).score for path in sorted(fresh.iterdir())]
    np.testing.assert_allclose(sorted(scores), sorted(changed.bundle.manifest.calibration.scores), rtol=1e-4)


def test_natural_pictures_come_from_their_folder(model: Path) -> None:
    assert json.loads((model / "losses.json").read_text())[0]["penalty"] > 0
    assert "natural" in (model / "recipe.yaml").read_text()


def test_missing_natural_pictures_end_before_training(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--natural"):
        train(small(pictures, penalty="ood"), tmp_path / "model", Run())
    (tmp_path / "empty").mkdir()
    empty = {"natural": str(tmp_path / "empty")}
    with pytest.raises(DataError, match="natural"):
        train(small(pictures, data=empty, penalty="ood"), tmp_path / "m", Run())


def test_bad_pictures_end_in_one_line(tmp_path: Path) -> None:
    good = write_pictures(tmp_path / "one", 1)
    with pytest.raises(DataError, match="good pictures") as one:
        train(small(good), tmp_path / "a", Run())
    assert "\n" not in str(one.value)
    cut = write_pictures(tmp_path / "cut", 20) / "007.png"
    cut.write_bytes(cut.read_bytes()[:200])
    with pytest.raises(InputError, match=r"007\.png"):
        train(small(cut.parent), tmp_path / "b", Run())
    with pytest.raises(OptionError, match="hard_quantile"):
        train(small(good, hard_quantil=0.9), tmp_path / "c", Run())
    float_picture = write_pictures(tmp_path / "float", 20)
    Image.fromarray(np.full((8, 8), np.nan, np.float32), mode="F").save(float_picture / "nan.tiff")
    with pytest.raises(InputError, match=r"nan\.tiff"):
        train(small(float_picture), tmp_path / "d", Run())
