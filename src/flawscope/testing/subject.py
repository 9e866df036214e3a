"""A method under check: its small pictures, and what is fitted and exported of it when first asked for."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import Stopped
from flawscope.methods.detector import Detector, DetectorOptions, Facts, Needs
from flawscope.methods.registry import method_class, parse_options
from flawscope.methods.running import score
from flawscope.nn.run import Run, RunPrecision
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime import bundle
from flawscope.runtime.engines import DEFAULT
from flawscope.runtime.pipeline import Pipeline
from flawscope.runtime.provenance import Provenance
from flawscope.testing.rings import damaged_rings, good_rings, test_rings, written
from flawscope.training.fold_scores import score_by_itself
from flawscope.training.pack import Contents, Wish, pack

NORMALS, DEFECTS, TESTS = 12, 6, 6
TOLERANCE = 1e-4  # of the spread of the compared values: what another order of summation may cost in float32

Outputs = dict[str, NDArray[Any]]


@dataclass(eq=False)
class Subject:
    """A method with options, and what its checks share.

    Everything is made once, when it is first asked for: `detector`, its `outputs` for the `tests`, its
    `model` folder. Files lie in a temporary folder that goes with the subject.

    Attributes:
        method: a registered name, or the class.
        options: over the method's defaults; choose a small `size` and backbone.
        label: what messages and test names call it; by default the method's name.
        seed: of the pictures and of the fit.
        precision: of the fit.
        tolerance: largest accepted difference as a share of the spread of the values compared.
    """

    method: str | type[Detector]
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = field(default="", kw_only=True)
    seed: int = field(default=0, kw_only=True)
    precision: RunPrecision = field(default="auto", kw_only=True)
    tolerance: float = field(default=TOLERANCE, kw_only=True)

    def __post_init__(self) -> None:
        self.label = self.label or (self.method if isinstance(self.method, str) else self.method.__name__)

    def new(self, facts: Facts | None = None) -> Detector:
        """An unfitted detector."""
        return self.kind(self._parsed, facts)

    def run(self, **changes: Any) -> Run:
        """A run of the subject's seed and precision."""
        return Run(**{"seed": self.seed, "precision": self.precision, **changes})

    def fit(
        self, run: Run | None = None, data: TrainingData | None = None, watch: Watch = UNWATCHED
    ) -> Detector:
        """A new detector, fitted on the subject's pictures."""
        return self.new().fit(data or self.data, run or self.run(), watch)

    def score(self, detector: Detector, pictures: Pictures | None = None, *, batch: int = 8) -> Outputs:
        """All outputs of a detector, for the tests unless other pictures are given."""
        return score(detector, self.tests if pictures is None else pictures, self.run(), batch=batch)

    @property
    def kind(self) -> type[Detector]:
        """The method's class."""
        return method_class(self.method) if isinstance(self.method, str) else self.method

    @cached_property
    def needs(self) -> Needs:
        """What its fit wants to see."""
        return self.new().needs()

    @cached_property
    def folder(self) -> Path:
        """A temporary folder, removed with the subject."""
        folder = Path(tempfile.mkdtemp(prefix="flawscope-check-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def tests(self) -> Pictures:
        """Good and damaged pictures that fit never sees."""
        return self._pictures("test", test_rings(TESTS, self.seed + 1))

    @cached_property
    def data(self) -> TrainingData:
        """What fit learns from: of the good pictures a quarter to scale on."""
        normals = self._pictures("good", good_rings(NORMALS, self.seed))
        defective = None
        if self.needs.defective:
            rings = damaged_rings(DEFECTS, self.seed + 2)
            defective = self._pictures("bad", rings, defective=True)
        cut = NORMALS - NORMALS // 4
        return TrainingData(
            normal=normals.subset(range(cut)),
            tuning=normals.subset(range(cut, NORMALS)),
            defective=defective,
        )

    @cached_property
    def detector(self) -> Detector:
        """Fitted on `data`."""
        return self.fit()

    @cached_property
    def outputs(self) -> Outputs:
        """The fitted detector's for the tests."""
        return self.score(self.detector)

    @cached_property
    def model(self) -> Path:
        """The model folder, calibrated on the good pictures' own scores."""
        contents = Contents(
            engines=((DEFAULT, "fp32"),),
            apart=self.tests,
            held_out=score_by_itself(self.detector, self.data.normal, self.run()),
            wish=Wish(alpha=0.2, delta=0.05, promise="on_average"),
            provenance=Provenance.now(self.seed, ()),
            recipe="",
        )
        return pack(self.folder / "model", self.detector, self.run(), contents).folder

    def pipeline(self) -> Pipeline:
        """The model in the default engine."""
        return Pipeline.open(bundle.load(self.model), DEFAULT)

    def release(self) -> None:
        """Give back the memory of what was fitted; files stay, and who asks again has it fitted anew."""
        for name in ("detector", "outputs"):
            self.__dict__.pop(name, None)

    @cached_property
    def _parsed(self) -> DetectorOptions:
        return parse_options(self.label, self.kind.Options, self.options)

    def _pictures(self, name: str, arrays: list[NDArray[np.uint8]], *, defective: bool = False) -> Pictures:
        return written(arrays, self.folder / name, self._parsed.frame, defective=defective)


Result = TypeVar("Result")


class _Stops:
    """Progress that asks once in every stage to stop, when half of it is done; `titles` are those stages'."""

    def __init__(self) -> None:
        self.stop, self.titles = Event(), list[str]()

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Any]:
        left = max(total // 2, 1)

        def advance(steps: int = 1) -> None:
            nonlocal left
            left -= steps
            if steps and left <= 0 and title not in self.titles:
                self.titles.append(title)
                self.stop.set()

        yield SimpleNamespace(advance=advance)


def stopped_in_every_stage(work: Callable[[Watch], Result]) -> tuple[Result, list[str]]:
    """What `work`, which keeps checkpoints, gives when it is stopped once in each stage and begun again.

    Also returned are the titles of the stages after which it was begun again.
    """
    stops, broken = _Stops(), list[str]()
    watch = Watch(stops, stops.stop)
    while True:
        stops.stop.clear()
        before = len(stops.titles)
        try:
            return work(watch), broken
        except Stopped:
            if len(stops.titles) == before:
                raise AssertionError("work stops though nobody asks it to") from None
            broken += stops.titles[before:]
