"""A fitted detector as a model folder: graph, weights, parity and thresholds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

import flawscope
from flawscope.data.pictures import Pictures
from flawscope.files import write_text, write_with
from flawscope.methods.detector import Detector
from flawscope.nn.run import Run
from flawscope.runtime import bundle
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.engines import Precision, open_engine
from flawscope.runtime.manifest import FrameSpec, Manifest, Provenance, heatmap_range
from flawscope.training.export import export_onnx, manifest_outputs, manifest_scalars, parity_of_engines
from flawscope.training.held_out import HeldOut, score_apart
from flawscope.training.recipe import Recipe

PARITY_PICTURES = 100
LOSSES = "losses.json"


def assemble(
    folder: Path,
    detector: Detector,
    run: Run,
    *,
    method: str,
    engine: tuple[str, Precision],
    apart: Pictures,
    held_out: HeldOut | None,
    calibrate: Callable[[HeldOut], Calibration],
    provenance: Provenance,
    recipe: Recipe | None = None,
) -> Manifest:
    """Write graph, weights and the rest into `folder`, then measure parity and calibrate on the engine.

    Args:
        apart: pictures for parity, and for the thresholds where `held_out` is None.
        held_out: scores that models of folds gave, in place of those of `apart`.
        calibrate: from such scores to the thresholds.

    Raises:
        BundleError: the graph differs from the trained network on the engine by more than the bound.
        CalibrationError: the scores support no rate below one half.
    """
    with run.progress.stage("exporting", 1) as stage:
        graph = export_onnx(detector, folder / bundle.GRAPH)
        tensors = {name: value.contiguous() for name, value in detector.state_dict().items()}
        write_with(folder / bundle.WEIGHTS, lambda path: save_file(tensors, path))
        if recipe is not None:
            write_text(folder / bundle.RECIPE, recipe.to_yaml())
        detector.write_companions(folder)
        if detector.history:
            write_text(folder / LOSSES, json.dumps(detector.history) + "\n")
        stage.advance()
    compared = apart.subset(range(min(PARITY_PICTURES, len(apart))))
    figures = parity_of_engines(detector, graph, compared, run, calibrated=engine)
    if held_out is None:
        name, precision = engine
        held_out = score_apart(detector, open_engine(name, graph, precision=precision), apart, run)
    return Manifest(
        flawscope=flawscope.__version__,
        method=method,
        options=detector.options.model_dump(mode="json"),
        frame=FrameSpec.of(detector.frame),
        outputs=manifest_outputs(detector),
        scalars=manifest_scalars(detector),
        engine=engine[0],
        precision=engine[1],
        calibration=calibrate(held_out),
        heatmap=None if held_out.heatmaps is None else heatmap_range(held_out.heatmaps),
        parity=figures,
        provenance=provenance,
    )
