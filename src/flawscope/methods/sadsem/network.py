"""Where labels and features come from: a segmenter, and its own network or a neutral one."""

from __future__ import annotations

from torch import Tensor, nn

from flawscope.methods.sadsem.layers import STRIDES
from flawscope.methods.sadsem.options import SADSeMOptions, foreign_layers
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.features import PatchGrid
from flawscope.segmenters import build_segmenter
from flawscope.segmenters.components.options import ComponentsOptions

_TAKE_MAPS = ("components", "instances")  # kinds whose maps are those of the pictures as they are


class FeatureNetwork(nn.Module):
    """Labels of pictures, and maps of layers 1, 2 and 3.

    Args:
        options: of the method.
        annotated: whether there are annotated parts to learn components from.

    Attributes:
        segmenter: finds components.
        neutral: the network of the features; None where they are the segmenter's.
        channels, grids: of layers 1, 2 and 3.

    Raises:
        OptionError: unknown network or layers, or features of a segmenter that has none.
    """

    def __init__(self, options: SADSeMOptions, *, annotated: bool) -> None:
        super().__init__()
        made = options.segmenter(annotated=annotated)
        self.segmenter = build_segmenter(made, options.frame)
        self.neutral = None
        if not options.takes_segmenter(made.kind):
            strides = tuple(STRIDES.values())
            self.neutral = build_backbone(
                options.backbone, options.layers, strides=strides, size=options.size
            )
        self._pretrained = options.weights == "pretrained"
        self.names = dict(zip(STRIDES, self._named(options, made.kind), strict=True))
        network = self.network
        self.channels = {layer: network.channels[name] for layer, name in self.names.items()}
        self.grids = {layer: network.grids[name] for layer, name in self.names.items()}
        self._serves = self.neutral is None and made.kind in _TAKE_MAPS
        if self.neutral is not None and isinstance(made, ComponentsOptions):
            alike = (made.backbone, made.weights) == (options.backbone, options.weights)
            self._serves = alike and set(self.segmenter.layers) <= set(self.neutral.layers)

    @property
    def network(self) -> Backbone:
        """Whose maps are the features."""
        found = self.neutral or self.segmenter.backbone
        assert found is not None  # noqa: S101 - checked when it was made
        return found

    def load(self) -> None:
        """Load the published weights of the neutral network, where the options want them.

        Raises:
            WeightsError: they are not to be had.
        """
        if self.neutral is not None and self._pretrained:
            load_pretrained(self.neutral)

    def forward(self, pixels: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Labels (N, H, W) int64, and maps (N, C, h, w) of layers 1, 2 and 3, of pictures (N, 3, H, W)."""
        maps = self.network(pixels)
        labels = self.segmenter(pixels, maps if self._serves else None)
        return labels, {layer: maps[name] for layer, name in self.names.items()}

    def maps(self, pixels: Tensor) -> dict[int, Tensor]:
        """The maps alone."""
        maps = self.network(pixels)
        return {layer: maps[name] for layer, name in self.names.items()}

    def described(self) -> PatchGrid:
        """Joins layers 2 and 3, by whose features components are described (section 2.3)."""
        return PatchGrid(self.network, layers=(self.names[2], self.names[3]))

    def _named(self, options: SADSeMOptions, kind: str) -> tuple[str, ...]:
        """Names of layers 1, 2 and 3: those that the options name, else the last at each stride."""
        if self.neutral is not None:
            return self.neutral.layers
        backbone = self.segmenter.backbone
        if backbone is None:
            raise foreign_layers(kind, "no network")
        by_stride = {stride: layer for layer, stride in backbone.strides.items()}
        if options.layers is None and set(STRIDES.values()) <= by_stride.keys():
            return tuple(by_stride[stride] for stride in STRIDES.values())
        if options.layers is not None and set(options.layers) <= set(backbone.layers):
            return options.layers
        there = ", ".join(map(str, sorted(by_stride)))
        raise foreign_layers(kind, f"layers {', '.join(backbone.layers)} at strides {there}")
