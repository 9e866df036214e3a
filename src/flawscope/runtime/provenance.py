"""Where a model comes from: the pictures that it has seen, and what for, the machine, the versions."""

from __future__ import annotations

import contextlib
import datetime
import platform
from collections.abc import Iterable
from importlib import metadata
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from flawscope.files import remembered_sha256
from flawscope.runtime.frozen import Frozen, Name
from flawscope.runtime.images import size_of
from flawscope.runtime.machine import hardware
from flawscope.runtime.tiling import Tiling

Role = Literal["normal", "tuning", "calibration", "defective"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "openvino", "pillow", "timm", "torch")


class SeenPicture(Frozen):
    """A picture that the model has seen, by content, and what it was used for.

    `frames` is the number of tiles that it was seen in, 1 for one that was seen whole; `group` names the part
    that it shows, where pictures have groups. `in_folds` tells that it calibrates the model, too: by the
    score that a model of the other folds gave it.
    """

    name: Name
    sha256: Digest
    role: Role
    frames: int = Field(default=1, ge=1)
    group: Name | None = None
    in_folds: bool = False

    @model_serializer(mode="wrap")
    def _what_there_is(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = values(self)
        for name in ("group", "in_folds"):
            if not getattr(self, name):
                written.pop(name, None)
        return written


class Provenance(Frozen):
    """Where a model comes from."""

    created: str
    seed: int
    pictures: tuple[SeenPicture, ...] = ()
    hardware: str = ""
    versions: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def now(cls, seed: int, pictures: Iterable[SeenPicture]) -> Provenance:
        """The provenance of a model made now on this machine."""
        return cls(
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seed=seed,
            pictures=tuple(pictures),
            hardware=hardware(),
            versions={"python": platform.python_version(), **_versions()},
        )

    @property
    def calibrating(self) -> tuple[SeenPicture, ...]:
        """Those whose scores the calibration holds."""
        return tuple(one for one in self.pictures if one.role == "calibration" or one.in_folds)

    def calibrated_in_folds(self, paths: Iterable[Path] = ()) -> Provenance:
        """The same, with the pictures of these files as those that calibrate in folds, and no others."""
        contents = {remembered_sha256(path) for path in paths}
        marked = (one.model_copy(update={"in_folds": one.sha256 in contents}) for one in self.pictures)
        return self.model_copy(update={"pictures": tuple(marked)})

    def count(self, role: Role) -> int:
        """How many pictures played this role."""
        return sum(picture.role == role for picture in self.pictures)


def seen(
    paths: Iterable[Path], role: Role, groups: Iterable[str | None] = (), tiling: Tiling | None = None
) -> tuple[SeenPicture, ...]:
    """Name, content hash and tiles of each picture, with its role, and its group where it has one."""

    def frames(path: Path) -> int:
        return 1 if tiling is None else len(tiling.grid(*size_of(path)))

    return tuple(
        SeenPicture(
            name=Path(path).name,
            sha256=remembered_sha256(path),
            role=role,
            frames=frames(path),
            group=group,
        )
        for path, group in zip(paths, chain(groups, repeat(None)), strict=False)
    )


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
