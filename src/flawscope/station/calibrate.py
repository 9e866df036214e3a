"""Change what a trained model promises, or turn a knob that stayed open after training. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.errors import CalibrationError, OptionError
from flawscope.files import remembered_sha256
from flawscope.progress import Progress, Silent, counted
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Calibration, Promise, normals_needed
from flawscope.runtime.images import Frame, check_image
from flawscope.runtime.manifest import HeatmapRange, Manifest, heatmap_range, seen
from flawscope.runtime.pipeline import Pipeline, scores_and_levels


@dataclass(frozen=True, slots=True)
class CalibrateResult:
    """What changed: the model, pictures scored, those left out, and stored scores that were replaced."""

    bundle: Bundle
    added: int
    known: int
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class _Wish:
    alpha: float | None
    delta: float | None
    promise: Promise | None

    def afresh(self, calibration: Calibration, scores: Sequence[float]) -> Calibration:
        """Held-out `scores` alone, under the wish; what is None stays as in `calibration`.

        A cross-conformal promise gives way to one with confidence where the scores support it.
        """
        alpha = calibration.alpha if self.alpha is None else self.alpha
        delta = calibration.delta if self.delta is None else self.delta
        promise = self.promise or calibration.promise
        if calibration.cross_conformal and self.promise is None:
            enough = len(scores) >= normals_needed(alpha, delta, "with_confidence")
            promise = "with_confidence" if enough else promise
        return Calibration(scores=tuple(scores), alpha=alpha, delta=delta, promise=promise)

    def extended(self, calibration: Calibration, scores: Sequence[float]) -> Calibration:
        """The stored scores and `scores`; a cross-conformal model leaves its own once these suffice."""
        if calibration.cross_conformal and scores:
            alpha = calibration.alpha if self.alpha is None else self.alpha
            delta = calibration.delta if self.delta is None else self.delta
            needed = normals_needed(alpha, delta, self.promise or "with_confidence")
            if self.promise == "with_confidence" or len(scores) >= needed:
                return self.afresh(calibration, scores)
        changed = calibration.with_settings(alpha=self.alpha, delta=self.delta, promise=self.promise)
        return changed.with_more(scores) if scores else changed


def calibrate(
    model: Path,
    *,
    alpha: float | None = None,
    delta: float | None = None,
    promise: Promise | None = None,
    normals: Sequence[Path] = (),
    scalars: Mapping[str, float] | None = None,
    engine: str = "auto",
    progress: Progress | None = None,
) -> CalibrateResult:
    """Re-read the stored scores under new settings, after adding the scores of `normals`.

    Pictures that the model has seen, by their content, are left out and counted. A cross-conformal model
    (the weaker promise) changes to held-out scores alone as soon as the new pictures support the wish.

    With `scalars`, such as `{"local_weight": 0.7}`, knobs of the graph are turned, which changes every
    score: those of `normals` replace the stored ones, and the heatmap's levels are read from them again.
    Pictures that calibrated before may serve again; those that fit has seen are left out and counted.

    Raises:
        CalibrationError: the scores support no rate below 50 %, every given picture is known, or `scalars`
            come without `normals`.
        InputError: a picture that cannot be read.
        OptionError: a knob that the model does not have, or a value outside its range.
    """
    opened, wish, progress = bundle.load(model), _Wish(alpha, delta, promise), progress or Silent()
    calibration = opened.manifest.calibration
    if scalars:
        turned = Bundle(opened.folder, opened.manifest.with_scalars(scalars))
        paths = _apart_from_fit(opened.manifest, normals, ", ".join(scalars))
        updated = _reweigh(turned, Pipeline.open(turned, engine), paths, wish, progress)
        return CalibrateResult(
            updated, len(paths), len(normals) - len(paths), replaced=len(calibration.scores)
        )
    unseen: list[Path] = []
    scores: list[float] = []
    if normals:
        unseen = _unseen(normals, {picture.sha256 for picture in opened.manifest.provenance.pictures})
        if not unseen:
            raise CalibrationError(
                "calibration pictures",
                expected="good pictures that the model has not seen",
                got=f"{len(normals)} pictures that it knows already",
                fix="Take new pictures of good parts.",
            )
        frame = opened.manifest.frame
        scores, _ = _judged(Pipeline.open(opened, engine), frame, unseen, progress)
    changed = wish.extended(calibration, scores)
    updated = bundle.update_calibration(model, changed, seen=seen(unseen, "calibration"))
    return CalibrateResult(updated, len(unseen), len(normals) - len(unseen))


def _reweigh(
    model: Bundle, pipeline: Pipeline, paths: Sequence[Path], wish: _Wish, progress: Progress
) -> Bundle:
    """Put the scores that `pipeline` gives `paths` in place of the stored ones, in one atomic write."""
    turned = model.manifest
    scores, levels = _judged(pipeline, turned.frame, paths, progress)
    kept = [picture for picture in turned.provenance.pictures if picture.role != "calibration"]
    pictures = (*kept, *seen(paths, "calibration"))
    changes = {
        "calibration": wish.afresh(turned.calibration, scores),
        "heatmap": levels,
        "engine": pipeline.engine,
        "precision": pipeline.precision,
        "provenance": turned.provenance.model_copy(update={"pictures": pictures}),
    }
    return bundle.replace_manifest(model, turned.model_copy(update=changes))


def _apart_from_fit(manifest: Manifest, normals: Sequence[Path], knobs: str) -> list[Path]:
    """Those of `normals` that fit has not seen, each content once; there must be some."""
    if not normals:
        raise OptionError(
            knobs,
            expected="good pictures to score with the new value (--normals FOLDER)",
            got="none",
            fix="The stored scores hold for the old value; name good pictures that training has not seen.",
        )
    pictures = manifest.provenance.pictures
    paths = _unseen(normals, {picture.sha256 for picture in pictures if picture.role != "calibration"})
    if not paths:
        folds = manifest.calibration.cross_conformal
        raise CalibrationError(
            "calibration pictures",
            expected="good pictures that training has not seen",
            got=f"{len(normals)} pictures that it has",
            fix="Take new pictures of good parts"
            + ("; with few pictures, all of them serve to train." if folds else ", or those set aside."),
        )
    return paths


def _judged(
    pipeline: Pipeline, frame: Frame, paths: Sequence[Path], progress: Progress
) -> tuple[list[float], HeatmapRange | None]:
    """Scores of the pictures, and the levels of their maps where the model has any; one map at a time."""
    pictures = PictureFiles([Sample(path, "train", defective=False) for path in paths], frame)
    with progress.stage("scoring good pictures", len(paths)) as stage:
        stream = pipeline.score(counted(pictures, stage), pipeline.judged)
        scores, levels = scores_and_levels(stream, pipeline.judged)
    return scores, heatmap_range(levels) if levels else None


def _unseen(normals: Sequence[Path], seen: set[str]) -> list[Path]:
    """Files whose content is neither known to the model nor given twice."""
    kept = []
    for path in normals:
        check_image(path)
        digest = remembered_sha256(path)
        if digest not in seen:
            seen = seen | {digest}
            kept.append(path)
    return kept
