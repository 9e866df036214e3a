"""A detector that others build on, trained once and kept under the name of all that it depends on."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flawscope.data.training import TrainingData
from flawscope.methods.detector import Detector, Learnt
from flawscope.methods.running import AnyDetector, with_tensors, write_files
from flawscope.nn.run import UNFINISHED, Checkpoints, Run
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.segmenters.instances.annotations import read_annotated

_FACTS, _HISTORY = "facts", "learnt/history"  # what the tensors are stored with, as bytes of JSON
_FILE = "learnt/files/"  # and by name the bytes of each file


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
        return _restored(detector, kept).to(run.torch_device())
    unfinished = (run.checkpoints or store).folder / f"{UNFINISHED}{name}"
    detector.fit(data, dataclasses.replace(run, checkpoints=Checkpoints(unfinished)), watch)
    store.save(name, {**detector.state_dict(), **_tensors(detector)})
    shutil.rmtree(unfinished, ignore_errors=True)
    return detector


def _restored(detector: AnyDetector, kept: dict[str, Tensor]) -> AnyDetector:
    """A detector of the same options as it was kept, with all that its fit handed back."""
    facts = json.loads(_bytes(kept.pop(_FACTS)))
    history = kept.pop(_HISTORY, None)  # which a store of an earlier version lacks
    names = [name for name in kept if name.startswith(_FILE)]
    files = {name.removeprefix(_FILE): _bytes(kept.pop(name)) for name in names}
    found = with_tensors(type(detector)(detector.options, facts), kept)
    found.learnt = Learnt(facts, () if history is None else json.loads(_bytes(history)), files)
    return found


def _tensors(detector: Detector) -> dict[str, Tensor]:
    """What fit handed back, as bytes."""
    learnt = detector.learnt
    made = {
        _FACTS: json.dumps(learnt.facts).encode(),
        _HISTORY: json.dumps(list(learnt.history)).encode(),
    }
    with tempfile.TemporaryDirectory() as folder:
        write_files(detector, Path(folder))
        made |= {f"{_FILE}{name}": (Path(folder) / name).read_bytes() for name in learnt.files}
    return {name: torch.from_numpy(np.frombuffer(value, np.uint8).copy()) for name, value in made.items()}


def _bytes(values: Tensor) -> bytes:
    return values.numpy().tobytes()
