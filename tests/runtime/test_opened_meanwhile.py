"""A model that another command switches while it is opened or copied: the one or the other, never both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from flawscope.errors import BundleError, OutputError
from flawscope.runtime import bundle, pipeline, versions
from flawscope.runtime.inspector import Inspector
from flawscope.station import deploy
from versioned import candidate, first

WHITE = np.full((8, 8), 255, np.uint8)


@pytest.fixture
def switching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType, str], Path]:
    """Model 1, which gives way to model 2 as soon as that name of that module is called."""
    model = first(tmp_path / "model")
    made = candidate(model, 2.0)

    def at(module: ModuleType, name: str) -> Path:
        call = getattr(module, name)

        def once(*values: Any, **more: Any) -> Any:
            monkeypatch.setattr(module, name, call)
            versions.switch(model, made)
            return call(*values, **more)

        monkeypatch.setattr(module, name, once)
        return model

    return at


def test_a_model_that_is_switched_while_it_is_read_is_the_new_one(
    switching: Callable[[ModuleType, str], Path],
) -> None:
    model = switching(bundle, "_check_file")
    assert bundle.load(model).sha256[:12] == versions.name_of(model)
    assert len(versions.history(model)) == 2


@pytest.mark.parametrize("step", ["choose", "open_engine", "check_inputs"])
def test_a_model_that_is_switched_while_it_is_opened_answers_as_its_manifest_says(
    switching: Callable[[ModuleType, str], Path], step: str
) -> None:
    model = switching(pipeline, step)
    inspector = Inspector.load(model, engine="onnxruntime", threads=1)
    assert inspector.bundle.sha256[:12] == versions.name_of(model)
    assert inspector.inspect(WHITE).score == pytest.approx(0.5)


@pytest.mark.parametrize("step", ["_copy", "_check_alike"])
def test_a_model_that_is_switched_while_it_is_exported_is_not_mixed_with_the_new_one(
    switching: Callable[[ModuleType, str], Path], tmp_path: Path, step: str
) -> None:
    model = switching(deploy, step)
    with pytest.raises(BundleError, match="changed meanwhile"):
        deploy.deploy(model, tmp_path / "station")
    assert not (tmp_path / "station").exists()
    assert deploy.deploy(model, tmp_path / "station").manifest == bundle.load(model).manifest


def test_a_file_that_the_new_model_lacks_does_not_count_as_a_place_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, copy = first(tmp_path / "model"), deploy._copy
    made = candidate(model, 2.0)

    def switched(source: bundle.Bundle, folder: Path) -> None:
        versions.switch(model, made)
        (model / next(iter(source.manifest.files))).unlink()
        copy(source, folder)

    monkeypatch.setattr(deploy, "_copy", switched)
    with pytest.raises(BundleError, match="changed meanwhile"):
        deploy.deploy(model, tmp_path / "station")


def test_a_copy_at_a_place_that_no_file_can_have_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a place that can be written, got file name too long"):
        deploy.deploy(first(tmp_path / "model"), tmp_path / ("x" * 300))


def test_a_model_whose_manifest_is_gone_is_no_folder_of_pictures(tmp_path: Path) -> None:
    model = first(tmp_path / "model")
    (model / "good-00.webp").write_bytes(b"")
    (model / bundle.MANIFEST).unlink()
    with pytest.raises(BundleError, match="got no such file"):
        bundle.load(model)
