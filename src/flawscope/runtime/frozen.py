"""The base of everything that is read from files and options: frozen, and strict about names."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that never changes; a key that this version does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
