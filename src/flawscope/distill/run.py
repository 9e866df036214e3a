"""Distil: pictures and pretrained networks in, a teacher's weights file and its card out."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError

import flawscope
from flawscope.distill.cards import card_text
from flawscope.distill.features import Targets
from flawscope.distill.options import DistillOptions
from flawscope.distill.pictures import PictureCache
from flawscope.distill.students import Student, build_student
from flawscope.distill.training import Distilled, distill, measure
from flawscope.errors import DataError, InputError, OptionError, WeightsError
from flawscope.files import sha256, writable_folder, write_text
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.teachers import STATISTICS, SUFFIX, load_teacher
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.run import Checkpoints, Run, telling_what_is_kept, write_tensors
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.frozen import option_error, refuse_truths
from flawscope.runtime.listing import list_pictures, told

_FINGERPRINT = "fingerprint"
_SAMPLE = 0xD19


@dataclass(frozen=True, slots=True)
class DistillResult:
    """What a distillation made.

    Attributes:
        weights: the file of the network and its targets' statistics.
        card: the JSON file beside it that says how it was made.
        r2: held-out R² by layer of the targets and for `all`; empty where nothing was held out.
        counts: pictures trained on and held out.
        seconds: duration of this call.
    """

    weights: Path
    card: Path
    r2: dict[str, float]
    counts: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class TeacherFigures:
    """How well a teacher predicts its targets on pictures: R² by layer and for `all`, and their number."""

    r2: dict[str, float]
    pictures: int


def parse_options(values: Mapping[str, Any]) -> DistillOptions:
    """Options from plain values.

    Raises:
        OptionError: the first unknown name or wrong value.
    """
    try:
        made = DistillOptions.model_validate(dict(values))
    except ValidationError as error:
        raise option_error(DistillOptions, error, "option {!r}") from error
    refuse_truths(made, values, "option {!r}")
    return made


def distill_teacher(
    folder: Path,
    out: Path,
    options: DistillOptions,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    overwrite: bool = False,
) -> DistillResult:
    """Distil over all pictures in `folder` and the folders in it, into `out` and a card beside it.

    Unfinished work lies beside `out`; the same call resumes there, to the same weights on the same machine.

    Raises:
        InputError: no such folder, a picture that cannot be read, or unfinished work of another call.
        DataError: fewer than two pictures.
        OptionError: `out` or its card is there and `overwrite` off, or no .safetensors file; unknown network
            or layer.
        WeightsError: a teacher's weights are absent or damaged.
        OutputError: `out` cannot be written, or the disk is full; unfinished work is kept.
        Stopped: the stop signal was set.
    """
    started = time.perf_counter()
    _check_out(out, overwrite)
    paths = _pictures(folder, watch)
    targets, sources = build_targets(options)
    student = build_student(options, targets.channels, run)
    data = _digest(folder, paths)
    facts = (options.model_dump_json(), str(run.seed), str(run.training_dtype), data)
    run = _with_checkpoints(run, out, (*facts, *(sha256(source) for source in sources if source)))
    with telling_what_is_kept(run):
        cache = PictureCache(paths, options.cached_sizes, run, watch)
        made = distill(targets, student, cache, options, run, watch=watch)
        moments = dict(zip(STATISTICS, (made.mean, made.std), strict=True))
        write_tensors(out, {**made.student.body.state_dict(), **moments})
    counts = {"trained_on": len(made.trained_on), "held_out": len(made.held_out)}
    seconds = time.perf_counter() - started
    card = {
        "targets": _described(targets, sources, options),
        "data": {"name": folder.resolve().name, "digest_of_names_and_sizes": data, **counts},
        "training": _training(options, run, seconds, made),
        "held_out_r2": {name: round(value, 6) for name, value in made.r2.items()},
    }
    text = card_text(out, folder, made.student, options=options, run=run, sections=card)
    write_text(out.with_suffix(".json"), text)
    shutil.rmtree(_unfinished(out), ignore_errors=True)
    return DistillResult(out, out.with_suffix(".json"), made.r2, counts, seconds)


def evaluate_teacher(
    weights: str,
    folder: Path,
    options: DistillOptions,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    limit: int | None = None,
) -> TeacherFigures:
    """R² of a teacher on all pictures in `folder`, or on `limit` of them drawn by the run's seed.

    Args:
        weights: a name from `flawscope weights` or the path of a .safetensors file.
        folder: pictures that the teacher should not have seen in training.
        options: its `student`, the targets that it learnt to predict, and the sizes.
        run: seed, device and precision.
        limit: most pictures.

    Raises:
        WeightsError: absent or damaged weights, or ones that do not belong to these targets.
        InputError, DataError, OptionError: as for `distill_teacher`.
    """
    if options.student not in ("pdn_s", "pdn_m"):
        raise OptionError(
            "student", expected="pdn_s or pdn_m", got=options.student, fix="Only these are teachers."
        )
    paths = _pictures(folder, watch)
    if limit is not None and limit < len(paths):
        chosen = torch.randperm(len(paths), generator=run.generator(_SAMPLE))[: max(limit, 2)]
        paths = [paths[index] for index in sorted(chosen.tolist())]
    teacher = load_teacher(weights, "small" if options.student == "pdn_s" else "medium")
    targets, _ = build_targets(options)
    if teacher.statistics is None or teacher.channels != targets.channels:
        raise WeightsError(
            f"weights {weights}",
            expected=f"{' and '.join(STATISTICS)} of {targets.channels} channels, as the layers have",
            got="none" if teacher.statistics is None else f"{teacher.channels} channels",
            fix="Name the teachers, layers and features that its card names.",
        )
    device = run.torch_device()
    figures = measure(
        targets.to(device),
        Student(teacher.body).to(device).eval(),
        PictureCache(paths, options.cached_sizes, run, watch),
        range(len(paths)),
        statistics=teacher.statistics,
        options=options,
        run=run,
        watch=watch,
    )
    return TeacherFigures(figures, len(paths))


def build_targets(options: DistillOptions) -> tuple[Targets, list[Path | None]]:
    """Ψ with its weights, and the file that each teacher's weights came from (None: random).

    Raises:
        OptionError: unknown network or layer, or lists of different lengths.
        WeightsError: weights that are absent or damaged.
    """
    layers: Sequence[Sequence[str] | None] = options.layers or [None] * len(options.teacher)
    if len(layers) != len(options.teacher):
        raise OptionError(
            "layers",
            expected=f"a list for each of {len(options.teacher)} teachers",
            got=str(len(layers)),
            fix="Separate the teachers' lists by a slash: layer2,layer3/blocks.2,blocks.4",
        )
    backbones: list[Backbone] = []
    sources: list[Path | None] = []
    for name, chosen, size in zip(options.teacher, layers, options.sizes, strict=True):
        backbone = build_backbone(name, chosen, size=(size, size))
        sources.append(load_pretrained(backbone) if options.weights == "pretrained" else None)
        backbones.append(backbone)
    return Targets(backbones, features=options.features, channels=options.channels), sources


def _pictures(folder: Path, watch: Watch) -> list[Path]:
    listing = list_pictures(folder)
    paths = listing.pictures
    for line in told(listing.left_out):
        watch.say(line)
    if len(paths) < 2:
        raise DataError(
            f"folder {folder}",
            expected="at least 2 pictures, in it or in folders in it",
            got=str(len(paths)),
            fix="Name a folder of natural pictures; thousands make a good teacher.",
        )
    return paths


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix != SUFFIX:
        raise OptionError(
            f"output {out}", expected=f"a {SUFFIX} file", got=out.suffix or "no ending", fix="Rename it."
        )
    there = [each for each in (out, out.with_suffix(".json")) if each.exists()]
    if there and not overwrite:
        raise OptionError(
            f"output {there[0]}",
            expected="a new file" if there[0] == out else f"no such file, for the card of {out.name}",
            got="one that is there",
            fix="Choose another --out, or replace it with --overwrite.",
        )
    writable_folder(out.parent)


def _digest(folder: Path, paths: Sequence[Path]) -> str:
    """sha256 over the pictures' names and sizes: cheap for a million files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path.relative_to(folder).as_posix()) + f":{path.stat().st_size};".encode())
    return digest.hexdigest()


def _unfinished(out: Path) -> Path:
    return out.parent / f".{out.stem}.unfinished"


def _with_checkpoints(run: Run, out: Path, facts: Sequence[str]) -> Run:
    """Checkpoints beside `out` of this very call, by its `facts`; those of another are never overwritten."""
    kept = Checkpoints(_unfinished(out))
    fingerprint = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    file = kept.folder / _FINGERPRINT
    if kept.told() and file.is_file() and file.read_text(encoding="utf-8") != fingerprint:
        raise InputError(
            f"unfinished work {kept.folder}",
            expected="that of this command, on these pictures and with these teachers' weights",
            got="that of another command",
            fix="Give the earlier command again to finish it, choose another --out, or remove the folder.",
        )
    write_text(file, fingerprint)
    return dataclasses.replace(run, checkpoints=kept)


def _described(targets: Targets, sources: Sequence[Path | None], options: DistillOptions) -> dict[str, Any]:
    teachers = []
    for backbone, source, size in zip(targets.backbones, sources, options.sizes, strict=True):
        network = cast(Backbone, backbone)
        teachers.append(
            {
                "network": network.name,
                "library": network.library,
                "weights": source.name if source else "random",
                "sha256": sha256(source) if source else None,
                "layers": network.channels,
                "size": size,
            }
        )
    return {"features": targets.features, "channels": targets.channels, "teachers": teachers}


def _training(options: DistillOptions, run: Run, seconds: float, made: Distilled) -> dict[str, Any]:
    chosen = options.model_dump(
        mode="json", exclude={"teacher", "layers", "features", "channels", "student", "weights"}
    )
    return {
        **chosen,
        "precision": str(run.training_dtype).removeprefix("torch."),
        "device": run.torch_device().type,
        "machine": platform.machine(),
        "seed": run.seed,
        "seconds": round(seconds, 1),
        "last_loss": made.history[-1]["total"] if made.history else None,
        "flawscope": flawscope.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
