"""One exception tree: every message says what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial
from importlib import import_module
from types import ModuleType


class FlawscopeError(Exception):
    """Base of every error that a user's input or machine can cause.

    The message is one line, `{what}: expected {expected}, got {got}. {fix}`; the parts stay readable as
    attributes so that a service can answer with them.

    >>> raise InputError("picture a.png", expected="a PNG file", got="a text file", fix="Remove it.")
    Traceback (most recent call last):
    flawscope.errors.InputError: picture a.png: expected a PNG file, got a text file. Remove it.
    """

    exit_code = 1

    def __init__(self, what: str, *, expected: str, got: str, fix: str) -> None:
        self.what, self.expected, self.got, self.fix = what, expected, got, fix
        line = f"{what}: expected {expected}, got {got}. {fix}"
        super().__init__(" ".join(line.split()))

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), self.what, expected=self.expected, got=self.got, fix=self.fix), ()


class InputError(FlawscopeError):
    """A picture, mask or folder that cannot be used."""

    exit_code = 3


class DataError(InputError):
    """A data set whose layout or content does not fit what was asked."""


class UnsuitedError(DataError):
    """Good pictures that lack what a method compares, such as components that come again: another suits."""


class OptionError(FlawscopeError):
    """An unknown name, or a value outside its range."""

    exit_code = 2


class WeightsError(FlawscopeError):
    """Pretrained weights that are absent, damaged or do not fit."""

    exit_code = 4


class BundleError(FlawscopeError):
    """A model folder that is damaged, foreign or does not fit this version."""

    exit_code = 5


class CalibrationError(FlawscopeError):
    """A false-reject rate or confidence that the calibration pictures cannot support."""

    exit_code = 6


class OutputError(FlawscopeError):
    """A result that cannot be written: no permission, no space, a path that leaves its folder."""

    exit_code = 7


class MissingExtraError(FlawscopeError):
    """A feature whose optional packages are not installed."""

    exit_code = 8


class Stopped(FlawscopeError):  # noqa: N818 - asked for by the user, so no error
    """Training or inspection that was asked to stop; what was made so far is kept."""

    exit_code = 130


def need(package: str, *, what: str, extra: str) -> ModuleType:
    """An optional package or a module of it, imported.

    Raises:
        MissingExtraError: it is not installed; `extra` is where it comes from, `what` what asks for it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        fix = f"Install it: pip install 'flawscope[{extra}]'."
        raise MissingExtraError(
            what,
            expected=f"the package {package.partition('.')[0]}",
            got="an installation without it",
            fix=fix,
        ) from error


def suggest(name: str, known: Iterable[str]) -> str:
    """A closing hint for an unknown name: the nearest known one, then all of them.

    >>> suggest("pachcore", ["padim", "patchcore"])
    'Did you mean "patchcore"? Known: padim, patchcore.'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f'Did you mean "{near[0]}"? ' if near else ""
    return f"{hint}Known: {', '.join(names) or 'none'}."


def unknown(what: str, name: str, known: Iterable[str]) -> OptionError:
    """The error for a name that is none of `known`."""
    return OptionError(what, expected="a known name", got=f'"{name}"', fix=suggest(name, known))
