"""Options of CSAD; sections and tables are its paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flawscope.errors import OptionError
from flawscope.methods.csad.colours import ColoursOptions
from flawscope.methods.csad.counts import ComponentCountsOptions
from flawscope.methods.csad.histogram import PatchHistogramOptions
from flawscope.methods.csad.hues import HuesOptions
from flawscope.methods.csad.places import PlacesOptions
from flawscope.methods.csad.shapes import ShapesOptions
from flawscope.methods.csad.structures import StructureOptions
from flawscope.methods.csad.students_options import StudentsOptions
from flawscope.methods.csad.words import VisualWordsOptions
from flawscope.methods.detector import BackboneOptions
from flawscope.segmenters import SEGMENTERS, SegmentOptions
from flawscope.segmenters.components.options import ComponentsOptions


class CSADOptions(BackboneOptions):
    """Options of CSAD."""

    backbone: str = Field(
        "tf_efficientnet_lite0",
        description="frozen network that components, students and words read (section 3.4: a pretrained CNN; "
        "the authors' code: wide_resnet50_2)",
    )
    segments: SegmentOptions = Field(
        ComponentsOptions(),
        description="how pictures are divided into components; segment 0 is the background (section 3.2: a "
        "network that learns pseudo-labels)",
    )
    histogram: PatchHistogramOptions | None = Field(
        PatchHistogramOptions(), description="the patch histogram branch (section 3.3); null leaves it out"
    )
    counts: ComponentCountsOptions | None = Field(
        None, description="number of components of each class (not in the paper)"
    )
    places: PlacesOptions | None = Field(
        None, description="what lies where good pictures never show its class (not in the paper)"
    )
    shapes: ShapesOptions | None = Field(
        None, description="shape of each component by itself, against good ones (not in the paper)"
    )
    colours: ColoursOptions | None = Field(
        None,
        description="colours of each component by itself, against good ones of its class (not in the paper); "
        "it reads those that shapes find",
    )
    hues: HuesOptions | None = Field(
        None, description="spots of a hue that good pictures never show near there (not in the paper)"
    )
    words: VisualWordsOptions | None = Field(
        None, description="histograms of kinds of patches, which need no components (not in the paper)"
    )
    structure: StructureOptions | None = Field(
        StudentsOptions(),
        description="the branch for structural flaws: students (section 3.4), or patches, banks of good ones "
        "(not in the paper); null leaves it out",
    )
    trimmed: tuple[float, float] = Field(
        (0.2, 0.8),
        description="quantiles of each branch's scores of good pictures between which their mean and "
        "deviation are taken, to bring the branches to one scale (section 3.5)",
    )
    least: float = Field(
        0.0,
        ge=0,
        description="standard deviation, in deviations of good pictures' components, that is added to that "
        "of the scores of all branches but structure before they are brought to one scale. The paper adds "
        "none; a branch in which good pictures hardly differ then makes flaws of a few pixels",
    )
    fusion: Literal["sum", "largest"] = Field(
        "sum", description="the sum of the branches' scores (section 3.5), or the largest of them"
    )
    sharpness: float = Field(
        8.0,
        gt=0,
        description="by what the logits are multiplied before a pixel is shared among the classes. The paper "
        "gives each pixel to its likeliest class, which large values approach; then the last bit decides at "
        "borders, and engines would not agree",
    )
    names: Mapping[str, str] = Field(
        {}, description="what findings call the classes, by the name that the segments have for them"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.branches:
            raise ValueError("at least one of structure, histogram, counts, places, shapes, hues and words")
        if self.colours is not None and self.shapes is None:
            raise ValueError("colours need shapes, which find the components; without them set colours=null")
        low, high = self.trimmed
        if not 0 <= low < high <= 1:
            raise ValueError("trimmed must rise, between 0 and 1")
        return self

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches that there are."""
        names = ("structure", "histogram", "counts", "places", "shapes", "colours", "hues", "words")
        return tuple(name for name in names if getattr(self, name) is not None)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the layers that the branches read beside the segments' own, rising."""
        wanted = {4, 16}
        if self.structure is not None:
            wanted |= set(self.structure.strides)
        return tuple(sorted(wanted))

    def resolved(self) -> Self:
        """The same with the segments' network written out: it is this one, at its named layers.

        Raises:
            OptionError: segments that never change where branches compare them, layers of theirs that this
                network does not give, or a size that is no multiple of the counts' or the shapes' stride.
        """
        if self.counts is not None:
            self.counts.check_size(self.size)
        if self.shapes is not None:
            self.shapes.check_size(self.size)
        kind, compared = self.segments.kind, [*{*self.branches} - {"structure", "hues", "words"}]
        if compared and SEGMENTERS[kind].static:
            raise OptionError(
                f"segments of kind {kind} for csad",
                expected="components that differ from picture to picture",
                got="one map for all",
                fix=f"Choose components, say, or {', '.join(f'{name}=null' for name in sorted(compared))}.",
            )
        if not isinstance(self.segments, ComponentsOptions):
            return self
        layers = self.segments.layers or self.layers
        if layers and not set(layers) <= set(self.layers or ()):
            raise OptionError(
                "option 'segments.layers' of csad",
                expected="layers that its option 'layers' names too, for one pass serves all",
                got=", ".join(layers),
                fix="Add them there.",
            )
        own = {"backbone": self.backbone, "weights": self.weights, "layers": layers}
        return self.model_copy(update={"segments": self.segments.model_copy(update=own)})


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {
        "size": [320, 320],
        "segments": {"kind": "components", "preset": "cpu"},
        "histogram": {"cells": "auto", "heatmap": "deviations"},
        "counts": {},
        "places": {},
        "shapes": {},
        "colours": {},
        "hues": {},
        "structure": {"kind": "patches", "enlarged": 1.6},
        "trimmed": [0.0, 1.0],
        "least": 1.0,
        "fusion": "largest",
    },
    "released": {
        "segments": {"kind": "components", "preset": "released"},
        "structure": {"kind": "students", "steps": 60_000, "batch": 2},
    },
}
