"""What guards a manifest: the hash of its own canonical form, and a signature by whoever vouches for it.

The canonical form is JSON without white space, keys in order, numbers by their value (1.0 is 1): a manifest
that another program wrote anew with the same content is the same manifest. The hash covers all but itself,
the signature (Ed25519, RFC 8032) all but both. Whatever changes the content makes a new hash and ends the
signature.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from flawscope.errors import OptionError, need

HASH, SIGNATURE = "sha256", "signature"
_WHOLE = 2**53  # up to which a float holds every whole number
_SERIALIZATION = "cryptography.hazmat.primitives.serialization"
_ED25519 = "cryptography.hazmat.primitives.asymmetric.ed25519"
_MAKE = "Make one: openssl genpkey -algorithm ed25519 -out KEY; openssl pkey -in KEY -pubout -out KEY.pub."

Fields = Mapping[str, Any]
Purpose = Literal["model", "head"]  # a signature for the one is none for the other


class Signer:
    """A private Ed25519 key that vouches for models, and for heads of chains.

    Raises:
        MissingExtraError: the package for signatures is not installed.
        OptionError: the file is no such key, or locked by a password.
    """

    def __init__(self, path: Path) -> None:
        serialization = need(_SERIALIZATION, what="--sign", extra="sign")
        self._key = _key(path, "PrivateKey", lambda pem: serialization.load_pem_private_key(pem, None))

    def sign(self, fields: Fields, purpose: Purpose = "model") -> dict[str, str]:
        """The signature of a manifest, with the public key that it can be checked with, both in hex."""
        return {
            "key": _raw(self._key.public_key()),
            "value": self._key.sign(_signed(fields, purpose)).hex(),
        }


class Trusted:
    """A public Ed25519 key whose signature a model, or the head of a chain, must bear.

    Raises:
        MissingExtraError: the package for signatures is not installed.
        OptionError: the file is no such key.
    """

    def __init__(self, path: Path) -> None:
        serialization = need(_SERIALIZATION, what="--trust", extra="sign")
        self.path, self._key = path, _key(path, "PublicKey", serialization.load_pem_public_key)

    def problem(self, fields: Fields, purpose: Purpose = "model") -> str | None:
        """Why a manifest does not bear this key's signature; None where it does."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra

        signature = fields.get(SIGNATURE)
        if not isinstance(signature, dict):
            return "an unsigned one"
        if signature.get("key") != _raw(self._key):
            return "one signed with another key"
        try:
            self._key.verify(bytes.fromhex(signature["value"]), _signed(fields, purpose))
        except (InvalidSignature, KeyError, TypeError, ValueError):
            return "a signature that does not fit it"
        return None


def canonical(fields: Fields, *, without: tuple[str, ...] = (HASH, SIGNATURE)) -> bytes:
    """The canonical form of a manifest, but for some of its keys.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    kept = {key: value for key, value in fields.items() if key not in without}
    by_value = json.loads(json.dumps(kept, allow_nan=False), parse_float=_number)
    return json.dumps(by_value, sort_keys=True, separators=(",", ":")).encode()


def digest(fields: Fields) -> str:
    """The hash that a manifest carries: sha256 of its canonical form without the hash, in hex."""
    return hashlib.sha256(canonical(fields, without=(HASH,))).hexdigest()


def sealed(fields: Fields, signer: Signer | None = None) -> str:
    """A manifest's text, with its hash and, where somebody signs it, a signature in place of any before."""
    content = {key: value for key, value in fields.items() if key not in (HASH, SIGNATURE)}
    if signer is not None:
        content[SIGNATURE] = signer.sign(content)
    return json.dumps(content | {HASH: digest(content)}, indent=1) + "\n"


def parsed(text: bytes) -> Any:
    """What a JSON text holds, read strictly.

    Raises:
        ValueError, RecursionError: no JSON, a key that stands twice in one object, or a number beyond it.
    """
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)


def _signed(fields: Fields, purpose: Purpose) -> bytes:
    return f"flawscope {purpose}\n".encode() + canonical(fields)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value


def _raw(key: Any) -> str:
    serialization = need(_SERIALIZATION, what="a signature", extra="sign")
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return bytes(key.public_bytes(*raw)).hex()


def _key(path: Path, kind: str, load: Any) -> Any:
    """The key that `load` makes of a PEM file, of the class Ed25519`kind`."""
    expected = f"an Ed25519 {kind.removesuffix('Key').lower()} key in PEM, without a password"
    try:
        found = load(Path(path).read_bytes())
    except OSError as error:
        got = (error.strerror or str(error)).lower()
        raise OptionError(f"key {path}", expected=expected, got=got, fix="Correct the path.") from error
    except Exception as error:  # whatever the library makes of a file that is none
        raise OptionError(f"key {path}", expected=expected, got="another file", fix=_MAKE) from error
    if not isinstance(found, getattr(need(_ED25519, what="a signature", extra="sign"), f"Ed25519{kind}")):
        raise OptionError(f"key {path}", expected=expected, got="a key of another kind", fix=_MAKE)
    return found
