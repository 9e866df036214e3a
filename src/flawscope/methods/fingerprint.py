"""What a training depends on, as a name: work that is kept is taken up by the same training alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence

import torch
from pydantic import BaseModel
from torch import nn

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.running import AnyDetector, with_tensors
from flawscope.nn.run import UNFINISHED, Checkpoints, Run
from flawscope.nn.watch import UNWATCHED, Watch

_FACTS = "facts"  # what the tensors kept are stored with, as bytes of JSON


def fingerprint(
    options: BaseModel, run: Run, parts: Sequence[Pictures | None], network: nn.Module | None = None
) -> str:
    """16 hex digits of options, seed, precision, the network's weights, and every picture and how it is read.

    Args:
        parts: the pictures by what they are for, in a fixed order; None and no pictures are alike.
        network: whose weights decide too, such as a frozen teacher.
    """
    digest = hashlib.sha256(f"{options.model_dump_json()} {run.seed} {run.precision}".encode())
    for value in network.state_dict().values() if network is not None else ():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    for part in parts:
        digest.update("".join(["/", *(part.hashes() if part is not None else ())]).encode())
        if part:
            digest.update(f" {part.frame.intensities} {part.frame.reduced}".encode())
    return digest.hexdigest()[:16]


def fit_once(detector: AnyDetector, data: TrainingData, run: Run, watch: Watch = UNWATCHED) -> AnyDetector:
    """The detector, fitted; or one that an earlier fit of the same left in `run.trained`.

    Unfinished work of each detector is kept in a folder of its own among the run's checkpoints.

    Raises:
        Stopped, DataError: as `Detector.fit`.
    """
    if not detector.needs().natural:
        data = dataclasses.replace(data, natural=None)
    store = run.trained or run.checkpoints
    if store is None:
        return detector.fit(data, run, watch)
    parts = (data.normal, data.tuning, data.natural, data.defective)
    name = f"{detector.name}-{fingerprint(detector.options, run, parts)}"
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
