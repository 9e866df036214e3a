"""Change what a trained model promises, or turn a knob that stayed open after training. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.survey import require_spread
from flawscope.data.tiles import cut, tiles_of
from flawscope.errors import CalibrationError, OptionError
from flawscope.files import remembered_sha256
from flawscope.progress import Progress, Silent, counted
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Calibration, Promise, normals_needed
from flawscope.runtime.conditions import joined, of_files
from flawscope.runtime.engines import Pair
from flawscope.runtime.images import check_image
from flawscope.runtime.manifest import HeatmapRange, heatmap_range, seen
from flawscope.runtime.pipeline import Pipeline, scores_and_levels
from flawscope.runtime.tiling import of_pictures
from flawscope.station.choose_engine import choose_here


@dataclass(frozen=True, slots=True)
class CalibrateResult:
    """What changed: the model, pictures scored, those left out, and stored scores that were replaced.

    `unsigned` tells that the model bore a signature, which holds for it no more.
    """

    bundle: Bundle
    added: int
    known: int
    replaced: int = 0
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class _Wish:
    """The rates in force, and the promise where one is asked for."""

    alpha: float
    delta: float
    promise: Promise | None

    def afresh(self, calibration: Calibration, scores: Sequence[float]) -> Calibration:
        """Held-out `scores` alone; a cross-conformal promise becomes one with confidence if it can."""
        promise = self.promise or calibration.promise
        if calibration.cross_conformal and self.promise is None and self._kept_by(scores):
            promise = "with_confidence"
        return Calibration(scores=tuple(scores), alpha=self.alpha, delta=self.delta, promise=promise)

    def extended(self, calibration: Calibration, scores: Sequence[float]) -> Calibration:
        """The stored scores and `scores`; a cross-conformal model leaves its own once these suffice."""
        enough = self.promise == "with_confidence" or self._kept_by(scores)
        if calibration.cross_conformal and scores and enough:
            return self.afresh(calibration, scores)
        changed = calibration.with_settings(alpha=self.alpha, delta=self.delta, promise=self.promise)
        return changed.with_more(scores) if scores else changed

    def _kept_by(self, scores: Sequence[float]) -> bool:
        return len(scores) >= normals_needed(self.alpha, self.delta, self.promise or "with_confidence")


def calibrate(
    model: Path,
    *,
    alpha: float | None = None,
    delta: float | None = None,
    promise: Promise | None = None,
    normals: Sequence[Path] = (),
    scalars: Mapping[str, float] | None = None,
    engines: Sequence[Pair] = (),
    progress: Progress | None = None,
) -> CalibrateResult:
    """Re-read the stored scores under new settings, after adding the scores of `normals`.

    Pictures that the model has seen, by their content, are left out and counted. A cross-conformal model
    (the weaker promise) changes to held-out scores alone as soon as the new pictures support the wish.

    With `scalars`, such as `{"local_weight": 0.7}`, knobs of the graph are turned, which changes every
    score: those of `normals` replace the stored ones, and the heatmap's levels are read from them again.
    Pictures that calibrated before may serve again; those that fit has seen are left out and counted.

    With `engines`, the fastest of them on this machine whose parity holds will run the model (see
    `station.choose_engine`); it gives other scores, so those of `normals` replace the stored ones, too.

    A signature ends, since whoever signed vouched for the old thresholds; `deploy` with `sign` makes a signed
    copy.

    Raises:
        BundleError: a damaged model, or none of `engines` answers as it should.
        CalibrationError: the scores support no rate below 50 %, or every given picture is known.
        DataError: pictures that are all alike, or of one colour.
        InputError: a picture that cannot be read.
        MissingExtraError: the only one of `engines` is not installed.
        OptionError: a knob that the model does not have, or a value outside its range; `scalars` or `engines`
            without `normals`.
    """
    opened = bundle.load(model)
    changed = recalibrated(
        opened,
        alpha=alpha,
        delta=delta,
        promise=promise,
        normals=normals,
        scalars=scalars,
        engines=engines,
        progress=progress,
    )
    return replace(changed, bundle=bundle.replace_manifest(opened, changed.bundle.manifest))


def recalibrated(
    opened: Bundle,
    *,
    alpha: float | None = None,
    delta: float | None = None,
    promise: Promise | None = None,
    normals: Sequence[Path] = (),
    scalars: Mapping[str, float] | None = None,
    engines: Sequence[Pair] = (),
    progress: Progress | None = None,
) -> CalibrateResult:
    """`calibrate` of a model that is open, without writing: the result's manifest is the new one."""
    progress = progress or Silent()
    before, pictures = opened.manifest.calibration, opened.manifest.provenance.pictures
    wish = _Wish(before.alpha if alpha is None else alpha, before.delta if delta is None else delta, promise)
    changes: dict[str, Any] = {}
    hint = ""
    anew = bool(scalars or engines)
    if anew:
        opened = replace(opened, manifest=opened.manifest.with_scalars(scalars or {}))
        _require(normals, ", ".join([*(scalars or ()), *(["engine"] if engines else [])]))
        pictures = tuple(picture for picture in pictures if picture.role != "calibration")
        few = "; with few pictures, all of them serve to train"
        hint = few if before.cross_conformal else ", or those set aside"
    paths, scores = list[Path](), list[float]()
    if normals:
        paths = _unseen(normals, {picture.sha256 for picture in pictures}, hint)
        samples, frame = [Sample(path, "train", defective=False) for path in paths], opened.manifest.frame
        require_spread(PictureFiles(samples, frame))
        good = cut(samples, frame, opened.manifest.tiling)
        if engines:
            chosen = choose_here(opened, engines, good, progress)
            pipeline, changes = chosen.pipeline, {"parity": chosen.parity, "speeds": chosen.speeds}
        else:
            pipeline = Pipeline.open(opened)
        scores, levels = _judged(pipeline, good, progress)
        if anew:
            changes |= {"heatmap": levels, "engine": pipeline.engine, "precision": pipeline.precision}
    calibration = wish.afresh(before, scores) if anew else wish.extended(before, scores)
    changes["calibration"] = calibration
    if normals:
        told = of_files(paths, opened.manifest.frame, opened.manifest.tiling)
        alone = len(calibration.scores) == len(scores)
        changes["conditions"] = told if alone else joined(opened.manifest.conditions, told)
    known = {"pictures": (*pictures, *seen(paths, "calibration"))}
    changes["provenance"] = opened.manifest.provenance.model_copy(update=known)
    updated = replace(opened, manifest=opened.manifest.model_copy(update=changes))
    replaced = len(before.scores) if anew else 0
    return CalibrateResult(updated, len(paths), len(normals) - len(paths), replaced, opened.signed)


def _require(normals: Sequence[Path], knobs: str) -> None:
    if not normals:
        raise OptionError(
            knobs,
            expected="good pictures to score with the new value (--normals FOLDER)",
            got="none",
            fix="The stored scores hold for the old value; name good pictures that training has not seen.",
        )


def _judged(
    pipeline: Pipeline, pictures: Pictures, progress: Progress
) -> tuple[list[float], HeatmapRange | None]:
    """Scores of the pictures, and the levels of their maps where the model has any; one map at a time."""
    with progress.stage("scoring good pictures", len(pictures)) as stage:
        stream = pipeline.score(counted(pictures, stage), pipeline.judged)
        answers = of_pictures(stream, tiles_of(pictures), pipeline.judged)
        scores, levels = scores_and_levels(answers, pipeline.judged)
    return scores, heatmap_range(levels) if levels else None


def _unseen(normals: Sequence[Path], known: set[str], hint: str) -> list[Path]:
    """Files whose content is neither known to the model nor given twice; there must be some."""
    fresh: dict[str, Path] = {}
    for path in normals:
        check_image(path)
        digest = remembered_sha256(path)
        if digest not in known:
            fresh.setdefault(digest, path)
    if not fresh:
        raise CalibrationError(
            "calibration pictures",
            expected="good pictures that the model has not seen",
            got=f"{len(normals)} pictures that it knows already",
            fix=f"Take new pictures of good parts{hint}.",
        )
    return list(fresh.values())
