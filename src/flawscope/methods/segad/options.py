"""Options of SegAD; sections, tables and appendices are its paper's."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from flawscope.errors import FlawscopeError
from flawscope.methods.detector import DetectorOptions
from flawscope.methods.presets import options_of
from flawscope.methods.registry import method_class, parse_options
from flawscope.methods.segad.forest import ForestOptions
from flawscope.methods.segad.statistics import Statistic
from flawscope.segmenters import ObjectGroundOptions, SegmentOptions


class DetectorSpec(BaseModel):
    """A detector that SegAD builds on: its method, a preset, and options over that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field(description="a name from `flawscope methods`")
    preset: str | None = Field(None, description="named options of the method; by default its paper's values")
    options: dict[str, Any] = Field(default_factory=dict, description="options over the preset")

    def resolved(self, size: tuple[int, int], aspect: str) -> DetectorSpec:
        """The same with every option written out, at the size and aspect of the whole."""
        own = {"size": list(size), "aspect": aspect}
        for name, value in own.items():
            given = self.options.get(name, value)
            if (list(given) if name == "size" else given) != value:
                raise ValueError(f"{name} {value} for {self.method} too: all detectors share one {name}")
        try:
            given = {**options_of(self.method, self.preset, self.options), **own}
            options = parse_options(self.method, method_class(self.method).Options, given)
        except FlawscopeError as error:
            raise ValueError(f"detectors that can be made: {error}") from error
        return DetectorSpec(method=self.method, options=options.model_dump(mode="json"))


_DETECTORS = (
    DetectorSpec(method="patchcore", preset="segad"),
    DetectorSpec(method="fastflow", preset="segad"),
    DetectorSpec(method="rd4ad"),
    DetectorSpec(method="efficientad", preset="segad"),
)


class SegADOptions(DetectorOptions):
    """Options of SegAD."""

    detectors: tuple[DetectorSpec, ...] = Field(
        _DETECTORS,
        min_length=1,
        description="detectors whose heatmaps it reads (section 5: PatchCore, FastFlow, RD4AD, EfficientAD)",
    )
    classifier: DetectorSpec | None = Field(
        None,
        description="supervised method whose score joins the statistics, such as classifier (section 4.2: g, "
        "not used unless stated)",
    )
    classifier_folds: int = Field(
        5,
        ge=0,
        description="folds whose held-out scores the forest sees, so that none comes from a picture that "
        "the classifier learnt from; 0: the paper's, which learns from 80 % of everything (section 4.1)",
    )
    segments: SegmentOptions = Field(
        ObjectGroundOptions(),
        description="how pictures are divided (section 5: object and ground on VisA, a static map on VAD)",
    )
    statistics: tuple[Statistic, ...] = Field(
        ("quantile", "skewness", "kurtosis", "mean"),
        min_length=1,
        description="of each heatmap over each segment (section 4: 99.5 % quantile and three more)",
    )
    detector_scores: bool = Field(
        False, description="join each detector's image score (authors' code; not in the paper)"
    )
    forest: ForestOptions = Field(ForestOptions(), description="the final classifier (appendix A.1)")
    defects: Literal["auto", "real", "synthetic", "both"] = Field(
        "auto",
        description="defective pictures that the forest learns from: given ones, or good pictures with "
        "synthetic defects (section 5.2); auto takes given ones where there are any",
    )
    scaled: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="share of the detectors' pictures that those which scale their maps do it on (appendix "
        "B: 10 % for EfficientAD)",
    )

    @field_validator("statistics")
    @classmethod
    def _distinct(cls, names: tuple[Statistic, ...]) -> tuple[Statistic, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each statistic once")
        return names

    @model_validator(mode="after")
    def _resolved(self) -> Self:
        """Write the detectors' options out, so that later presets change nothing in a trained model."""
        specs = tuple(spec.resolved(self.size, self.aspect) for spec in self.detectors)
        for spec in specs:
            kind = method_class(spec.method)
            if not any(output.kind == "heatmap" for output in kind.outputs):
                raise ValueError(f"detectors with a heatmap; {spec.method} has none: use it as classifier")
            if kind.uses_defects or spec.method == "segad":
                raise ValueError(f"detectors that learn from good pictures alone, unlike {spec.method}")
        object.__setattr__(self, "detectors", specs)
        if self.classifier is not None:
            classifier = self.classifier.resolved(self.size, self.aspect)
            if not method_class(classifier.method).uses_defects or classifier.method == "segad":
                raise ValueError(
                    f"a classifier that learns from defective pictures, unlike {classifier.method}"
                )
            if self.defects in ("synthetic", "both"):
                raise ValueError("no classifier with synthetic defects: it would learn to see those")
            if self.classifier_folds == 1:
                raise ValueError("classifier_folds 0 or at least 2")
            object.__setattr__(self, "classifier", classifier)
        return self
