"""What the entries of a model's vectors are, as its manifest names them."""

from __future__ import annotations

from flawscope.errors import BundleError
from flawscope.runtime.manifest import Manifest


def names_of(manifest: Manifest, output: str) -> tuple[str, ...]:
    """Names of the entries of a vector; none where the model has no such output."""
    return next((spec.names for spec in manifest.outputs if spec.name == output), ())


def entries_of(manifest: Manifest, output: str, count: int) -> tuple[str, ...]:
    """Names of the `count` entries of a vector.

    Raises:
        BundleError: the model names another number of them.
    """
    names = names_of(manifest, output)
    if len(names) != count:
        raise BundleError(
            f"the model's {output}",
            expected=f"{len(names)} entries, as the manifest names them",
            got=f"{count} entries",
            fix="Train again.",
        )
    return names
