"""SADSeM as a detector: flaws of surface, outline and number, and what is out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from coloured_squares import SMALL, Coloured, Scene, scene
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError, DataError, OptionError
from flawscope.methods.registry import create
from flawscope.methods.running import taught as learn_more
from flawscope.methods.running import with_tensors
from flawscope.methods.sadsem.detector import CHART, SADSeM
from flawscope.methods.segad.appearance import overheard
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch

Taught = Callable[..., SADSeM]


@torch.inference_mode()
def answers(detector: SADSeM, *scenes: Scene) -> dict[str, NDArray[Any]]:
    pixels = torch.from_numpy(np.stack(scenes).transpose(0, 3, 1, 2).astype(np.float32) / 255)
    return {name: values.numpy() for name, values in detector(pixels).items()}


def part(detector: SADSeM, outputs: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    names = next(output.names for output in detector.outputs if output.name == "parts")
    return outputs["parts"][:, names.index(name)]


def test_each_kind_of_flaw_raises_its_own_score(taught: Taught) -> None:
    detector = taught()
    scratched = scene(40)
    scratched[10:12, 8:18] = (120, 10, 10)
    broken = scene(41)
    broken[6:16, 6:16] = 120
    found = answers(detector, scene(42), scratched, broken)
    surface, outline = part(detector, found, "1/surface"), part(detector, found, "1/outline")
    assert surface[1] > 1.5 > surface[0]
    assert surface[1] > outline[1]
    assert outline[2] > 1.5 > outline[0]
    assert part(detector, found, "2/outline").max() <= 1.5
    assert found["heatmap"][1, :32, :32].max() == found["heatmap"][1].max()
    assert (found["score"][1:] > found["score"][0]).all()


def test_absent_doubled_and_foreign_components_raise_the_score_by_themselves(taught: Taught) -> None:
    detector = taught(masks=None)
    found = answers(
        detector, scene(40), scene(41, (1, 0, 2)), scene(42, (1, 1, 2, 2)), scene(43, (1, 1, 2, 3))
    )
    assert found["counts"].tolist() == [[2, 1, 0], [1, 1, 0], [2, 2, 0], [2, 1, 1]]
    assert detector.learnt.facts["usual"] == [[2, 2], [1, 1], [0, 0]]
    assert found["score"][0] < 2
    assert (found["score"][1:] >= 2).all()


def test_a_picture_without_any_component_scores_high(taught: Taught) -> None:
    detector = taught()
    found = answers(detector, np.full_like(scene(0), 120))
    assert found["components"].max() == 0
    assert found["counts"].tolist() == [[0, 0, 0]]
    assert found["score"][0] >= 4  # two of red are missing
    assert part(detector, found, "1/surface") == 0
    assert part(detector, found, "1/outline") > 1


def test_a_component_with_a_single_example(taught: Taught) -> None:
    scenes = [scene(seed) for seed in range(7)] + [scene(7, (1, 1, 2, 3))]
    detector = taught(scenes)
    facts: Any = detector.learnt.facts
    green = facts["components"][2]
    assert green["pictures"] == 1
    assert green["layers"]
    assert facts["usual"] == [[2, 2], [1, 1], [0, 1]]  # one in eight is not rare
    found = answers(detector, scene(7, (1, 1, 2, 3)), scene(40))
    assert part(detector, found, "3/surface")[0] < 1.5  # its bounds are the other components'
    assert np.isfinite(found["score"]).all()


def test_components_that_are_ignored_count_for_nothing(taught: Taught) -> None:
    detector = taught(ignore=("blue",))
    found = answers(detector, scene(40), scene(40, (1, 1, 0)))
    assert found["score"][1] == pytest.approx(found["score"][0], rel=0.2)
    names = next(output.names for output in detector.outputs if output.name == "parts")
    assert {name.split("/")[0] for name in names} == {"1", "3"}
    scratched = scene(40)
    scratched[42:46, 8:20] = (10, 10, 120)
    found = answers(detector, scratched)
    assert (found["heatmap"][0][found["components"][0] == 2] <= np.median(found["heatmap"][0])).all()
    assert detector.learnt.facts["ignored"] == [2]


def test_components_that_annotations_ignore_count_for_nothing(
    taught: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Coloured, "left_out", (2,))
    detector = taught()
    found = answers(detector, scene(40), scene(40, (1, 1, 0)), scene(40, (1, 0, 2)))
    assert found["score"][1] == pytest.approx(found["score"][0], rel=0.2)
    assert found["score"][2] >= 2
    restored = with_tensors(SADSeM(detector.options, detector.learnt.facts), detector.state_dict())
    np.testing.assert_array_equal(answers(restored, scene(40))["heatmap"], found["heatmap"][:1])


def test_the_background_is_judged_where_that_is_wanted(taught: Taught) -> None:
    stained = scene(40)
    stained[40:44, 40:60] = 20
    for background in (False, True):
        detector = taught(background=background)
        found = answers(detector, stained)
        assert (found["score"][0] > 1.5) == background


def test_layers_are_told_and_drawn(taught: Taught) -> None:
    said: list[str] = []
    detector = taught(watch=Watch(say=said.append), names={"red": "wheel", "rad": "axle"})
    assert "No segment is called rad (option names); there are background, red, blue, green." in said
    assert any(line.startswith("Component 1 (wheel): 12.5 % of the picture, WSS") for line in said)
    assert "Component 3 (green): no good picture shows it." in said
    facts: Any = detector.learnt.facts
    assert [one["label"] for one in facts["components"]] == [1, 2, 3]
    assert facts["components"][0]["area"] == pytest.approx(12.5, abs=0.2)
    drawing = detector.learnt.files[CHART]
    assert isinstance(drawing, bytes)
    assert "wheel" in drawing.decode()


def test_fixed_layers_hold_for_every_component(taught: Taught) -> None:
    facts: Any = taught(choice={"fixed": [2, 3]}, masks=None).learnt.facts
    assert [one["layers"] for one in facts["components"]] == [[2, 3], [2, 3], []]


def test_a_restored_detector_answers_alike(taught: Taught) -> None:
    detector = taught()
    restored = with_tensors(SADSeM(detector.options, detector.learnt.facts), detector.state_dict())
    assert restored.outputs == detector.outputs
    for name, values in answers(restored, scene(3), scene(4, (1, 0, 2))).items():
        np.testing.assert_array_equal(values, answers(detector, scene(3), scene(4, (1, 0, 2)))[name])


def test_a_score_that_contradicts_its_parts_is_refused(taught: Taught) -> None:
    detector = taught()
    outputs = answers(detector, scene(3), scene(4, (1, 0, 2)))
    detector.hold(outputs, "an engine")
    outputs["score"] = outputs["score"] + np.array([0, 5], np.float32)
    with pytest.raises(BundleError, match="scores by an engine: expected what its parts and counts"):
        detector.hold(outputs, "an engine")


def test_nothing_to_judge_is_refused(taught: Taught) -> None:
    with pytest.raises(DataError, match="components of sadsem: expected at least one to judge"):
        taught(ignore=("red", "blue", "green"))


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(OptionError, match=r"'masks\.side' of sadsem"):
        create("sadsem", {**SMALL, "masks": {"side": 65}})
    with pytest.raises(OptionError, match="option 'features' of sadsem: expected backbone, or segments"):
        create("sadsem", {**SMALL, "features": "segmenter"})
    segments = {"kind": "components", "weights": "random"}
    with pytest.raises(OptionError, match=r"layers blocks\.1, blocks\.4 at strides 4, 16"):
        create("sadsem", {**SMALL, "features": "segmenter", "segments": segments})


def test_features_may_be_the_segmenters_own() -> None:
    layers = ["blocks.1", "blocks.2", "blocks.4"]
    segments = {"kind": "components", "weights": "random", "layers": layers}
    detector = create("sadsem", {**SMALL, "features": "segmenter", "segments": segments})
    assert isinstance(detector, SADSeM)
    assert detector.network.network is detector.network.segmenter.backbone
    assert not any(name.startswith("network.neutral") for name in detector.state_dict())
    assert list(detector.network.maps(torch.zeros(1, 3, 64, 64))) == [1, 2, 3]


def test_one_pass_serves_segmenter_and_banks(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = create("sadsem", {"size": (64, 64), "weights": "random"})
    assert isinstance(detector, SADSeM)
    runs: list[str] = []
    segmenter: Any = detector.network.segmenter
    segmenter.features.register_forward_hook(lambda *_: runs.append("segmenter"))
    detector.network.network.register_forward_hook(lambda *_: runs.append("backbone"))
    with overheard(detector) as heard:
        detector.network(torch.zeros(1, 3, 64, 64))
    assert runs == ["backbone"]
    assert [set(one.maps) for one in heard] == [set(detector.network.network.layers)]


def test_taught_scenes_extend_numbers_banks_and_masks(taught: Taught, tmp_path: Path) -> None:
    detector = taught()
    single = scene(41, (1, 0, 2))
    sizes = {name: len(value) for name, value in detector.state_dict().items() if name.endswith(".bank")}
    before = answers(detector, single)
    samples = [Sample(tmp_path / f"{seed}.png", "train", defective=False) for seed in range(60, 64)]
    for seed, sample in enumerate(samples, 60):
        Image.fromarray(scene(seed, (1, 0, 2))).save(sample.path)
    pictures = PictureFiles(samples, detector.options.frame)
    learn_more(detector, TrainingData(normal=pictures, tuning=pictures.subset([])), Run())
    after = answers(detector, single)
    assert (before["score"] >= 2).all()
    assert after["score"] < before["score"]
    assert detector.learnt.facts["usual"] == [[1, 2], [1, 1], [0, 0]]
    assert detector.learnt.files.keys() == {CHART}
    state = detector.state_dict()
    assert all(len(state[name]) >= size for name, size in sizes.items())
    assert len(state["judging.masks.stored"]) == 12
    detector.hold(after, "torch")
