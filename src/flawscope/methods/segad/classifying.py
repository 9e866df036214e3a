"""A supervised classifier's scores for the forest, of pictures that it has not learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.tiles import sources, units_of
from flawscope.data.training import TrainingData, Unseen
from flawscope.errors import DataError, FlawscopeError
from flawscope.methods.detector import Detector
from flawscope.methods.fit_once import fit_once
from flawscope.methods.registry import contradiction, create
from flawscope.methods.running import score
from flawscope.methods.segad.appearance import networks_of
from flawscope.methods.segad.options import NAME
from flawscope.methods.segad.table import folds_by_kind
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch

PAPERS_SHARE = 0.8  # section 4.1


def held_out_scores(
    classifier: Detector, folds: int, unseen: Unseen, run: Run, watch: Watch = UNWATCHED
) -> tuple[Detector, NDArray[np.float32]]:
    """The classifier, trained, and scores (N,) of the unseen pictures, the good ones first.

    In `folds`, each picture's score is that of a classifier which has learnt from the others; the one that
    is kept learns from all. With 0 it is the paper's: one that has learnt from 80 % of everything scores all.

    Raises:
        DataError: a fold without a defective picture to learn from, such as where all show one part.
        Stopped: the stop signal was set; trained classifiers are kept.
    """
    defective = unseen.defective
    assert defective is not None  # noqa: S101 - SegAD asks for defective pictures first
    good, both = unseen.learnt + unseen.normal, unseen.normal + defective
    if not folds:
        chosen = [
            pictures.subset(_four_fifths(pictures, run.seed))
            for pictures in (unseen.learnt, unseen.normal, defective)
        ]
        data = _data(chosen[0] + chosen[1], chosen[2], unseen.natural)
        classifier = fit_once(classifier, data, run, watch)
        return classifier, _scores(classifier, both, run, watch)
    parts = folds_by_kind([sample.kind for sample in both.samples], folds, run.seed, units_of(both.samples))
    found = len(set(sources(defective)))
    if found < folds:  # each fold needs one outside of it to learn from, and all of them one within
        raise DataError(
            "defective pictures",
            expected=f"at least {folds}, one for each fold of the classifier",
            got=str(found),
            fix="Add defective pictures, lower options.classifier_folds, or leave the classifier out.",
        )
    if len(set(units_of(defective.samples))) == 1:
        raise DataError(
            "defective pictures",
            expected="pictures of at least 2 parts, for the classifier's folds part none",
            got=f"{found} of 1 part",
            fix="Add defective pictures of another part, or leave the classifier out.",
        )
    scores = np.empty(len(both), np.float32)
    with watch.stage("classifier in folds", folds) as stage:
        for fold in range(folds):
            apart = parts == fold
            if not apart.any():  # more folds than parts
                stage.advance()
                continue
            others = [int(row) for row in np.flatnonzero(~apart)]
            known = both.subset([row for row in others if not both.samples[row].defective])
            known_defects = both.subset([row for row in others if both.samples[row].defective])
            data = _data(unseen.learnt + known, known_defects, unseen.natural)
            fresh = fit_once(create(classifier.name, classifier.options.model_dump()), data, run, watch)
            scores[apart] = _scores(
                fresh, both.subset([int(row) for row in np.flatnonzero(apart)]), run, watch
            )
            stage.advance()
    return fit_once(classifier, _data(good, defective, unseen.natural), run, watch), scores


def _scores(classifier: Detector, pictures: Pictures, run: Run, watch: Watch) -> NDArray[np.float32]:
    return np.asarray(score(classifier, pictures, run, watch)["score"], np.float32)


def _data(normal: Pictures, defective: Pictures, natural: Pictures | None) -> TrainingData:
    return TrainingData(normal, normal.subset([]), natural, defective)


def _four_fifths(pictures: Pictures, seed: int) -> list[int]:
    random = np.random.default_rng((seed, len(pictures)))
    count = max(1, round(PAPERS_SHARE * len(pictures))) if len(pictures) else 0
    return sorted(int(index) for index in random.permutation(len(pictures))[:count])


def natural_of(detectors: Sequence[Detector | None]) -> int:
    """How many natural pictures the detectors want, the most that one of them asks for."""
    return max((each.needs().natural for each in detectors if each is not None), default=0)


def require_kinds(bases: Sequence[Detector], classifier: Detector | None, *, looks: bool) -> None:
    """Refuse detectors without a heatmap, a classifier without defects, or looks that none can give.

    Raises:
        OptionError: the first of these.
    """
    for base in bases:
        if not any(output.kind == "heatmap" for output in base.outputs):
            raise contradiction(NAME, f"detectors with a heatmap; {base.name} has none: use it as classifier")
        if base.needs().defective:
            raise contradiction(NAME, f"detectors that learn from good pictures alone, unlike {base.name}")
    if classifier is not None and (not classifier.needs().defective or classifier.name == NAME):
        raise contradiction(
            NAME, f"a classifier that learns from defective pictures, unlike {classifier.name}"
        )
    if looks and not any(networks_of(base) for base in bases):
        raise no_looks()


def no_looks() -> FlawscopeError:
    """The refusal of looks that no detector can give."""
    return contradiction(NAME, "no appearance where no detector reads a frozen network")
