"""PatchCore (see `flawscope.methods.patchcore.detector`)."""

from flawscope.methods.patchcore.detector import PatchCore
from flawscope.methods.patchcore.options import PatchCoreOptions

__all__ = ["PatchCore", "PatchCoreOptions"]
