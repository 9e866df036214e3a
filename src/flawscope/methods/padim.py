"""PaDiM: one Gaussian of patch features for each place of the picture.

Defard, Setkov, Loesch, Audigier: PaDiM, a Patch Distribution Modeling Framework for Anomaly Detection and
Localization. ICPR Workshops 2021.

The paper has two models: ResNet-18 with 100 random channels (the default here), and WideResNet-50-2 with 550,
whose covariances take 5 GB at 256×256. The authors published no code. The paper resizes to 256 and cuts out
the middle 224 pixels; nothing is cut here. The image score is the maximum of the smoothed anomaly map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.detector import BackboneOptions, Detector, Facts, Learnt
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.features import PatchGrid, map_batches
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.memory import available_bytes, gib, require_memory
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch

_PLACES = 256  # covariances factored at a time, in float64
_CHANNEL_DRAW = 1
_FLOAT_BYTES = 4


class PaDiMOptions(BackboneOptions):
    """Options of PaDiM; defaults are the paper's smaller model."""

    backbone: str = Field("resnet18", description="network of the features (section IV-B: ResNet-18)")
    layers: tuple[str, ...] | None = Field(
        None, description="its layers; by default those at strides 4, 8 and 16 (section IV-B: layers 1 to 3)"
    )
    channels: int = Field(
        100,
        ge=1,
        description="channels drawn at random (section V-A: 100 for ResNet-18, 550 for WideResNet-50-2)",
    )
    regularisation: float = Field(0.01, gt=0, description="ε added to each variance (section III-B: 0.01)")
    smoothing: float = Field(
        4.0, ge=0, le=64, description="σ in pixels of the Gaussian over the heatmap (section IV-C: 4)"
    )


class PaDiM(Detector):
    """A Gaussian for each place; the score is the largest Mahalanobis distance. For aligned parts."""

    name: ClassVar = "padim"
    Options = PaDiMOptions
    options: PaDiMOptions
    presets: ClassVar = {"default": {"backbone": "tf_efficientnet_lite0"}}
    explains: ClassVar = "distances"

    channels: Tensor
    mean: Tensor
    whitening: Tensor
    count: Tensor

    def __init__(self, options: PaDiMOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.backbone = build_backbone(
            options.backbone, options.layers, strides=(4, 8, 16), size=options.size
        )
        self.grid = PatchGrid(self.backbone, upsampling="nearest")
        if options.channels > self.grid.dim:
            raise OptionError(
                "option 'channels' of padim",
                expected=f"at most the {self.grid.dim} channels of {options.backbone}'s layers",
                got=str(options.channels),
                fix="Lower it, or take more layers.",
            )
        self.heatmap = Heatmap(self.grid.shape, options.size, options.smoothing)
        self.register_buffer("channels", torch.arange(options.channels))  # (d,)
        self.register_buffer("mean", torch.zeros(1, 1, options.channels))  # (P, 1, d), P places
        self.register_buffer("whitening", torch.zeros(1, options.channels, options.channels))  # (P, d, d)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))  # of pictures

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Estimate each place's mean and covariance (equation 1).

        Raises:
            OptionError: the covariances would not fit into memory.
            Stopped: the stop signal was set; the pass is short and starts afresh.
        """
        self._require_memory()
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        drawn = torch.randperm(self.grid.dim, generator=run.generator(_CHANNEL_DRAW))
        self.channels = drawn[: self.options.channels].sort().values
        total, products, origin = self._moments(data, run, watch)
        count = len(data.normal)
        centre = total / count  # (P, d), relative to `origin`
        self.mean = (origin + centre).unsqueeze(1)  # (P, 1, d)
        for part in self._parts(products):
            outer = _outer(centre[part].double())
            covariance = (products[part].double() - count * outer) / (count - 1)
            products[part] = self._whiten(covariance)
            watch.check_stop(run)
        self.whitening, self.count = products, torch.tensor(count)
        return Learnt()

    def teach(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """See `Teachable`: each place's moments are merged with the new pictures' (Chan et al., 1979).

        Means and covariances are then those of a fit on all pictures together, up to rounding.

        Raises:
            Stopped: see there.
        """
        total, products, origin = self._moments(data, run, watch)
        more, known = len(data.normal), int(self.count)
        centre, all_of = total.double() / more, known + more  # (P, d), relative to `origin`
        away = origin.double() + centre - self.mean.squeeze(1).double()  # (P, d)
        for part in self._parts(products):
            scatter = products[part].double() - more * _outer(centre[part])
            scatter += (known - 1) * self._covariance(self.whitening[part])
            scatter += known * more / all_of * _outer(away[part])
            products[part] = self._whiten(scatter / (all_of - 1))
            watch.check_stop(run)
        self.mean = self.mean + (away * more / all_of).unsqueeze(1).float()
        self.whitening, self.count = products, torch.tensor(all_of)
        return self.learnt

    def _require_memory(self) -> None:
        needed = self.grid.shape[0] * self.grid.shape[1] * self.options.channels**2 * _FLOAT_BYTES
        require_memory(
            needed,
            available_bytes(),
            what="covariances of padim",
            got=f"{gib(needed)} for {self.options.channels} channels at each place",
            fix="Lower `channels` or `size`.",
        )

    def _moments(self, data: TrainingData, run: Run, watch: Watch) -> tuple[Tensor, Tensor, Tensor]:
        """Sums (P, d) and sums of products (P, d, d) of the features less `origin` (P, d).

        `origin` is the first batch's mean: with it the features lie near zero, where float32 sums are exact
        enough; without it large means would cancel.
        """
        total = products = origin = torch.empty(0)
        for maps in map_batches(self.backbone, data.normal, run, watch):
            features = self.grid(maps)
            vectors = self._places(features, self.channels.to(features.device))  # (P, n, d)
            if not len(total):
                origin = vectors.mean(1)  # (P, d)
                total = torch.zeros_like(origin)
                products = vectors.new_zeros(*origin.shape, origin.shape[1])  # (P, d, d)
            vectors = vectors - origin.unsqueeze(1)
            total += vectors.sum(1)
            products.baddbmm_(vectors.transpose(1, 2), vectors)
        return total, products, origin

    @staticmethod
    def _parts(products: Tensor) -> Iterator[slice]:
        return (slice(start, start + _PLACES) for start in range(0, len(products), _PLACES))

    def _whiten(self, covariance: Tensor) -> Tensor:
        """W (P, d, d) with x @ W of unit covariance: W W^T is the inverse of the regularised covariance."""
        factor, broken = torch.linalg.cholesky_ex(covariance + self._regularisation(covariance))
        if bool(broken.any()) and bool(covariance.isfinite().all()):
            raise OptionError(
                "option 'regularisation' of padim",
                expected="enough for covariances of so few pictures and so many channels to be inverted",
                got=f"{self.options.regularisation:g}",
                fix="Train with a higher one, 0.01 as published, say; or with fewer channels.",
            )
        unit = torch.eye(covariance.shape[2], dtype=torch.float64, device=covariance.device)
        inverse: Tensor = torch.linalg.solve_triangular(factor, unit.expand_as(factor), upper=False)
        return inverse.transpose(1, 2).float()

    def _covariance(self, whitening: Tensor) -> Tensor:
        """The covariance (P, d, d) float64 of which `_whiten` made W (P, d, d)."""
        lower = whitening.double().transpose(1, 2)
        unit = torch.eye(lower.shape[2], dtype=torch.float64, device=lower.device)
        factor: Tensor = torch.linalg.solve_triangular(lower, unit.expand_as(lower), upper=False)
        return factor @ factor.transpose(1, 2) - self._regularisation(factor)

    def _regularisation(self, like: Tensor) -> Tensor:
        return self.options.regularisation * torch.eye(like.shape[2], dtype=like.dtype, device=like.device)

    @staticmethod
    def _places(features: Tensor, channels: Tensor) -> Tensor:
        """Features (N, D, h, w) as (P, N, d): for each place the chosen channels of all pictures."""
        return features.index_select(1, channels).permute(2, 3, 0, 1).flatten(0, 1)  # (h * w, N, d)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; the map holds Mahalanobis distances (equation 2)."""
        del scalars
        return self.forward_unsmoothed(pixels)[0]

    def forward_unsmoothed(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """See `SmoothsCells`; the map holds each place's distance."""
        height, width = self.grid.shape
        vectors = self._places(self.grid(self.backbone(pixels)), self.channels)  # (P, N, d)
        whitened = torch.matmul(vectors - self.mean, self.whitening)  # (P, N, d)
        distances = whitened.square().sum(2).sqrt().T.reshape(-1, height, width)  # (P, N) -> (N, h, w)
        heatmap = self.heatmap(distances)  # (N, H, W)
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}, distances


def _outer(vectors: Tensor) -> Tensor:
    """Products (P, d, d) of vectors (P, d) with themselves."""
    return vectors.unsqueeze(2) * vectors.unsqueeze(1)
