"""Engines of one process share its cores: by turns where they need all of them, side by side where not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flawscope.runtime.engines.budget import Budget


class Calls:
    """Calls that stay inside until they are let go; each notes when it enters."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.inside: list[str] = []
        self._go: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._entered: dict[str, threading.Event] = {}

    def start(self, name: str, engine: Any) -> None:
        go, entered = threading.Event(), threading.Event()

        def work() -> None:
            with self.budget.share(engine):
                self.inside.append(name)
                entered.set()
                assert go.wait(10)
                self.inside.remove(name)

        self._go[name], self._entered[name] = go, entered
        self._threads[name] = threading.Thread(target=work)
        self._threads[name].start()

    def entered(self, name: str, seconds: float = 10) -> bool:
        return self._entered[name].wait(seconds)

    def end(self, *names: str) -> None:
        for name in names:
            self._go[name].set()
            self._threads[name].join(10)


@pytest.fixture
def calls() -> Calls:
    return Calls(Budget(4))


def engine(threads: int) -> Any:
    class Fake(SimpleNamespace):
        __hash__ = object.__hash__

    return Fake(threads=threads)


def test_two_engines_that_take_every_core_take_turns(calls: Calls) -> None:
    calls.start("first", engine(4))
    assert calls.entered("first")
    calls.start("second", engine(4))
    assert not calls.entered("second", 0.05)
    calls.end("first")
    assert calls.entered("second")
    calls.end("second")


def test_engines_that_fit_work_side_by_side(calls: Calls) -> None:
    for name, threads in (("a", 1), ("b", 3)):
        calls.start(name, engine(threads))
        assert calls.entered(name)
    calls.start("c", engine(1))
    assert not calls.entered("c", 0.05)
    calls.end("a")
    assert calls.entered("c")
    calls.end("b", "c")


def test_calls_of_one_engine_share_its_threads(calls: Calls) -> None:
    one = engine(4)
    for name in ("a", "b", "c"):
        calls.start(name, one)
        assert calls.entered(name)
    calls.end("a", "b", "c")


def test_an_engine_larger_than_the_budget_works_alone(calls: Calls) -> None:
    calls.start("large", engine(16))
    assert calls.entered("large")
    calls.end("large")


def test_who_waits_is_not_overtaken(calls: Calls) -> None:
    """A stream of calls to one engine leaves the other its turn."""
    busy, other = engine(4), engine(4)
    calls.start("busy", busy)
    assert calls.entered("busy")
    calls.start("other", other)
    assert not calls.entered("other", 0.05)
    calls.start("busy again", busy)
    assert not calls.entered("busy again", 0.05)
    calls.end("busy")
    assert calls.entered("other")
    assert not calls.entered("busy again", 0.05)
    calls.end("other")
    assert calls.entered("busy again")
    calls.end("busy again")


def test_an_error_gives_the_threads_back() -> None:
    budget = Budget(2)
    first, second = engine(2), engine(2)

    def fail(work: Callable[[], None]) -> None:
        with budget.share(first):
            work()

    with pytest.raises(ZeroDivisionError):
        fail(lambda: print(1 // 0))
    with budget.share(second):
        pass
