"""The contract that every published method keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import Field, JsonValue
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.nn.run import Run, full_float32, seeded
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.bundle import GRAPH
from flawscope.runtime.frozen import Frozen
from flawscope.runtime.images import FRAME_LIMIT, Frame
from flawscope.runtime.manifest import OutputSpec, ScalarSpec

if TYPE_CHECKING:
    from flawscope.nn.banks.preflight import Preflight

SCORE = OutputSpec(
    name="score", kind="score", about="raw anomaly score of the picture, higher is more anomalous"
)
HEATMAP = OutputSpec(
    name="heatmap", kind="heatmap", about="raw anomaly map at the input size, higher is more anomalous"
)

Facts = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of `forward` that becomes one graph file: named tensors in, named tensors out.

    Attributes:
        file: of the graph, in the model folder.
        inputs: `pixels`, scalars, and outputs of earlier stages; all but scalars begin with the axis N.
        outputs: what `forward` gives, each (N, ...).
        forward: takes the inputs by name; tensor code that exports to ONNX.
        half: whether it may run in half precision, where the model does; otherwise it stays in float32.
    """

    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    forward: Callable[..., dict[str, Tensor]]
    half: bool = True


Side = Annotated[int, Field(ge=32, le=FRAME_LIMIT)]


class DetectorOptions(Frozen):
    """Options that every method has; each default is the paper's value.

    Attributes:
        knobs: of `forward`, which calibration may turn after training; where there is an option of a knob's
            name, that gives its value.
    """

    knobs: ClassVar[tuple[ScalarSpec, ...]] = ()

    size: tuple[Side, Side] = Field((256, 256), description="input height and width in pixels")
    aspect: Literal["stretch", "pad"] = Field(
        "stretch", description="stretch the picture to the size, or keep its aspect and pad"
    )

    def resolved(self) -> Self:
        """The same with derived values written out, so that a trained model says all that it was made with.

        Raises:
            OptionError: values that do not fit together.
        """
        return self

    @property
    def frame(self) -> Frame:
        """The size and aspect at which pictures reach `forward`."""
        return Frame(height=self.size[0], width=self.size[1], aspect=self.aspect)

    @property
    def scalars(self) -> tuple[ScalarSpec, ...]:
        """The knobs at their values."""
        return tuple(
            knob.model_copy(update={"value": float(getattr(self, knob.name, knob.value))})
            for knob in self.knobs
        )

    def scalar_values(self) -> dict[str, float]:
        """Each knob's value where nobody names one."""
        return {knob.name: knob.value for knob in self.scalars}


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


@dataclass(frozen=True, slots=True)
class Needs:
    """What `fit` wants to see: the fewest pictures of each kind; 0 for a kind that it does not use.

    Attributes:
        normal, tuning: good pictures to learn from, and to scale on.
        natural, defective: pictures of anything but the product, and of known defects.
        parts: good pictures with annotated parts.
        optional: kinds that may be missing altogether.
        tuning_share: share of the good pictures that training does not hold out for calibration which become
            tuning pictures where nobody says otherwise; None leaves it to `flawscope.data.splits.plan_split`.
        moments: whether fit takes no more from tuning pictures than means and deviations of scores, so that
            they may also tell how rare a score is.
        instead: by kind, what to do where there are too few, as the end of a sentence.
        cost: expected time and memory of `fit` on so many pictures, or None where the method cannot tell.
        whole: why it must see pictures whole, as a sentence without its full stop; empty: tiles will do.
        most_tiles: of good pictures, that fit is given where there are more, as many of each; None: all.
    """

    normal: int = 2
    tuning: int = 0
    natural: int = 0
    defective: int = 0
    parts: int = 0
    optional: frozenset[str] = frozenset()
    tuning_share: float | None = None
    moments: bool = False
    instead: Mapping[str, str] = field(default_factory=dict)
    cost: Callable[[int], Preflight] | None = None
    whole: str = ""
    most_tiles: int | None = None

    def require(self, data: TrainingData, method: str) -> None:
        """Refuse too few pictures of a kind.

        Raises:
            DataError: the first kind of which there are too few.
        """
        for kind, (what, fix, otherwise) in _KINDS.items():
            least, pictures = getattr(self, kind), getattr(data, kind)
            found = 0 if pictures is None else len(pictures)
            if found < least and not (kind in self.optional and found == 0):
                instead = self.instead.get(kind, otherwise)
                raise DataError(
                    f"{_CALLED.get(kind, kind)} pictures",
                    expected=f"at least {least} {what.format(method=method)}",
                    got=str(found),
                    fix=f"{fix}{f', or {instead}' if instead else ''}.",
                )


_CALLED = {"normal": "training", "parts": "annotated"}
_KINDS = {
    "normal": ("good pictures for {method}", "Add good pictures to the folder", ""),
    "tuning": ("good pictures to scale on for {method}", "Leave split.tuning out", "raise it"),
    "natural": ("for {method}", "Name their folder with --natural FOLDER", "choose options that need none"),
    "defective": (
        "for {method}, which learns from known defects",
        "Name their folder with --defects FOLDER",
        "choose a method that needs none",
    ),
    "parts": (
        "with annotated parts for {method}",
        "Annotate some good pictures, and name the place with --annotations PLACE",
        "choose options that need none",
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What `learn` hands back beside what it left in the detector's tensors.

    Attributes:
        facts: plain values that a restored detector is built with, and that explanation reads.
        history: losses by name at every few steps, with `step`; empty where there are none.
        files: further files of the model folder by name: their content, or what writes them.
    """

    facts: Facts = field(default_factory=dict)
    history: Sequence[dict[str, float]] = ()
    files: Mapping[str, bytes | Callable[[Path], None]] = field(default_factory=dict)


@runtime_checkable
class SmoothsCells(Protocol):
    """A detector that enlarges and smooths a map of cells: a flaw of one cell stands out there more."""

    def forward_unsmoothed(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """What `forward` returns, and the map of cells (N, h, w) of which it makes the heatmap."""


@runtime_checkable
class Teachable(Protocol):
    """A trained detector that takes in further good pictures without those that it has learnt from."""

    def teach(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Take in `data.normal`, the new good pictures alone, and hand back what `learn` would.

        What it holds stays, and banks grow by `run.growth` at most. `running.taught` calls it as `fit` calls
        `learn`. `data.tuning` has the first fit's tuning pictures, as far as they are at hand, to scale on.

        Raises:
            FlawscopeError: what it refuses; the detector is not to be used then.
            Stopped: the stop signal was set; the work is short and starts afresh.
        """


class Detector(nn.Module, ABC):
    """A method: learns from good pictures, then maps pixels to a score, a heatmap and what explains them.

    Args:
        options: of the method.
        facts: those of an earlier fit (`Learnt.facts`), where a trained detector is restored: its modules are
            then made as that fit left them, and its tensors follow.

    Attributes:
        name: in the registry.
        Options: the method's frozen pydantic model of options.
        presets: named options. `default` is what training takes; without a preset the paper's values hold.
        explains: which reader of `flawscope.runtime.explain` makes findings of the outputs.
        outputs: what `forward` returns, by name; `score` comes first. The class's are those of the default
            options; a detector's own may differ.
        learnt: what the last fit, or the restored one, handed back.
    """

    name: ClassVar[str]
    Options: ClassVar[type[DetectorOptions]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    explains: ClassVar[str] = "levels"
    outputs: tuple[OutputSpec, ...] = (SCORE, HEATMAP)
    learnt: Learnt

    def __init__(self, options: DetectorOptions, facts: Facts | None = None) -> None:
        super().__init__()
        self.options, self.learnt = options.resolved(), Learnt(facts or {})

    def needs(self) -> Needs:
        """What `fit` wants to see."""
        return Needs()

    def fit(self, data: TrainingData, run: Run, watch: Watch = UNWATCHED) -> Self:
        """Learn from `data`; seeded and repeatable. It ends on the run's device and in evaluation mode.

        `watch` sees how far it is, is told what the user should read, and may end it.

        Raises:
            DataError: fewer pictures than `needs` says.
            Stopped: the stop signal was set; a later call with the same run resumes to the same result.
            FlawscopeError: what else `learn` refuses.
        """
        self.needs().require(data, self.name)
        device = run.torch_device()
        with seeded(run.seed), full_float32():
            self.learnt = self.to(device).eval().learn(data, run, watch)
        return self.to(device).eval()

    @abstractmethod
    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """The part of `fit` that differs: fill the tensors, from pictures that are enough.

        Modules and buffers that it makes anew may lie on any device afterwards.
        """

    @abstractmethod
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """Map `pixels` (N, 3, H, W) float32 in [0, 1] at the options' size to the declared outputs.

        Tensor code only: the same function is exported to ONNX. Each of `scalars` is float32 of shape ();
        one that is absent has its value of the options.
        """

    def stages(self) -> tuple[Stage, ...]:
        """The graphs that the model folder holds, in their order; together they are `forward`.

        Raises:
            OptionError: options with which no model folder can be made.
        """
        inputs = ("pixels", *(knob.name for knob in self.options.knobs))
        return (Stage(GRAPH, inputs, tuple(output.name for output in self.outputs), self),)
