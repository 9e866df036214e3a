"""Errors of values that do not fit say what to write."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from flawscope.runtime.frozen import Frozen, option_error


class _Options(Frozen):
    size: tuple[int, int] = Field((256, 256), description="height and width")
    layers: tuple[str, ...] | None = None


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
