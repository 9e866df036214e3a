"""From a trained detector to one ONNX graph, and the gate that it answers as the detector does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.errors import BundleError
from flawscope.methods.detector import Detector
from flawscope.methods.running import score as score_pictures
from flawscope.nn.run import Run
from flawscope.runtime.engines import Engine, open_engine
from flawscope.runtime.manifest import ParityFigures, Precision

OPSET = 20
INLINE_BYTES = 32 * 2**20
# Share of the spread of scores (of map values) over the parity pictures. Rounding in another order of
# summation stays well below the first; half precision keeps 8 bits of each factor.
BOUNDS = {"fp32": 0.002, "bf16": 0.02}
_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")


class _Graph(nn.Module):
    """The detector as a function of pixels and scalars, with its outputs in declared order."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor, **scalars: Tensor) -> tuple[Tensor, ...]:
        outputs = self.detector(pixels, **scalars)
        return tuple(outputs[output.name] for output in self.detector.outputs)


def export_onnx(detector: Detector, path: Path, *, opset: int = OPSET) -> Path:
    """Write the whole `forward` as one graph `pixels` (N, 3, H, W) → the declared outputs, N free.

    Each scalar of the detector is a further input, float32 of shape (), in declared order.
    Weights and bank lie in the file itself up to 32 MiB in all, beyond that beside it in `NAME.data`.
    """
    detector = detector.cpu().eval()
    frame = detector.options.frame
    scalars = {name: torch.tensor(value) for name, value in detector.options.scalar_values().items()}
    shapes: dict[str, Any] = {"pixels": {0: torch.export.Dim("batch", min=1)}}
    if scalars:
        shapes["scalars"] = dict.fromkeys(scalars)
    with _quiet(), _out_of_place(detector), torch.inference_mode(False), torch.no_grad():
        program = torch.onnx.export(
            _Graph(detector).eval(),
            (torch.zeros(2, 3, frame.height, frame.width),),
            kwargs=scalars,
            dynamo=True,
            verbose=False,
            opset_version=opset,
            input_names=["pixels", *scalars],
            output_names=[output.name for output in detector.outputs],
            dynamic_shapes=shapes,
        )
    if program is None:  # pragma: no cover - dynamo=True always returns one
        raise RuntimeError("torch.onnx.export returned no program")
    _clean(program.model)
    program.model.metadata_props["flawscope.outputs"] = ", ".join(output.name for output in detector.outputs)
    tensors = (value.const_value for value in program.model.graph.initializers.values())
    size = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    program.save(str(path), external_data=size > INLINE_BYTES)
    onnx.checker.check_model(str(path))
    return path


def engine_outputs(
    engine: Engine, pictures: Pictures, *, batch: int = 8, scalars: Mapping[str, float] | None = None
) -> dict[str, NDArray[Any]]:
    """All outputs of the engine for all pictures, concatenated over the first axis, as
    `flawscope.methods.running.score`.

    Each picture runs alone, as in inspection; `batch` is how many are decoded together.
    """
    parts: dict[str, list[NDArray[Any]]] = {}
    for pixels in pictures.batches(batch):
        for row in range(len(pixels)):
            for name, values in engine.run(pixels[row : row + 1], scalars).items():
                parts.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def parity(
    detector: Detector,
    engine: Engine,
    pictures: Pictures,
    run: Run,
    *,
    scalars: Mapping[str, float] | None = None,
) -> ParityFigures:
    """Compare the engine's scores and heatmaps with the detector's own on the same pictures.

    `scalars` replaces some or all of the options' values, in both.
    """
    values = {**detector.options.scalar_values(), **(scalars or {})}
    reference = score_pictures(detector, pictures, run, scalars=values)
    answers = engine_outputs(engine, pictures, scalars=values)
    if engine.precision == "fp32":
        _hold_against_reference(detector, answers, engine.name)
    return _figures(detector, reference, engine, answers)


def parity_of_engines(
    detector: Detector,
    graph: Path,
    pictures: Pictures,
    run: Run,
    *,
    calibrated: tuple[str, Precision] = ("onnxruntime", "fp32"),
) -> tuple[ParityFigures, ...]:
    """Figures for every engine that is installed, in float32, those of onnxruntime first, and `calibrated`.

    An engine beyond its bound is noted, and the runtime will not use it; onnxruntime must pass, and so must
    the engine and precision that the model will be `calibrated` on.

    Raises:
        BundleError: one of those that must pass differs by more than the bound, or an engine's answers
            contradict a reference of the method's own.
        OptionError: this machine lacks the precision.
        MissingExtraError: the engine's package is not installed.
    """
    reference, values = score_pictures(detector, pictures, run), detector.options.scalar_values()
    names = ["onnxruntime", *(["openvino"] if find_spec("openvino") else [])]
    pairs: list[tuple[str, Precision]] = [(name, "fp32") for name in names]
    figures = []
    for name, precision in (*pairs, *([] if calibrated in pairs else [calibrated])):
        engine = open_engine(name, graph, precision=precision)
        answers = engine_outputs(engine, pictures, scalars=values)
        figures.append(_figures(detector, reference, engine, answers))
        if precision == "fp32":
            _hold_against_reference(detector, answers, name)
        if (name, precision) in (pairs[0], calibrated):
            check_parity(figures[-1])
    return tuple(figures)


def _hold_against_reference(detector: Detector, answers: Mapping[str, NDArray[Any]], engine: str) -> None:
    if detector.learnt.reference is not None:
        detector.learnt.reference(answers, engine)


def _figures(
    detector: Detector,
    reference: dict[str, NDArray[Any]],
    engine: Engine,
    answers: dict[str, NDArray[Any]],
) -> ParityFigures:
    found = {"score": (0.0, 0.0), "heatmap": (0.0, 0.0)}  # absolute, relative
    for output in detector.outputs:
        if output.kind in found:
            pair = _difference(reference[output.name], answers[output.name])
            found[output.kind] = max(found[output.kind], pair)
    score = next(output for output in detector.outputs if output.kind == "score")
    if score.parity is not None:
        columns = zip(reference[score.parity].T, answers[score.parity].T, strict=True)
        found["score"] = (found["score"][0], max(_difference(*column)[1] for column in columns))
    return ParityFigures(
        engine=engine.name,
        precision=engine.precision,
        pictures=len(reference[score.name]),
        score_absolute=found["score"][0],
        score_relative=found["score"][1],
        heatmap_absolute=found["heatmap"][0],
        heatmap_relative=found["heatmap"][1],
        rank_change=_rank_change(reference[score.name], answers[score.name]),
        bound=BOUNDS[engine.precision],
    )


def check_parity(figures: ParityFigures) -> None:
    """Let a model pass only where its engine answers as the trained detector does.

    Raises:
        BundleError: score or heatmap differ by more than the bound; the error names what does.
    """
    measured = {"scores": figures.score_relative, "heatmaps": figures.heatmap_relative}
    beyond = [f"{value:.3g} in {what}" for what, value in measured.items() if value > figures.bound]
    if beyond:
        exact = figures.precision == "fp32"
        raise BundleError(
            f"parity of {figures.engine} {figures.precision} with {figures.reference}",
            expected=f"at most {figures.bound:.3g} of the spread over {figures.pictures} pictures",
            got=" and ".join(beyond),
            fix="Report the method and its options as a bug." if exact else "Use precision fp32.",
        )


def _difference(expected: NDArray[Any], got: NDArray[Any]) -> tuple[float, float]:
    """Largest absolute difference, and its share of the spread of what was expected."""
    if expected.shape != got.shape or not np.isfinite(got).all():
        largest = float(np.finfo(np.float32).max)
        return largest, largest
    absolute = float(np.abs(expected.astype(np.float64) - got).max())
    # One picture, or equal ones, have no spread: then a hundredth of the size stands in.
    spread = max(
        float(np.ptp(expected)), 0.01 * float(np.abs(expected).max()), float(np.finfo(np.float32).tiny)
    )
    return absolute, absolute / spread


def _rank_change(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Share of pairs of pictures whose order turns round."""
    if expected.shape != got.shape:
        return 1.0
    first = np.sign(expected[:, None] - expected[None, :])  # (N, N)
    second = np.sign(got[:, None] - got[None, :])
    pairs = len(expected) * (len(expected) - 1)
    return float((first * second < 0).sum() / pairs) if pairs else 0.0


def _clean(model: Any) -> None:
    """Drop what the exporter notes for debugging: stack traces hold paths of the training machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()


@contextmanager
def _out_of_place(detector: nn.Module) -> Iterator[None]:
    """Let activations make new tensors: the exporter takes a third longer over in-place ones."""
    changed: list[Any] = [module for module in detector.modules() if getattr(module, "inplace", False)]
    for module in changed:
        module.inplace = False
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about itself: log lines, and warnings of its own deprecated calls."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings():
        for module in (r"torch\.", r"onnxscript\.", r"onnx_ir\.", r"copyreg", r"copy"):
            warnings.filterwarnings("ignore", module=module)
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
