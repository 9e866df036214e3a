"""`check_detector`, and its checks one by one, for the authors of methods."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import SkipTest

from flawscope.errors import FlawscopeError, OptionError, suggest
from flawscope.methods.detector import Detector
from flawscope.testing import checks, exported
from flawscope.testing.subject import TOLERANCE, Subject

TRAINED: tuple[Callable[[Subject], None], ...] = (
    checks.few_pictures_are_refused,
    checks.outputs_are_those_declared,
    checks.scoring_changes_no_state,
    checks.fitting_again_gives_the_same,
    checks.stopped_and_resumed_gives_the_same,
    checks.another_seed_gives_another_model,
    checks.tuning_pictures_teach_nothing,
    checks.single_pictures_give_what_a_batch_gives,
    checks.another_order_gives_the_same,
    checks.saved_and_loaded_gives_the_same,
    checks.foreign_weights_are_refused,
    checks.options_survive_json,
    checks.plain_pictures_are_scored,
    checks.scalars_have_their_defaults,
)
EXPORTED: tuple[Callable[[Subject], None], ...] = (
    exported.every_engine_agrees,
    exported.scalars_turn_the_graph,
    exported.the_inspector_answers_plain_pictures,
)


@dataclass(frozen=True, slots=True)
class Check:
    """One property of one method.

    Attributes:
        subject: the method with its options; its checks share what is fitted.
        name: of the property, in words joined by underscores.
        exception: why the property need not hold; None: it must.
        holds: checks the property.
    """

    subject: Subject
    name: str
    exception: str | None
    holds: Callable[[Subject], None]

    @property
    def id(self) -> str:
        """The subject and the property, as tests are named after them."""
        return f"{self.subject.label}-{self.name}"

    def run(self) -> None:
        """Check it.

        Raises:
            AssertionError: the property does not hold.
            SkipTest: it does not apply to the method.
        """
        try:
            self.holds(self.subject)
        except (AssertionError, FlawscopeError) as error:
            raise AssertionError(f"{self.subject.label}: {error}") from error


def detector_checks(
    subject: Subject, *, export: bool = True, exceptions: Mapping[str, str] | None = None
) -> Iterator[Check]:
    """The properties that every detector must have, as checks that run one by one; nothing is fitted before.

    Args:
        subject: the method with its options.
        export: also check graph, engines and Inspector, which takes most of the time.
        exceptions: why a property need not hold, by the name of its check.

    Raises:
        OptionError: an exception for a check that does not exist.
    """
    excused, chosen = dict(exceptions or {}), TRAINED + (EXPORTED if export else ())
    names = [check.__name__ for check in TRAINED + EXPORTED]
    for name in excused:
        if name not in names:
            expected, fix = "the name of a check", suggest(name, names)
            raise OptionError(f"exception for {name!r}", expected=expected, got="another", fix=fix)
    return (Check(subject, check.__name__, excused.get(check.__name__), check) for check in chosen)


def check_detector(
    method: str | type[Detector],
    options: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    export: bool = True,
    tolerance: float = TOLERANCE,
    exceptions: Mapping[str, str] | None = None,
) -> None:
    """Fit the method on small pictures made here, and check all that `detector_checks` yields.

    Method, options, seed and tolerance are those of a `Subject`; properties with an exception are left out.

    Raises:
        AssertionError: the first property that does not hold.
        OptionError: an exception for a check that does not exist.
    """
    subject = Subject(method, options or {}, seed=seed, tolerance=tolerance)
    for check in detector_checks(subject, export=export, exceptions=exceptions):
        if check.exception is None:
            with contextlib.suppress(SkipTest):
                check.run()


def parametrize_with_checks(checks: Iterable[Check]) -> Any:
    """A decorator for pytest: the test runs once a check, under the name of method and property.

    A property with an exception is expected to fail for that reason, and reported where it holds after all.

        @parametrize_with_checks(detector_checks(Subject("mine", {"size": (64, 64)})))
        def test_contract(check):
            check.run()
    """
    import pytest  # noqa: PLC0415 - only tests need it

    def marks(check: Check) -> Any:
        reason = check.exception
        return () if reason is None else pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True)

    return pytest.mark.parametrize(
        "check", [pytest.param(check, id=check.id, marks=marks(check)) for check in checks]
    )
