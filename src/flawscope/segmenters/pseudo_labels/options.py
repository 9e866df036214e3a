"""Options of pseudo-labels; defaults are the CSAD paper's where it has any, and descriptions say where."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from flawscope.data.segment_maps import MOST_SEGMENTS
from flawscope.runtime.frozen import Frozen

PAPER = {"backbone": "wide_resnet50_2"}  # A.4


class FeatureOptions(Frozen):
    """What makes two components alike."""

    backbone: str = Field(
        "tf_efficientnet_lite0", description="network of the features; the paper's (A.4) is wide_resnet50_2"
    )
    layer: str | None = Field(
        None,
        description="its layer; by default the deepest at stride 32, layer4 of the paper's network (A.4)",
    )
    rotations: int = Field(60, ge=1, le=360, description="turns of each component, averaged; paper A.4: 60")
    outside: Literal["black", "ground"] = Field(
        "black",
        description="what surrounds a component in its crop: black, as the paper's 'crop each segment' "
        "(section 3.1) is read here, or the mean colour of what no mask covers",
    )
    size: float = Field(
        0.0,
        ge=0,
        description="what twice the area is worth, in spreads of the network's features; the paper's know no "
        "size, for all its crops are resized to one",
    )
    colour: float = Field(
        0.0,
        ge=0,
        description="what ten units of L*a*b* between mean colours are worth, in spreads of the network's "
        "features; the paper's have none",
    )
    weights: Literal["pretrained", "random"] = Field(
        "pretrained",
        description="pretrained, as published; random draws them from a fixed seed, for tests only",
    )


class PseudoLabelOptions(Frozen):
    """How proposed masks become label maps (section 3.1 of the paper, A.3 and A.4)."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {"bandwidth": 3.5, "features": PAPER},
        "paper_screw_bag": {"bandwidth": 3.0, "refine": "both", "features": PAPER},
        "paper_juice_bottle": {"bandwidth": 3.5, "refine": "combine", "holes": True, "features": PAPER},
        "fast": {
            "trust": "neighbours",
            "numbers": True,
            "features": {"rotations": 8, "size": 1.0, "colour": 0.5},
        },
    }

    refine: Literal["auto", "none", "combine", "grounding", "both"] = Field(
        "auto",
        description="filters of the proposed masks. none is the paper's coarse mode: named regions as they "
        "are, or the masks where nothing is named. combine, grounding and both are its fine mode. The paper "
        "chooses by product (A.3: both for the screw bag, combine for the juice bottle, else none); auto "
        "takes both where masks and names are proposed, combine where masks alone are, else none",
    )
    overlap: float = Field(
        0.9, gt=0, le=1, description="share that decides in both filters; paper, figures 12, 13"
    )
    smallest: float = Field(
        0.0005,
        ge=0,
        lt=1,
        description="share of the picture below which a mask is none; the paper says nothing",
    )
    features: FeatureOptions = Field(FeatureOptions(), description="what makes two components alike")
    bandwidth: float | None = Field(
        None,
        gt=0,
        description="of mean shift; paper E.2: 3.5, and 3 for the screw bag. By default the one whose groups "
        "are most alike in number from picture to picture",
    )
    least_share: float = Field(
        0.5, ge=0, description="members that a class must have, in shares of the pictures; paper 3.1: half"
    )
    trust: Literal["hdbscan", "neighbours"] = Field(
        "hdbscan",
        description="how label maps that may be learnt from are told: hdbscan on the class histograms (paper "
        "3.1), or neighbours, which trusts each picture that has `cluster` others near it",
    )
    numbers: bool = Field(
        default=False,
        description="leave classes to the background that come and go, such as glints, and trust of these "
        "pictures only those that show as many components of each class as most do, where there are any (not "
        "in the paper)",
    )
    agreeing: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the pictures whose label maps must be such as may be learnt from; with fewer, "
        "what was found does not recur, and is refused (not in the paper)",
    )
    keep: Literal["largest", "all"] = Field(
        "largest",
        description="of hdbscan's clusters the largest (paper 3.1), or all, for products with several normal "
        "compositions",
    )
    cluster: int = Field(
        5, ge=2, description="pictures that make a cluster of class histograms; HDBSCAN's own default"
    )
    holes: bool = Field(
        default=False,
        description="fill the holes of each component; paper A.5: for breakfast box and juice bottle",
    )
    most: int = Field(
        MOST_SEGMENTS - 1,
        ge=1,
        le=MOST_SEGMENTS - 1,
        description="classes that stay at most, those with most members",
    )
