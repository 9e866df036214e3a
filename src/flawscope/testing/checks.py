"""The properties that every detector has: each public function here is one, of a `Subject`, in their order.

A broken one raises an AssertionError that says by how much it is broken; one that does not apply to the
method raises `unittest.SkipTest` with the reason.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import SkipTest

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from flawscope.errors import BundleError, DataError, FlawscopeError
from flawscope.methods.detector import Teachable
from flawscope.methods.registry import parse_options
from flawscope.methods.running import taught, with_tensors
from flawscope.nn.run import Checkpoints
from flawscope.runtime import bundle
from flawscope.runtime.engines import DEFAULT
from flawscope.runtime.images import to_frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.parity import check_parity
from flawscope.runtime.tiling import Tiling
from flawscope.testing.rings import SIDE
from flawscope.testing.subject import Outputs, Subject, stopped_in_every_stage
from flawscope.training.parity import parity

TURNED = 2  # pictures that are compared at either end of a scalar's range


def few_pictures_are_refused(subject: Subject) -> None:
    """One good picture fewer than the method needs gives a DataError."""
    count = max(subject.needs.normal - 1, 0)
    few = replace(subject.data, normal=subject.data.normal.subset(range(count)))
    _refuses(f"fitting on {count} pictures", DataError, lambda: subject.fit(data=few))


def outputs_are_those_declared(subject: Subject) -> None:
    """`forward` returns what `outputs` declares: finite, of the declared shapes, the score first."""
    detector, count = subject.detector, len(subject.tests)
    declared = [output.name for output in detector.outputs]
    with torch.inference_mode():
        returned = list(detector(torch.zeros(1, 3, *detector.options.size)))
    _require(sorted(returned) == sorted(declared), f"declares outputs {declared}, returns {returned}")
    kinds = [output.kind for output in detector.outputs]
    sole = kinds[0] == "score" and kinds.count("score") == 1
    _require(sole, f"the first output and no other must be the score, got {kinds}")
    for name, kind, value in zip(declared, kinds, subject.outputs.values(), strict=True):
        what, dimensions = f"output {name} of kind {kind}", {"score": 1, "vector": 2}.get(kind, 3)
        _finite(what, value)
        _require(
            value.ndim == dimensions and len(value) == count,
            f"{what} must have {dimensions} dimensions and {count} rows for {count} pictures, has shape "
            f"{value.shape}",
        )
        whole = kind in ("label_map", "index_map") and np.issubdtype(value.dtype, np.integer)
        _require(value.dtype == np.float32 or whole, f"{what} is {value.dtype}")


def scoring_changes_no_state(subject: Subject) -> None:
    """Scoring leaves weights, buffers and torch's global random numbers as they were."""
    detector = subject.detector
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    random = torch.random.get_rng_state()
    subject.score(detector, subject.tests.subset(range(2)))
    moved = _moved(before, detector.state_dict())
    _require(not moved, f"scoring changes state: {', '.join(moved)}")
    still = torch.equal(random, torch.random.get_rng_state())
    _require(still, "scoring draws from torch's global random numbers")


def fitting_again_gives_the_same(subject: Subject) -> None:
    """The same seed and pictures give the same scores, also where the object was fitted before."""
    again = copy.deepcopy(subject.detector).fit(subject.data, subject.run())
    _same(subject, "fitting twice gives", subject.score(again))


def stopped_and_resumed_gives_the_same(subject: Subject) -> None:
    """A fit stopped in the middle of each stage and begun again ends as an uninterrupted one does."""
    run = subject.run(checkpoints=Checkpoints(subject.folder / "unfinished"))
    resumed, stages = stopped_in_every_stage(lambda watch: subject.fit(run, watch=watch))
    if not stages:
        raise SkipTest("its fit is over before it can be stopped")
    whole, names = subject.detector, ("facts", "history")
    moved = _moved(whole.state_dict(), resumed.state_dict())
    moved += [name for name in names if getattr(whole.learnt, name) != getattr(resumed.learnt, name)]
    deed = f"stopped in {', '.join(stages)} and resumed it ends with another"
    _require(not moved, f"{deed} {', '.join(moved)}")


def another_seed_gives_another_model(subject: Subject) -> None:
    """The seed reaches what is drawn."""
    seed = subject.seed + 1
    other = subject.fit(subject.run(seed=seed))
    moved = _moved(subject.detector.state_dict(), other.state_dict())
    _require(bool(moved), f"seeds {subject.seed} and {seed} give the same model")


def tuning_pictures_teach_nothing(subject: Subject) -> None:
    """Other tuning pictures change no learnt weight: scales at most, and nothing where none are used."""
    detector, tuning = subject.detector, subject.data.tuning
    other = subject.fit(data=replace(subject.data, tuning=tuning.subset(range(1, len(tuning)))))
    scales = {name for name, _ in detector.named_buffers()} if subject.needs.tuning else set[str]()
    moved = [name for name in _moved(detector.state_dict(), other.state_dict()) if name not in scales]
    _require(not moved, f"other tuning pictures change {', '.join(moved)}")


def single_pictures_give_what_a_batch_gives(subject: Subject) -> None:
    """No picture's answer depends on the others of its batch."""
    _same(subject, "single pictures give", subject.score(subject.detector, batch=1))


def another_order_gives_the_same(subject: Subject) -> None:
    """No picture's answer depends on those before it."""
    backwards = subject.tests.subset(range(len(subject.tests))[::-1])
    outputs = subject.score(subject.detector, backwards, batch=4)
    _same(subject, "another order gives", {name: values[::-1] for name, values in outputs.items()})


def saved_and_loaded_gives_the_same(subject: Subject) -> None:
    """All that was learnt lies in the tensors that are saved."""
    path, detector = subject.folder / "weights.safetensors", subject.detector
    save_file({name: value.contiguous() for name, value in detector.state_dict().items()}, path)
    loaded = with_tensors(subject.new(detector.learnt.facts), load_file(path))
    _same(subject, "saved and loaded again it gives", subject.score(loaded))


def what_is_taught_is_kept(subject: Subject) -> None:
    """A method that can be taught learns the same every time, and all of it lies in the tensors and facts."""
    if not isinstance(subject.detector, Teachable):
        raise SkipTest("it can only be trained again")
    data = replace(subject.data, normal=subject.tests.subset(range(3)))
    first, again = (taught(copy.deepcopy(subject.detector), data, subject.run()) for _ in range(2))
    _require(not _moved(first.state_dict(), again.state_dict()), "teaching twice gives two models")
    json.dumps(first.learnt.facts)
    outputs = subject.score(first)
    loaded = subject.score(with_tensors(subject.new(first.learnt.facts), first.state_dict()))
    unlike = [name for name, values in outputs.items() if not np.array_equal(values, loaded[name])]
    _require(not unlike, f"taught, saved and loaded again it gives another {', '.join(unlike)}")


def foreign_weights_are_refused(subject: Subject) -> None:
    """Tensors that lack one, or hold one too many, give a BundleError."""
    tensors, other = subject.detector.state_dict(), copy.deepcopy(subject.detector)
    foreign = {"one too many": {**tensors, "foreign": torch.zeros(1)}}
    if tensors:
        foreign["one too few"] = {name: tensors[name] for name in list(tensors)[1:]}
    for what, wrong in foreign.items():
        _refuses(f"weights with {what}", BundleError, partial(with_tensors, other, wrong))


def options_survive_json(subject: Subject) -> None:
    """Options written to JSON and read again are the same options."""
    options = subject.detector.options
    again = parse_options(subject.label, type(options), json.loads(options.model_dump_json()))
    _require(again == options, f"options {options!r} come back from JSON as {again!r}")


def plain_pictures_are_scored(subject: Subject) -> None:
    """Pictures all black and all white have finite answers."""
    detector = subject.detector
    for name, level in (("black", 0.0), ("white", 1.0)):
        with torch.inference_mode():
            answer = detector(torch.full((1, 3, *detector.options.size), level))
        for output, value in answer.items():
            _finite(f"output {output} of a {name} picture", value.numpy())


def scalars_have_their_defaults(subject: Subject) -> None:
    """A scalar that nobody names has the value of its option."""
    if not subject.detector.options.scalars:
        raise SkipTest("it has no scalars")
    with torch.inference_mode():
        answer = subject.detector(torch.from_numpy(np.stack(list(subject.tests))))
    bare = {name: value.numpy() for name, value in answer.items()}
    _same(subject, "without values for its scalars it gives", bare)


def every_engine_agrees(subject: Subject) -> None:
    """The graph answers as the trained detector does, in every engine that is installed."""
    for figures in bundle.load(subject.model).manifest.parity:
        check_parity(figures)


def scalars_turn_the_graph(subject: Subject) -> None:
    """The graph follows the detector to either end of each scalar's range, and its outputs move."""
    if not subject.detector.options.scalars:
        raise SkipTest("it has no scalars")
    detector, pipeline, pictures = subject.detector, subject.pipeline(), subject.tests.subset(range(TURNED))
    for scalar in detector.options.scalars:
        ends = []
        for value in (scalar.low, scalar.high):
            turned, where = pipeline.turned({scalar.name: value}), f"with {scalar.name} at {value:g}"
            try:
                check_parity(*parity(detector, [turned], pictures, subject.run()))
            except FlawscopeError as error:
                raise AssertionError(f"the exported graph {where} fails parity: {error}") from error
            ends.append([values for answer in turned.score(pictures) for values in answer.values()])
            for values in ends[-1]:
                _finite(f"an output {where}", values)
        moved = any(not np.array_equal(*pair) for pair in zip(*ends, strict=True))
        _require(moved, f"{scalar.name} at {scalar.low:g} and at {scalar.high:g} gives the same outputs")


def the_inspector_answers_plain_pictures(subject: Subject) -> None:
    """Black, white and tiny pictures have finite scores and heatmaps, twice the same."""
    inspector = Inspector.load(subject.model, engine=DEFAULT)
    plain = {
        "black": np.zeros((SIDE, SIDE, 3), np.uint8),
        "white": np.full((SIDE, SIDE, 3), 255, np.uint8),
        "tiny": np.full((1, 2, 3), 128, np.uint8),
    }
    for name, pixels in plain.items():
        first, second = inspector.inspect(pixels), inspector.inspect(pixels)
        _finite(f"score of a {name} picture", np.array(first.score))
        if first.heatmap is not None:
            _finite(f"heatmap of a {name} picture", first.heatmap)
        _require(first.score == second.score, f"a {name} picture scores {first.score}, then {second.score}")


def large_pictures_are_answered_in_tiles(subject: Subject) -> None:
    """Tiles of a larger picture are taken as pictures are: the highest counts, the heatmap is whole."""
    if subject.needs.whole:
        raise SkipTest(subject.needs.whole)
    plain = bundle.load(subject.model)
    frame = plain.manifest.frame
    size = frame.height, frame.width
    tiling = Tiling(size=size, stride=(size[0] * 3 // 4, size[1] * 3 // 4))
    manifest = plain.manifest.model_copy(update={"tiling": tiling})
    inspector = Inspector.load(replace(plain, manifest=manifest), engine=DEFAULT)
    picture = np.random.default_rng(subject.seed).integers(0, 256, (2 * size[0], size[1] + 5, 3), np.uint8)
    answer, grid = inspector.inspect(picture), tiling.grid(*picture.shape[:2])
    frames = (to_frame(picture, frame, placement=tile.placement) for tile in grid.tiles())
    scores = [float(one["score"]) for one in inspector.pipeline.score(frames, ("score",))]
    _require(answer.score == max(scores), f"a picture scores {answer.score}, its tiles up to {max(scores)}")
    if answer.heatmap is not None:
        _finite("heatmap of a picture in tiles", answer.heatmap)
        _require(answer.heatmap.shape == picture.shape[:2], f"a heatmap of {answer.heatmap.shape}")


def _require(holds: bool, otherwise: str) -> None:
    """Raise an AssertionError with that message unless it holds."""
    if not holds:
        raise AssertionError(otherwise)


def _finite(what: str, values: NDArray[Any]) -> None:
    """No value is NaN or infinite."""
    wrong = int(values.size - np.isfinite(values).sum())
    _require(wrong == 0, f"{what}: {wrong} of {values.size} values are NaN or infinite")


def _same(subject: Subject, deed: str, got: Outputs) -> None:
    """Compare real-valued outputs; indices may differ where two members are equally near."""
    for name, values in subject.outputs.items():
        if not np.issubdtype(values.dtype, np.floating):
            continue
        _require(
            values.shape == got[name].shape, f"{deed} {name} of shape {got[name].shape}, not {values.shape}"
        )
        difference = float(np.abs(values.astype(np.float64) - got[name]).max())
        spread = max(float(np.ptp(values)), 0.01 * float(np.abs(values).max()))
        _require(
            difference <= subject.tolerance * spread,
            f"{deed} another {name}: it differs by up to {difference:.3g}, with a spread of {spread:.3g} "
            f"over {len(values)} pictures; {subject.tolerance:g} of it may",
        )


def _refuses(deed: str, error: type[Exception], act: Callable[[], object]) -> None:
    wish = f"{deed} must raise a {error.__name__}, got"
    try:
        act()
    except error:
        return
    except Exception as other:
        raise AssertionError(f"{wish} {other!r}") from other
    raise AssertionError(f"{wish} a model")


def _moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that differ, or that only one side has."""
    shared = [name for name in before if name in after]
    moved = [name for name in shared if not torch.equal(before[name].cpu(), after[name].cpu())]
    return moved + sorted(before.keys() ^ after.keys())
