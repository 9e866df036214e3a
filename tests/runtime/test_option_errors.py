"""Errors of values that do not fit say what to write."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from flawscope.runtime.frozen import Frozen, option_error


class _Options(Frozen):
    size: tuple[int, int] = Field((256, 256), description="height and width")
    layers: tuple[str, ...] | None = None
    product: str | None = None
    folder: Path | None = None


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("size", 64, "a list in brackets, such as [256, 256], got 64. It is: height and width."),
        ("layers", "layer2", "a list in brackets, got 'layer2'."),
    ],
)
def test_a_list_is_shown_as_it_is_written(key: str, value: object, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Options.model_validate({key: value})
    assert expected in str(option_error(_Options, caught.value, "option {!r}"))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("product", 1, "expected text, put in quotes where it is a number, yes or no, got 1."),
        ("folder", 2024, "expected a path, put in quotes where it is a number, yes or no, got 2024."),
    ],
)
def test_a_name_of_digits_needs_quotes(key: str, value: object, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Options.model_validate({key: value})
    assert expected in str(option_error(_Options, caught.value, "option {!r}"))
