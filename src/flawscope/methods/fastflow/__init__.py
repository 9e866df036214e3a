"""FastFlow (see `flawscope.methods.fastflow.detector`)."""

from flawscope.methods.fastflow.detector import FastFlow, FastFlowOptions

__all__ = ["FastFlow", "FastFlowOptions"]
