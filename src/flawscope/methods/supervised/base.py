"""What methods that learn from good and defective pictures by gradient descent share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.detector import BackboneOptions, Detector, Facts, Learnt, Needs
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.run import Run, seeded
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.training.loop import Loop, Losses
from flawscope.nn.training.stores import PixelStore, shuffled
from flawscope.nn.watch import UNWATCHED, Watch

_HEADS = 0x4EAD
_NORMAL, _DEFECTIVE = 1, 2


class SupervisedOptions(BackboneOptions):
    """Options of methods that train a pretrained network on good and defective pictures."""

    layers: tuple[str, ...] | None = Field(
        None, description="its layer that the heads read, one; by default the deepest stage, at stride 32"
    )
    batch_norm: Literal["learned", "frozen"] = Field(
        "learned",
        description="statistics of the backbone's batch norms: of the training's batches, or as pretrained, "
        "which weights with batch norms folded into the convolutions need",
    )
    learning_rate: float = Field(gt=0, description="of the optimiser")
    epochs: int = Field(ge=1, description="epochs of training")
    steps: int | None = Field(
        None, ge=1, description="training steps in place of `epochs`, for shortened training"
    )

    @model_validator(mode="after")
    def _one_layer(self) -> Self:
        if self.layers is not None and len(self.layers) != 1:
            raise ValueError("layers must name one layer, whose map the heads read")
        return self


class Networks(nn.Module):
    """A backbone whose one layer is read by heads."""

    def __init__(self, backbone: Backbone, heads: nn.ModuleDict) -> None:
        super().__init__()
        self.backbone, self.heads = backbone, heads


class SupervisedDetector(Detector):
    """A backbone and its heads, trained together on good pictures and on pictures of known defects."""

    options: SupervisedOptions

    def __init__(self, options: SupervisedOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        with seeded(0):
            self.networks = self._fresh()
        self.networks.requires_grad_(False).eval()

    @abstractmethod
    def build_heads(self, channels: int) -> dict[str, nn.Module]:
        """New heads over a map of so many channels, by name in `networks.heads`."""

    @abstractmethod
    def losses(self, pictures: TrainingPictures, step: int) -> Losses:
        """The losses of training step `step`, `total` among them."""

    @abstractmethod
    def optimiser(self) -> torch.optim.Optimizer:
        """A new optimiser over all parameters of `networks`."""

    @abstractmethod
    def training_steps(self, data: TrainingData) -> int:
        """Steps of the full training, which the option `steps` may shorten."""

    @property
    def clip(self) -> float | None:
        """Largest norm of the gradient (see `Loop.clip`); None by default."""
        return None

    def schedule(self, step: int) -> float:
        """Factor of the learning rate at a step; 1 by default."""
        del step
        return 1.0

    def conclude(self, data: TrainingData, run: Run) -> None:
        """Compute what the trained networks still lack; nothing by default."""

    def needs(self) -> Needs:
        """See `Detector.needs`."""
        return Needs(defective=1)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Train backbone and heads on `data.normal` and `data.defective`.

        Raises:
            OptionError: pretrained batch norms are folded and `batch_norm` is not frozen.
            WeightsError: no weights for the backbone.
        """
        defective = data.normal.subset([]) if data.defective is None else data.defective
        natural = data.natural if self.needs().natural else None
        with run.seeded(_HEADS):
            self.networks = self._fresh()
        if self.options.weights == "pretrained":
            load_pretrained(self.networks.backbone)
            self._refuse_folded()
        self.networks.to(run.torch_device())
        parts = (data.normal, defective, natural)
        found = fingerprint(self.options, run, parts, self.networks.backbone)
        name = f"{self.name}-{found}"
        pictures = TrainingPictures(data.normal, defective, natural, run, watch)
        steps = self.options.steps or self.training_steps(data)

        def step(number: int) -> Losses:
            if self.options.batch_norm == "frozen":
                self.networks.backbone.eval()
            with run.autocast():
                return self.losses(pictures, number)

        loop = Loop(
            name,
            steps,
            self.networks,
            self.optimiser(),
            run,
            watch,
            step,
            schedule=self.schedule,
            clip=self.clip,
        )
        history = loop.go()
        self.conclude(data, run)
        return Learnt(history=history)

    def maps(self, pixels: Tensor) -> Tensor:
        """The backbone's map (N, C, h, w) of pixels (N, 3, H, W) in [0, 1]."""
        found: dict[str, Tensor] = self.networks.backbone(pixels)
        return found[self.networks.backbone.layers[0]]

    def _fresh(self) -> Networks:
        options = self.options
        backbone = build_backbone(
            options.backbone, options.layers, strides=(32,), size=options.size, trainable=True
        )
        heads = self.build_heads(backbone.channels[backbone.layers[0]])
        return Networks(backbone, nn.ModuleDict(heads))

    def _refuse_folded(self) -> None:
        norms = [
            value
            for name, value in self.networks.backbone.body.named_buffers()
            if name.endswith("running_mean")
        ]
        if norms and not any(value.any() for value in norms) and self.options.batch_norm == "learned":
            raise OptionError(
                "option 'batch_norm'",
                expected=f"frozen, for weights of {self.networks.backbone.name} whose batch norms are folded",
                got="learned",
                fix="Set batch_norm=frozen, or take weights that still have their statistics.",
            )


class TrainingPictures:
    """Batches of good and of defective pictures, each a function of seed and step alone."""

    def __init__(
        self,
        normal: Pictures,
        defective: Pictures,
        natural: Pictures | None,
        run: Run,
        watch: Watch = UNWATCHED,
    ) -> None:
        self.run = run
        self.normal, self.defective = PixelStore(normal, run, watch), PixelStore(defective, run, watch)
        self.natural = None if natural is None else PixelStore(natural, run, watch)

    def drawn(self, normal: int, defective: int, step: int) -> tuple[Tensor, Tensor]:
        """So many good pictures (n, 3, H, W) and so many defective ones (m, 3, H, W), each in epochs."""
        first = shuffled(len(self.normal), normal, step, self.run, _NORMAL)
        second = shuffled(len(self.defective), defective, step, self.run, _DEFECTIVE)
        return self.normal.batch(first), self.defective.batch(second)

    def mixed(self, count: int, step: int) -> tuple[Tensor, Tensor]:
        """`count` pictures (N, 3, H, W) of one stream over both parts, and whether each is defective (N,)."""
        good = len(self.normal)
        rows = shuffled(good + len(self.defective), count, step, self.run)
        faulty = rows >= good
        pixels = torch.cat([self.normal.batch(rows[~faulty]), self.defective.batch(rows[faulty] - good)])
        return pixels, torch.cat([faulty[~faulty], faulty[faulty]]).to(pixels.device)
