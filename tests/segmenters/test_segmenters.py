"""What every segmenter keeps: full cover, one answer in torch and on each engine, a state that restores."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import TypeAdapter

from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import write_segment_map
from flawscope.errors import DataError, InputError, OptionError
from flawscope.methods.registry import create
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters import (
    SEGMENTERS,
    FeatureClustersOptions,
    OneSegmentOptions,
    Segmenter,
    SegmentOptions,
    StaticMapOptions,
    build_segmenter,
)
from flawscope.segmenters.segmenter import SegmenterOptions
from flawscope.segmenters.static_map import OneSegment
from flawscope.testing.rings import good_rings

Save = Callable[..., Pictures]
FRAME = Frame(64, 96)
FOUND = sorted(
    SEGMENTERS.keys() - {"folder", "drafted", "components", "instances"}
)  # in the pixels, within a blink
CLUSTERS = {"backbone": "test_resnet", "layers": ("layer1", "layer2"), "weights": "random", "count": 3}


def options(kind: str, folder: Path) -> SegmenterOptions:
    values: dict[str, Any] = {"kind": kind}
    if kind in ("static", "overlaid"):
        labels = np.zeros((96, 144), np.uint8)
        labels[:, 50:] = 1
        labels[60:, 90:] = 2
        write_segment_map(folder / "map.png", labels)
        values["map"] = folder / "map.png"
    values |= CLUSTERS if kind == "clusters" else {}
    return TypeAdapter(SegmentOptions).validate_python(values)


def pictures(save: Save, count: int = 4, frame: Frame = FRAME, name: str = "good") -> Pictures:
    """Rings, 144 wide and 96 high: plain ground is added on both sides."""
    wide = [np.pad(ring, ((0, 0), (24, 24), (0, 0)), mode="edge") for ring in good_rings(count, 3)]
    return save(wide, frame, name)


def stacked(given: Pictures) -> NDArray[np.float32]:
    return np.stack(list(given))


@pytest.mark.parametrize(
    ("kind", "count"), [("one", 1), ("static", 3), ("object", 2), ("clusters", 3), ("overlaid", 4)]
)
def test_each_covers_every_pixel_and_answers_the_same_everywhere(
    kind: str, count: int, saved: Save, tmp_path: Path, exported: Callable[..., dict[str, NDArray[Any]]]
) -> None:
    given = pictures(saved)
    chosen = options(kind, tmp_path)
    segmenter = build_segmenter(chosen, FRAME).fit(given, Run(seed=1))
    pixels = stacked(given)
    with torch.inference_mode():
        labels = segmenter(torch.from_numpy(pixels)).numpy()
        alone = [segmenter(torch.from_numpy(pixels[index : index + 1])).numpy()[0] for index in range(4)]
    assert labels.shape == (4, 64, 96)
    assert labels.dtype == np.int64
    assert segmenter.count == count
    assert set(np.unique(labels)) == set(range(count))
    assert segmenter.absent == ()
    shares = np.bincount(labels.ravel()) / labels.size
    np.testing.assert_allclose(segmenter.shares.numpy(), shares, atol=1e-6)
    np.testing.assert_array_equal(labels, alone)
    again = build_segmenter(chosen, FRAME).fit(given, Run(seed=1))
    assert all(torch.equal(a, b) for a, b in zip(segmenter.buffers(), again.buffers(), strict=True))
    for engine, answer in exported(segmenter, pixels).items():
        assert np.issubdtype(answer.dtype, np.integer), engine
        assert answer.shape == labels.shape
        assert (answer == labels).mean() > 0.999, engine


@pytest.mark.parametrize("kind", FOUND)
def test_the_state_restores_without_any_file(
    kind: str, saved: Save, tmp_path: Path, restored: Callable[[Segmenter, Segmenter], Segmenter]
) -> None:
    given = pictures(saved)
    chosen = options(kind, tmp_path)
    fitted = build_segmenter(chosen, FRAME).fit(given, Run())
    (tmp_path / "map.png").unlink(missing_ok=True)
    twin = restored(build_segmenter(chosen, FRAME), fitted)
    pixels = torch.from_numpy(stacked(given))
    with torch.inference_mode():
        assert torch.equal(twin.eval()(pixels), fitted(pixels))
    assert (twin.count, twin.names) == (fitted.count, fitted.names)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("one", ("the whole picture",)),
        ("static", ("segment 0", "segment 1", "segment 2")),
        ("object", ("the background", "the object")),
        ("clusters", ("segment 0", "segment 1", "segment 2")),
        ("overlaid", ("the background", "the object", "part 1", "part 2")),
    ],
)
def test_each_segment_has_a_name(kind: str, names: tuple[str, ...], saved: Save, tmp_path: Path) -> None:
    fitted = build_segmenter(options(kind, tmp_path), FRAME).fit(pictures(saved), Run())
    assert fitted.names == names


@pytest.mark.parametrize("margin", [0, 2])
def test_an_owner_hands_in_the_maps_that_it_has(
    margin: int, saved: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pictures(saved)
    chosen = TypeAdapter(SegmentOptions).validate_python({"kind": "clusters", **CLUSTERS, "margin": margin})
    segmenter = build_segmenter(chosen, FRAME)
    assert segmenter.layers == ("layer1", "layer2")
    assert segmenter.backbone is not None
    assert (segmenter.backbone.name, segmenter.backbone.library) == ("test_resnet", "timm")
    segmenter.fit(given, Run())
    pixels = torch.from_numpy(stacked(given))
    seen = F.pad(pixels, (16,) * 4, mode="reflect") if margin else pixels  # 2 cells of 8 pixels
    owned = build_backbone("test_resnet", segmenter.layers, size=(seen.shape[2], seen.shape[3]))
    with torch.inference_mode():
        maps, labels = owned(seen), segmenter(pixels)
        monkeypatch.setattr(segmenter.backbone, "forward", lambda *_: pytest.fail("the backbone runs twice"))
        assert torch.equal(segmenter(pixels, maps), labels)
        with pytest.raises(ValueError, match="maps at layer1 of"):
            segmenter(pixels, {layer: grid[:, :, 1:] for layer, grid in maps.items()})
    assert set(labels.unique().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("kind", sorted(set(FOUND) - {"clusters"}))
def test_where_pixels_decide_no_maps_are_asked_for(kind: str, saved: Save, tmp_path: Path) -> None:
    segmenter = build_segmenter(options(kind, tmp_path), FRAME).fit(pictures(saved), Run())
    assert segmenter.backbone is None
    assert segmenter.layers == ()
    pixels = torch.from_numpy(stacked(pictures(saved, 2, name="more")))
    assert torch.equal(segmenter(pixels, {}), segmenter(pixels))


def test_annotated_parts_reach_a_segmenter_that_learns_from_them(saved: Save) -> None:
    class Annotated(OneSegment):
        """Keeps how many annotated pictures it was given."""

        def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
            super().learn(pictures, run, watch, parts)
            self.annotated = parts

    given = pictures(saved)
    segmenter = Annotated(OneSegmentOptions(), FRAME)
    assert segmenter.fit(given, Run()).annotated is None
    assert segmenter.fit(given, Run(), parts=given).annotated is given


def test_a_static_map_goes_with_the_padding_of_its_frame(saved: Save, tmp_path: Path) -> None:
    frame = Frame(64, 64, "pad")
    given = pictures(saved, 1, frame)
    segmenter = build_segmenter(options("static", tmp_path), frame).fit(given, Run())
    labels = segmenter(torch.zeros(1, 3, 64, 64))[0].numpy()
    assert segmenter.static
    np.testing.assert_array_equal(labels[:11], np.broadcast_to(labels[11], (11, 64)))
    np.testing.assert_array_equal(labels[54:], np.broadcast_to(labels[53], (10, 64)))
    assert (labels[11:30] == (np.arange(64) >= 22)).all()  # 50 of 144 columns are 22.2 of 64


def test_a_map_at_the_frames_size_fits_pictures_of_any_proportions(saved: Save, tmp_path: Path) -> None:
    labels = np.zeros((64, 96), np.uint8)
    labels[32:] = 1
    write_segment_map(tmp_path / "map.png", labels)
    given = saved(good_rings(2, 0), FRAME)
    chosen = StaticMapOptions(map=tmp_path / "map.png")
    segmenter = build_segmenter(chosen, FRAME).fit(given, Run())
    np.testing.assert_array_equal(segmenter(torch.zeros(1, 3, 64, 96))[0].numpy(), labels)
    padded = Frame(64, 96, "pad")
    with pytest.raises(DataError, match=r"proportions within 1 %, got 96x64"):
        build_segmenter(chosen, padded).fit(given.resized(padded), Run())


def test_a_static_map_that_does_not_fit_is_refused(saved: Save, tmp_path: Path) -> None:
    given = pictures(saved, 1)
    with pytest.raises(InputError, match="nothing there"):
        build_segmenter(StaticMapOptions(map=tmp_path / "absent.png"), FRAME).fit(given, Run())
    chosen = options("static", tmp_path)
    with pytest.raises(DataError, match="expected 4 segments, as the option count says, got 3"):
        build_segmenter(chosen.model_copy(update={"count": 4}), FRAME).fit(given, Run())
    labels = np.zeros((960, 1440), np.uint8)
    labels[0, 0] = 1
    write_segment_map(tmp_path / "map.png", labels)
    with pytest.raises(DataError, match="segment 1, which has no pixel left"):
        build_segmenter(chosen, FRAME).fit(given, Run())


@pytest.mark.parametrize("kind", FOUND)
def test_no_pictures_are_refused(kind: str, saved: Save, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one good picture"):
        build_segmenter(options(kind, tmp_path), FRAME).fit(saved([], FRAME), Run())


def test_clusters_choose_their_number_and_weigh_the_place(saved: Save) -> None:
    given = pictures(saved)
    chosen = FeatureClustersOptions(**(CLUSTERS | {"count": None}))
    assert 2 <= build_segmenter(chosen, FRAME).fit(given, Run()).count <= 8
    placed = FeatureClustersOptions(**(CLUSTERS | {"count": 2, "position": 100.0}))
    labels = build_segmenter(placed, FRAME).fit(given, Run())(torch.from_numpy(stacked(given)))
    assert (labels == labels[:1]).float().mean() > 0.95  # where a cell lies decides, not what it shows


def test_small_pictures_have_clusters_too(saved: Save) -> None:
    frame = Frame(32, 32)
    segmenter = build_segmenter(FeatureClustersOptions(**CLUSTERS), frame)
    assert segmenter.fit(pictures(saved, 2, frame), Run())(torch.zeros(2, 3, 32, 32)).shape == (2, 32, 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"kind": "static"},
            "'map' of segments of kind static: expected a value, got none. It is:",
        ),
        ({"kind": "one", "map": "a.png"}, "got one of kind static and overlaid. Leave it out: kind one"),
        (
            {"kind": "object", "count": 2},
            "got one of kind static and drafted and clusters and folder. Leave it out",
        ),
        (
            {"kind": "clusters", "count": 1},
            "expected greater than or equal to 2, got 1. It is: how many",
        ),
        ({"kind": "clusters", "count": 65}, "less than or equal to 64"),
        ({"kind": "clusters", "postion": 1}, 'got an unknown one. Did you mean "position"?'),
        (
            {"kind": "clusters", "layers": [3]},
            "'layers.0' of segments of kind clusters: expected text, put in quotes",
        ),
        (
            {"kind": "cluster"},
            "got 'cluster'. Did you mean \"clusters\"? Known: clusters, components,",
        ),
        ({"count": 3}, "kind of segments: expected a known one, written {kind: one}, got none. Known:"),
        ("clusters", "got 'clusters'. Did you mean \"clusters\"?"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(values: Any, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)) as refused:
        create("segad", {"segments": values})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", FOUND)
def test_options_go_through_json(kind: str, tmp_path: Path) -> None:
    chosen = options(kind, tmp_path)
    values = json.loads(chosen.model_dump_json())
    assert values["kind"] == kind
    assert TypeAdapter(SegmentOptions).validate_python(values) == chosen


def test_an_unknown_backbone_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="Did you mean"):
        build_segmenter(FeatureClustersOptions(backbone="resnet81"), FRAME)
