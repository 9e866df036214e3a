"""What SegAD's forest is built of, without a detector."""

from __future__ import annotations

import numpy as np

from flawscope.methods.rd4ad.detector import PRESETS
from flawscope.methods.registry import create
from flawscope.methods.segad.options import SegADOptions
from flawscope.methods.segad.reading import far_apart
from flawscope.methods.segad.table import folds_by_kind


def test_apart_is_one_for_disjoint_and_zero_for_equal_samples() -> None:
    low, high = np.arange(5, dtype=np.float32), np.arange(10, 14, dtype=np.float32)
    assert far_apart(low, high) == far_apart(high, low) == 1
    assert far_apart(low, low) == 0


def test_folds_spread_every_kind() -> None:
    kinds = ["good"] * 11 + ["a"] * 5 + ["b"] * 2
    folds = folds_by_kind(kinds, 5, seed=1)
    good, a, b = folds[:11], folds[11:16], folds[16:]
    assert np.bincount(good, minlength=5).max() - np.bincount(good, minlength=5).min() <= 1
    assert sorted(a) == [0, 1, 2, 3, 4]
    assert len(set(b)) == 2
    assert np.array_equal(folds, folds_by_kind(kinds, 5, seed=1))


def test_no_fold_has_all_defective_parts() -> None:
    """Parts of which defective pictures are known are spread as such, though good ones show them, too."""
    for good in (11, 12, 13):  # one kind comes before "good", one after: how many are good decides
        kinds = ["good"] * good + ["a", "a", "z", "z"]
        mixed, apart = [*range(good), 0, 0, 1, 1], [*range(good), good, good, good + 1, good + 1]
        for owners in (mixed, apart):
            for folds in (2, 3, 5):
                for seed in range(8):
                    found = folds_by_kind(kinds, folds, seed, owners)
                    assert found[-4] == found[-3] != found[-2] == found[-1]


def test_synthetic_rows_leave_the_folds_as_they_are() -> None:
    kinds, owners = ["good"] * 9 + ["a"] * 3, [*range(12)]
    both = [*kinds, *["synthetic"] * 9]
    for seed in range(4):
        expected = folds_by_kind(kinds, 3, seed, owners).tolist()
        assert folds_by_kind(both, 3, seed, [*owners, *range(9)]).tolist() == expected + expected[:9]


def test_natural_pictures_are_asked_for_where_a_detector_wants_some() -> None:
    beside = {
        "method": "dra",
        "options": {"backbone": "test_resnet", "weights": "random", "pseudo": "natural"},
    }
    detectors = [{"method": "patchcore", "options": {"backbone": "test_resnet", "weights": "random"}}]
    for more, wanted in (({"classifier": beside}, True), ({}, False)):
        assert bool(create("segad", {"detectors": detectors, **more}).needs().natural) is wanted


def test_the_default_detectors_are_those_of_the_papers_section_5() -> None:
    """RD4AD with the loss of whole maps and the decoder of the code that its appendix B takes."""
    detectors = {spec.method: spec for spec in SegADOptions.model_validate({}).detectors}
    assert list(detectors) == ["patchcore", "fastflow", "rd4ad", "efficientad"]
    assert {spec.preset for spec in detectors.values()} == {"segad"}
    assert PRESETS["segad"] == {"loss": "maps", "order": "code"}
