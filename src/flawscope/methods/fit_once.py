"""A detector that others build on, trained once and kept under the name of all that it depends on."""

from __future__ import annotations

import dataclasses
import json
import shutil

import torch

from flawscope.data.training import TrainingData
from flawscope.methods.running import AnyDetector, with_tensors
from flawscope.nn.run import UNFINISHED, Checkpoints, Run
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.segmenters.instances.annotations import read_annotated

_FACTS = "facts"  # what the tensors kept are stored with, as bytes of JSON


def fit_once(detector: AnyDetector, data: TrainingData, run: Run, watch: Watch = UNWATCHED) -> AnyDetector:
    """The detector, fitted; or one that an earlier fit of the same left in `run.trained`.

    The same: options, seed, pictures and, where there are any, what is annotated in them.
    Unfinished work of each detector is kept in a folder of its own among the run's checkpoints.

    Raises:
        Stopped, DataError: as `Detector.fit`.
    """
    if not detector.needs().natural:
        data = dataclasses.replace(data, natural=None)
    store = run.trained or run.checkpoints
    if store is None:
        return detector.fit(data, run, watch)
    parts = (data.normal, data.tuning, data.natural, data.defective, data.parts)
    drawn = () if data.parts is None else read_annotated(data.parts, run, watch).arrays
    name = f"{detector.name}-{fingerprint(detector.options, run, parts, arrays=drawn)}"
    kept = store.load(name)
    if kept is not None:
        facts = json.loads(kept.pop(_FACTS).numpy().tobytes())
        fresh = type(detector)(detector.options, facts)
        return with_tensors(fresh, kept).to(run.torch_device())
    unfinished = (run.checkpoints or store).folder / f"{UNFINISHED}{name}"
    detector.fit(data, dataclasses.replace(run, checkpoints=Checkpoints(unfinished)), watch)
    facts = torch.frombuffer(bytearray(json.dumps(detector.learnt.facts).encode()), dtype=torch.uint8)
    store.save(name, {**detector.state_dict(), _FACTS: facts})
    shutil.rmtree(unfinished, ignore_errors=True)
    return detector
