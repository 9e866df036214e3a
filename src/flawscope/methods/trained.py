"""Detectors that another method builds on: trained once for the same options, pictures and seed."""

from __future__ import annotations

import dataclasses
import shutil

from flawscope.data.samples import TrainingData
from flawscope.methods.detector import Detector
from flawscope.methods.fingerprint import fingerprint
from flawscope.nn.run import Checkpoints, Run


def fit_once(detector: Detector, method: str, data: TrainingData, run: Run) -> None:
    """Fit the detector, or take over what an earlier fit of the same left in `run.trained`.

    Unfinished work of each detector is kept in a folder of its own among the run's checkpoints.

    Raises:
        Stopped, DataError: as `Detector.fit`.
    """
    if not detector.uses_natural:
        data = dataclasses.replace(data, natural=None)
    store = run.trained or run.checkpoints
    if store is None:
        detector.fit(data, run)
        return
    parts = (data.normal, data.tuning, data.natural, data.defective)
    name = f"{method}-{fingerprint(detector.options, run, parts)}"
    kept = store.load(name)
    if kept is not None:
        detector.restore(kept).to(run.torch_device())
        return
    unfinished = (run.checkpoints or store).folder / f"unfinished-{name}"
    detector.fit(data, dataclasses.replace(run, checkpoints=Checkpoints(unfinished)))
    store.save(name, detector.state_dict())
    shutil.rmtree(unfinished, ignore_errors=True)
