"""What verdicts are made with: model, calibration and engine, by digest and in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Self

from pydantic import FiniteFloat

from flawscope import __version__
from flawscope.files import digest
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.engines import Pair
from flawscope.runtime.frozen import Frozen

VERSION_DIGITS = 12  # of a manifest's hash, which name a version


class InForce(Frozen):
    """A model folder in an engine, as an audit wants to know it.

    Attributes:
        folder: where it lay; `name` is its last part.
        manifest: sha256 of its manifest.json; the first 12 digits name the version.
        model: digest of its files and of the values of its knobs.
        calibration: digest of scores and promise.
        engine: that ran it, with number format and version.
        method, created: which detector, and when it was trained.
        runtime: version of flawscope that ran it.
        review_threshold, reject_threshold, promise: what the calibration comes to.
        scores: how many scores of good pictures it holds.
        calibrated_on: name and sha256 of each picture that they are of.
        parity: how far each engine lies from the trained network, a sentence each.
    """

    folder: str
    manifest: str
    model: str
    calibration: str
    engine: str
    method: str = ""
    created: str = ""
    runtime: str = __version__
    review_threshold: FiniteFloat = 0.0
    reject_threshold: FiniteFloat = 0.0
    promise: str = ""
    scores: int = 0
    calibrated_on: tuple[tuple[str, str], ...] = ()
    parity: tuple[str, ...] = ()

    @classmethod
    def of(cls, bundle: Bundle, pair: Pair) -> Self:
        """Of a model folder that runs in this engine."""
        manifest, calibration = bundle.manifest, bundle.manifest.calibration
        files = "".join(f"{name}:{entry.sha256}" for name, entry in sorted(manifest.files.items()))
        knobs = "".join(f"{name}={value}" for name, value in manifest.scalar_values().items())
        return cls(
            folder=str(bundle.folder.resolve()),
            manifest=bundle.sha256,
            model=_digest(files + knobs),
            calibration=_digest(calibration.model_dump_json()),
            engine=_in_words(*pair),
            method=manifest.method,
            created=manifest.provenance.created,
            review_threshold=calibration.review_threshold,
            reject_threshold=calibration.reject_threshold,
            promise=calibration.statement(),
            scores=len(calibration.scores),
            calibrated_on=tuple((one.name, one.sha256) for one in manifest.provenance.calibrating),
            parity=tuple(entry.statement() for entry in manifest.parity),
        )

    @property
    def name(self) -> str:
        """The model folder's name."""
        return Path(self.folder).name

    @property
    def version(self) -> str:
        """What names this version of the model folder; empty for one that was never written."""
        return self.manifest[:VERSION_DIGITS]

    @property
    def identity(self) -> str:
        """A digest of model, calibration and engine: what a record carries."""
        return _digest(f"{self.verdicts}\n{self.engine}")

    @property
    def verdicts(self) -> str:
        """A digest of model and calibration: where it is the same, the same verdicts are meant."""
        return _digest(f"{self.model}\n{self.calibration}")


def _digest(text: str) -> str:
    return digest(text.encode(errors="surrogatepass"))


def _in_words(name: str, precision: str) -> str:
    version = getattr(sys.modules.get(name), "__version__", "")
    return " ".join(part for part in (name, version, precision) if part)
