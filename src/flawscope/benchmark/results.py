"""Results of finished rows: JSON files that the same command reads again."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import FiniteFloat, JsonValue, ValidationError

from flawscope.files import write_text
from flawscope.runtime.frozen import Frozen

MODEL, RESULT, SCORES, TRAINING = "model", "result.json", "scores.json", "training.json"


class _JsonFile(Frozen):
    """Values in a JSON file."""

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


class Training(_JsonFile):
    """What one finished training tells: pictures by role, durations, device."""

    pictures: dict[str, int]
    seconds: dict[str, float]
    device: str


class Scores(_JsonFile):
    """Raw scores of the readable test pictures, in the data set's order.

    Attributes:
        seen: whether the picture's kind may be learnt from; True for good ones.
    """

    picture: tuple[str, ...]
    score: tuple[FiniteFloat, ...]
    defective: tuple[bool, ...]
    seen: tuple[bool, ...]

    def groups(self) -> dict[str, list[float]]:
        """Scores of good pictures, and of defective ones, those of unseen kinds apart where there are any."""
        groups: dict[str, list[float]] = {}
        seen = "defective" if all(self.seen) else "defective, seen kinds"
        for score, defective, known in zip(self.score, self.defective, self.seen, strict=True):
            group = "good" if not defective else seen if known else "defective, unseen kinds"
            groups.setdefault(group, []).append(score)
        return dict(sorted(groups.items(), reverse=True, key=lambda entry: (entry[0] == "good", entry[0])))


class RunResult(_JsonFile):
    """What one row measured with one seed.

    Attributes:
        measures: figures in [0, 1] by the names in `flawscope.benchmark.measures.MEASURES`.
        pictures: by role; of the test ones also those unreadable, and those left out as known to the model.
        seconds: of fitting, of all training, of evaluation.
        steps: training steps, where the method counts any.
        options: of the method, all of them.
        tested: digest of the names of the pictures that were to be tested on; None in earlier files.
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
    tested: str | None = None
