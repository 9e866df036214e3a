"""Which engine runs a model: the calibrated one, or another whose parity was measured and holds."""

from __future__ import annotations

from flawscope.errors import BundleError, OptionError, suggest
from flawscope.runtime.engines import ENGINES, Precision, runs
from flawscope.runtime.manifest import Manifest


def choose(manifest: Manifest, engine: str = "auto") -> tuple[str, Precision]:
    """Engine and precision to run a model with.

    `auto` takes what made the calibration's scores; where that is not installed, or lacks the units for
    its precision on this machine, another one whose measured parity is within its bound.

    Raises:
        OptionError: an unknown engine.
        BundleError: the engine's parity with the model was not measured, or exceeds the bound.
    """
    calibrated: tuple[str, Precision] = (manifest.engine, manifest.precision)
    measured = [(part.engine, part.precision) for part in manifest.parity if part.within]
    allowed = [calibrated, *(pair for pair in measured if pair != calibrated)]
    if engine == "auto":
        return next((pair for pair in allowed if runs(*pair)), calibrated)
    if engine not in ENGINES:
        known = suggest(engine, ["auto", *ENGINES])
        raise OptionError("engine", expected="a known name", got=repr(engine), fix=known)
    fitting = [pair for pair in allowed if pair[0] == engine]
    if not fitting:
        names = ", ".join(sorted({pair[0] for pair in allowed}))
        raise BundleError(
            f"engine {engine!r}",
            expected=f"one whose scores agree with the calibration ({names})",
            got="one that was not measured with this model",
            fix="Train again with this engine installed, or use engine auto.",
        )
    return next((pair for pair in fitting if runs(*pair)), fitting[0])
