"""What the preset changes of the paper's way: joined layers, excess over what is typical, cut outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from coloured_squares import SIDE, SMALL, scene
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.tiles import cut
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.registry import create
from flawscope.methods.running import taught as learn_more
from flawscope.methods.running import with_tensors
from flawscope.methods.sadsem.detector import SADSeM, _tiles
from flawscope.methods.sadsem.learning import Seen, _with_cells
from flawscope.methods.sadsem.options import SADSeMOptions, TileOptions
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED
from flawscope.runtime.images import Frame
from flawscope.runtime.tiling import Tiling

Taught = Callable[..., SADSeM]
JOINED: dict[str, Any] = {"tiles": {"least": 2, "fusion": "largest"}}
EXCESS: dict[str, Any] = {"tiles": {"least": 2}}


def pairs(folder: Path, name: str, seeds: Sequence[int]) -> Pictures:
    """Pictures of two scenes each, cut into their two tiles."""
    samples = []
    for seed in seeds:
        path = folder / f"{name}-{seed}.png"
        Image.fromarray(np.concatenate([scene(2 * seed), scene(2 * seed + 1)], 1)).save(path)
        samples.append(Sample(path, "train", defective=False))
    return cut(samples, Frame(SIDE, SIDE), Tiling(size=(SIDE, SIDE), stride=(SIDE, SIDE)))


@torch.inference_mode()
def outputs(detector: SADSeM, pictures: Pictures) -> dict[str, torch.Tensor]:
    return detector(torch.from_numpy(np.stack(list(pictures))))


def fitted(folder: Path, **options: Any) -> SADSeM:
    detector = create("sadsem", {**SMALL, "counts": None, **options})
    assert isinstance(detector, SADSeM)
    data = TrainingData(normal=pairs(folder, "good", range(6)), tuning=pairs(folder, "tuning", range(10, 13)))
    return detector.fit(data, Run(), UNWATCHED)


@pytest.mark.usefixtures("taught")
def test_scores_exceed_what_pictures_not_tiles_reach_on_average(tmp_path: Path) -> None:
    plain, raised = fitted(tmp_path, **JOINED), fitted(tmp_path, **EXCESS)
    facts: Any = raised.learnt.facts
    assert facts["tiles"] == 2
    assert all(one["layers"] == [2, 3] for one in facts["components"] if one["pictures"])
    tuning = pairs(tmp_path, "tuning", range(10, 13))
    largest = outputs(plain, tuning)["parts"].reshape(3, 2, -1).amax(1)  # (pictures, parts)
    typical = largest.mean(0).clamp_max(0.9)
    assert raised.judging.typical is not None
    assert torch.allclose(raised.judging.typical, typical, atol=1e-3)
    new = pairs(tmp_path, "new", range(20, 22))
    expected = (outputs(plain, new)["parts"] - typical) / (1 - typical)
    found = outputs(raised, new)
    assert torch.allclose(found["parts"], expected, atol=0.02)
    assert torch.equal(found["score"], found["parts"].amax(1))
    assert safetensors.torch.save(raised.state_dict())  # tensors share no memory, which it refuses
    again = with_tensors(create("sadsem", dict(raised.options), raised.learnt.facts), raised.state_dict())
    assert isinstance(again, SADSeM)
    assert torch.equal(outputs(again, new)["score"], found["score"])


@pytest.mark.usefixtures("taught")
def test_teaching_keeps_the_scale_of_joined_layers_and_takes_what_is_typical_anew(tmp_path: Path) -> None:
    detector = fitted(tmp_path, tiles={"least": 2, "bank_limit": 8})
    before = {name: values.clone() for name, values in detector.state_dict().items()}
    further, tuning = (pairs(tmp_path, name, range(30, 33)) for name in ("further", "others"))
    same = learn_more(detector, TrainingData(normal=further, tuning=tuning.subset([0, 1])), Run())
    assert torch.equal(
        same.state_dict()["judging.typical"], before["judging.typical"]
    )  # one picture in tiles
    found = learn_more(detector, TrainingData(normal=further, tuning=tuning), Run()).state_dict()
    assert not torch.equal(found["judging.typical"], before["judging.typical"])
    scales = [name for name in before if name.endswith(".scale")]
    assert scales
    assert all(torch.equal(found[name], before[name]) for name in scales)


def test_tiles_are_those_of_the_picture_not_those_that_are_drawn(tmp_path: Path) -> None:
    assert _tiles(pairs(tmp_path, "drawn", range(3)).subset([0, 2, 3])) == 2


def test_a_component_at_the_border_has_no_outline_where_that_is_wanted(taught: Taught) -> None:
    labels = torch.zeros(2, SIDE, SIDE, dtype=torch.int64)
    labels[0, 4:12, 4:12] = 1
    labels[1, :12, 4:12] = 1
    for kept in (True, False):
        detector = taught(masks={"side": 16, "cut": kept})
        shown = detector.judging._masks(labels)[:, 0].flatten(1).any(1)
        assert shown.tolist() == [True, kept]


def test_joined_layers_are_those_of_the_finest_one_that_has_a_cell() -> None:
    seen = Seen(torch.zeros(0), {}, {(1, 2): 5, (1, 3): 1, (2, 3): 4, (3, 1): 2})
    assert _with_cells((3, 2), 1, seen, joined=True) == (2, 3)
    assert _with_cells((2, 3), 2, seen, joined=True) == (3,)
    assert _with_cells((2, 3), 3, seen, joined=True) == (1,)
    assert _with_cells((2, 3), 4, seen, joined=True) == ()
    assert _with_cells((2, 3), 2, seen, joined=False) == (3,)


def test_whole_pictures_have_nothing_of_what_holds_in_tiles(taught: Taught) -> None:
    plain, whole = taught(), taught(tiles={})
    assert whole.learnt.facts == plain.learnt.facts
    assert whole.state_dict().keys() == plain.state_dict().keys()
    assert whole.in_force == whole.options


@pytest.mark.usefixtures("taught")
def test_everything_that_holds_in_tiles_may_be_chosen(tmp_path: Path) -> None:
    plain = fitted(tmp_path)
    asked = {
        "least": 2,
        "layers": None,
        "joined": False,
        "bank_limit": None,
        "fusion": "largest",
        "outlines": True,
        "numbers": True,
        "cut": True,
    }
    same = fitted(tmp_path, tiles=asked)
    assert same.learnt.facts == plain.learnt.facts
    new = pairs(tmp_path, "new", range(20, 22))
    assert torch.equal(outputs(same, new)["score"], outputs(plain, new)["score"])
    with pytest.raises(OptionError, match="layers must name each layer once"):
        create("sadsem", {"tiles": {"layers": [2, 2]}})
    few = fitted(tmp_path, tiles={"least": 3})
    assert few.in_force == few.options
    other = fitted(tmp_path, **EXCESS)
    assert other.in_force.masks is not None
    assert not other.in_force.masks.cut
    assert other.in_force.bank_limit == 6000


@pytest.mark.usefixtures("taught")
def test_in_tiles_outlines_and_numbers_may_be_left_out(tmp_path: Path) -> None:
    for outlines, numbers in ((False, False), (True, False), (False, True)):
        tiles = {"least": 2, "outlines": outlines, "numbers": numbers}
        detector = fitted(tmp_path, counts={}, tiles=tiles)
        parts = next(one.names for one in detector.outputs if one.name == "parts")
        assert any(name.endswith("/outline") for name in parts) == outlines
        assert ("counts" in [one.name for one in detector.outputs]) == numbers
        found = outputs(detector, pairs(tmp_path, "new", range(20, 22)))
        if not numbers:
            assert torch.equal(found["score"], found["parts"].amax(1))
    with pytest.raises(OptionError, match="cut only where outlines are judged"):
        create("sadsem", {"tiles": {"outlines": False, "cut": True}})


def test_in_tiles_what_is_not_said_stays() -> None:
    options = SADSeMOptions(smoothing=3, shared=0.25, tiles=TileOptions(peaks="smoothed", smoothing=8))
    few, many = options.in_force(8), options.in_force(9)
    assert (few.smoothing, few.shared, few.peaks) == (3, 0.25, "raw")
    assert (many.smoothing, many.shared, many.peaks) == (8, 0.25, "smoothed")


@pytest.mark.usefixtures("taught")
def test_smoothed_peaks_are_the_heatmap_s_on_each_component(tmp_path: Path) -> None:
    tiles = {"least": 2, "outlines": False, "fusion": "largest", "smoothing": 6}
    raw, smooth = (fitted(tmp_path, tiles={**tiles, "peaks": peaks}) for peaks in ("raw", "smoothed"))

    def expected(pictures: Pictures) -> torch.Tensor:
        found = outputs(raw, pictures)
        shown = [found["components"] == one for one in raw.judging.labels]
        highest = torch.stack([torch.where(one, found["heatmap"], 0).amax((1, 2)) for one in shown], 1)
        return torch.minimum(highest, found["parts"])

    tuning, new = pairs(tmp_path, "tuning", range(10, 13)), pairs(tmp_path, "new", range(20, 22))
    top = expected(tuning).amax()
    assert top < 1
    assert torch.allclose(outputs(smooth, new)["parts"], expected(new) / top, atol=1e-4)
    fewer = TrainingData(normal=new, tuning=tuning.subset([0, 1, 2, 3]))
    before = smooth.state_dict()["judging.top"]
    there = learn_more(smooth, fewer, Run())
    back = learn_more(there, TrainingData(normal=new, tuning=tuning), Run())
    again = learn_more(smooth, TrainingData(normal=new, tuning=tuning), Run())
    assert torch.equal(back.state_dict()["judging.top"], again.state_dict()["judging.top"])
    assert before == pytest.approx(float(top), abs=1e-4)


@pytest.mark.usefixtures("taught")
def test_excess_of_smoothed_peaks(tmp_path: Path) -> None:
    tiles = {"least": 2, "outlines": False, "peaks": "smoothed", "shared": 0.5}
    plain = fitted(tmp_path, tiles={**tiles, "fusion": "largest"})
    raised = fitted(tmp_path, tiles={**tiles, "fusion": "excess"})
    tuning = outputs(plain, pairs(tmp_path, "tuning", range(10, 13)))["parts"]
    assert tuning.amax() == pytest.approx(1, abs=1e-4)
    typical = tuning.reshape(3, 2, -1).amax(1).mean(0).clamp_max(0.9)
    new = pairs(tmp_path, "new", range(20, 22))
    expected = (outputs(plain, new)["parts"] - typical) / (1 - typical)
    assert torch.allclose(outputs(raised, new)["parts"], expected, atol=1e-3)


@pytest.mark.usefixtures("taught")
def test_models_from_before_these_options_are_what_they_were(tmp_path: Path) -> None:
    made = fitted(tmp_path, counts={}, **EXCESS)
    kept = made.options.model_dump()
    kept = {name: value for name, value in kept.items() if name not in ("shared", "peaks")}
    kept["tiles"] = {name: kept["tiles"][name] for name in ("least", "layers", "joined", "fusion", "cut")}
    again = with_tensors(create("sadsem", kept, made.learnt.facts), made.state_dict())
    new = pairs(tmp_path, "new", range(20, 22))
    assert torch.equal(outputs(again, new)["score"], outputs(made, new)["score"])


def test_models_without_these_options_have_none_of_their_tensors(taught: Taught) -> None:
    names = taught().state_dict()
    assert not [name for name in names if name.endswith((".scale", ".typical"))]
