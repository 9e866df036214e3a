"""A method by name, as recipes and other methods' options name it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from flawscope.runtime.frozen import Frozen


class MethodSpec(Frozen):
    """A method, a preset of it, and options over that."""

    method: str = Field(description="a name from `flawscope methods`")
    preset: str | None = Field(None, description="named options of the method; by default its paper's values")
    options: dict[str, Any] = Field(default_factory=dict, description="options over the preset")
