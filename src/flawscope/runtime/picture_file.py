"""A picture's file as it is inspected: read once, and hashed as the very bytes that are decoded."""

from __future__ import annotations

import hashlib
import os
from io import BytesIO
from pathlib import Path
from typing import IO

from flawscope.files import digest

_IN_MEMORY = 1 << 28  # bytes: uncompressed, 90 megapixels in colour


class PictureFile:
    """The file at `path`, and the hash of its bytes once they were read.

    A file of up to 256 MiB is read into memory and decoded from there, so that the hash is that of what was
    decoded, whatever becomes of the file meanwhile. A larger one is hashed, and then decoded from the disk.

    Attributes:
        sha256: of the bytes, in hex; None until they were read, and where they could not be.
    """

    sha256: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> IO[bytes]:
        """Its bytes from the first on.

        Raises:
            OSError: the file cannot be read.
        """
        stream = self.path.open("rb")
        try:
            if os.fstat(stream.fileno()).st_size > _IN_MEMORY:
                self.sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
                stream.seek(0)
                return stream
            content = stream.read()
        except BaseException:
            stream.close()
            raise
        stream.close()
        self.sha256 = digest(content)
        return BytesIO(content)
