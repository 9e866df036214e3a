"""The folder beside a model in which its versions lie: what is written there, and in which order."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flawscope.errors import BundleError, OptionError
from flawscope.files import PART, typed, unwritable, write_atomically, write_text
from flawscope.folders import abandoned, scratch, turn
from flawscope.runtime import bundle, places
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.chain import Row, following

LOG, CANDIDATE, RETURNING, SUFFIX = "log.jsonl", "candidate", "returning", ".versions"
_DAMAGED, _INTENT, _TURN = "damaged", ".changing", ".turn"
_NAME = re.compile(r"[0-9a-f]{12}")

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Version:
    """A model that is in use or was.

    Attributes:
        id: the first 12 hex digits of its manifest's sha256.
        folder: a whole model folder.
        written: when its manifest was written: when the model was made.
        current: whether it is the one in use.
    """

    id: str
    folder: Path
    written: datetime.datetime
    current: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        written = self.written.isoformat(timespec="seconds")
        return {"id": self.id, "folder": str(self.folder), "written": written, "current": self.current}


class Store:
    """The versions of one model. What writes is called within `alone`."""

    def __init__(self, model: Path) -> None:
        self.model = Path(model).resolve()
        self.folder = self.model.with_name(self.model.name + SUFFIX)

    @contextlib.contextmanager
    def alone(self, *, but: Path | None = None) -> Iterator[None]:
        """Take the turn and clear up what a kill left, all but a folder that is about to be used.

        Raises:
            BundleError: there is no model, and no version of one.
            OptionError: the model is itself a version of another.
            OutputError: the folder cannot be written.
        """
        self.require_no_version()
        if not (self.folder.exists() or bundle.is_bundle(self.model)):
            bundle.load(self.model)
        try:
            self.folder.mkdir(exist_ok=True)
            with turn(self.folder / _TURN):
                self._tidy(None if but is None else Path(but).resolve())
                yield
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def require_no_version(self) -> None:
        """Refuse a model that is itself a version of another.

        Raises:
            OptionError: it is.
        """
        if is_version(self.model):
            model = self.model.parent.with_name(self.model.parent.name.removesuffix(SUFFIX))
            raise OptionError(
                f"model {self.model}",
                expected="a model in use",
                got=f"a version of {model.name}, which stays as it is",
                fix=f"Name {model.name}; a version is put in use by: "
                f"flawscope rollback {typed(model)} --to VERSION",
            )

    def kept(self) -> list[Version]:
        """The versions that are not in use, the one made first at the front."""
        present = name_of(self.model)
        named = [path for path in self.folder.glob("*") if _NAME.fullmatch(path.name)]
        found = [self.version(place) for place in named if place.name != present and bundle.is_bundle(place)]
        return sorted(found, key=lambda version: (version.written, version.id))

    def version(self, place: Path) -> Version:
        """The version that lies in a folder of this store, or is the model itself."""
        name, current = name_of(place), name_of(self.model)
        changed = datetime.datetime.fromtimestamp((place / bundle.MANIFEST).stat().st_mtime).astimezone()
        return Version(name or place.name, place, changed, current=name == current)

    def keep(self) -> tuple[Bundle, Version]:
        """The model in use, checked, and the version that it is kept as."""
        model = bundle.load(self.model)
        place = self.folder / str(name_of(self.model))
        if place.exists():
            with contextlib.suppress(BundleError):
                bundle.load(place)
                return model, self.version(place)
            self._remove(place)
        self.link_to(model, place)
        return model, self.version(place)

    def link_to(self, model: Bundle, place: Path) -> None:
        """Make `place`, in one step, a model folder of the same files; its manifest is a copy."""
        with scratch(self.folder, PART) as part:
            fresh = part / place.name
            fresh.mkdir()
            for name in model.manifest.files:
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                link(model.folder / name, fresh / name)
            shutil.copy2(model.folder / bundle.MANIFEST, fresh / bundle.MANIFEST)  # with the time it was made
            fresh.rename(place)

    def take(self, candidate: Bundle, event: Event) -> Version:
        """Put a whole model folder in use, in one step; what was in use lies among the kept ones then."""
        if name_of(candidate.folder) != name_of(self.model) or not is_whole(self.model):
            with contextlib.suppress(BundleError):  # gone, or damaged, and then put aside as it is
                _share(candidate, self.keep()[0])
            same = name_of(candidate.folder) == name_of(self.model)
            with self.intending(event):
                places.put(candidate.folder, self.model)
            if same:
                name = name_of(self.model)
                self.log({"at": now(), **event, "event": "mended", "from": name, "to": name})
        if candidate.folder.exists():
            self._drop(candidate.folder)
        return self.version(self.model)

    @contextlib.contextmanager
    def intending(self, event: Event) -> Iterator[None]:
        """Log the event if the block changes the model in use; should a kill end it, the next turn does."""
        wish = {"from": name_of(self.model), "event": {"at": now(), **event}}
        write_text(self.folder / _INTENT, json.dumps(wish))
        try:
            yield
        finally:
            self._settle()

    def remove(self, name: str) -> None:
        """Remove a kept version, in one step."""
        self._remove(self.folder / name)

    def log(self, entry: Event) -> None:
        """Add a row; the log is written anew, so that it is the old one or the new one."""
        rows = self.rows()
        before = (self.folder / LOG).read_bytes() if rows else b""  # as it stands, damaged rows, too
        added = following(rows[-1] if rows else None, entry).to_line().encode()
        with write_atomically(self.folder / LOG) as stream:
            stream.write(before + b"\n" * bool(before and not before.endswith(b"\n")) + added + b"\n")

    def rows(self) -> list[Row]:
        """The log; empty where there is none."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return [Row.of_line(line) for line in (self.folder / LOG).read_bytes().splitlines()]
        return []

    def _settle(self) -> None:
        """Log the change that was intended, if it came about, once."""
        path = self.folder / _INTENT
        try:
            wish = json.loads(path.read_bytes())
            before, event = wish["from"], dict(wish["event"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):  # nothing of ours
            path.unlink()
            return
        present = name_of(self.model)
        if present != before:
            entry = {**event, "from": before, "to": present}
            last = self.rows()[-1:]
            if not last or last[0].entry != {**entry, "number": last[0].number}:
                self.log(entry)
        path.unlink()

    def _tidy(self, but: Path | None) -> None:
        places.tidy(self.model)
        self._settle()
        for part in abandoned(self.folder, PART):
            shutil.rmtree(part, ignore_errors=True)
        for place in (self.folder / CANDIDATE, self.folder / RETURNING):
            left = place.is_dir() and (place.name == RETURNING or self.is_kept(place))
            if left and place != but:  # a kill came between its step and its end
                self._drop(place)
        places.tidy(self.folder / CANDIDATE)
        present, told = name_of(self.model), [row.entry["to"] for row in self.rows() if "to" in row.entry]
        if present is not None and told and told[-1] != present:  # copied there, or trained over
            self.log({"at": now(), "event": "found", "from": told[-1], "to": present})

    def _drop(self, old: Path) -> None:
        """Remove a folder that was in use until now; one that is damaged, or not kept, is put aside."""
        if self.model.exists():
            places.carry(old, self.model)
        if (self.is_kept(old) or name_of(old) == name_of(self.model)) and is_whole(old):
            self._remove(old)
            return
        aside = (self.folder / f"{_DAMAGED}-{number}" for number in itertools.count(1))
        old.rename(next(place for place in aside if not place.exists()))

    def _remove(self, folder: Path) -> None:
        with scratch(self.folder, PART) as part:  # where half of it is known as rubbish
            folder.rename(part / folder.name)

    def is_kept(self, folder: Path) -> bool:
        """Whether a version of a model folder's name lies among the kept ones."""
        name = name_of(folder)
        return name is not None and name_of(self.folder / name) == name


def is_version(folder: Path) -> bool:
    """Whether a model folder lies among the versions of a model, and so stays as it is."""
    folder = Path(folder).resolve()
    own = folder.name == CANDIDATE or _NAME.fullmatch(folder.name) is not None
    return own and folder.parent.name.endswith(SUFFIX)


def is_whole(folder: Path) -> bool:
    """Whether a model folder can be loaded."""
    try:
        bundle.load(folder)
    except BundleError:
        return False
    return True


def name_of(folder: Path) -> str | None:
    """The name of the version that a model folder is; None where there is none."""
    try:
        return hashlib.sha256((folder / bundle.MANIFEST).read_bytes()).hexdigest()[:12]
    except OSError:
        return None


def link(source: Path, target: Path) -> None:
    """One more name for a file, or a copy of it where the disk has no links."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def now() -> str:
    """The time, as the log tells it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def _share(candidate: Bundle, present: Bundle) -> None:
    """Let the candidate's files that equal one of the present model's be that one."""
    same = {(entry.sha256, entry.bytes): name for name, entry in present.manifest.files.items()}
    for name, entry in candidate.manifest.files.items():
        known, target = same.get((entry.sha256, entry.bytes)), candidate.folder / name
        if known is None or target.samefile(present.folder / known):
            continue
        with scratch(candidate.folder, PART) as part:
            link(present.folder / known, part / target.name)
            (part / target.name).replace(target)
