"""The component segmenter of CSAD: a frozen backbone and a decoder that learns from label maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.run import Run, seeded
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.components.decoder import Decoder
from flawscope.segmenters.components.labelling import label, read_back, written
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.components.training import Training, finest_first, in_order
from flawscope.segmenters.segmenter import Segmenter

_DECODER = 65


class Components(Segmenter):
    """Segment 0 is the background, 1 to K are classes of components; each pixel has the likeliest.

    Maps that are handed in come from the pictures as they are.

    Attributes:
        history: losses by name at some of the training's steps; empty where nothing was trained here.
    """

    Options: ClassVar = ComponentsOptions
    options: ComponentsOptions
    titles: Tensor

    def __init__(self, options: ComponentsOptions, frame: Frame) -> None:
        super().__init__(options, frame)
        size = (frame.height, frame.width)
        self.features = build_backbone(options.backbone, options.layers, strides=(4, 16), size=size)
        self.register_buffer("titles", written(()))  # (B,) bytes of names and numbers
        self.decoder = self._fresh(1, 0)
        self.history: list[dict[str, float]] = []

    @property
    def backbone(self) -> Backbone:
        """See `Segmenter.backbone`."""
        return self.features

    @property
    def names(self) -> tuple[str, ...]:
        """See `Segmenter.names`; as the label maps have them."""
        return read_back(self.titles)[0]

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: train the decoder on annotated parts, where there are any, or pseudo-labels.

        The run's device and precision compute, from its checkpoints on; the weights that stay are float32.

        Raises:
            WeightsError: weights of a network are not to be had.
            DataError: nothing to learn from; see `flawscope.segmenters.components.labelling.label`.
        """
        if self.options.weights == "pretrained":
            load_pretrained(self.features)
        labelling = label(pictures, parts, self.options, run, watch)
        self.titles, self.ignored = written(labelling.names, labelling.ignored), labelling.ignored
        seed = int(run.generator(_DECODER).initial_seed())
        self.decoder = self._fresh(len(labelling.names), seed).to(run.torch_device())
        training = Training(self.features, self.decoder, labelling, self.options, run, watch=watch)
        known = (labelling.maps, labelling.labelled)
        mark = fingerprint(self.options, run, (labelling.pictures,), self.features, known)
        self.history = training.go(f"components-{mark}")
        self.shares = self.measure(pictures, run, watch, len(labelling.names))

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """See `Segmenter.forward`."""
        return self.logits(pixels, maps).argmax(1)  # (N, H, W)

    def logits(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits (N, K + 1, H, W) of each class for each pixel; arguments as `forward` has them."""
        found = self.features(pixels) if maps is None else maps
        logits: Tensor = self.decoder(in_order(self.features, found))
        return logits

    def _fresh(self, classes: int, seed: int) -> Decoder:
        options, features = self.options, self.features
        shapes = [(features.channels[layer], *features.grids[layer]) for layer in finest_first(features)]
        with seeded(seed):
            decoder = Decoder(
                shapes,
                (self.frame.height, self.frame.width),
                classes,
                width=options.width,
                skip=options.skip,
                rates=options.rates,
                separable=options.separable,
            )
        return decoder.requires_grad_(False).eval()

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *others: Any) -> None:
        """Take the number of classes, and which are ignored, over from the state before the tensors are."""
        shares, titles = (state_dict.get(f"{prefix}{name}") for name in ("shares", "titles"))
        if shares is not None and titles is not None:
            self.shares, self.titles = torch.empty_like(shares), torch.empty_like(titles)
            self.ignored = read_back(titles)[1]
            self.decoder = self._fresh(len(shares), 0).to(self.features.mean.device)
        super()._load_from_state_dict(state_dict, prefix, *others)
