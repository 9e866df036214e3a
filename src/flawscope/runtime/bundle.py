"""The model folder: `manifest.json`, `model.onnx`, `weights.safetensors`, `recipe.yaml`; never pickle."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from flawscope.errors import BundleError, FlawscopeError, OptionError
from flawscope.files import (
    digest,
    disk_error,
    inside,
    is_file,
    is_folder,
    is_there,
    sha256,
    unwritable,
    write_text,
)
from flawscope.folders import mended, scratch
from flawscope.runtime import places, seal
from flawscope.runtime.frozen import misfit
from flawscope.runtime.listing import is_picture_name
from flawscope.runtime.manifest import FORMAT, FileEntry, Manifest

MANIFEST, GRAPH, WEIGHTS, RECIPE = places.MANIFEST, places.GRAPH, places.WEIGHTS, places.RECIPE

_AGAIN = "Take the model folder from its source again, or train again."
_TAMPERED = "Do not use it: it was tampered with."
_UNSIGNED = (
    "Take it from its source again; `calibrate` ends a signature, and whoever holds the key signs anew with "
    "`flawscope export --sign KEY`."
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model folder whose files were checked against its manifest.

    `signed` tells that its manifest bears a signature, whosever it is; `sha256` is of the manifest's file.
    """

    folder: Path
    manifest: Manifest
    signed: bool = False
    sha256: str = ""

    @property
    def weights(self) -> Path | None:
        """The tensors for training on and exporting again, or None where they were left out."""
        return self.folder / WEIGHTS if WEIGHTS in self.manifest.files else None


class Draft:
    """A model folder in the making.

    Attributes:
        folder: where to write its files: at least the graph of each stage.
        manifest: to be set; hashes and sizes of the files are added to it.
        bundle: the finished model, once it stands in its place.
    """

    manifest: Manifest
    bundle: Bundle

    def __init__(self, folder: Path) -> None:
        self.folder = folder


@contextlib.contextmanager
def writing(folder: Path, signer: seal.Signer | None = None) -> Iterator[Draft]:
    """Build a model folder aside and put it in the place of `folder` only once it is whole.

    What stood in `folder` and was no part of an older model there, such as a report, is kept. `signer` signs
    the manifest.

    Raises:
        OutputError: the place cannot be written or the disk is full; an older model stays as it was, as it
            does where the body raises.
    """
    folder = Path(folder).resolve()
    if is_there(folder) and not is_folder(folder):
        raise unwritable(folder, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        places.tidy(folder)
        with scratch(folder.parent, places.aside(folder)) as aside:
            fresh = aside / "model"
            fresh.mkdir()
            draft = Draft(fresh)
            yield draft
            written = sorted(path for path in fresh.rglob("*") if path.is_file())
            files = {path.relative_to(fresh).as_posix(): _entry(path) for path in written}
            manifest = draft.manifest.model_copy(update={"files": files})
            _require_graphs(manifest, folder)
            text = _dump(manifest, signer)
            write_text(fresh / MANIFEST, text)
            places.put(fresh, folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    except FlawscopeError:
        raise
    except Exception as error:
        if (told := disk_error(error)) is None:
            raise
        raise unwritable(folder, told) from error
    draft.bundle = Bundle(folder, manifest, signer is not None, digest(text.encode()))


def refuse_existing(out: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """Refuse to write a model over another, over files called as its own, or over its `source`.

    Raises:
        OptionError: `out` holds a model, or such a file, and `overwrite` is off; or it is the source.
    """
    itself = source is not None and out.resolve() == source.resolve()
    if itself or (is_bundle(out) and not overwrite):
        raise OptionError(
            f"--out {out}",
            expected="a new or empty folder",
            got="a model",
            fix=f"Choose another --out, or replace {'another' if source else 'the'} model with --overwrite.",
        )
    try:
        lost = () if overwrite else sorted(name for name in places.OWN if (out / name).exists())
    except OSError as error:
        raise unwritable(out, error) from error
    if lost:
        raise OptionError(
            f"--out {out}",
            expected="a new or empty folder",
            got=f"one that is no model and holds {', '.join(lost)}, as the model will",
            fix="Choose another --out, move that elsewhere, or replace it with --overwrite.",
        )


def load(folder: Path, *, trust: Path | None = None) -> Bundle:
    """Read a model folder; check the manifest against its own hash, and every file against the manifest.

    A folder in whose place another command puts another model meanwhile is read again.

    Args:
        folder: of the model.
        trust: a public Ed25519 key whose signature the manifest must bear; None asks for none.

    Raises:
        BundleError: no model folder; another format; a manifest that was changed or is not signed with the
            key; unknown or missing keys; a file that is missing, changed, or would lie outside the folder.
        MissingExtraError, OptionError: no key can be read from `trust`.
    """
    folder = Path(folder)
    if not is_there(folder):
        with contextlib.suppress(OSError):  # then it is reported as missing
            mended(folder)
    found = _read(folder, None if trust is None else seal.Trusted(trust))
    try:
        _require_graphs(found.manifest, folder)
        for name, entry in found.manifest.files.items():
            _check_file(folder, name, entry)
    except BundleError:
        if is_current(found):
            raise
        return load(folder, trust=trust)
    return found


def is_current(found: Bundle) -> bool:
    """Whether the manifest in the folder is still the one that was read: no other model is there now."""
    try:
        return digest((found.folder / MANIFEST).read_bytes()) == found.sha256
    except OSError:
        return False


def replace_manifest(found: Bundle, manifest: Manifest) -> Bundle:
    """Write another manifest for the same files, in one atomic step; it bears no signature any more.

    Raises:
        OutputError: the manifest cannot be written; the old one stays.
    """
    text = _dump(manifest)
    write_text(found.folder / MANIFEST, text)
    return Bundle(found.folder, manifest, sha256=digest(text.encode()))


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like a model folder at all."""
    return is_file(Path(folder) / MANIFEST)


def _dump(manifest: Manifest, signer: seal.Signer | None = None) -> str:
    return seal.sealed(manifest.model_dump(mode="json"), signer)


def _entry(path: Path) -> FileEntry:
    return FileEntry(sha256=sha256(path), bytes=path.stat().st_size)


def _require_graphs(manifest: Manifest, folder: Path) -> None:
    for stage in manifest.stages:
        if stage.file not in manifest.files:
            raise _broken(folder, f"a model folder with {stage.file}", "a manifest that does not list it")


def _read(folder: Path, trusted: seal.Trusted | None = None) -> Bundle:
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise _no_model(folder) from error
    except OSError as error:
        got = (error.strerror or str(error)).lower()
        fix = "Check the path and its permissions."
        raise _broken(folder, f"a folder with {MANIFEST}", got, fix) from error
    fields = _checked(folder, content)
    if trusted is not None and (problem := trusted.problem(fields)) is not None:
        raise _broken(folder, f"a manifest signed with {trusted.path}", problem, _UNSIGNED)
    own = {key: value for key, value in fields.items() if key not in (seal.HASH, seal.SIGNATURE)}
    try:
        manifest = Manifest.model_validate_json(json.dumps(own))
        return Bundle(folder, manifest, seal.SIGNATURE in fields, digest(content))
    except (ValidationError, FlawscopeError) as error:
        got = str(error) if isinstance(error, FlawscopeError) else misfit(error)
        raise _broken(folder, "a manifest that this version understands", got) from error


def _checked(folder: Path, content: bytes) -> dict[str, Any]:
    """The manifest's fields, once its format and its hash were found right."""
    try:
        fields = seal.parsed(content)
    except (ValueError, RecursionError) as error:
        raise _broken(folder, f"JSON in {MANIFEST}", "a damaged file") from error
    _check_format(folder, fields.get("format") if isinstance(fields, dict) else None)
    try:
        found = seal.digest(fields)
    except ValueError as error:
        raise _broken(folder, f"JSON in {MANIFEST}", "a number beyond it") from error
    if fields.get(seal.HASH) != found:
        raise _broken(folder, f"{MANIFEST} as it was written, by the hash in it", "other content")
    return dict(fields)


def _check_format(folder: Path, number: Any) -> None:
    """Tell another version's manifest from a damaged one."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise _broken(folder, "a manifest with its format number", repr(number)[:40])
    if number > FORMAT:
        fix = "Upgrade flawscope: pip install --upgrade flawscope."
    elif number < FORMAT:
        fix = "Train it again with this version, from the folder's recipe.yaml."
    else:
        return
    raise _broken(folder, f"a model of format {FORMAT}", f"format {number}", fix)


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    try:
        path = inside(folder, name)
    except (FlawscopeError, ValueError, OSError) as error:
        raise _broken(folder, "files inside the folder", repr(name), _TAMPERED) from error
    if PurePosixPath(name).is_absolute() or name in ("", ".", MANIFEST):
        raise _broken(folder, "names of its own files", repr(name), _TAMPERED)
    try:
        size = path.stat().st_size
        found = sha256(path) if size == entry.bytes else ""
    except OSError as error:
        raise _broken(folder, name, (error.strerror or str(error)).lower()) from error
    if found != entry.sha256:
        got = "other content" if found else f"{size} bytes"
        raise _broken(folder, f"{name} as its manifest describes it ({entry.bytes} bytes)", got)


def _no_model(folder: Path) -> BundleError:
    """The error for a path without a manifest, with what lies there instead."""
    got = f"no such {'file' if is_folder(folder) else 'folder'}"
    fix = "Check the path, or train a model first."
    with contextlib.suppress(OSError):
        names = sorted(path.name for path in folder.iterdir()) if is_folder(folder) else []
        models = [name for name in names if is_bundle(folder / name)]
        if models:
            got, fix = "a folder of models", f"Name one of them: {', '.join(models[:6])}."
        elif any(map(is_picture_name, names)) and places.OWN.isdisjoint(names):
            got, fix = "a folder of pictures", "Name the model folder; pictures come after it."
    return _broken(folder, f"a folder with {MANIFEST}", got, fix)


def _broken(folder: Path, expected: str, got: str, fix: str = _AGAIN) -> BundleError:
    return BundleError(f"model {folder}", expected=expected, got=got, fix=fix)
