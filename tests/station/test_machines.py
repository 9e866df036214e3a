"""A station is probed, and a model's engine is chosen again for it and on it."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from brightness_model import SIDE, parity_of, save_model
from flawscope.errors import BundleError, FlawscopeError, InputError, OptionError, OutputError
from flawscope.runtime import pipeline, timing
from flawscope.runtime.bundle import Bundle, load
from flawscope.runtime.engine_table import Speed, Speeds
from flawscope.runtime.engines import Engine, Pair, open_engine
from flawscope.runtime.pipeline import Pipeline
from flawscope.runtime.provenance import Provenance
from flawscope.station import choose_engine, deploy, machines
from flawscope.station.calibrate import calibrate
from flawscope.station.choose_engine import BY_WAY
from flawscope.station.machines import (
    PROBE,
    Machine,
    choose_for,
    graphs_digest,
    probe,
    read_machine,
    write_machine,
)

ORT, OV, HALF = ("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")
EVERY: tuple[Pair, ...] = (ORT, OV, HALF)  # type: ignore[assignment]


def speeds(*milliseconds: float) -> Speeds:
    rows = (
        Speed(engine=e, precision=p, milliseconds=ms) for (e, p), ms in zip(EVERY, milliseconds, strict=False)
    )
    return Speeds(machine="station", threads=2, rows=tuple(rows))


def machine(model: Bundle | None = None, *times: float, there: tuple[Pair, ...] = EVERY) -> Machine:
    """A station where the built-in graph runs fastest in onnxruntime, and `model` takes `times`."""
    timed = []
    if model is not None:
        timed = [
            {"name": "m", "graphs": graphs_digest(model.manifest), "speeds": speeds(*times).model_dump()}
        ]
    return Machine.model_validate(
        {
            "flawscope": "0.1.0",
            "created": "2026-01-01T00:00:00+00:00",
            "processor": "x",
            "cores": 2,
            "system": "Linux",
            "units": ("avx2",),
            "engines": tuple({"engine": e, "precision": p, "version": "1"} for e, p in there),
            "probe": speeds(10, 20, 30).model_dump(),
            "models": tuple(timed),
        }
    )


@pytest.fixture
def model(tmp_path: Path) -> Bundle:
    half = parity_of("openvino").model_copy(update={"precision": "bf16", "bound": 0.02})
    return save_model(tmp_path / "model", parity=(parity_of("onnxruntime"), parity_of("openvino"), half))


@pytest.fixture
def normals(tmp_path: Path) -> list[Path]:
    random, paths = np.random.default_rng(0), []
    (tmp_path / "good").mkdir()
    for index in range(8):
        paths.append(tmp_path / "good" / f"{index}.png")
        Image.fromarray(random.integers(0, 200, (SIDE, SIDE, 3), np.uint8)).save(paths[-1])
    return paths


class Other:
    """OpenVINO by name: the default engine's answers, its scores off by `error`."""

    def __init__(self, engine: Engine, precision: str, error: float) -> None:
        self._engine, self._error = engine, error
        self.name, self.precision, self.threads = "openvino", precision, 1
        self.inputs = engine.inputs

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._engine.run(feeds)
        return {**outputs, "score": outputs["score"] + np.float32(self._error)}


def other_engines(patch: pytest.MonkeyPatch, *times: float, error: float = 0.0) -> None:
    """Engines that differ from the default one by `error`, and take `times`."""

    def opened(name: str, graph: Path, *, precision: str, threads: int | None) -> object:
        plain = open_engine("onnxruntime", graph, threads=1)
        return plain if name == "onnxruntime" else Other(plain, precision, error)

    def timed(pipelines: list[Pipeline], pictures: list[np.ndarray]) -> Speeds:
        given = dict(zip(EVERY, times, strict=True))
        rows = (Speed(engine=p.engine, precision=p.precision, milliseconds=given[p.pair]) for p in pipelines)
        return Speeds(machine="here", threads=1, rows=tuple(rows))

    patch.setattr(pipeline, "open_engine", opened)
    patch.setattr(choose_engine, "measured_speeds", timed)
    patch.setattr(deploy, "runs", lambda *_: True)


def test_a_machine_is_written_and_read(
    model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "installed", lambda: (ORT,))
    monkeypatch.setattr(timing, "MOST", 5)
    found = probe([model.folder])
    write_machine(found, tmp_path / "line1.json")
    assert read_machine(tmp_path / "line1.json") == found
    assert [row.engine for row in found.probe.rows] == ["onnxruntime"]
    assert found.speeds(model.manifest) == (found.models[0].speeds, True)
    assert choose_for(found, model.manifest) == ORT


def test_the_built_in_graph_is_the_script_s() -> None:
    path = Path(__file__).parents[2] / "scripts/probe_graph"
    loader = SourceFileLoader("probe_graph", str(path))
    spec = importlib.util.spec_from_loader("probe_graph", loader)
    assert spec is not None
    script = importlib.util.module_from_spec(spec)
    loader.exec_module(script)
    assert onnx.load(PROBE.folder / PROBE.stages[0].file) == script.graph()
    assert machines.PROBE_SIDE == script.SIDE


def test_the_times_of_the_model_decide_then_those_of_the_built_in_graph(
    model: Bundle, tmp_path: Path
) -> None:
    assert choose_for(machine(), model.manifest) == ORT
    assert choose_for(machine(model, 30, 20, 10), model.manifest) == HALF
    assert choose_for(machine(model, 30, 20, 10, there=(ORT, OV)), model.manifest) == OV
    another = save_model(tmp_path / "another", divide_by=2.0)
    assert choose_for(machine(another, 30, 20, 10), model.manifest) == ORT
    far = parity_of("openvino", score=0.5).model_copy(update={"precision": "bf16"})
    known = model.manifest.model_copy(update={"parity": (parity_of("onnxruntime"), far)})
    assert choose_for(machine(model, 30, 20, 10), known) == ORT
    with pytest.raises(BundleError, match=r"\(onnxruntime fp32\), got openvino bf16"):
        choose_for(machine(model, 30, 20, 10, there=(HALF,)), known)


def test_a_machine_file_that_an_editor_has_saved_with_a_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(machine().model_dump_json(), encoding="utf-8-sig")
    assert read_machine(tmp_path / "m.json") == machine()


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from flawscope.cli.app import app

    monkeypatch.setattr(machines, "probe", lambda *_: pytest.fail("timed"))
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "line1.json"):
        ended = CliRunner().invoke(app, ["station-probe", "--out", str(place)])
        assert isinstance(ended.exception, OutputError)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda text: text[:40], InputError, "expected one of `station-probe`, got invalid JSON"),
        (lambda _: "{}", InputError, "got flawscope: field required"),
        (lambda _: "[]", InputError, "got content that should be an object"),
        (
            lambda text: text.replace('"milliseconds":', '"milliseconds":-', 1),
            InputError,
            "got probe.rows.0.milliseconds that should be greater than 0",
        ),
        (lambda _: "[1]", InputError, "machine file"),
        (lambda text: text.replace("flawscope machine", "other"), InputError, "kind"),
        (
            lambda text: text.replace("openvino", "tensorrt"),
            OptionError,
            'got "tensorrt". Known: onnxruntime',
        ),
        (lambda text: text.replace("bf16", "int3"), InputError, "precision"),
        (None, InputError, "no such file"),
    ],
)
def test_a_foreign_machine_file_is_one_line(
    tmp_path: Path, change: object, error: type[FlawscopeError], words: str
) -> None:
    path = tmp_path / "m.json"
    if callable(change):
        path.write_text(change(machine().model_dump_json()))
    with pytest.raises(error, match=words.replace(".", r"\.")) as caught:
        read_machine(path)
    assert "\n" not in str(caught.value)


def test_export_for_a_station_keeps_the_thresholds_without_pictures(model: Bundle, tmp_path: Path) -> None:
    write_machine(machine(model, 30, 20, 10), tmp_path / "m.json")
    copy = deploy.deploy(model.folder, tmp_path / "station", machine=tmp_path / "m.json")
    assert copy.manifest == model.manifest
    assert deploy.engine_for(copy, tmp_path / "m.json") == (HALF, "10.0 ms for this model")


def test_a_model_is_exported_where_its_engine_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path / "model", engine="openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert deploy.deploy(model.folder, tmp_path / "station").manifest == model.manifest


def test_export_for_a_station_calibrates_on_pictures(
    model: Bundle, normals: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_machine(machine(model, 30, 20, 10), tmp_path / "m.json")
    other_engines(monkeypatch, 30, 20, 10, error=1e-4)
    copy = deploy.deploy(model.folder, tmp_path / "station", machine=tmp_path / "m.json", normals=normals)
    manifest = copy.manifest
    assert (manifest.engine, manifest.precision, len(manifest.calibration.scores)) == ("openvino", "bf16", 8)
    assert load(copy.folder).manifest == manifest
    assert load(model.folder).manifest == model.manifest
    (entry,) = (one for one in manifest.parity if one.pair == HALF)
    assert entry.reference == BY_WAY
    assert entry.score_absolute == pytest.approx(1e-4 + 1e-6, rel=0.01)


def test_pictures_need_a_machine_and_an_engine_that_runs_here(
    model: Bundle, normals: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match=r"expected --for MACHINE\.json"):
        deploy.deploy(model.folder, tmp_path / "station", normals=normals)
    write_machine(machine(model, 30, 20, 10), tmp_path / "m.json")
    monkeypatch.setattr(deploy, "runs", lambda *_: False)
    with pytest.raises(OptionError, match="calibrate MODEL --engine openvino --engine-precision bf16"):
        deploy.deploy(model.folder, tmp_path / "station", machine=tmp_path / "m.json", normals=normals)
    assert not (tmp_path / "station").exists()


@pytest.mark.parametrize(("error", "chosen"), [(1e-4, HALF), (0.2, ORT)])
def test_a_station_chooses_by_itself_among_what_holds(
    model: Bundle, normals: list[Path], monkeypatch: pytest.MonkeyPatch, error: float, chosen: Pair
) -> None:
    other_engines(monkeypatch, 30, 29, 10, error=error)
    manifest = calibrate(model.folder, normals=normals, engines=EVERY).bundle.manifest
    assert (manifest.engine, manifest.precision) == chosen
    assert manifest.speeds is not None
    assert manifest.speeds.machine == "here"
    assert manifest == load(model.folder).manifest


def test_what_was_beyond_its_bound_is_not_tried_again(
    model: Bundle, normals: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other_engines(monkeypatch, 30, 20, 10, error=0.2)
    with pytest.raises(BundleError, match=f"parity of openvino bf16 with {BY_WAY}"):
        calibrate(model.folder, normals=normals, engines=[HALF])
    with pytest.raises(OptionError, match="expected good pictures to score"):
        calibrate(model.folder, engines=[HALF])
    far = parity_of("openvino", score=0.5).model_copy(update={"precision": "bf16"})
    refused = save_model(tmp_path / "refused", parity=(parity_of("onnxruntime"), far))
    with pytest.raises(BundleError, match="parity of openvino bf16 with torch: "):
        calibrate(refused.folder, normals=normals, engines=[HALF])
    bare = save_model(tmp_path / "bare", parity=(), provenance=Provenance(created="2025-01-01", seed=0))
    with pytest.raises(BundleError, match="expected figures of onnxruntime fp32"):
        calibrate(bare.folder, normals=normals, engines=[HALF])


def test_the_command_line(
    model: Bundle, normals: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from flawscope.cli.app import app

    monkeypatch.setattr(machines, "installed", lambda: (ORT,))
    monkeypatch.setattr(timing, "MOST", 5)
    run = CliRunner().invoke
    line, station = str(tmp_path / "line1.json"), str(tmp_path / "station")
    told = run(app, ["station-probe", "--model", str(model.folder), "--out", line, "--json"])
    assert json.loads(told.output)["models"][0]["name"] == "model"
    told = run(app, ["export", str(model.folder), "--for", line, "--out", station])
    assert "Fastest on that station: onnxruntime fp32" in told.output
    write_machine(machine(model, 30, 20, 10), Path(line))
    told = run(app, ["export", str(model.folder), "--for", line, "--out", station, "--overwrite"])
    assert "calibrate" in told.output
    assert "--engine openvino --engine-precision bf16" in told.output
    told = run(app, ["calibrate", station, "--engine", "onnxruntime", "--normals", str(normals[0].parent)])
    assert "8 good pictures scored in onnxruntime fp32, in place of 59 scores." in told.output
