"""The head of a chain as a small file, which is kept where whoever can write the results cannot."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from flawscope.errors import InputError
from flawscope.files import write_text
from flawscope.runtime.seal import SIGNATURE, Signer, Trusted, parsed
from flawscope.station.audit import Audit


def write_head(path: Path, found: Audit, signer: Signer | None = None) -> Path:
    """Write hash and number of the last row that an audit read, and the time; signed where somebody vouches.

    Returns `path`.

    Raises:
        OutputError: the file cannot be written.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    fields: dict[str, object] = {"head": found.head, "row": found.rows.total(), "at": now}
    signed = {} if signer is None else {SIGNATURE: signer.sign(fields, "head")}
    write_text(path, json.dumps(fields | signed, indent=1) + "\n")
    return path


def read_head(path: Path, trusted: Trusted | None = None) -> str:
    """The hash in a file that `write_head` made.

    Args:
        path: of the file.
        trusted: a key whose signature it must bear; None asks for none.

    Raises:
        InputError: there is no such file, it holds something else, or is not signed with the key.
    """
    fix = "Name the file that audit verify --write-head wrote."
    try:
        fields = parsed(path.read_bytes())
        head = str(fields["head"])
    except OSError as error:
        got = (error.strerror or str(error)).lower()
        raise InputError(f"head {path}", expected="a file with a head", got=got, fix=fix) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"head {path}", expected="a file with a head", got="another", fix=fix) from error
    if trusted is not None and (problem := trusted.problem(fields, "head")) is not None:
        raise InputError(
            f"head {path}",
            expected=f"one signed with {trusted.path}",
            got=problem,
            fix="Do not rely on it: take one that was kept elsewhere.",
        )
    return head
