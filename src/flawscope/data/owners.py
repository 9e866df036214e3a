"""Which picture each file belongs to, where files are called as pictures are."""

from __future__ import annotations

from pathlib import Path

from flawscope.errors import DataError


class Owners:
    """Pictures of the files that were asked for; two pictures never share one.

    Args:
        what: what such a file is called.
        fix: what to do where two would share one.
    """

    def __init__(self, what: str, fix: str) -> None:
        self._what, self._fix = what, fix
        self._known: dict[Path, Path] = {}

    def claim(self, path: Path, picture: Path) -> Path:
        """The file `path`, as that of `picture`.

        Raises:
            DataError: it is another's.
        """
        owner = self._known.setdefault(path, picture)
        if owner != picture:
            raise DataError(
                f"{self._what} {path}",
                expected="one picture that it belongs to",
                got=f"{owner} and {picture}",
                fix=self._fix,
            )
        return path
