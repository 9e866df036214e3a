"""For the authors of methods: what every detector must keep, as one call or as named checks."""

from flawscope.testing.check import Check, check_detector, detector_checks, parametrize_with_checks
from flawscope.testing.subject import Subject

__all__ = ["Check", "Subject", "check_detector", "detector_checks", "parametrize_with_checks"]
