"""Options of SegAD; sections, tables and appendices are its paper's."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from flawscope.errors import FlawscopeError
from flawscope.methods.detector import DetectorOptions
from flawscope.methods.registry import MethodSpec, contradiction, method_class, options_of, parse_options
from flawscope.methods.segad.appearance import AppearanceOptions
from flawscope.methods.segad.forest import ForestOptions
from flawscope.methods.segad.logistic import LogisticOptions
from flawscope.methods.segad.statistics import Statistic
from flawscope.segmenters import ObjectGroundOptions, SegmentOptions

NAME = "segad"
_DETECTORS = (
    MethodSpec(method="patchcore", preset="segad"),
    MethodSpec(method="fastflow", preset="segad"),
    MethodSpec(method="rd4ad", preset="segad"),
    MethodSpec(method="efficientad", preset="segad"),
)


class SegADOptions(DetectorOptions):
    """Options of SegAD."""

    detectors: tuple[MethodSpec, ...] = Field(
        _DETECTORS,
        min_length=1,
        description="detectors whose heatmaps it reads (section 5: PatchCore, FastFlow, RD4AD, EfficientAD)",
    )
    classifier: MethodSpec | None = Field(
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
    unsmoothed: bool = Field(
        False,
        description="join the statistics of the detectors' maps as they are before they are enlarged and "
        "smoothed, of those that smooth one (not in the paper)",
    )
    forest: ForestOptions = Field(ForestOptions(), description="the final classifier (appendix A.1)")
    logistic: LogisticOptions | None = Field(
        None, description="a logistic regression in the forest's place (not in the paper)"
    )
    appearance: AppearanceOptions | None = Field(
        None,
        description="join the picture's likeness to known defects: a linear classifier of what each "
        "detector's frozen network, the first that it asks, sees where the heatmap is highest, and in the "
        "whole picture (not in the paper)",
    )
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
    def _consistent(self) -> Self:
        if self.classifier is not None and self.defects in ("synthetic", "both"):
            raise ValueError("no classifier with synthetic defects: it would learn to see those")
        if self.logistic is not None and self.logistic.weights == "alike" and not self.detector_scores:
            raise ValueError("detector_scores where logistic.weights are alike, for those are what it weighs")
        if self.classifier is not None and self.classifier_folds == 1:
            raise ValueError("classifier_folds 0 or at least 2")
        return self

    def resolved(self) -> Self:
        """The same with all options of detectors and classifier, at this size and aspect."""
        classifier = None if self.classifier is None else self._written_out(self.classifier)
        specs = tuple(self._written_out(spec) for spec in self.detectors)
        return self.model_copy(update={"detectors": specs, "classifier": classifier})

    def _written_out(self, spec: MethodSpec) -> MethodSpec:
        own = {"size": list(self.size), "aspect": self.aspect}
        for name, value in own.items():
            given = spec.options.get(name, value)
            if (list(given) if name == "size" else given) != value:
                wanted = f"{name} {value} for {spec.method} too: all detectors share one {name}"
                raise contradiction(NAME, wanted)
        try:
            given = {**options_of(spec.method, spec.preset, spec.options), **own}
            options = parse_options(spec.method, method_class(spec.method).Options, given)
        except FlawscopeError as error:
            raise contradiction(NAME, f"detectors that can be made: {error}") from error
        return MethodSpec(method=spec.method, options=options.model_dump(mode="json"))
