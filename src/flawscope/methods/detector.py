"""The contract that every published method keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError, DataError
from flawscope.nn.run import Run
from flawscope.runtime.bundle import GRAPH
from flawscope.runtime.images import FRAME_LIMIT, Frame

if TYPE_CHECKING:
    from flawscope.nn.banks.preflight import Preflight


@dataclass(frozen=True, slots=True)
class Output:
    """One named output of the graph.

    `kind` tells the runtime how to read it: `score` (N,), `heatmap` (N, h, w), `label_map` and
    `index_map` (N, h, w) integers, `vector` (N, d).
    """

    name: str
    kind: Literal["score", "heatmap", "label_map", "index_map", "vector"]
    about: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """A knob of `forward` that stays open after training: a named scalar input of the graph.

    `default` holds where the method has no option of this name; values lie in [`low`, `high`].
    """

    name: str
    default: float
    low: float
    high: float
    about: str


_BATCH = 8
SCORE = Output("score", "score", "raw anomaly score of the picture, higher is more anomalous")
HEATMAP = Output("heatmap", "heatmap", "raw anomaly map at the input size, higher is more anomalous")


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of `forward` that becomes one graph file: named tensors in, named tensors out.

    Attributes:
        file: of the graph, in the model folder.
        inputs: `pixels`, scalars, and outputs of earlier stages; all but scalars begin with the axis N.
        outputs: what `forward` gives, each (N, ...).
        forward: takes the inputs by name; tensor code that exports to ONNX.
    """

    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    forward: Callable[..., dict[str, Tensor]]


Side = Annotated[int, Field(ge=32, le=FRAME_LIMIT)]


class DetectorOptions(BaseModel):
    """Options that every method has; each default is the paper's value."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    size: tuple[Side, Side] = Field((256, 256), description="input height and width in pixels")
    aspect: Literal["stretch", "pad"] = Field(
        "stretch", description="stretch the picture to the size, or keep its aspect and pad"
    )


class BackboneOptions(DetectorOptions):
    """Options of methods that read a pretrained network's features."""

    backbone: str = Field(description="network of the features, as torchvision or timm name it")
    layers: tuple[str, ...] | None = Field(
        None, description="its layers by module name, joined in this order"
    )
    weights: Literal["pretrained", "random"] = Field(
        "pretrained",
        description="pretrained, as published; random draws them from a fixed seed, for tests only",
    )


class Detector(nn.Module, ABC):
    """A method: learns from good pictures, then maps pixels to a score, a heatmap and what explains them.

    Attributes:
        Options: the method's frozen pydantic model of options.
        outputs: what `forward` returns, by name; `score` comes first.
        scalars: knobs that `forward` takes by name and that calibration may turn later.
        fitted: dotted names of the buffers that `fit` fills and whose shape depends on the data; `*` stands
            for any part of a name.
        minimum_normals: fewest training pictures that `fit` accepts.
        uses_defects: whether `fit` learns from `TrainingData.defective`.
        tuning_share: share of the good pictures that training does not hold out for calibration which become
            tuning pictures where nobody says otherwise; None leaves it to `flawscope.data.splits.plan_split`.
        history: losses by name at every few steps of the last `fit`, with `step`; None where there are none.
        remarks: sentences of the last `fit` that its user should read.
    """

    Options: ClassVar[type[DetectorOptions]]
    outputs: ClassVar[tuple[Output, ...]]
    scalars: ClassVar[tuple[Scalar, ...]] = ()
    fitted: ClassVar[tuple[str, ...]] = ()
    minimum_normals: ClassVar[int] = 2
    uses_defects: ClassVar[bool] = False
    tuning_share: ClassVar[float | None] = None
    history: list[dict[str, float]] | None
    remarks: list[str]

    def __init__(self, options: DetectorOptions) -> None:
        super().__init__()
        self.options, self.history, self.remarks = options, None, []

    @property
    def frame(self) -> Frame:
        """The size and aspect at which pictures reach `forward`."""
        height, width = self.options.size
        return Frame(height=height, width=width, aspect=self.options.aspect)

    @property
    def uses_tuning(self) -> bool:
        """Whether `fit` scales on tuning pictures; where not, none are set aside for it."""
        return False

    @property
    def uses_natural(self) -> bool:
        """Whether `fit` learns from natural pictures."""
        return False

    def scalar_values(self) -> dict[str, float]:
        """Each scalar's value where nobody names one: the option of its name, or else its default."""
        return {knob.name: float(getattr(self.options, knob.name, knob.default)) for knob in self.scalars}

    def preflight(self, pictures: int) -> Preflight | None:
        """Expected time and memory of `fit` on that many pictures, or None where the method cannot tell."""
        del pictures
        return None

    @abstractmethod
    def fit(self, data: TrainingData, run: Run) -> Self:
        """Learn from `data.normal`, scale on `data.tuning`; seeded and repeatable.

        Raises:
            DataError: fewer than `minimum_normals` pictures.
            Stopped: `run.stop` was set; a later call with the same run resumes from its checkpoints.
        """

    @abstractmethod
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """Map `pixels` (N, 3, H, W) float32 in [0, 1] at `frame`'s size to the declared outputs.

        Tensor code only: the same function is exported to ONNX. Each of `scalars` is float32 of shape ();
        one that is absent has its value of `scalar_values`.
        """

    def stages(self) -> tuple[Stage, ...]:
        """The graphs that the model folder holds, in their order; together they are `forward`."""
        inputs = ("pixels", *(knob.name for knob in self.scalars))
        return (Stage(GRAPH, inputs, tuple(output.name for output in self.outputs), self),)

    @property
    def judged(self) -> str | None:
        """Name of a vector output on which parity is judged in the score's place; None: on the score.

        For a method whose score is a step function of that vector: rounding in another order of summation may
        carry a value across a step, however small the difference. `check_answers` must then hold the score
        against a reference on the engine's own vector.
        """
        return None

    def check_answers(self, outputs: Mapping[str, NDArray[Any]], engine: str) -> None:
        """Hold an engine's outputs against a reference of the method's own, where it has one.

        Raises:
            BundleError: they contradict it.
        """

    def write_companions(self, folder: Path) -> None:
        """Write files of the method's own into the model folder, beside graph and weights."""

    def check_enough(self, data: TrainingData) -> None:
        """Raise a DataError where there are too few training pictures."""
        if len(data.normal) < self.minimum_normals:
            raise DataError(
                "training pictures",
                expected=f"at least {self.minimum_normals} good pictures for {type(self).__name__}",
                got=str(len(data.normal)),
                fix="Add good pictures to the folder.",
            )

    def check_defects(self, data: TrainingData, minimum: int = 1) -> Pictures:
        """The defective pictures to learn from, or a DataError where there are fewer than `minimum`."""
        found = 0 if data.defective is None else len(data.defective)
        if data.defective is None or found < minimum:
            raise DataError(
                "defective pictures",
                expected=f"at least {minimum} for {type(self).__name__}, which learns from known defects",
                got=str(found),
                fix="Name their folder with --defects FOLDER, or choose a method that needs none.",
            )
        return data.defective

    def score(
        self,
        pictures: Pictures,
        run: Run,
        *,
        keep: Collection[str] | None = None,
        batch: int = _BATCH,
        scalars: Mapping[str, float] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Outputs for all pictures, stacked over the first axis, in their order; as `answers` gives them."""
        found = list(answers(self, pictures, run, keep, batch=batch, scalars=scalars))
        return {name: np.stack([answer[name] for answer in found]) for name in (found[0] if found else ())}

    def restore(self, tensors: Mapping[str, Tensor]) -> Self:
        """Take over the tensors of a trained detector of the same options.

        Raises:
            BundleError: names or shapes do not fit.
        """
        for name, _ in list(self.named_buffers()):
            if name in tensors and any(fnmatchcase(name, pattern) for pattern in self.fitted):
                module, _, buffer = name.rpartition(".")
                self.get_submodule(module).register_buffer(buffer, torch.empty_like(tensors[name]))
        try:
            self.load_state_dict(dict(tensors), strict=True)
        except RuntimeError as error:
            raise BundleError(
                "weights of the model",
                expected=f"the tensors of {type(self).__name__} with these options",
                got=" ".join(str(error).split())[:300],
                fix="Train again, or take the model folder from its source again.",
            ) from error
        return self.eval()


def answers(
    detector: Detector,
    pictures: Pictures,
    run: Run,
    keep: Collection[str] | None = None,
    *,
    batch: int = _BATCH,
    scalars: Mapping[str, float] | None = None,
) -> Iterator[dict[str, NDArray[Any]]]:
    """The detector's own answer for each picture, one at a time, as `Pipeline.score` streams them.

    Args:
        detector: fitted.
        pictures: at the detector's frame.
        run: its device, progress and stop.
        keep: outputs to keep; None keeps all.
        batch: pictures that run together.
        scalars: replace some or all of `scalar_values`.

    Raises:
        Stopped: `run.stop` was set.
    """
    device = run.torch_device()
    detector.eval().to(device)
    knobs = {
        name: torch.tensor(value, dtype=torch.float32, device=device)
        for name, value in {**detector.scalar_values(), **(scalars or {})}.items()
    }
    names = [output.name for output in detector.outputs if keep is None or output.name in keep]
    with run.progress.stage("scoring", len(pictures)) as stage:
        for pixels in pictures.batches(batch):
            with torch.inference_mode():
                answer = detector(torch.from_numpy(pixels).to(device), **knobs)
            kept = {name: answer[name].cpu().numpy() for name in names}
            yield from ({name: kept[name][row] for name in names} for row in range(len(pixels)))
            stage.advance(len(pixels))
            run.check_stop()
