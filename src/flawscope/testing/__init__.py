"""For the authors of methods: `check_detector` checks what every detector must keep."""

from flawscope.testing.check import check_detector

__all__ = ["check_detector"]
