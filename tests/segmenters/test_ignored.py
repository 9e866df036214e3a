"""Segments that nobody wants judged: no method's score, heatmap or feature says anything of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from areas import Area
from csad_small import SMALL
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.segment_maps import write_segment_map
from flawscope.data.synthetic.segment_defects import segment_defect
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.detector import Detector, DetectorOptions, Learnt
from flawscope.methods.registry import create
from flawscope.methods.segad import SegAD
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.runtime.pipeline import Pipeline
from flawscope.segmenters import Segmenter, SegmentOptions, StaticMapOptions, build_segmenter
from flawscope.testing.rings import damaged_rings, good_rings
from flawscope.training.export import export

FRAME = Frame(64, 64)
PATCHCORE = {
    "method": "patchcore",
    "options": {"backbone": "test_resnet", "weights": "random", "coreset": 0.05, "layers": ["layer2"]},
}
PATCHES = {"kind": "patches", "fine_bank": 60, "coarse_bank": 20, "evenness_steps": 4}
Save = Callable[..., Pictures]


def unfitted(*ignored: int) -> Segmenter:
    segmenter = build_segmenter(StaticMapOptions(map=Path("none.png")), FRAME)
    segmenter.ignored = ignored
    return segmenter


def test_ignored_pixels_have_the_lowest_value_of_the_others() -> None:
    maps = torch.tensor([[[5.0, 1.0], [9.0, 3.0]], [[5.0, 1.0], [9.0, 3.0]]])
    labels = torch.tensor([[[0, 1], [2, 0]], [[0, 0], [0, 1]]])
    found = unfitted(1, 2).silence(maps, labels)
    assert found.tolist() == [[[5.0, 3.0], [3.0, 3.0]], [[5.0, 1.0], [9.0, 1.0]]]
    assert torch.equal(unfitted(1, 2).silence(maps.unsqueeze(1), labels).squeeze(1), found)
    assert unfitted().silence(maps, labels) is maps


class Silenced(Detector):
    """A detector whose heatmap is the picture's first channel, silenced where the second is above a half."""

    name: ClassVar = "silenced"
    Options = DetectorOptions

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        raise NotImplementedError

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        heatmap = unfitted(1, 3).silence(pixels[:, 0], (pixels[:, 1] > 0.5).long())
        return {"score": heatmap.amax((1, 2)), "heatmap": heatmap}


def test_engines_silence_as_torch_does(tmp_path: Path) -> None:
    detector = Silenced(DetectorOptions(size=(64, 64))).eval()
    pixels = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    pixels[2, 1] = 1.0
    found = detector(pixels)["heatmap"].numpy()
    graphs = export(detector, tmp_path)
    for engine in ("onnxruntime", "openvino"):
        answer = Pipeline.in_engine(graphs, engine, threads=1).run(pixels.numpy())
        np.testing.assert_array_equal(answer["heatmap"], found)


def test_a_picture_in_which_all_is_ignored_keeps_its_score() -> None:
    maps = torch.tensor([[[5.0, 1.0], [9.0, 3.0]]])
    assert unfitted(4).silence(maps, torch.full((1, 2, 2), 4)).tolist() == [[[9.0, 9.0], [9.0, 9.0]]]


def test_synthetic_defects_stay_off_ignored_segments() -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[:, 16:] = 1
    image = np.random.default_rng(0).random((3, 32, 32), np.float32)
    for seed in range(20):
        _, area = segment_defect(image, labels, np.random.default_rng(seed), (1,))
        assert area[:, :16].any()
    _, area = segment_defect(image, labels, np.random.default_rng(0), (0, 1))
    assert area.any()


@pytest.fixture
def data(saved: Save) -> TrainingData:
    bad = saved(damaged_rings(6, 5), FRAME, "bad")
    defective = [replace(sample, defective=True, kind="scratch") for sample in bad.samples]
    return TrainingData(
        saved(good_rings(8, 1), FRAME, "normal"),
        saved(good_rings(8, 2), FRAME, "tuning"),
        defective=PictureFiles(defective, FRAME),
    )


def segad(folder: Path, **options: Any) -> SegAD:
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 32:] = 1
    write_segment_map(folder / "map.png", labels)
    segments = {"kind": "static", "map": str(folder / "map.png")}
    values = {"size": (64, 64), "detectors": [PATCHCORE], "segments": segments, **options}
    made = create("segad", values)
    assert isinstance(made, SegAD)
    made.reader.segmenter.ignored = (1,)
    return made


def test_segad_knows_nothing_of_ignored_segments(data: TrainingData, tmp_path: Path) -> None:
    detector = segad(tmp_path, detector_scores=True).fit(data, Run())
    pixels = torch.from_numpy(data.defective[0][None]) if data.defective else torch.empty(0)
    with torch.inference_mode():
        found = detector(pixels)
    heatmap = found["heatmap"][0]
    assert (heatmap[:, 32:] == heatmap[:, :32].min()).all()
    names = next(output.names for output in detector.outputs if output.name == "features")
    of_it = [index for index, name in enumerate(names) if "/1/" in name]
    assert of_it
    assert (found["features"][0, of_it] == 0).all()
    assert (found["contributions"][0, of_it] == 0).all()
    assert float(found["features"][0, -1]) == float(heatmap.max())  # the detector's own score


def test_what_sees_whole_pictures_does_not_go_with_ignored_components(
    data: TrainingData, tmp_path: Path
) -> None:
    classifier = {
        "method": "classifier",
        "options": {"backbone": "test_resnet", "weights": "random", "steps": 1},
    }
    with pytest.raises(OptionError, match="no classifier where components are ignored"):
        segad(tmp_path, classifier=classifier).fit(data, Run())
    csad = create("csad", {**SMALL, "words": {"words": 4}})
    assert isinstance(csad, CSAD)
    csad.segmenter.ignored = (1,)
    with pytest.raises(OptionError, match="no words where components are ignored"):
        csad.fit(data, Run())


def test_csad_knows_nothing_of_ignored_components(data: TrainingData) -> None:
    detector = create("csad", {**SMALL, "places": {}, "structure": PATCHES})
    assert isinstance(detector, CSAD)
    detector.segmenter.ignored = (1,)
    detector.fit(data, Run())
    pixels = torch.from_numpy(np.stack(list(data.tuning))[:2])
    with torch.inference_mode():
        found = detector(pixels)
    inside = found["components"] == 1
    assert inside.flatten(1).any(1).all()  # they are still found, and shown
    for heatmap, left_out in zip(found["heatmap"], inside, strict=True):
        assert (heatmap[left_out] == heatmap[~left_out].min()).all()
    for name in ("histogram", "counts", "elsewhere"):
        assert (found[name] == 0).all()


def test_annotated_components_are_learnt_and_marked(saved: Save, restored: Any) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:], picture[:16] = 200, 90
    plain = saved([picture] * 2, FRAME)
    masks = np.zeros((2, 64, 64), np.bool_)
    masks[0, :, 32:], masks[1, :16] = True, True
    parts = (Area("plate", masks[0], 2), Area("label", masks[1], 1, ignore=True))
    pictures = PictureFiles([replace(sample, parts=parts) for sample in plain.samples], FRAME)
    values = {"kind": "components", "preset": "cpu", "width": 8, "steps": 1, "weights": "random"}
    options = TypeAdapter(SegmentOptions).validate_python({**values, "backbone": "test_resnet"})
    segmenter = build_segmenter(options, FRAME).fit(pictures, Run(), parts=pictures)
    assert segmenter.names == ("background", "label", "plate")
    assert segmenter.ignored == (1,)
    again = restored(build_segmenter(options, FRAME), segmenter)
    assert (again.names, again.ignored) == (segmenter.names, segmenter.ignored)
