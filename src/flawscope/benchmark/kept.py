"""What finished rows leave behind: JSON files that the same command reads again."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from flawscope.files import write_text

MODEL, RESULT, TRAINING = "model", "result.json", "training.json"


class _Kept(BaseModel):
    """Values that a JSON file keeps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What the file holds, or None where it is missing or damaged."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, ValidationError):
            return None

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_text(path, self.model_dump_json(indent=1) + "\n")


class Training(_Kept):
    """What one finished training tells: pictures by role, durations, device."""

    pictures: dict[str, int]
    seconds: dict[str, float]
    device: str


class RunResult(_Kept):
    """What one row measured with one seed.

    Attributes:
        measures: figures in [0, 1] by the names in `flawscope.benchmark.recipe.MEASURES`.
        pictures: by role; of the test ones also those unreadable, and those left out as known to the model.
        seconds: of fitting, of all training, of evaluation.
        steps: training steps, where the method counts any.
        options: of the method, all of them.
    """

    label: str
    seed: int
    product: str
    measures: dict[str, float]
    pictures: dict[str, int]
    seconds: dict[str, float]
    steps: int | None
    options: dict[str, JsonValue]
    device: str
    hardware: str
    versions: dict[str, str]
    created: str
