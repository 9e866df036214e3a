"""Follow the pictures of a folder of results again for drift, as they were inspected; start over."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import DataError
from flawscope.progress import Progress, Silent, counted
from flawscope.runtime.alarm import Alarm
from flawscope.runtime.drift import ALPHA, Drift
from flawscope.station import chained
from flawscope.station.drifting import stream
from flawscope.station.store import opened, opened_to_read, require_results, told, writing


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """A stream of pictures, followed to its end.

    Attributes:
        alpha: the chance of a false alarm that was allowed.
        drift: its state at the end, with all alarms.
        logs: natural logarithm of each quantity's capital after each picture, (pictures, quantities).
    """

    alpha: float
    drift: Drift
    logs: NDArray[np.float32]

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """In the order in which they were raised."""
        return tuple(self.drift.alarms)

    def to_json(self) -> dict[str, Any]:
        """Plain values: pictures, alpha and whether it is kept, alarms; capitals, and those of the alarms."""
        now, limits = self.drift.logs.tolist(), self.drift.limits.tolist()
        quantities = {
            name: {"log10_capital": log / np.log(10), "log10_alarm": limit / np.log(10)}
            for name, log, limit in zip(self.drift.names, now, limits, strict=True)
        }
        return {
            "pictures": self.drift.pictures,
            "alpha": self.alpha,
            "promised": self.drift.promised,
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "quantities": quantities,
        }


def replay(folder: Path, alpha: float = ALPHA, progress: Progress | None = None) -> Replay:
    """Follow the pictures in a folder of results from the model's first, or from the last restart.

    The model is not needed: what its pictures are compared with lies in the store.

    Raises:
        InputError: there are no results.
        DataError: the results were made without watching for drift.
        OptionError: `alpha` outside its range.
        OutputError: the store is damaged or foreign.
    """
    require_results(folder)
    with contextlib.closing(opened_to_read(folder)) as base, told(folder):
        base.execute("BEGIN")  # all that follows sees one moment
        found = stream(base, folder)
        if found is None:
            raise DataError(
                f"results {folder}",
                expected="pictures that were watched for drift",
                got="none of the model in force",
                fix="Inspect into it without --drift off.",
            )
        reference, records = found
        drift, logs = Drift.beside(reference, alpha), list[NDArray[np.float32]]()
        (count,) = base.execute("SELECT count(*) FROM records").fetchone()
        with (progress or Silent()).stage("following pictures", count) as stage:
            for record in counted(records, stage):
                drift.see(record)
                if record.score is not None:
                    logs.append(drift.logs.astype(np.float32))
    shape = (len(logs), len(drift.names))
    return Replay(alpha, drift, np.array(logs, np.float32).reshape(shape))


def restart(folder: Path) -> None:
    """Watch what is inspected into this folder from now on as a new stream.

    The chain says so; pictures before stay as they are, and are not looked at any more. Inspections that are
    running heed it with their next picture.

    Raises:
        InputError: there are no results.
        OutputError: the store cannot be written.
    """
    require_results(folder)
    with contextlib.closing(opened(folder)) as base, writing(base, folder):
        chained.append(base, "drift", {"restart": True})
