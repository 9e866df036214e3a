"""`check_detector`: the properties that every detector must have, for the authors of methods.

Each broken property raises an AssertionError that names it and says by how much it is broken.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import flawscope
from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import DataError, FlawscopeError
from flawscope.methods.detector import Detector, Facts
from flawscope.methods.registry import create, parse_options
from flawscope.methods.running import score, with_tensors
from flawscope.nn.run import Run
from flawscope.runtime import bundle, manifest
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.manifest import ScalarSpec
from flawscope.runtime.pipeline import Pipeline
from flawscope.testing.rings import SIDE, damaged_rings, good_rings, test_rings, written
from flawscope.training.export import export
from flawscope.training.fold_scores import score_by_itself
from flawscope.training.parity import check_parity, parity

NORMALS, DEFECTS, TESTS = 12, 6, 6
TOLERANCE = 1e-4  # of the spread of the compared values: what another order of summation may cost in float32

Outputs = dict[str, NDArray[Any]]


def check_detector(
    method: str | type[Detector],
    options: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    export: bool = True,
    tolerance: float = TOLERANCE,
) -> None:
    """Fit the method on small pictures made here, and check the contract of `Detector`.

    Checked: declared outputs come, finite and of the declared shapes; fitting twice gives the same scores; a
    batch gives what single pictures give; order does not matter; scoring changes no state; saved and loaded
    again it gives the same scores; too few pictures give a DataError; scalars that nobody names have their
    defaults; and, with `export`, the ONNX graph passes parity, also with each scalar at either end of its
    range, which must change some output, and the Inspector answers black, white and tiny pictures with
    finite scores, twice the same.

    Args:
        method: a registered name, or the class.
        options: over the method's defaults; choose a small `size` and backbone.
        seed: of the pictures and of the fit.
        export: also check graph and Inspector, which takes most of the time.
        tolerance: largest accepted difference as a share of the spread of the values compared.

    Raises:
        AssertionError: a property does not hold.
    """
    with tempfile.TemporaryDirectory() as folder:
        _Check(method, dict(options or {}), seed, tolerance, Path(folder)).all(export=export)


@dataclass(slots=True)
class _Check:
    method: str | type[Detector]
    options: dict[str, Any]
    seed: int
    tolerance: float
    folder: Path
    defects: Pictures | None = None

    def all(self, *, export: bool) -> None:
        detector = self._new()
        normals = self._pictures(detector, "good", good_rings(NORMALS, self.seed))
        if detector.needs().defective:
            rings = damaged_rings(DEFECTS, self.seed + 2)
            self.defects = self._pictures(detector, "bad", rings, defective=True)
        tests = self._pictures(detector, "test", test_rings(TESTS, self.seed + 1))
        self._too_few(normals)
        run = Run(seed=self.seed)
        detector = self._fitted(normals)
        outputs = score(detector, tests, run)
        self._declared(detector, outputs, len(tests))
        twin = self._fitted(normals)
        self._same("fitting twice gives", outputs, score(twin, tests, run))
        twin.fit(self._data(normals), run)
        self._same("fitting the same object again gives", outputs, score(twin, tests, run))
        self._same("single pictures give", outputs, score(detector, tests, run, batch=1))
        backwards = score(detector, tests.subset(range(len(tests))[::-1]), run, batch=4)
        self._same("another order gives", outputs, {name: value[::-1] for name, value in backwards.items()})
        self._no_state(detector, tests)
        self._save_and_load(detector, tests, outputs)
        self._plain_pixels(detector)
        self._defaults_hold(detector, tests, outputs)
        if export:
            self._inspected(detector, normals, tests)

    @property
    def name(self) -> str:
        return self.method if isinstance(self.method, str) else self.method.__name__

    def _new(self, facts: Facts | None = None) -> Detector:
        if isinstance(self.method, str):
            return create(self.method, self.options, facts)
        return self.method(parse_options(self.name, self.method.Options, self.options), facts)

    def _fitted(self, normals: Pictures) -> Detector:
        return self._new().fit(self._data(normals), Run(seed=self.seed))

    def _data(self, normals: Pictures) -> TrainingData:
        """A quarter of the pictures to scale on, the others to learn from."""
        cut = len(normals) - len(normals) // 4
        indices = range(len(normals))
        return TrainingData(
            normal=normals.subset(indices[:cut]),
            tuning=normals.subset(indices[cut:]),
            defective=self.defects,
        )

    def _pictures(
        self, detector: Detector, name: str, arrays: list[NDArray[np.uint8]], *, defective: bool = False
    ) -> Pictures:
        return written(arrays, self.folder / name, detector.options.frame, defective=defective)

    def _too_few(self, normals: Pictures) -> None:
        count = max(self._new().needs().normal - 1, 0)
        few = TrainingData(
            normal=normals.subset(range(count)),
            tuning=normals.subset(range(count, count + 1)),
            defective=self.defects,
        )
        try:
            self._new().fit(few, Run(seed=self.seed))
        except DataError:
            return
        except Exception as error:
            raise AssertionError(
                f"{self.name}: fitting on {count} pictures must raise a DataError, got {error!r}"
            ) from error
        raise AssertionError(f"{self.name}: fitting on {count} pictures must raise a DataError, got a model")

    def _declared(self, detector: Detector, outputs: Outputs, count: int) -> None:
        declared = [output.name for output in detector.outputs]
        with torch.inference_mode():
            returned = list(detector(torch.zeros(1, 3, *detector.options.size)))
        if sorted(returned) != sorted(declared):
            raise AssertionError(f"{self.name}: declares outputs {declared}, returns {returned}")
        kinds = [output.kind for output in detector.outputs]
        if kinds[0] != "score" or kinds.count("score") != 1:
            raise AssertionError(f"{self.name}: the first output and no other must be the score, got {kinds}")
        dimensions = {"score": 1, "vector": 2}
        for output in detector.outputs:
            value = outputs[output.name]
            self._finite(f"output {output.name}", value)
            wanted = dimensions.get(output.kind, 3)
            if value.ndim != wanted or len(value) != count:
                raise AssertionError(
                    f"{self.name}: output {output.name} of kind {output.kind} must have {wanted} "
                    f"dimensions and {count} rows for {count} pictures, has shape {value.shape}"
                )
            whole = output.kind in ("label_map", "index_map")
            if value.dtype != np.float32 and not (whole and np.issubdtype(value.dtype, np.integer)):
                raise AssertionError(
                    f"{self.name}: output {output.name} of kind {output.kind} is {value.dtype}"
                )

    def _finite(self, what: str, values: NDArray[Any]) -> None:
        wrong = int(values.size - np.isfinite(values).sum())
        if wrong:
            raise AssertionError(f"{self.name}: {what}: {wrong} of {values.size} values are NaN or infinite")

    def _same(self, deed: str, expected: Outputs, got: Outputs) -> None:
        """Compare real-valued outputs; indices may differ where two members are equally near."""
        for name, values in expected.items():
            if not np.issubdtype(values.dtype, np.floating):
                continue
            if values.shape != got[name].shape:
                raise AssertionError(
                    f"{self.name}: {deed} {name} of shape {got[name].shape}, not {values.shape}"
                )
            difference = float(np.abs(values.astype(np.float64) - got[name]).max())
            spread = max(float(np.ptp(values)), 0.01 * float(np.abs(values).max()))
            if difference > self.tolerance * spread:
                raise AssertionError(
                    f"{self.name}: {deed} another {name}: it differs by up to {difference:.3g}, with "
                    f"a spread of {spread:.3g} over {len(values)} pictures; {self.tolerance:g} of it may"
                )

    def _no_state(self, detector: Detector, tests: Pictures) -> None:
        before = {name: value.clone() for name, value in detector.state_dict().items()}
        random = torch.random.get_rng_state()
        score(detector, tests, Run(seed=self.seed))
        after = detector.state_dict()
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        if moved or before.keys() != after.keys():
            names = ", ".join(moved or sorted(before.keys() ^ after.keys()))
            raise AssertionError(f"{self.name}: scoring changes state: {names}")
        if not torch.equal(random, torch.random.get_rng_state()):
            raise AssertionError(f"{self.name}: scoring draws from torch's global random numbers")

    def _save_and_load(self, detector: Detector, tests: Pictures, outputs: Outputs) -> None:
        path = self.folder / "weights.safetensors"
        save_file({name: value.contiguous() for name, value in detector.state_dict().items()}, path)
        loaded = with_tensors(self._new(detector.learnt.facts), load_file(path))
        self._same("saved and loaded again it gives", outputs, score(loaded, tests, Run(seed=self.seed)))

    def _plain_pixels(self, detector: Detector) -> None:
        height, width = detector.options.size
        for name, level in (("black", 0.0), ("white", 1.0)):
            with torch.inference_mode():
                answer = detector(torch.full((1, 3, height, width), level))
            for output, value in answer.items():
                self._finite(f"output {output} of a {name} picture", value.numpy())

    def _defaults_hold(self, detector: Detector, tests: Pictures, outputs: Outputs) -> None:
        if detector.options.scalars:
            with torch.inference_mode():
                answer = detector(torch.from_numpy(np.stack(list(tests))))
            bare = {name: value.numpy() for name, value in answer.items()}
            self._same("without values for its scalars it gives", outputs, bare)

    def _turned(self, detector: Detector, pipeline: Pipeline, tests: Pictures, knob: ScalarSpec) -> None:
        """The graph follows the detector as the scalar moves, and its outputs follow the scalar."""
        ends = []
        for value in (knob.low, knob.high):
            moved = pipeline.turned({knob.name: value})
            where = f"with {knob.name} at {value:g}"
            self._same_graph(detector, moved, tests, where)
            answers = list(moved.score(tests))
            ends.append({name: np.stack([answer[name] for answer in answers]) for name in answers[0]})
            for name, values in ends[-1].items():
                self._finite(f"output {name} {where}", values)
        if all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0]):
            raise AssertionError(
                f"{self.name}: {knob.name} at {knob.low:g} and at {knob.high:g} gives the same outputs"
            )

    def _same_graph(
        self, detector: Detector, pipeline: Pipeline, tests: Pictures, where: str
    ) -> manifest.ParityFigures:
        (figures,) = parity(detector, [pipeline], tests, Run(seed=self.seed))
        try:
            check_parity(figures)
        except FlawscopeError as error:
            raise AssertionError(f"{self.name}: the exported graph {where} fails parity: {error}") from error
        return figures

    def _inspected(self, detector: Detector, normals: Pictures, tests: Pictures) -> None:
        folder = self.folder / "model"
        with bundle.writing(folder) as draft:
            draft.manifest = self._fill(detector, normals, tests, draft.folder)
        inspector = Inspector.load(folder, engine="onnxruntime")
        plain = {
            "black": np.zeros((SIDE, SIDE, 3), np.uint8),
            "white": np.full((SIDE, SIDE, 3), 255, np.uint8),
            "tiny": np.full((1, 2, 3), 128, np.uint8),
        }
        for name, pixels in plain.items():
            try:
                first, second = inspector.inspect(pixels), inspector.inspect(pixels)
            except FlawscopeError as error:
                raise AssertionError(f"{self.name}: a {name} picture cannot be inspected: {error}") from error
            self._finite(f"score of a {name} picture", np.array(first.score))
            if first.heatmap is not None:
                self._finite(f"heatmap of a {name} picture", first.heatmap)
            if first.score != second.score:
                raise AssertionError(
                    f"{self.name}: a {name} picture scores {first.score}, then {second.score}"
                )

    def _fill(self, detector: Detector, normals: Pictures, tests: Pictures, place: Path) -> manifest.Manifest:
        graphs = export(detector, place)
        pipeline = Pipeline.in_engine(graphs)
        figures = self._same_graph(detector, pipeline, tests, "as trained")
        for knob in detector.options.scalars:
            self._turned(detector, pipeline, tests, knob)
        held_out = score_by_itself(detector, normals, Run(seed=self.seed))
        return manifest.Manifest(
            flawscope=flawscope.__version__,
            method=detector.name,
            options=detector.options.model_dump(mode="json"),
            frame=detector.options.frame,
            outputs=graphs.outputs,
            stages=graphs.stages,
            scalars=detector.options.scalars,
            explains=detector.explains,
            learnt=dict(detector.learnt.facts),
            calibration=Calibration(scores=held_out.scores[0].tolist(), alpha=0.2, promise="on_average"),
            heatmap=None if held_out.levels is None else manifest.heatmap_range(held_out.levels),
            parity=(figures,),
            provenance=manifest.Provenance.now(self.seed, ()),
        )
