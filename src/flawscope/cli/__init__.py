"""The command line: parse, call, print."""

from flawscope.cli.app import main

__all__ = ["main"]
