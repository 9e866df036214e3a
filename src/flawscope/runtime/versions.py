"""Kept versions of a model, one step from one to another, and a chained log of what changed.

```text
models/bracket/              the model in use, whole at any moment
models/bracket.versions/     0a1b2c3d4e5f/ …  kept ones, each a whole model folder
                             candidate/       one that is not in use yet, or did not pass its gate
                             log.jsonl        what changed, a chained line each (runtime.chain)
```

A version is named by the first 12 hex digits of its manifest's sha256, and the manifest holds the hash of
every file: the same name means the same model. Equal files are one file on the disk (hard links) where it has
links. A model folder that is a link stands for the folder that it leads to. A signed manifest is kept, and
comes back, as it was signed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from flawscope.errors import BundleError, OptionError
from flawscope.files import typed
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.chain import Row
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.version_store import (
    CANDIDATE,
    RETURNING,
    Event,
    Store,
    Version,
    is_version,
    is_whole,
    link,
    name_of,
    now,
)

__all__ = [
    "Event",
    "Version",
    "candidate_like",
    "candidate_place",
    "changing",
    "folder_of",
    "history",
    "is_version",
    "is_whole",
    "keep",
    "logged",
    "name_of",
    "remove_but",
    "rollback",
    "rows",
    "switch",
]


def keep(model: Path) -> Version:
    """Keep the model in use as a version beside it; once, however often it is asked for.

    Raises:
        BundleError: the model is damaged.
        OutputError: the place beside it cannot be written.
    """
    store = Store(model)
    with store.alone():
        return store.keep()[1]


def candidate_place(model: Path) -> Path:
    """Where the model that shall follow this one is to be written, with `bundle.writing`, before `switch`.

    Raises:
        BundleError: there is no model.
        OutputError: the place beside the model cannot be written.
    """
    store = Store(model)
    with store.alone():
        return store.folder / CANDIDATE


def candidate_like(model: Bundle, manifest: Manifest) -> Path:
    """Write a candidate of the same files with another manifest; it bears no signature. Returns its place.

    Raises:
        OutputError: the place beside the model cannot be written.
    """
    place = candidate_place(model.folder)
    with bundle.writing(place) as draft:
        for name in model.manifest.files:
            (draft.folder / name).parent.mkdir(parents=True, exist_ok=True)
            link(model.folder / name, draft.folder / name)
        draft.manifest = manifest
    return place


def switch(model: Path, candidate: Path, event: Event | None = None) -> Version:
    """Put a candidate in use, in one step; the model before it is kept, and files that are none of it stay.

    Args:
        model: the model folder.
        candidate: a whole model folder at `candidate_place`; it is gone afterwards.
        event: what the log says of the change beside its time and both names, such as
            `{"event": "update", "pictures": 20}`; plain values.

    Raises:
        BundleError: the candidate is damaged.
        OutputError: the places cannot be written; the model in use stays.
    """
    store = Store(model)
    with store.alone(but=candidate):
        return store.take(bundle.load(Path(candidate).resolve()), {"event": "switch", **(event or {})})


@contextlib.contextmanager
def changing(model: Path, event: Event) -> Iterator[Version]:
    """Keep the model in use, let the block change it in place in one step, and log that it did.

    Raises:
        BundleError, OutputError: as `keep`, before the block begins.
    """
    store = Store(model)
    with store.alone():
        before = store.keep()[1]
        with store.intending(event):
            yield before


def history(model: Path) -> list[Version]:
    """All versions that are at hand, the one made first at the front, the one in use last. Writes nothing.

    Raises:
        OptionError: the model is itself a version of another.
    """
    store = Store(model)
    store.require_no_version()
    return [*store.kept(), *([store.version(store.model)] if bundle.is_bundle(store.model) else [])]


def rollback(model: Path, to: str | None = None, event: Event | None = None) -> Version:
    """Put an earlier version in use again, in one step; the model before it is kept.

    Args:
        model: the model folder; it may be gone, or damaged, and is then put aside among the versions.
        to: a version's name or the beginning of one; None: the one in use before the present one, or where
            there is none, and the model is damaged or gone, itself as it was kept. What has been rolled back
            does not count, so that each call goes further back.
        event: what the log says beside the time and both names.

    Raises:
        BundleError: no model and no version of one; the kept version is damaged, and the model in use stays.
        OptionError: no such version, several that begin so, or none before this one; the model is itself one.
        OutputError: the places cannot be written; the model in use stays.
    """
    store = Store(model)
    store.require_no_version()
    if not store.kept() and (is_whole(store.model) or not store.is_kept(store.model)):
        if not bundle.is_bundle(store.model):
            bundle.load(store.model)  # which says what lies there instead
        raise _no_earlier(store.model)
    with store.alone():
        wanted = _before(store) if to is None else _named(store, to)
        if wanted == name_of(store.model) and is_whole(store.model):
            return store.version(store.model)
        kept, returning = _whole(store, wanted), store.folder / RETURNING
        store.link_to(kept, returning)
        made = Bundle(returning, kept.manifest, kept.signed)
        return store.take(made, {"event": "rollback", **(event or {})})


def remove_but(model: Path, most: int) -> list[str]:
    """Remove the kept versions but so many that were in use last; the log tells which, and stays.

    Those stay, too, that the recipe of the model in use or of a kept version names, as `learn` writes it.

    Args:
        most: 0 or more; the model in use does not count.

    Returns:
        The names of those removed, the one in use longest ago at the front.

    Raises:
        BundleError: the model in use is damaged, or there is none.
        OptionError: the model is itself a version of another.
        OutputError: the places cannot be written.
    """
    store = Store(model)
    store.require_no_version()
    bundle.load(store.model)
    if not store.kept():
        return []
    with store.alone():
        changes = [row for row in store.rows() if {"from", "to"} <= row.entry.keys()]
        last_use = {row.entry["from"]: row.number for row in changes}
        ranked = sorted(store.kept(), key=lambda one: (last_use.get(one.id, -1), one.written, one.id))
        removed, staying = list[str](), [*ranked[max(len(ranked) - most, 0) :], store.version(store.model)]
        for version in reversed(ranked[: max(len(ranked) - most, 0)]):  # whose recipes name earlier ones
            if any(version.id in _recipe(one.folder) for one in staying):
                staying.append(version)
            else:
                removed.insert(0, version.id)
        if removed:
            store.log({"at": now(), "event": "removed", "versions": removed})
        for name in removed:
            store.remove(name)
    return removed


def logged(model: Path, event: Event) -> None:
    """Add a row to the model's log: the event, its time and its place in the chain.

    Raises:
        BundleError: there is no model.
        OutputError: the log cannot be written.
        ValueError: an event that JSON cannot hold.
    """
    store = Store(model)
    with store.alone():
        store.log({"at": now(), **event})


def rows(model: Path) -> list[Row]:
    """The model's log, in its order, for `runtime.chain.verify`; empty where nothing has changed yet."""
    return Store(model).rows()


def folder_of(model: Path) -> Path:
    """Where the versions of a model lie."""
    return Store(model).folder


def _recipe(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return (folder / bundle.RECIPE).read_text(encoding="utf-8", errors="replace")
    return ""


def _whole(store: Store, name: str) -> Bundle:
    place = store.folder / name
    try:
        found = bundle.load(place)
        got = "" if name_of(place) == name else "another model"
    except BundleError as error:
        got = error.got
    if got:
        raise BundleError(
            f"version {place}",
            expected="a whole model, as it was kept",
            got=got,
            fix=f"Choose another: flawscope rollback {typed(store.model)} --list. The model in use stays.",
        )
    return found


def _named(store: Store, text: str) -> str:
    known = [version.id for version in history(store.model)]
    found = [name for name in known if text and name.startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    raise OptionError(
        f"version {text!r} of {store.model}",
        expected="the name of a kept version or the beginning of one",
        got=f"the beginning of {len(found)}" if found else "an unknown one",
        fix=f"Known: {', '.join(known)}.",
    )


def _before(store: Store) -> str:
    """The version in use before the present one, by the log; where it tells none, the one kept last."""
    at_hand = [version.id for version in store.kept()]
    changes = [row.entry for row in store.rows() if {"from", "to"} <= row.entry.keys()]
    way = list[str]()
    for change in changes:
        if change.get("event") == "rollback" and change["to"] in way:
            del way[way.index(change["to"]) :]
        else:
            way.append(change["from"])
    earlier = [name for name in way if name in at_hand] if changes else at_hand
    if not earlier and name_of(store.model) is None:  # gone: as it was last, where it was kept
        earlier = [change["to"] for change in changes if change["to"] in at_hand] or at_hand
    elif not earlier and not is_whole(store.model) and store.is_kept(store.model):
        return str(name_of(store.model))
    if not earlier:
        raise _no_earlier(store.model)
    return earlier[-1]


def _no_earlier(model: Path) -> OptionError:
    return OptionError(
        f"model {model}",
        expected="an earlier version of it",
        got="none",
        fix="Versions are kept whenever update, calibrate, or learn with --gate, changes a model.",
    )
