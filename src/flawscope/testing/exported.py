"""The properties of an exported model: engines agree, scalars turn it, and the Inspector answers."""

from __future__ import annotations

from unittest import SkipTest

import numpy as np

from flawscope.errors import FlawscopeError
from flawscope.runtime import bundle
from flawscope.runtime.engines import DEFAULT
from flawscope.runtime.inspector import Inspector
from flawscope.testing.checks import require, require_finite
from flawscope.testing.rings import SIDE
from flawscope.testing.subject import Subject
from flawscope.training.parity import check_parity, parity

TURNED = 2  # pictures that are compared at either end of a scalar's range


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
                require_finite(f"an output {where}", values)
        moved = any(not np.array_equal(*pair) for pair in zip(*ends, strict=True))
        require(moved, f"{scalar.name} at {scalar.low:g} and at {scalar.high:g} gives the same outputs")


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
        require_finite(f"score of a {name} picture", np.array(first.score))
        if first.heatmap is not None:
            require_finite(f"heatmap of a {name} picture", first.heatmap)
        require(first.score == second.score, f"a {name} picture scores {first.score}, then {second.score}")
