"""Options of SADSeM; sections and tables are its paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flawscope.errors import OptionError
from flawscope.methods.detector import BackboneOptions
from flawscope.methods.sadsem.layers import Layer, LayerOptions
from flawscope.methods.sadsem.masks import MaskOptions
from flawscope.methods.sadsem.numbers import NumberOptions
from flawscope.runtime.frozen import Frozen
from flawscope.segmenters import SegmentOptions
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.instances.options import InstancesOptions
from flawscope.segmenters.segmenter import SegmenterOptions

# kinds whose segment 0 is a part like any other, not what no component covers
WHOLE = ("one", "static", "drafted", "clusters", "folder", "overlaid")


Fusion = Literal["largest", "excess"]
Peaks = Literal["raw", "smoothed"]


class TileOptions(Frozen):
    """What holds in tiles, where flaws are larger and the border cuts components anywhere."""

    least: int = Field(
        9,
        ge=2,
        description="tiles a picture from which on this holds; in fewer, flaws are hardly larger than in "
        "whole pictures",
    )
    layers: tuple[Layer, ...] | None = Field(
        (2, 3), min_length=1, description="the same for every component; null: each component's are chosen"
    )
    joined: bool = Field(True, description="in place of the option of that name")
    bank_limit: int | None = Field(6000, ge=1, description="in place of the option of that name")
    fusion: Fusion = Field("excess", description="in place of the option of that name")
    shared: float | None = Field(
        None, ge=0, le=1, description="in place of the option of that name; null: the same"
    )
    peaks: Peaks | None = Field(None, description="in place of the option of that name; null: the same")
    smoothing: float | None = Field(
        None, ge=0, le=64, description="in place of the option of that name; null: the same"
    )
    outlines: bool = Field(
        True,
        description="judge outlines, where the option masks has them, though a border cuts them anywhere",
    )
    numbers: bool = Field(
        True, description="judge numbers, where counts has them, though a tile's border hides some"
    )
    cut: bool = Field(False, description="in place of masks.cut")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if self.layers is not None and len(set(self.layers)) < len(self.layers):
            raise ValueError("layers must name each layer once")
        if self.cut and not self.outlines:
            raise ValueError("cut only where outlines are judged")
        return self


class SADSeMOptions(BackboneOptions):
    """Options of SADSeM; defaults are the paper's."""

    backbone: str = Field(
        "tf_efficientnet_lite0",
        description="network of the features, where they are not the segmenter's own (section 3.1: resnet50)",
    )
    layers: tuple[str, str, str] | None = Field(
        None, description="its layers 1, 2 and 3; by default those at strides 4, 8 and 16 (section 2.3)"
    )
    segments: SegmentOptions | None = Field(
        None,
        description="how pictures are divided into components (section 2.2: Mask R-CNN, fine-tuned on "
        "annotated pictures); by default that, kind instances, where parts are annotated, otherwise "
        "components learnt from areas of one colour",
    )
    features: Literal["backbone", "segmenter"] | None = Field(
        None,
        description="whose maps are compared: the backbone's, as published (table 1: neutral backbone), or "
        "those of the segmenter's network; by default the segmenter's where it has been fine-tuned, as of "
        "kind instances (section 2.3), and the backbone's otherwise",
    )
    background: bool | None = Field(
        None,
        description="judge segment 0, too; by default only where it is a part like any other, as of kinds "
        "one and clusters, and not where it is what no component covers (section 2.2: left out)",
    )
    ignore: tuple[str, ...] = Field(
        (), description="names of components that are left out of the scores (section 2.2: irrelevant parts)"
    )
    names: Mapping[str, str] = Field(
        {}, description="what findings call the components, by the name that the segments have for them"
    )
    choice: LayerOptions = Field(
        LayerOptions(), description="which layers describe a component (section 2.3)"
    )
    joined: bool = Field(
        False,
        description="compare the layers of a component joined to one feature, in which each has equal say "
        "(section 2.3: a bank for each layer)",
    )
    neighbourhood: Literal[1, 3, 5, 7, 9] = Field(
        1, description="side of the square over which features are averaged (the paper: 1; PatchCore: 3)"
    )
    coreset: float = Field(
        0.1,
        gt=0,
        le=1,
        description="share of each component's features kept (section 2.3: as PatchCore, 10 %)",
    )
    bank_limit: int | None = Field(
        None,
        ge=1,
        description="most features of a component and layer, or its joined ones, kept (the paper has none)",
    )
    shared: float = Field(
        0.0,
        ge=0,
        le=1,
        description="weight of a cell's distance to the nearest stored feature of any component with the "
        "same layers, beside that of its own: a wrong or poor division then matters less (section 2.5: 0)",
    )
    projection: int = Field(
        128, ge=1, description="dimensions of the random projection for the selection (PatchCore's code: 128)"
    )
    masks: MaskOptions | None = Field(
        MaskOptions(),
        description="outlines, against those of good pictures (section 2.4); null leaves them out",
    )
    counts: NumberOptions | None = Field(
        NumberOptions(),
        description="number of each component, against good pictures (not in the paper, whose masks alone "
        "tell it)",
    )
    fusion: Fusion = Field(
        "largest",
        description="the largest score of all components (section 2.5), or each by how far it exceeds what "
        "tuning pictures reach on average, in units of how far their largest does, so that what varies much "
        "counts less (not in the paper)",
    )
    tiles: TileOptions | None = Field(
        None,
        description="what holds in place of the other options where pictures are cut into many tiles; null: "
        "nothing else (the paper has none)",
    )
    peaks: Peaks = Field(
        "raw",
        description="what a component's surface scores: the largest distance of its cells (section 2.5: "
        "raw), or at most the highest value of the smoothed heatmap on its pixels: one odd cell counts less",
    )
    smoothing: float = Field(
        4.0,
        ge=0,
        le=64,
        description="σ in pixels of the Gaussian over the heatmap (section 2.5; PatchCore's 4)",
    )

    @model_validator(mode="after")
    def _fitting_together(self) -> Self:
        if self.masks is not None:
            self.masks.check_size(self.size)
        if self.counts is not None:
            self.counts.check_size(self.size)
        return self

    def in_force(self, tiles: float) -> Self:
        """These options, or what holds where pictures have so many tiles."""
        own = self.tiles
        if own is None or tiles < own.least:
            return self
        changed: dict[str, Any] = {"joined": own.joined, "bank_limit": own.bank_limit, "fusion": own.fusion}
        changed["choice"] = self.choice.model_copy(update={"fixed": own.layers})
        judged = self.masks if own.outlines else None
        others = {name: getattr(own, name) for name in ("shared", "peaks", "smoothing")}
        changed |= {name: value for name, value in others.items() if value is not None}
        changed["counts"] = self.counts if own.numbers else None
        changed["masks"] = judged and judged.model_copy(update={"cut": own.cut})
        return self.model_copy(update=changed)

    def segmenter(self, *, annotated: bool) -> SegmenterOptions:
        """Options of the segmenter, where there are annotated parts or none."""
        if self.segments is not None:
            return self.segments
        made = InstancesOptions if annotated else ComponentsOptions
        return made(preset="cpu", backbone=self.backbone, weights=self.weights)

    def takes_segmenter(self, kind: str) -> bool:
        """Whether the features are those of a segmenter of that kind."""
        return kind == "instances" if self.features is None else self.features == "segmenter"

    def judges_background(self, kind: str) -> bool:
        """Whether segment 0 of a segmenter of that kind is judged."""
        return kind in WHOLE if self.background is None else self.background


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {
        "background": True,
        "neighbourhood": 3,
        "bank_limit": 3000,
        "projection": 64,
        "masks": {"placed": "centred", "most": 200, "least": 1.0, "left_out": True},
        "tiles": {
            "fusion": "largest",
            "outlines": False,
            "numbers": False,
            "shared": 0.5,
            "peaks": "smoothed",
            "smoothing": 8.0,
        },
    },
}


def foreign_layers(kind: str, strides: str) -> OptionError:
    """For a segmenter whose network has no maps at the three strides."""
    return OptionError(
        "option 'features' of sadsem",
        expected="backbone, or segments whose network has maps at strides 4, 8 and 16, such as instances",
        got=f"segmenter, of kind {kind}, with {strides}",
        fix="Set features=backbone, or name such layers of the segments.",
    )
