"""Make the folder for the station out of a trained model: the graph and what it promises. No torch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from flawscope.errors import BundleError
from flawscope.progress import Progress, Silent
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.runtime.seal import Signer

LEFT_BEHIND = (bundle.WEIGHTS, bundle.RECIPE)
PROBES = 2  # pictures of seeded noise on which the copy must answer bit for bit


def deploy(
    model: Path,
    out: Path,
    *,
    sign: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Copy a model without its training weights and recipe, and check that the copy answers the same.

    With `sign`, a private Ed25519 key, the copy's manifest is signed; a signature of the model itself does
    not hold for the copy, whose files are others.

    Raises:
        BundleError: the model is damaged, or the copy answers differently.
        MissingExtraError: `sign` is given, and the package for signatures is not installed.
        OptionError: `out` holds a model already and `overwrite` is off, or is the model itself; `sign` is no
            such key.
        OutputError: `out` cannot be written; what stood there is untouched.
    """
    source, out = bundle.load(model), Path(out)
    bundle.refuse_existing(out, overwrite=overwrite, source=source.folder)
    signer = None if sign is None else Signer(sign)
    with (progress or Silent()).stage("exporting", 1) as stage:
        with bundle.writing(out, signer) as draft:
            for name in source.manifest.files:
                if name not in LEFT_BEHIND:
                    (draft.folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source.folder / name, draft.folder / name)
            _check_alike(source, draft.folder)
            draft.manifest = source.manifest
        stage.advance()
    return draft.bundle


def _check_alike(source: Bundle, copy: Path) -> None:
    manifest, ours = source.manifest, Graphs.of(source)
    shape = (PROBES, 3, manifest.frame.height, manifest.frame.width)
    pixels = np.random.default_rng(0).random(shape, np.float32)
    expected, got = (
        Pipeline.in_engine(graphs, manifest.engine, manifest.precision, threads=1).run(pixels)
        for graphs in (ours, replace(ours, folder=copy))
    )
    if any(not np.array_equal(expected[name], got[name]) for name in expected):
        raise BundleError(
            "exported model",
            expected="the answers of the trained model",
            got="other answers on the same pixels",
            fix="Check the disk, and export again.",
        )
