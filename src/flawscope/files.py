"""Atomic writes, content hashes and paths that stay inside their folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from flawscope.errors import FlawscopeError, InputError, OutputError
from flawscope.folders import scratch

PART = ".part-"  # how the folders begin in which files are made


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its place only when the block ends well.

    Raises:
        OutputError: the folder cannot be written or the disk is full; what stood at `path` is untouched.
    """
    with _replacing(Path(path)) as temporary, temporary.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically (see `write_atomically`)."""
    with write_atomically(path) as stream:
        stream.write(text.encode(errors="backslashreplace"))


def write_with(path: Path, save: Callable[[Path], None]) -> None:
    """Let `save` write a file by name, atomically: for libraries that take a path and no stream.

    Raises:
        OutputError: as `write_atomically`, whatever the library makes of it.
    """
    with _replacing(Path(path)) as temporary:
        save(temporary)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A name for a file that takes the place of `path`, or of what it links to, when the block ends well."""
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target.parent, PART) as folder:
            temporary = folder / target.name
            yield temporary
            temporary.chmod(0o666 & ~_UMASK)
            temporary.replace(target)
    except OSError as error:
        raise unwritable(path, error) from error
    except FlawscopeError:
        raise
    except Exception as error:
        if (told := disk_error(error)) is None:
            raise
        raise unwritable(path, told) from error


def _target(path: Path) -> Path:
    """Where links lead; a device or a pipe is refused, for a file would take its place."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        raise OSError(errno.EINVAL, "a device or a pipe, not a file")
    return target


def writable_folder(folder: Path) -> Path:
    """Make `folder` and prove that a file can be written in it, before long work starts."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def writable_file(path: Path) -> Path:
    """Prove that a file can be written at `path`, before long work starts.

    Raises:
        OutputError: its folder cannot be written, or a folder or a device stands there.
    """
    try:
        target = _target(Path(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise unwritable(Path(path), error) from error
    writable_folder(target.parent)
    return Path(path)


def typed(path: Path | str) -> str:
    """A path as it is typed on a command line, in quotes where it holds blanks or the like.

    >>> typed("models/bracket"), typed("models/left bracket")
    ('models/bracket', "'models/left bracket'")
    """
    text = str(path)
    if os.name == "nt":
        return f'"{text}"' if " " in text else text
    return shlex.quote(text)


def encodable(name: str) -> str:
    r"""A file's name, or a part of it, in letters that UTF-8 has; bytes that are not UTF-8 as digits.

    >>> print(encodable("Pr\udcfcfling.png"))
    Pr\udcfcfling.png
    """
    return name.encode(errors="backslashreplace").decode()


def is_there(path: Path | str) -> bool:
    """Whether anything lies there; False, too, where the system refuses to look, as the next two."""
    return os.path.exists(path)  # noqa: PTH110 - a path's own raises where the way there is closed


def is_file(path: Path | str) -> bool:
    """Whether a file lies there, as far as the system tells."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path | str) -> bool:
    """Whether a folder lies there, as far as the system tells."""
    return os.path.isdir(path)  # noqa: PTH112


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error for a file or folder that cannot be written, with the system's own reason."""
    return OutputError(
        f"output {path}",
        expected="a place that can be written",
        got=(error.strerror or str(error)).lower(),
        fix="Choose another folder, free disk space, or change the permissions.",
    )


def disk_error(error: BaseException) -> OSError | None:
    """What the disk said, where an error is its refusal to take more or tells of one; None for any other.

    Libraries that write with code of their own wrap the system's error in one of theirs, its words in it.

    >>> disk_error(ValueError("I/O error: No space left on device (os error 28)"))
    OSError(28, 'No space left on device')
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _DISK:
            return seen
        for number, words in _DISK.items():
            if words in str(seen) or f"os error {number})" in str(seen):
                return OSError(number, words)
        seen = seen.__cause__ or seen.__context__
    return None


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(content: bytes) -> str:
    """Hex digest of bytes, as `sha256` gives it of a file that holds them."""
    return hashlib.sha256(content).hexdigest()


def remembered_sha256(path: Path) -> str:
    """As `sha256`, once for each file: remembered for as long as its size and times of change stay.

    For pictures, which many steps of one run ask for; not for what must be checked against tampering.
    """
    status = Path(path).stat()
    facts = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return _digest_of(Path(path).absolute(), facts)


@lru_cache(maxsize=1 << 16)
def _digest_of(path: Path, facts: tuple[int, ...]) -> str:
    del facts
    return sha256(path)


def inside(folder: Path, name: str) -> Path:
    """`folder / name`, or an InputError where that would leave the folder."""
    base = Path(folder).resolve()
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise InputError(
            f"path {name!r}",
            expected=f"a path inside {folder}",
            got="one that leads outside",
            fix="Correct the file that names it.",
        )
    return path


# full, over quota, read-only, over the largest size of a file, broken
_DISK = {
    number: os.strerror(number)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EFBIG", "EIO")
    if (number := getattr(errno, name, None)) is not None
}


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _read_umask()  # once: asking changes it for a moment, which threads must not see
