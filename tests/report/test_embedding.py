"""t-SNE of patches: normal and anomalous apart where the model tells them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from benchmarked import write_product
from brightness_model import make_manifest
from flawscope.data.layouts import read_dataset
from flawscope.methods.multiscale_patch import MultiScalePatch
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.report.content import Scatter
from flawscope.runtime.bundle import WEIGHTS, Bundle
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import FileEntry
from flawscope.training.embedding import scatters

OPTIONS = {
    "size": (64, 64),
    "scales": (32, 16),
    "strides": (16, 8),
    "weights": "random",
    "backbone": "vgg11",
    "layers": ("features.5", "features.2"),
    "embedding": 8,
}


def bundle(folder: Path, *, method: str = "multiscale_patch", weights: bool = True) -> Bundle:
    detector = MultiScalePatch(MultiScalePatchOptions.model_validate(OPTIONS))
    save_file({name: value.contiguous() for name, value in detector.state_dict().items()}, folder / WEIGHTS)
    manifest = make_manifest(
        method=method,
        options=detector.options.model_dump(mode="json"),
        frame=Frame(height=64, width=64),
        files={WEIGHTS: FileEntry(sha256="0" * 64, bytes=1)} if weights else {},
    )
    return Bundle(folder, manifest)


def neighbours_of_their_own(drawing: Scatter) -> float:
    """Mean over both kinds of the share of points whose nearest neighbour is of their kind."""
    points = np.array([*drawing.normal, *drawing.anomalous])
    anomalous = np.arange(len(points)) >= len(drawing.normal)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)  # (n, n)
    np.fill_diagonal(distances, np.inf)
    alike = anomalous[distances.argmin(1)] == anomalous
    return float((alike[anomalous].mean() + alike[~anomalous].mean()) / 2)


def test_every_size_has_a_drawing_of_normal_and_anomalous_patches(tmp_path: Path) -> None:
    dataset = read_dataset(write_product(tmp_path / "product", good=1, spotted=3))
    samples = dataset.select(split="test")
    found = scatters(bundle(tmp_path), samples)
    assert [drawing.title.split(":")[0] for drawing in found] == ["32-pixel patches", "16-pixel patches"]
    again = scatters(bundle(tmp_path), samples)
    assert found == again
    for drawing in found:
        points = np.array([*drawing.normal, *drawing.anomalous])
        assert points.min() == 0
        assert points.max() == 1
        assert len(drawing.anomalous) >= 4
        assert neighbours_of_their_own(drawing) > 0.7  # 0.5 by chance; the drawing itself hangs on rounding
        assert drawing.title.endswith(f"{len(drawing.normal)} normal, {len(drawing.anomalous)} anomalous")


@pytest.mark.parametrize("change", [{"method": "patchcore"}, {"weights": False}])
def test_other_models_have_none(tmp_path: Path, change: dict[str, object]) -> None:
    dataset = read_dataset(write_product(tmp_path / "product", good=1, spotted=1))
    assert scatters(bundle(tmp_path, **change), dataset.select(split="test")) == ()  # type: ignore[arg-type]


def test_without_annotated_defects_there_is_none(tmp_path: Path) -> None:
    dataset = read_dataset(write_product(tmp_path / "product", good=1, spotted=1))
    assert scatters(bundle(tmp_path), dataset.select(split="test", defective=False)) == ()
