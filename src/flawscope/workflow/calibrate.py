"""Change what a trained model promises: from its stored scores, or with more good pictures. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flawscope import bundle
from flawscope.bundle import Bundle
from flawscope.calibration import Calibration, Promise, normals_needed
from flawscope.errors import CalibrationError, FlawscopeError
from flawscope.files import sha256
from flawscope.images import check_image
from flawscope.inspector import Inspector
from flawscope.progress import Progress, Silent


@dataclass(frozen=True, slots=True)
class CalibrateResult:
    """What changed: the model, pictures added, and those left out because the model knows them."""

    bundle: Bundle
    added: int
    known: int


def calibrate(
    model: Path,
    *,
    alpha: float | None = None,
    delta: float | None = None,
    promise: Promise | None = None,
    normals: Sequence[Path] = (),
    engine: str = "auto",
    progress: Progress | None = None,
) -> CalibrateResult:
    """Re-read the stored scores under new settings, after adding the scores of `normals`.

    Pictures that the model has seen, by their content, are left out and counted. A cross-conformal model
    (the weaker promise) changes to held-out scores alone as soon as the new pictures support the wish.

    Raises:
        CalibrationError: the scores support no rate below 50 %, or every given picture is known.
        InputError: a picture that cannot be read.
    """
    opened = bundle.load(model)
    unseen: list[Path] = []
    scores: list[float] = []
    if normals:
        seen = {picture.sha256 for picture in opened.manifest.provenance.pictures}
        unseen = _unseen(normals, seen)
        if not unseen:
            raise CalibrationError(
                "calibration pictures",
                expected="good pictures that the model has not seen",
                got=f"{len(normals)} pictures that it knows already",
                fix="Take new pictures of good parts.",
            )
        scores = _scores(Inspector.load(opened, engine=engine), unseen, progress or Silent())
    changed = _changed(opened.manifest.calibration, scores, alpha, delta, promise)
    updated = bundle.update_calibration(model, changed, seen=bundle.seen(unseen, "calibration"))
    return CalibrateResult(updated, len(unseen), len(normals) - len(unseen))


def _changed(
    calibration: Calibration,
    scores: list[float],
    alpha: float | None,
    delta: float | None,
    promise: Promise | None,
) -> Calibration:
    if calibration.cross_conformal and scores:
        fresh = {
            "alpha": calibration.alpha if alpha is None else alpha,
            "delta": calibration.delta if delta is None else delta,
            "promise": promise or "with_confidence",
        }
        needed = normals_needed(**fresh)  # type: ignore[arg-type]
        if promise == "with_confidence" or len(scores) >= needed:
            return Calibration(scores=tuple(scores), **fresh)
    changed = calibration.with_settings(alpha=alpha, delta=delta, promise=promise)
    return changed.with_more(scores) if scores else changed


def _unseen(normals: Sequence[Path], seen: set[str]) -> list[Path]:
    """Files whose content is neither known to the model nor given twice."""
    kept = []
    for path in normals:
        check_image(path)
        digest = sha256(path)
        if digest not in seen:
            seen = seen | {digest}
            kept.append(path)
    return kept


def _scores(inspector: Inspector, paths: list[Path], progress: Progress) -> list[float]:
    scores = []
    with progress.stage("scoring good pictures", len(paths)) as stage:
        for _, answer in inspector.inspect_many(paths):
            if isinstance(answer, FlawscopeError):
                raise answer
            scores.append(answer.score)
            stage.advance()
    return scores
