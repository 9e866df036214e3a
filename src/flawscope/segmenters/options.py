"""Which segments a picture is divided into, as options."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flawscope.data.segment_maps import MOST_SEGMENTS


class SegmentOptions(BaseModel):
    """How pictures are divided into segments (see `flawscope.segmenters`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    kind: Literal["one", "static", "object", "clusters"] = Field(
        "one",
        description="one segment; a static map for all pictures; object and ground; clustered features",
    )
    map: Path | None = Field(None, description="static: indexed PNG file, read when the segmenter is fitted")
    count: int | None = Field(
        None,
        ge=1,
        le=MOST_SEGMENTS,
        description="number of segments: clusters makes so many (by default it chooses 2 to 8), and a static "
        "map must have so many",
    )
    backbone: str = Field("tf_efficientnet_lite0", description="clusters: network of the features")
    layers: tuple[str, ...] | None = Field(
        None, description="clusters: its layers; by default those at strides 8 and 16"
    )
    position: float = Field(
        0.0,
        ge=0,
        description="clusters: weight of the place beside the features; above 0 for aligned products only",
    )
    smoothing: float = Field(
        4.0, ge=0, le=64, description="clusters: σ in pixels of the Gaussian over the clusters' scores"
    )
    weights: Literal["pretrained", "random"] = Field(
        "pretrained",
        description="pretrained, as published; random draws them from a fixed seed, for tests only",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "static" and self.map is None:
            raise ValueError('a map with kind "static": name its PNG file')
        if self.kind != "static" and self.map is not None:
            raise ValueError(f'no map with kind "{self.kind}": choose kind "static"')
        fixed = {"one": 1, "object": 2}.get(self.kind)
        if fixed is not None and self.count not in (None, fixed):
            raise ValueError(f'count {fixed} with kind "{self.kind}", or none: it always has {fixed}')
        if self.kind == "clusters" and self.count == 1:
            raise ValueError('2 clusters or more: kind "one" is one segment')
        return self
