"""Whether a picture file was written to its end, as far as its bytes tell."""

from __future__ import annotations

from pathlib import Path

_SHARE = 0.125  # of a file: less is the dark corner of a whole picture, or padding
_LOOK = 1 << 16  # bytes at the end that are looked at first
_ENDS = (b"\xff\xd9", b"IEND\xaeB\x60\x82")  # of JPEG and PNG, which padding may follow


def zeros_at_end(path: Path) -> float:
    """Share of the file's bytes that are zeros at its end, in [0, 1]; 0 below an eighth.

    BMP, TIFF and WebP decode though their second half was never written, as a copy leaves them that has made
    room for the file first. Pictures that are black at the end of their file look the same. Files that tell
    their own end, PNG and JPEG, count as whole where that end is there.
    """
    with path.open("rb") as stream:
        size = path.stat().st_size
        look = min(_LOOK, max(int(size * _SHARE), 1))
        stream.seek(max(size - look, 0))
        if not size or stream.read().strip(b"\0"):
            return 0.0
        stream.seek(0)
        written = stream.read().rstrip(b"\0")
    share = 1 - len(written) / size
    return 0.0 if share < _SHARE or written.endswith(_ENDS) else share
