"""What every segmenter keeps: full cover, one answer in torch and on each engine, a state that restores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import write_segment_map
from flawscope.errors import DataError, InputError, OptionError
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.segmenters import Segmenter, SegmentOptions, build_segmenter
from flawscope.testing.rings import good_rings

Save = Callable[..., Pictures]
FRAME = Frame(64, 96)
CLUSTERS = {"backbone": "resnet18", "layers": ("layer1", "layer2"), "weights": "random", "count": 3}


def options(kind: str, folder: Path) -> SegmentOptions:
    values: dict[str, Any] = {"kind": kind}
    if kind == "static":
        labels = np.zeros((96, 144), np.uint8)
        labels[:, 50:] = 1
        labels[60:, 90:] = 2
        write_segment_map(folder / "map.png", labels)
        values["map"] = folder / "map.png"
    return SegmentOptions(**values, **(CLUSTERS if kind == "clusters" else {}))


def pictures(save: Save, count: int = 4, frame: Frame = FRAME, name: str = "good") -> Pictures:
    """Rings, 144 wide and 96 high: plain ground is added on both sides."""
    wide = [np.pad(ring, ((0, 0), (24, 24), (0, 0)), mode="edge") for ring in good_rings(count, 3)]
    return save(wide, frame, name)


def stacked(given: Pictures) -> NDArray[np.float32]:
    return np.stack(list(given))


@pytest.mark.parametrize(("kind", "count"), [("one", 1), ("static", 3), ("object", 2), ("clusters", 3)])
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


@pytest.mark.parametrize("kind", ["one", "static", "object", "clusters"])
def test_the_state_restores_without_any_file(kind: str, saved: Save, tmp_path: Path) -> None:
    given = pictures(saved)
    chosen = options(kind, tmp_path)
    fitted = build_segmenter(chosen, FRAME).fit(given, Run())
    (tmp_path / "map.png").unlink(missing_ok=True)
    state = fitted.state_dict()
    twin: Segmenter = build_segmenter(chosen, FRAME)
    for name in twin.fitted:
        twin.register_buffer(name, torch.empty_like(state[name]))
    twin.load_state_dict(state, strict=True)
    pixels = torch.from_numpy(stacked(given))
    with torch.inference_mode():
        assert torch.equal(twin.eval()(pixels), fitted(pixels))
    assert twin.count == fitted.count


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
    chosen = SegmentOptions(kind="static", map=tmp_path / "map.png")
    segmenter = build_segmenter(chosen, FRAME).fit(given, Run())
    np.testing.assert_array_equal(segmenter(torch.zeros(1, 3, 64, 96))[0].numpy(), labels)
    padded = Frame(64, 96, "pad")
    with pytest.raises(DataError, match=r"proportions within 1 %, got 96x64"):
        build_segmenter(chosen, padded).fit(given.resized(padded), Run())


def test_a_static_map_that_does_not_fit_is_refused(saved: Save, tmp_path: Path) -> None:
    given = pictures(saved, 1)
    with pytest.raises(InputError, match="nothing there"):
        build_segmenter(SegmentOptions(kind="static", map=tmp_path / "absent.png"), FRAME).fit(given, Run())
    chosen = options("static", tmp_path)
    with pytest.raises(DataError, match="expected 4 segments, as the option count says, got 3"):
        build_segmenter(chosen.model_copy(update={"count": 4}), FRAME).fit(given, Run())
    labels = np.zeros((960, 1440), np.uint8)
    labels[0, 0] = 1
    write_segment_map(tmp_path / "map.png", labels)
    with pytest.raises(DataError, match="segment 1, which has no pixel left"):
        build_segmenter(chosen, FRAME).fit(given, Run())


@pytest.mark.parametrize("kind", ["one", "static", "object", "clusters"])
def test_no_pictures_are_refused(kind: str, saved: Save, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one good picture"):
        build_segmenter(options(kind, tmp_path), FRAME).fit(saved([], FRAME), Run())


def test_clusters_choose_their_number_and_weigh_the_place(saved: Save) -> None:
    given = pictures(saved)
    chosen = SegmentOptions(kind="clusters", **(CLUSTERS | {"count": None}))
    assert 2 <= build_segmenter(chosen, FRAME).fit(given, Run()).count <= 8
    placed = SegmentOptions(kind="clusters", **(CLUSTERS | {"count": 2, "position": 100.0}))
    labels = build_segmenter(placed, FRAME).fit(given, Run())(torch.from_numpy(stacked(given)))
    assert (labels == labels[:1]).float().mean() > 0.95  # where a cell lies decides, not what it shows


def test_small_pictures_have_clusters_too(saved: Save) -> None:
    frame = Frame(32, 32)
    segmenter = build_segmenter(SegmentOptions(kind="clusters", **CLUSTERS), frame)
    assert segmenter.fit(pictures(saved, 2, frame), Run())(torch.zeros(2, 3, 32, 32)).shape == (2, 32, 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "static"}, "name its PNG file"),
        ({"kind": "object", "map": "a.png"}, 'choose kind "static"'),
        ({"kind": "object", "count": 3}, "always has 2"),
        ({"kind": "one", "count": 2}, "always has 1"),
        ({"kind": "clusters", "count": 1}, "2 clusters or more"),
        ({"kind": "clusters", "count": 65}, "less than or equal to 64"),
        ({"kind": "parts"}, "'one', 'static', 'object' or 'clusters'"),
        ({"clusters": 3}, "Extra inputs"),
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentOptions(**values)


def test_an_unknown_backbone_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="Did you mean"):
        build_segmenter(SegmentOptions(kind="clusters", backbone="resnet81"), FRAME)
