"""`check_detector`, and its checks one by one, for the authors of methods."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from inspect import isfunction
from typing import Any
from unittest import SkipTest

from flawscope.errors import FlawscopeError, unknown
from flawscope.methods.detector import Detector
from flawscope.testing import checks
from flawscope.testing.subject import TOLERANCE, Subject

CHECKS = tuple(
    found
    for name, found in vars(checks).items()
    if isfunction(found) and found.__module__ == checks.__name__ and not name.startswith("_")
)
EXPORTED = (
    checks.every_engine_agrees,
    checks.scalars_turn_the_graph,
    checks.the_inspector_answers_plain_pictures,
    checks.large_pictures_are_answered_in_tiles,
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
    excused, names = dict(exceptions or {}), [check.__name__ for check in CHECKS]
    for name in excused:
        if name not in names:
            raise unknown("exception for a check", name, names)
    return (
        Check(subject, check.__name__, excused.get(check.__name__), check)
        for check in CHECKS
        if export or check not in EXPORTED
    )


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
