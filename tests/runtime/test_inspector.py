"""Inspection without torch: streams that survive bad files, and defined answers for odd pictures."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import SIDE, make_manifest, parity_of, save_model
from flawscope.errors import BundleError, FlawscopeError, InputError, MissingExtraError, OptionError
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision, Prediction


@pytest.fixture
def inspector(tmp_path: Path) -> Inspector:
    return Inspector.load(save_model(tmp_path / "model"), engine="onnxruntime", threads=1)


def grey(height: int, width: int, level: int, spot: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """A grey picture, with a white rectangle (left, top, right, bottom)."""
    pixels = np.full((height, width), level, np.uint8)
    if spot:
        left, top, right, bottom = spot
        pixels[top:bottom, left:right] = 255
    return pixels


def write(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_score_verdict_heatmap_region_and_finding(inspector: Inspector) -> None:
    """A 64 x 32 picture with a white 16 x 8 spot, seen by the graph at 16 x 16."""
    prediction = inspector.inspect(grey(32, 64, 51, spot=(24, 12, 40, 20)))
    assert prediction.score == pytest.approx(1.0, abs=1e-6)
    assert prediction.decision is Decision.REJECT
    assert prediction.p_value == pytest.approx(1 / 60)
    assert prediction.heatmap is not None
    assert prediction.heatmap.shape == (32, 64)
    assert prediction.heatmap.dtype == np.float32
    (region,) = prediction.regions
    left, top, right, bottom = region.box
    assert (left + right) / 2 == pytest.approx(32, abs=1)
    assert (top + bottom) / 2 == pytest.approx(16, abs=1)
    (finding,) = prediction.findings
    assert finding.region == region
    assert finding.text.startswith(f"unusual area {right - left} × {bottom - top} px around (32, 16), ")
    np.testing.assert_allclose(prediction.outputs["colour"], np.full(3, (51 + 204 / 16) / 255), atol=0.02)


def test_good_picture(inspector: Inspector) -> None:
    prediction = inspector.inspect(grey(20, 20, 51))
    assert prediction.decision is Decision.ACCEPT
    assert prediction.regions == ()
    assert prediction.findings == ()


@pytest.mark.parametrize(("level", "decision"), [(0, Decision.ACCEPT), (255, Decision.REJECT)])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (40, 30)])
def test_black_white_and_tiny_pictures(
    inspector: Inspector, level: int, decision: Decision, size: tuple[int, int]
) -> None:
    prediction = inspector.inspect(grey(*size, level))
    assert prediction.decision is decision
    assert prediction.score == pytest.approx(level / 255)
    assert prediction.heatmap is not None
    assert prediction.heatmap.shape == size
    np.testing.assert_allclose(prediction.heatmap, level / 255, rtol=1e-6)


def test_file_bytes_and_pixels_give_the_same(inspector: Inspector, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)
    path = write(tmp_path / "a.png", pixels)
    answers = [inspector.inspect(source) for source in (path, str(path), path.read_bytes(), pixels)]
    assert {answer.score for answer in answers} == {answers[0].score}
    for answer in answers:
        np.testing.assert_array_equal(answer.heatmap, answers[0].heatmap)


def test_16_bit_and_8_bit_pixels_agree(inspector: Inspector) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (50, 40), np.uint8)
    wide = inspector.inspect(pixels.astype(np.uint16) * 257)
    assert wide.score == pytest.approx(inspector.inspect(pixels).score, abs=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.float64),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
    ],
)
def test_pixels_of_another_kind(inspector: Inspector, pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="uint8, uint16 or float32"):
        inspector.inspect(pixels)


def test_numbers_in_memory_need_a_model_of_numbers(inspector: Inspector) -> None:
    with pytest.raises(InputError, match="numbers without a full scale"):
        inspector.inspect(np.zeros((4, 4), np.float32))


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 100])
def test_stream_keeps_order_and_survives_bad_files(inspector: Inspector, tmp_path: Path, batch: int) -> None:
    paths = [write(tmp_path / f"{level:03d}.png", grey(8, 9 + level, level)) for level in range(0, 250, 25)]
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(stream, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(stream.getvalue()[:-200])
    bad = [tmp_path / "text.png", tmp_path / "empty.png", tmp_path / "cut.jpg", tmp_path / "absent.png"]
    order = [bad[0], *paths[:4], bad[1], *paths[4:], bad[2], bad[3]]
    answers = list(inspector.inspect_many(order, batch=batch))
    assert [path for path, _ in answers] == order
    for path, answer in answers:
        if path in bad:
            assert isinstance(answer, InputError)
            assert path.name in str(answer)
        else:
            assert isinstance(answer, Prediction)
            assert answer.score == pytest.approx(int(path.stem) / 255, abs=1e-6)
            assert answer.heatmap is not None
            assert answer.heatmap.shape == (8, 9 + int(path.stem))


def test_a_whole_batch_of_bad_files(inspector: Inspector, tmp_path: Path) -> None:
    answers = list(inspector.inspect_many([tmp_path / str(index) for index in range(5)], batch=2))
    assert all(isinstance(answer, FlawscopeError) for _, answer in answers)
    assert list(inspector.inspect_many([])) == []


def test_batches_give_what_single_pictures_give(inspector: Inspector, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    paths = [
        write(tmp_path / f"{index}.png", random.integers(0, 255, (20 + index, 30, 3), np.uint8))
        for index in range(7)
    ]
    for path, answer in inspector.inspect_many(paths, batch=4):
        single = inspector.inspect(path)
        assert isinstance(answer, Prediction)
        assert answer.score == single.score
        np.testing.assert_array_equal(answer.heatmap, single.heatmap)


def test_reading_ahead_is_bounded(inspector: Inspector, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", grey(8, 8, 9))
    taken = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(path)
            yield path

    stream = inspector.inspect_many(endless(), batch=4)
    for _ in range(3):
        next(stream)
    assert len(taken) <= 6
    stream.close()
    single = inspector.inspect_many(endless(), batch=1)
    taken.clear()
    next(single)
    assert len(taken) == 1
    next(single)
    assert len(taken) == 2
    single.close()


def test_interrupted_stream_leaves_no_threads_once_closed(inspector: Inspector, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", grey(8, 8, 9))
    before = set(threading.enumerate())
    with inspector:
        stream = inspector.inspect_many([path] * 50, batch=4)
        next(stream)
        with pytest.raises(KeyboardInterrupt):
            stream.throw(KeyboardInterrupt)
    assert not set(threading.enumerate()) - before
    assert inspector.inspect(path).score == pytest.approx(9 / 255)
    assert len(list(inspector.inspect_many([path] * 3))) == 3  # and it starts again
    inspector.close()
    inspector.close()
    assert not set(threading.enumerate()) - before


def test_streams_share_the_inspectors_threads(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", grey(8, 8, 9))
    before = set(threading.enumerate())
    with Inspector.load(save_model(tmp_path / "model"), threads=2) as inspector:
        list(inspector.inspect_many([path] * 8))
        started = set(threading.enumerate()) - before
        assert 1 <= len(started) <= 2
        list(inspector.inspect_many([path] * 8))
        assert set(threading.enumerate()) - before >= started
        assert len(set(threading.enumerate()) - before) <= 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks beside threads, from Python 3.12 on
def test_a_forked_process_has_threads_of_its_own(inspector: Inspector, tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", grey(8, 8, 9))
    before = [answer.score for _, answer in inspector.inspect_many([path] * 3)]
    child = os.fork()
    if not child:  # pragma: no cover
        signal.alarm(20)  # ends the process where it hangs
        answers = [answer.score for _, answer in inspector.inspect_many([path] * 3)]
        os._exit(0 if answers == before else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_answers_that_are_not_finite(tmp_path: Path) -> None:
    inspector = Inspector.load(save_model(tmp_path / "model", divide_by=0.0))
    with pytest.raises(BundleError, match="finite scores and heatmaps"):
        inspector.inspect(grey(8, 8, 0))
    path = write(tmp_path / "a.png", grey(8, 8, 0))
    ((_, answer),) = inspector.inspect_many([path])
    assert isinstance(answer, BundleError)


def test_graph_that_does_not_fit_its_manifest(tmp_path: Path) -> None:
    outputs = make_manifest().outputs
    more = (*outputs, outputs[2].model_copy(update={"name": "texture"}))
    with pytest.raises(BundleError, match="none called texture"):
        Inspector.load(save_model(tmp_path / "a", outputs=more)).inspect(grey(8, 8, 0))
    frame = replace(make_manifest().frame, height=SIDE + 1)
    with pytest.raises(BundleError, match="a graph that runs"):
        Inspector.load(save_model(tmp_path / "b", frame=frame)).inspect(grey(8, 8, 0))


def test_padding_is_cut_off(tmp_path: Path) -> None:
    frame = replace(make_manifest().frame, aspect="pad")
    inspector = Inspector.load(save_model(tmp_path / "model", frame=frame))
    prediction = inspector.inspect(grey(16, 64, 51, spot=(0, 0, 8, 16)))
    assert prediction.heatmap is not None
    assert prediction.heatmap.shape == (16, 64)
    assert prediction.heatmap[:, :4].min() > prediction.heatmap[:, 16:].max()


def test_a_model_without_a_heatmap(tmp_path: Path) -> None:
    outputs = tuple(output for output in make_manifest().outputs if output.kind != "heatmap")
    inspector = Inspector.load(save_model(tmp_path / "model", outputs=outputs, heatmap=None))
    prediction = inspector.inspect(grey(8, 8, 255))
    assert prediction.heatmap is None
    assert prediction.regions == ()
    (finding,) = prediction.findings
    assert "the picture as a whole" in finding.text


def test_unknown_engine_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='Did you mean "onnxruntime"'):
        Inspector.load(save_model(tmp_path / "model"), engine="onxruntime")


def test_engine_without_parity_is_refused(tmp_path: Path) -> None:
    unmeasured = save_model(tmp_path / "a", parity=(parity_of("onnxruntime"),))
    with pytest.raises(BundleError, match="not measured"):
        Inspector.load(unmeasured, engine="openvino")
    apart = save_model(tmp_path / "b", parity=(parity_of("onnxruntime"), parity_of("openvino", score=0.1)))
    with pytest.raises(BundleError, match="not measured"):
        Inspector.load(apart, engine="openvino")


def test_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="flawscope"):
        Inspector.load(save_model(tmp_path / "model"), engine="openvino")


@pytest.mark.parametrize("options", [{"batch": 0}, {"batch": -1}])
def test_batch_below_one(inspector: Inspector, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="batch"):
        inspector.inspect_many([], **options)


def test_threads_below_one(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="threads"):
        Inspector.load(save_model(tmp_path / "model"), threads=0)


def test_many_threads_share_one_inspector(inspector: Inspector) -> None:
    from concurrent.futures import ThreadPoolExecutor

    levels = list(range(0, 255, 5))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda level: inspector.inspect(grey(9, 9, level)).score, levels))
    np.testing.assert_allclose(answers, np.array(levels) / 255, atol=1e-6)
