"""Change what a trained model promises, or turn a knob that stayed open after training. No torch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flawscope.data.groups import GroupChoice, grouped_by
from flawscope.data.groups_as_before import as_before, group_further
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample, paths_of
from flawscope.data.survey import require_spread
from flawscope.data.tiles import cut, file_of_each_part, groups_of, largest_grid, units_of
from flawscope.errors import OptionError, OutputError
from flawscope.progress import Progress, Silent
from flawscope.runtime import bundle, versions
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Calibration, Promise, normals_needed
from flawscope.runtime.conditions import joined, of_files
from flawscope.runtime.engines import Pair
from flawscope.runtime.groups import Judge, numbered
from flawscope.runtime.pipeline import Pipeline
from flawscope.runtime.provenance import SeenPicture, seen
from flawscope.station.choose_engine import choose_here
from flawscope.station.gate import Gate
from flawscope.station.gated import Gated, require_same, switch_if_it_passes
from flawscope.station.normals import judged, tiling_with, unseen


@dataclass(frozen=True, slots=True)
class CalibrateResult:
    """What changed: the model, pictures scored, those left out, and stored scores that were replaced.

    `unsigned` tells that the model bore a signature, which holds for it no more; `told` what the user should
    read of the pictures' groups; `unkept` why the model before could not be kept as a version; `gated` what
    a gate made of the change, where there is one.
    """

    bundle: Bundle
    added: int
    known: int
    replaced: int = 0
    unsigned: bool = False
    told: tuple[str, ...] = ()
    unkept: str = ""
    gated: Gated | None = None

    def event(self) -> dict[str, Any]:
        """What the model's log says of it."""
        counts = {"added": self.added, "known": self.known, "replaced": self.replaced}
        calibration = self.bundle.manifest.calibration
        promised = {"promise": calibration.statement(), "reject_threshold": calibration.reject_threshold}
        return {"event": "calibrate", **counts, **promised}


@dataclass(frozen=True, slots=True)
class _Scored:
    """Scores of good pictures, and the number of each one's part; none where each counts by itself."""

    scores: Sequence[float] = ()
    groups: tuple[int, ...] = ()
    by: str = ""

    @property
    def count(self) -> int:
        return len(set(self.groups)) or len(self.scores)


@dataclass(frozen=True, slots=True)
class _Wish:
    """The rates in force, and the promise, and what it is on, where they are asked for."""

    alpha: float
    delta: float
    promise: Promise | None
    judge: Judge | None

    def afresh(self, calibration: Calibration, new: _Scored) -> Calibration:
        """Held-out scores alone; a cross-conformal promise becomes one with confidence if it can."""
        promise = self.promise or calibration.promise
        if calibration.cross_conformal and self.promise is None and self._kept_by(new.count):
            promise = "with_confidence"
        return Calibration(
            scores=tuple(new.scores),
            alpha=self.alpha,
            delta=self.delta,
            promise=promise,
            groups=new.groups,
            judge=self.judge or (calibration.judge if new.groups else "picture"),
            grouped_by=new.by,
        )

    def extended(self, calibration: Calibration, new: _Scored) -> Calibration:
        """The stored scores and the new ones; a cross-conformal model leaves its own once these suffice."""
        if calibration.cross_conformal and new.scores and self.replaces(new.count):
            return self.afresh(calibration, new)
        changed = calibration.with_settings(
            alpha=self.alpha, delta=self.delta, promise=self.promise, judge=self.judge
        )
        return changed.with_more(new.scores, new.groups) if new.scores else changed

    def replaces(self, count: int) -> bool:
        """Whether so many held-out scores take the place of those from folds."""
        return self.promise == "with_confidence" or self._kept_by(count)

    def _kept_by(self, count: int) -> bool:
        return count >= normals_needed(self.alpha, self.delta, self.promise or "with_confidence")


def calibrate(
    model: Path,
    *,
    alpha: float | None = None,
    delta: float | None = None,
    promise: Promise | None = None,
    normals: Sequence[Path] = (),
    groups: GroupChoice | None = None,
    judge: Judge | None = None,
    scalars: Mapping[str, float] | None = None,
    engines: Sequence[Pair] = (),
    gate: Gate | None = None,
    progress: Progress | None = None,
) -> CalibrateResult:
    """Re-read the stored scores under new settings, after adding the scores of `normals`.

    Pictures that the model has seen, by their content, are left out and counted. A cross-conformal model
    (the weaker promise) changes to held-out scores alone as soon as the new pictures support the wish; those
    that were added before, too few then, may be among them again.

    With `scalars`, such as `{"local_weight": 0.7}`, knobs of the graph are turned, which changes every
    score: those of `normals` replace the stored ones, and the heatmap's levels are read from them again.
    Pictures that calibrated before may serve again; those that fit has seen are left out and counted. Where
    an overview was brought to the scale of tiles, the pictures that told the scale must be among them: they
    tell the new one.

    Pictures of one part count once, where `groups` or else the model say which those are; such of a part that
    the model knows are left out and counted. Where groups are named for scores that had none, those of
    `normals` replace them, and pictures that calibrated before may serve again.

    With `engines`, the fastest of them on this machine whose parity holds will run the model (see
    `station.choose_engine`); it gives other scores, so those of `normals` replace the stored ones, too.

    The model before is kept as a version, so that `versions.rollback` returns to it; where the folder above
    cannot be written, the model changes all the same, and the result says so. With `gate`, the changed model
    takes the place of the one in use only if it passes; otherwise it stays among the versions.

    A signature ends, since whoever signed vouched for the old thresholds; `deploy` with `sign` makes a signed
    copy.

    Raises:
        BundleError: a damaged model, or one that changed meanwhile; none of `engines` answers as it should.
        CalibrationError: the scores support no rate below 50 %, or every given picture is known.
        DataError: pictures that are all alike, or of one colour.
        InputError: a picture that cannot be read.
        MissingExtraError: the only one of `engines` is not installed.
        OptionError: a knob that the model does not have, or a value outside its range; `scalars`, `engines`
            or `groups` without `normals`; a picture is missing that scaled an overview; groups that cannot be
            made, or none for a model that counts parts.
    """
    opened = bundle.load(model)
    changed = recalibrated(
        opened,
        alpha=alpha,
        delta=delta,
        promise=promise,
        normals=normals,
        groups=groups,
        judge=judge,
        scalars=scalars,
        engines=engines,
        progress=progress,
    )
    if gate is not None:
        require_same(opened)
        candidate = versions.candidate_like(opened, changed.bundle.manifest)
        gated = switch_if_it_passes(model, candidate, gate, changed.event(), progress=progress)
        return replace(changed, bundle=bundle.load(gated.folder), gated=gated)
    return _in_place(opened, changed)


def _in_place(opened: Bundle, changed: CalibrateResult) -> CalibrateResult:
    """Write the new manifest, after the model was kept if it can be."""
    if changed.bundle.manifest == opened.manifest and not opened.signed:
        return changed
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(versions.changing(opened.folder, changed.event()))
        except OutputError as error:
            changed = replace(changed, unkept=str(error))
        require_same(opened)
        return replace(changed, bundle=bundle.replace_manifest(opened, changed.bundle.manifest))


def recalibrated(
    opened: Bundle,
    *,
    alpha: float | None = None,
    delta: float | None = None,
    promise: Promise | None = None,
    normals: Sequence[Path] = (),
    groups: GroupChoice | None = None,
    judge: Judge | None = None,
    scalars: Mapping[str, float] | None = None,
    engines: Sequence[Pair] = (),
    progress: Progress | None = None,
) -> CalibrateResult:
    """`calibrate` of a model that is open, without writing: the result's manifest is the new one."""
    progress = progress or Silent()
    before, pictures = opened.manifest.calibration, opened.manifest.provenance.pictures
    wish = _Wish(
        before.alpha if alpha is None else alpha, before.delta if delta is None else delta, promise, judge
    )
    choice = as_before(before.grouped_by, groups) if normals else groups
    regrouped = not before.groups and choice is not None and bool(choice.model_dump())
    changes, hint = dict[str, Any](), ""
    anew = bool(scalars or engines or regrouped)
    turned = opened.manifest.with_scalars(scalars or {})  # a name that is unknown needs no pictures
    if anew or groups is not None:
        knobs = [*(scalars or ()), *(["engine"] if engines else []), *(["groups"] if groups else [])]
        _require(normals, ", ".join(knobs))
    if anew:
        tiling = tiling_with(opened, scalars or {}, normals, progress)
        opened = replace(opened, manifest=turned.model_copy(update={"tiling": tiling}))
        pictures = tuple(picture for picture in pictures if picture.role != "calibration")
        few = "; with few pictures, all of them serve to train"
        hint = few if before.cross_conformal else ", or those set aside"
    samples, new, told = tuple[Sample, ...](), _Scored(), tuple[str, ...]()
    frame, tiling = opened.manifest.frame, opened.manifest.tiling
    if normals:
        given = [Sample(path, "train", defective=False) for path in normals]
        grouping = group_further(given, before.grouped_by, groups)
        told = tuple(filter(None, [grouping.said]))
        if before.cross_conformal and not anew:
            pictures = _without_added(pictures, grouping.samples, wish)
        samples = unseen(grouping.samples, pictures, hint)
        require_spread(PictureFiles(samples, frame))
        good = cut(samples, frame, tiling)
        if engines:
            chosen = choose_here(opened, engines, good, progress)
            pipeline, changes = chosen.pipeline, {"parity": chosen.parity, "speeds": chosen.speeds}
        else:
            pipeline = Pipeline.open(opened)
        scores, levels = judged(pipeline, good, progress)
        new = _Scored(scores, numbered(groups_of(good)), grouped_by(choice, samples))
    calibration = wish.afresh(before, new) if anew else wish.extended(before, new)
    changes["calibration"], alone = calibration, len(calibration.scores) == len(new.scores)
    if alone:
        pictures = tuple(picture for picture in pictures if picture.role != "calibration")
        changes |= {"heatmap": levels, "engine": pipeline.engine, "precision": pipeline.precision}
    if normals:
        conditions = of_files(file_of_each_part(good), frame, tiling)
        changes["calibrated_tiles"] = largest_grid(good, None if alone else opened.manifest.calibrated_tiles)
        changes["conditions"] = conditions if alone else joined(opened.manifest.conditions, conditions)
    known = seen(paths_of(samples), "calibration", [sample.group for sample in samples])
    provenance = opened.manifest.provenance.model_copy(update={"pictures": (*pictures, *known)})
    changes["provenance"] = provenance.calibrated_in_folds() if alone else provenance
    updated = replace(opened, manifest=opened.manifest.model_copy(update=changes))
    replaced = len(before.scores) if alone else 0
    return CalibrateResult(updated, len(samples), len(normals) - len(samples), replaced, opened.signed, told)


def _without_added(
    pictures: Sequence[SeenPicture], given: Sequence[Sample], wish: _Wish
) -> tuple[SeenPicture, ...]:
    """Those that the model knows, but those added after its folds where what is given now suffices."""
    fitted = tuple(picture for picture in pictures if picture.role != "calibration")
    count = len(set(units_of(unseen(given, fitted, ""))))
    return fitted if wish.replaces(count) else tuple(pictures)


def _require(normals: Sequence[Path], knobs: str) -> None:
    if not normals:
        raise OptionError(
            knobs,
            expected="good pictures to score anew (--normals FOLDER)",
            got="none",
            fix="The stored scores are of the model as it is; name good pictures that training has not seen.",
        )
