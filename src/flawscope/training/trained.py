"""The trained detector of a model folder, to train on or to teach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from flawscope.errors import BundleError
from flawscope.methods.detector import Detector
from flawscope.methods.running import restored
from flawscope.nn.backbones.weights import read_weights
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.manifest import Manifest


def weights_of(opened: Bundle) -> Path:
    """The file of the detector's tensors.

    Raises:
        BundleError: the folder is a copy for the station, without them.
    """
    if opened.weights is None:
        raise BundleError(
            f"model {opened.folder}",
            expected=f"a model with {bundle.WEIGHTS}",
            got="a copy for the station, without them",
            fix="Name the model folder that `flawscope train` made.",
        )
    return opened.weights


def tensors_of(opened: Bundle) -> dict[str, Tensor]:
    """The detector's tensors by name.

    Raises:
        BundleError: as `weights_of`.
    """
    return read_weights(weights_of(opened))


def options_in_force(manifest: Manifest) -> dict[str, Any]:
    """The method's options, with the values to which knobs of theirs were turned after training."""
    turned = {name: value for name, value in manifest.scalar_values().items() if name in manifest.options}
    return {**manifest.options, **turned}


def detector_of(opened: Bundle) -> Detector:
    """The trained detector.

    Raises:
        BundleError: no tensors, or ones that do not fit.
        OptionError: a method that is not installed here.
    """
    manifest = opened.manifest
    return restored(manifest.method, options_in_force(manifest), tensors_of(opened), manifest.learnt)
