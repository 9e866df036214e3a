"""What is done with a detector, whatever its method: score pictures, take over tensors, write its files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError, OptionError
from flawscope.files import write_atomically
from flawscope.methods.detector import Detector, Facts, Teachable
from flawscope.methods.registry import create
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.banks.features import map_batches
from flawscope.nn.run import Run, full_float32, seeded
from flawscope.nn.watch import UNWATCHED, Watch, batches

BATCH = 8  # pictures that run together

AnyDetector = TypeVar("AnyDetector", bound=Detector)


@runtime_checkable
class KnowsFiles(Protocol):
    """A detector that may read what lies beside pictures whose files are known, when Python scores them."""

    def answer(self, pixels: Tensor, samples: Sequence[Sample], **scalars: Tensor) -> dict[str, Tensor]:
        """`forward` of the pictures `samples`."""


@runtime_checkable
class ReadsMaps(Protocol):
    """A detector whose answer depends on the maps of its frozen backbone alone."""

    backbone: Backbone

    def forward_maps(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`forward` of the pictures whose maps {layer: (N, C, h, w)} these are."""


def answers(
    detector: Detector,
    pictures: Pictures,
    run: Run,
    watch: Watch = UNWATCHED,
    keep: Collection[str] | None = None,
    *,
    batch: int = BATCH,
    scalars: Mapping[str, float] | None = None,
) -> Iterator[dict[str, NDArray[Any]]]:
    """The detector's own answer for each picture, one at a time, as `Pipeline.score` streams them.

    Args:
        detector: fitted.
        pictures: at the detector's frame.
        run: its device.
        watch: progress and stop signal.
        keep: outputs to keep; None keeps all.
        batch: pictures that run together.
        scalars: replace some or all of the options' values.
    """
    device = run.torch_device()
    detector.eval().to(device)
    knobs = {
        name: torch.tensor(value, dtype=torch.float32, device=device)
        for name, value in {**detector.options.scalar_values(), **(scalars or {})}.items()
    }
    names = [output.name for output in detector.outputs if keep is None or output.name in keep]
    for answer in _answered(detector, pictures, run, watch, knobs, batch=batch):
        values = {name: answer[name].cpu().numpy() for name in names}
        yield from ({name: values[name][row] for name in names} for row in range(len(values[names[0]])))


def _answered(
    detector: Detector,
    pictures: Pictures,
    run: Run,
    watch: Watch,
    knobs: Mapping[str, Tensor],
    *,
    batch: int,
) -> Iterator[dict[str, Tensor]]:
    """The answers of batches of pictures; of maps that the run keeps, where the detector reads them."""
    if run.maps is not None and run.feature_dtype == torch.float32 and isinstance(detector, ReadsMaps):
        for maps in map_batches(detector.backbone, pictures, run, watch, "scoring"):
            with torch.inference_mode(), full_float32():
                answer = detector.forward_maps(maps)
            yield answer
        return
    done = 0
    for pixels in batches(pictures, run, watch, "scoring", batch):
        samples = pictures.samples[done : done + len(pixels)]
        done += len(pixels)
        with torch.inference_mode(), full_float32():
            if isinstance(detector, KnowsFiles):
                answer = detector.answer(pixels, samples, **knobs)
            else:
                answer = detector(pixels, **knobs)
        yield answer


def score(
    detector: Detector,
    pictures: Pictures,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    keep: Collection[str] | None = None,
    batch: int = BATCH,
    scalars: Mapping[str, float] | None = None,
) -> dict[str, NDArray[Any]]:
    """Outputs for all pictures, stacked over the first axis, in their order; as `answers` gives them."""
    rows = list(answers(detector, pictures, run, watch, keep, batch=batch, scalars=scalars))
    return {name: np.stack([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def restored(
    method: str, options: Mapping[str, Any], tensors: Mapping[str, Tensor], facts: Facts | None = None
) -> Detector:
    """A trained detector from what its model folder keeps.

    Raises:
        BundleError: names or shapes of the tensors do not fit.
        OptionError: an unknown method or option.
    """
    return with_tensors(create(method, options, facts), tensors)


def with_tensors(detector: AnyDetector, tensors: Mapping[str, Tensor]) -> AnyDetector:
    """The detector with the tensors of a trained one of the same options and facts.

    Buffers take the tensors' shapes, since what fit fills depends on the data; parameters must fit.

    Raises:
        BundleError: names, or shapes of parameters, do not fit.
    """
    for name, value in list(detector.named_buffers()):
        if name in tensors and tensors[name].shape != value.shape:
            module, _, buffer = name.rpartition(".")
            detector.get_submodule(module).register_buffer(buffer, torch.empty_like(tensors[name]))
    try:
        detector.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise BundleError(
            "weights of the model",
            expected=f"the tensors of {detector.name} with these options",
            got=" ".join(str(error).split())[:300],
            fix="Train again, or take the model folder from its source again.",
        ) from error
    return detector.eval()


def taught(detector: AnyDetector, data: TrainingData, run: Run, watch: Watch = UNWATCHED) -> AnyDetector:
    """The trained detector, which has taken in `data.normal` (see `Teachable`); as repeatable as `fit`.

    Raises:
        OptionError: its method can only be trained again.
        FlawscopeError: what the method refuses.
    """
    if not isinstance(detector, Teachable):
        raise OptionError(
            f"method {detector.name}",
            expected="one that can be taught further good pictures",
            got="one that can only be trained again",
            fix="Train it again with the old pictures and the new ones.",
        )
    device = run.torch_device()
    with seeded(run.seed), full_float32():
        detector.learnt = detector.to(device).eval().teach(data, run, watch)
    return detector.to(device).eval()


def write_files(detector: Detector, folder: Path) -> None:
    """Write the files that fit handed back into the model folder.

    Raises:
        OutputError: a file cannot be written.
    """
    for name, content in detector.learnt.files.items():
        if callable(content):
            content(folder / name)
        else:
            with write_atomically(folder / name) as stream:
                stream.write(content)
