"""Options of multi-scale patch representation learning: the defaults are the paper's where it gives any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from flawscope.errors import OptionError
from flawscope.methods.detector import BackboneOptions

LossName = Literal["svdd", "cos", "ssl", "kmeans"]
Patch = Annotated[int, Field(ge=8, le=256)]
PATCH_SVDD = "patch_svdd"
_COARSE = 64  # patches from this side on have the stride d_64


class MultiScalePatchOptions(BackboneOptions):
    """Options of multi-scale patch representation learning; sections and equations are the paper's."""

    scales: tuple[Patch, ...] = Field(
        (64, 32, 16), min_length=1, description="sides of the patches, falling (section 3.1: 64, 32, 16)"
    )
    strides: tuple[int, ...] | None = Field(
        None, description="pixels from patch to patch by scale; by default 16 from side 64 on, else 4 (3.4)"
    )
    backbone: str = Field(
        "vgg16",
        description="network whose first stages encode, as torchvision or timm name it (section 3.1: VGG16), "
        "or patch_svdd for Patch SVDD's own convolutions, from scratch",
    )
    layers: tuple[str, ...] | None = Field(
        None,
        description="last layer of each scale's encoder; by default VGG16's conv4_1, conv3_2 and pool 2, "
        "which leave one cell of a patch, else the layers at a stride of a quarter patch (ours)",
    )
    weights: Literal["pretrained", "random"] = Field(
        "pretrained", description="where the encoders start (section 3.1: pretrained); random: from scratch"
    )
    padding: bool = Field(
        False,
        description="keep the network's padding; then patches are encoded one by one, and without it all in "
        "one pass over the picture (ours)",
    )
    mean_picture: bool = Field(
        False,
        description="take the mean good picture from the pixels, in place of the network's mean colour "
        "(Patch SVDD's code; the paper does not say)",
    )
    embedding: int = Field(64, ge=2, description="D, length of an embedding (ours; Patch SVDD's code: 64)")
    bounded: bool = Field(
        False,
        description="end the encoders with the hyperbolic tangent, so that no component exceeds 1 (Patch "
        "SVDD's code; the paper does not say)",
    )
    standardise: bool = Field(
        False,
        description="begin with embeddings whose components have mean 0 and variance 1, so that the losses' "
        "weights mean the same on every backbone (ours)",
    )
    hierarchical: bool = Field(
        False,
        description="build the largest encoder on the next one's embeddings of four quarters (Patch SVDD)",
    )
    losses: tuple[LossName, ...] = Field(
        ("svdd", "cos", "ssl", "kmeans"), min_length=1, description="what is learned (equation 5: all four)"
    )
    closeness: float = Field(
        1e-3, ge=0, description="λ of L_SVDD and L_Cos (equation 5; section 4.2: 0.001 for every product)"
    )
    patches: int = Field(
        100, ge=1, description="patches, pairs or triplets of each loss a picture and epoch (3.3: 100)"
    )
    reach: float = Field(
        1 / 16, gt=0, le=1, description="how far a neighbour lies at most, in patches (3.3: 4, 2, 1 pixels)"
    )
    directions: Literal[8, 12] = Field(
        12,
        description="relative positions to tell apart: 12 angles (equation 3), or the 8 neighbours in a grid "
        "of 3×3 (Patch SVDD)",
    )
    distance: tuple[float, float] = Field(
        (0.75, 1.0),
        description="how far those lie, in patches, drawn evenly (3.3: nearly one; Patch SVDD's code: these)",
    )
    noise: float = Field(
        0.0,
        ge=0,
        description="σ of a shift of each colour and of noise on each pixel before the relative position is "
        "told, of full scale 1 (the paper names none; Patch SVDD's code: 0.02)",
    )
    clusters: int = Field(100, ge=1, description="K, centres of equation 4 (ours: the paper does not say)")
    kmeans_weight: float = Field(1.0, gt=0, description="weight of L_Kmeans (equation 5: 1)")
    kmeans_every: int = Field(5, ge=1, description="epochs from one K-means to the next (section 3.2.3: 5)")
    kmeans_patches: int = Field(
        100,
        ge=1,
        description="patches of each picture among which K-means finds the centres, and from which "
        "`standardise` begins (ours: the paper does not say; as many as an epoch takes)",
    )
    epochs: int = Field(
        300,
        ge=1,
        description="how often `patches` of every picture are learned from (ours: the paper does not say; "
        "Patch SVDD's code: 300)",
    )
    steps: int | None = Field(
        None,
        ge=0,
        description="training steps in place of the epochs, for shortened training; with 0 the encoders stay "
        "as they start, and a random convolution makes the embeddings",
    )
    batch: int = Field(
        64, ge=1, description="patches, pairs or triplets of each loss a step (section 4.2: 64)"
    )
    together: int = Field(
        1,
        ge=1,
        description="how many of a step come from the same picture; `batch` is a multiple of it (Patch "
        "SVDD's code: 1)",
    )
    learning_rate: float = Field(1e-5, gt=0, description="Adam's (section 4.2: 1e-5)")
    trunk_rate: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of the learning rate for all but the last convolution of an encoder; 0 keeps "
        "these layers as they start (the paper names no share: 1)",
    )
    compile: bool = Field(False, description="compile the encoders for training, for CUDA")
    coreset: float = Field(
        1.0, gt=0, le=1, description="share of the good patches that are kept (equation 6: all)"
    )
    bank_limit: int | None = Field(
        None, ge=1, description="most good patches kept a scale, whatever the share (the paper has no limit)"
    )
    combination: Literal["sum", "product"] = Field(
        "sum", description="how the scales' maps are joined (equation 8: sum; Patch SVDD: product)"
    )
    window: tuple[int, int] = Field(
        (8, 4),
        description="side and stride of the windows whose highest mean is the score (equation 9: 8 and 4; "
        "Patch SVDD: single pixels)",
    )
    examples: int = Field(
        400,
        ge=0,
        description="most good pictures kept small in the model folder, for reports to show nearest patches",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if list(self.scales) != sorted(set(self.scales), reverse=True):
            raise ValueError("scales must fall, each once")
        for name, values in (("strides", self.strides), ("layers", self.layers)):
            if values is not None and len(values) != len(self.encoders if name == "layers" else self.scales):
                raise ValueError(f"{name} must hold one value for each scale's encoder")
        if any(not 1 <= self.stride(scale) <= scale for scale in self.scales):
            raise ValueError("strides must lie between 1 and the patch's side, lest pixels stay uncovered")
        if self.hierarchical and not self._halved():
            raise ValueError("hierarchical needs two scales at first, one half the other, on one grid")
        if not 0 < self.distance[0] <= self.distance[1] <= 1:
            raise ValueError("distance must rise, above 0 and at most 1")
        if self.batch % self.together:
            raise ValueError("batch must be a multiple of together")
        if len(set(self.losses)) != len(self.losses):
            raise ValueError("losses must each be named once")
        if self.standardise and self.bounded:
            raise ValueError("standardise must be false where the embeddings are bounded")
        if not self.closeness and set(self.losses) <= {"svdd", "cos"}:
            raise ValueError("closeness must be above 0, or ssl or kmeans among the losses")
        if not 1 <= self.window[1] <= self.window[0] <= min(self.size):
            raise ValueError("the window's stride must lie between 1 and its side, which fits the picture")
        return self

    def _halved(self) -> bool:
        if len(self.scales) < 2:
            return False
        large, small = self.scales[:2]
        step = self.stride(small)
        return large == 2 * small and small % step == 0 and self.stride(large) % step == 0

    @property
    def encoders(self) -> tuple[int, ...]:
        """Scales whose encoders see pixels: all but one built on another."""
        return self.scales[1:] if self.hierarchical else self.scales

    @property
    def pictures(self) -> int:
        """Pictures a step."""
        return self.batch // self.together

    def stride(self, scale: int) -> int:
        """Pixels from patch to patch at this scale."""
        if self.strides is not None:
            return self.strides[self.scales.index(scale)]
        return 16 if scale >= _COARSE else 4

    def resolved(self) -> Self:
        """The same with the strides written out."""
        return self.model_copy(update={"strides": tuple(self.stride(scale) for scale in self.scales)})

    def nearby(self, scale: int) -> int:
        """Rows and columns between a patch and its neighbour, at most."""
        return max(1, round(self.reach * scale))

    def check_room(self) -> None:
        """Refuse pictures in which the patches that the losses need do not fit.

        Raises:
            OptionError: a patch is larger than the picture, or a loss finds no second or third one.
        """
        for scale in self.scales:
            room = min(self.size) - scale
            needed = 0
            if "svdd" in self.losses:
                needed = 1
            if "cos" in self.losses:
                needed = 2 * int(self.nearby(scale) * 2**0.5) + 1
            if "ssl" in self.losses:
                needed = max(needed, scale)
            if room < needed:
                what = f"losses {', '.join(self.losses)}" if room >= 0 else "a patch"
                raise OptionError(
                    "option 'size' of multiscale_patch",
                    expected=f"at least {scale + needed} pixels a side for patches of {scale} and {what}",
                    got=f"{self.size[0]}x{self.size[1]}",
                    fix="Raise it, or leave the largest of `scales` out.",
                )


_PATCH_SVDD = {
    "scales": [64, 32],
    "backbone": "patch_svdd",
    "weights": "random",
    "hierarchical": True,
    "bounded": True,
    "mean_picture": True,
    "losses": ["svdd", "ssl"],
    "closeness": 1e-3,
    "epochs": 299,
    "learning_rate": 1e-4,
    "reach": 1 / 32,
    "directions": 8,
    "noise": 0.02,
    "combination": "product",
    "window": [1, 1],
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # the other reading of section 4.2's batch of 64: that many pictures a step, each with all its patches
    "batch_of_pictures": {"batch": 6400, "together": 100},
    # Yi, Yoon, ACCV 2020, with the settings of their code, whose first of 300 epochs trains nothing; λ is for
    # objects
    "patch_svdd": _PATCH_SVDD,
    # λ for textures
    "patch_svdd_textures": {**_PATCH_SVDD, "closeness": 1.0},
}
