"""Reports of a model that divides pictures into segments: outlines, bars, withheld kinds."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import parity_of
from flawscope.data.samples import Dataset, Sample
from flawscope.report import build
from flawscope.report.build import evaluation_report, inspection_report
from flawscope.runtime import decoding
from flawscope.runtime.engine_table import Speed, Speeds
from flawscope.runtime.images import read_image
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.tiling import Tiling
from flawscope.station.evaluate import evaluate
from flawscope.station.inspection import inspect_pictures
from flawscope.station.overlays import overlay_path
from flawscope.station.picture import MOST
from flawscope.station.results import read_records
from quadrants_model import save_model


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    return Inspector.load(save_model(tmp_path_factory.mktemp("model") / "m").folder, threads=1)


def samples(folder: Path) -> tuple[Sample, ...]:
    """Dark good pictures; bright squares in the lower right quadrant of two kinds, one withheld."""
    made = []
    for kind, seen in (("good", True), ("scratch", True), ("stain", False)):
        for index in range(4):
            picture = np.full((64, 96, 3), 40 + index, np.uint8)
            if kind != "good":
                picture[40:56, 60:80] = 250 - index
            path = folder / f"{kind}{index}.png"
            Image.fromarray(picture).save(path)
            made.append(Sample(path, "test", kind != "good", kind, seen=seen))
    return tuple(made)


def report(inspector: Inspector, dataset: Dataset, out: Path) -> Path:
    evaluation = evaluate(inspector, dataset, views=MOST)
    return evaluation_report(inspector.bundle, evaluation, out / "report.html")


def test_evaluations_show_bars_and_tell_withheld_kinds_apart(inspector: Inspector, tmp_path: Path) -> None:
    dataset = Dataset("parts", "plain", tmp_path, samples(tmp_path))
    page = report(inspector, dataset, tmp_path / "out").read_text(encoding="utf-8")
    assert page.count('<details class="moves">') == 12
    assert "segment 3 · bright 1 · maximum" in page
    assert "segment 3: the highest value of bright 1&#39;s map" in page
    assert page.count("withheld from training") == 2  # key and table of kinds
    assert 'class="strip unseen"' in page


def test_inspections_keep_contributions_with_their_records(inspector: Inspector, tmp_path: Path) -> None:
    paths = [sample.path for sample in samples(tmp_path)]
    out = tmp_path / "out"
    inspect_pictures(inspector, paths, out=out)
    record = list(read_records(out))[-1]
    assert len(record.contributions) == 9
    assert sum(value for _, value in record.contributions) - 1 == pytest.approx(record.score, rel=1e-4)
    page = inspection_report(inspector.bundle, out).read_text(encoding="utf-8")
    assert page.count('<details class="moves">') == 12


def test_the_later_of_two_reports_shows_the_pictures_of_both_inspections(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One inspection has read the results for its report when another, quicker one ends with its own."""
    out, (first, *_, second) = tmp_path / "out", samples(tmp_path)
    begun, ended, write = threading.Event(), threading.Event(), build.write_report

    def slow(path: Path, content: Any) -> Path:
        if threading.current_thread() is threading.main_thread():
            begun.set()
            assert not ended.wait(0.3)  # the other one waits for its turn
        return write(path, content)

    def other() -> None:
        begun.wait()
        inspect_pictures(inspector, [second.path], out=out)
        inspection_report(inspector.bundle, out)
        ended.set()

    monkeypatch.setattr(build, "write_report", slow)
    thread = threading.Thread(target=other)
    thread.start()
    inspect_pictures(inspector, [first.path], out=out)
    inspection_report(inspector.bundle, out)
    thread.join()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert first.path.name in page
    assert second.path.name in page


def test_overlays_hold_the_outlines_of_segments(inspector: Inspector, tmp_path: Path) -> None:
    path = samples(tmp_path)[-1].path
    inspect_pictures(inspector, [path], out=tmp_path / "out")
    drawn = read_image(overlay_path(tmp_path / "out", path, inspector.inspect(path).decision))
    cyan = (drawn == (0, 205, 235)).all(2)
    assert cyan[32, :10].all()
    assert cyan[:10, 48].all()
    assert not cyan[16, :20].any()


def test_every_picture_is_decoded_once(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    decode = decoding.pixels_of

    def counted(image: decoding.Opened, stream: IO[bytes], name: str) -> Any:
        decoded.append(name.removeprefix("picture "))
        return decode(image, stream, name)

    monkeypatch.setattr(decoding, "pixels_of", counted)
    paths = sorted(str(sample.path) for sample in samples(tmp_path))
    inspect_pictures(inspector, [Path(path) for path in paths], out=tmp_path / "out", overlays="all")
    page = inspection_report(inspector.bundle, tmp_path / "out").read_text(encoding="utf-8")
    assert page.count("data:image/webp") >= 24
    assert sorted(decoded) == paths
    decoded.clear()
    report(inspector, Dataset("parts", "plain", tmp_path, samples(tmp_path)), tmp_path / "evaluated")
    assert sorted(decoded) == paths


def test_only_what_tells_most_is_shown(inspector: Inspector, tmp_path: Path) -> None:
    dataset = Dataset("parts", "plain", tmp_path, samples(tmp_path))
    evaluation = evaluate(inspector, dataset, views=5)
    ranks = {record.path: record.rank for record in evaluation.records}
    assert sorted(ranks[path] for path in evaluation.views) == sorted(ranks.values())[-5:]
    assert evaluate(inspector, dataset).views == {}


def test_times_of_engines_are_told_of_what_was_timed(inspector: Inspector, tmp_path: Path) -> None:
    inspect_pictures(inspector, [samples(tmp_path)[0].path], out=tmp_path / "out")
    manifest = inspector.bundle.manifest
    row = Speed(engine="onnxruntime", precision="fp32", milliseconds=12.3)
    frame, speeds = manifest.frame, Speeds(machine="x", threads=1, rows=(row,))
    measured = {"speeds": speeds, "parity": (parity_of("onnxruntime"),)}
    side = (frame.height, frame.width)
    for tiling, of in ((None, "picture"), (Tiling(size=side, stride=side), "tile")):
        changed = manifest.model_copy(update={**measured, "tiling": tiling})
        page = inspection_report(replace(inspector.bundle, manifest=changed), tmp_path / "out")
        assert f"12.3 ms a {of}. " in page.read_text(encoding="utf-8")
