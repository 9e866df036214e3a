"""WSS, areas and the choice of layers equal cases worked out by hand."""

from __future__ import annotations

import pytest
import torch

from flawscope.errors import OptionError
from flawscope.methods.registry import create
from flawscope.methods.sadsem.chart import plane_chart
from flawscope.methods.sadsem.layers import ComponentFacts, LayerOptions, areas, drawn, resampled_wss, wss


def test_wss_by_the_number_of_points() -> None:
    # centroid (2, 1); squared distances 4 + 1, 4 + 1, 0 + 4, 0 + 4
    rows = torch.tensor([[0.0, 0.0], [4.0, 2.0], [2.0, 3.0], [2.0, -1.0]])
    assert wss(rows) == pytest.approx(18 / 4)
    assert wss(rows[:1]) == 0
    assert wss(rows[:0]) == 0


def test_resampling_thins_what_repeats() -> None:
    rows = torch.tensor([[0.0, 0.0]] * 8 + [[4.0, 0.0]] * 2)
    assert wss(rows) == pytest.approx((8 * 0.8**2 + 2 * 3.2**2) / 10)
    assert resampled_wss(rows, 0.2, seed=0) == pytest.approx(4.0)  # one of each: 2² apart from the middle
    assert resampled_wss(rows[:0], 0.2, seed=0) == 0


def test_the_area_is_that_of_pictures_that_show_the_component() -> None:
    labels = torch.zeros(4, 4, 4, dtype=torch.uint8)
    labels[0, :2] = 1
    labels[1, :1] = 1
    assert areas(labels, 1) == (2, pytest.approx(37.5))
    assert areas(labels, 2) == (0, 0.0)


@pytest.mark.parametrize(
    ("area", "spread", "layers"),
    [
        (10, 0.5, (1,)),  # 0.4 + 0.5
        (12.5, 0.5, (1,)),  # on the border
        (12.5, 0.6, (1, 2)),
        (2, 1.5, (1, 2)),  # small and complex
        (45, 0.1, (1, 2)),  # large and simple
        (60, 0.5, (2,)),
        (100, 1.5, (2,)),
        (100, 1.6, (3,)),
    ],
)
def test_layers_by_area_and_spread(area: float, spread: float, layers: tuple[int, ...]) -> None:
    assert LayerOptions().chosen(area, spread) == layers


def test_other_borders_and_fixed_layers() -> None:
    assert LayerOptions(area=50, spread=2, borders=(0.5, 1, 1.5)).chosen(50, 1.5) == (3,)
    assert LayerOptions(fixed=(2, 3)).chosen(1, 0.1) == (2, 3)
    with pytest.raises(OptionError, match="borders must not fall"):
        create("sadsem", {"choice": {"borders": [2, 1, 3]}})
    with pytest.raises(OptionError, match="fixed must name each layer once"):
        create("sadsem", {"choice": {"fixed": [2, 2]}})


def test_rows_are_drawn_where_there_are_too_many() -> None:
    rows = torch.arange(10.0).unsqueeze(1)
    random = torch.Generator().manual_seed(0)
    assert len(set(drawn(rows, 4, random).flatten().tolist())) == 4
    assert drawn(rows, 10, random) is rows


def test_facts_survive_as_plain_values_and_read_well() -> None:
    facts = ComponentFacts(3, "wheel", 12, 12.34, 0.567, 0.8, (1, 2))
    assert ComponentFacts.of(facts.plain()) == facts
    assert str(facts) == "component 3 (wheel): 12.3 % of the picture, WSS 0.567, layers 1 and 2"
    assert str(ComponentFacts(2, "component 2", 1)).endswith("WSS 0, too small for any layer")
    assert str(ComponentFacts(2, "component 2")) == "component 2: no good picture shows it"


def test_the_plane_shows_each_component_and_its_layers() -> None:
    components = [
        ComponentFacts(1, "<wheel>", 12, 12.0, 0.5, 0.3, (1,)),
        ComponentFacts(2, "plate", 12, 60.0, 0.9, 1.2, (2,)),
    ]
    drawing = plane_chart(components, LayerOptions())
    assert drawing.count("<circle") == 4
    assert "&lt;wheel&gt;" in drawing
    assert "layer 2" in drawing
    assert drawing.count("stroke-dasharray") == 2  # the border to layer 3 lies outside
    assert "stroke-dasharray" not in plane_chart(components, LayerOptions(fixed=(2, 3)))
