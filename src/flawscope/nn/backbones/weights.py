"""Pretrained weights: where they are looked for, how they are checked, and how they reach a backbone.

Lookup order: the folders of `FLAWSCOPE_WEIGHTS` (separated as in `PATH`), the cache, this package or an
installed data package, the library's own download into the cache. In a folder, `NAME.safetensors` is taken
first, then `NAME_*.safetensors`, `NAME-*.safetensors` and `NAME.*.safetensors`, NAME being the backbone's
plain name; before all of these, for a network of timm, the name that its download has in the cache,
`timm-NAME.safetensors`, so that the file may be copied as it is. A file may hold more than is needed, or only
the lower layers, as long as all layers in use are there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flawscope.errors import WeightsError
from flawscope.files import sha256
from flawscope.nn.backbones._sources import (
    DETECTORS,
    KNOWN,
    PACKAGES,
    SHIPPED,
    Known,
    download,
    packaged,
    packaged_path,
)
from flawscope.nn.backbones.build import Backbone, resolve

FOLDERS = "FLAWSCOPE_WEIGHTS"
CACHE = "FLAWSCOPE_CACHE"


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """One set of weights: what it is, and the file it would come from now.

    Attributes:
        name: the backbone's name, or the file's stem where no known backbone claims it.
        where: the file, or None where it would be downloaded.
        source: folder, cache or package; where the file is not here, how it would come.
        size: bytes of the file, or about how many the download has.
        sha256: of the file; of the published file where it is known and not here; else empty.
        licence: the weights' own.
        available: True where no network is needed; False for a file that may not be read, whose size and
            sha256 are 0 and empty.
    """

    name: str
    where: Path | None
    source: str
    size: int
    sha256: str
    licence: str
    available: bool


def load_pretrained(backbone: Backbone) -> Path:
    """Fill the backbone with the weights that the lookup order finds first; returns their file.

    Raises:
        WeightsError: no file and no network, a damaged or foreign file, or one that lacks layers in use or
            holds NaN or infinity there.
    """
    problem: WeightsError | None = None
    full_name = f"timm:{backbone.name}" if backbone.library == "timm" else backbone.name
    cached = _cache_file(full_name)
    for path in [path for _, folder in _weights_folders() for path in _files(folder, backbone.name, cached)]:
        try:
            _fill(backbone, read_weights(path), path)
        except WeightsError as error:
            if path.stem in (backbone.name, cached.stem):
                raise
            problem = problem or error  # a file of another network with a longer name
        else:
            return path
    if cached.is_file():
        _fill(backbone, read_weights(cached), cached)
        return cached
    package = packaged_path(backbone.name)
    if package is not None:
        _fill(backbone, packaged(backbone.name, package), package)
        return package
    try:
        path = fetch(full_name)
    except WeightsError as error:
        raise problem or error from None
    _fill(backbone, read_weights(path), path)
    return path


def fetch(name: str) -> Path:
    """Download the weights of a backbone, or of one of `DETECTORS`, as its library does, into the cache.

    What this package ships is here already; that file is returned.

    Raises:
        WeightsError: no network, a file that fails its checksum, or a network without published weights.
    """
    target = _cache_file(name)
    shipped = packaged_path(name)
    if shipped is not None and shipped.parent == SHIPPED:
        return shipped
    download(name, target, f"{FOLDERS} (a folder that holds {target.name})")
    return target


def list_weights() -> list[WeightsInfo]:
    """Known weights and all further files in the weights folders and the cache, by name."""
    found = [_info(known) for known in KNOWN.values()]
    claimed = {info.where for info in found}
    for source, folder in _folders():
        others = [path for path in sorted(folder.glob("*.safetensors")) if path not in claimed]
        found += [_here(path.stem, path, source, "unknown") for path in others if path.is_file()]
    return sorted(found, key=lambda info: info.name)


def cache_folder() -> Path:
    """Where downloads are kept: `FLAWSCOPE_CACHE`, else the platform's cache folder, weights inside."""
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(chosen) / "weights"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "flawscope" / "weights"


def _cache_file(name: str) -> Path:
    """One file for each library's network: torchvision and timm share names, not weights."""
    library, plain = ("torchvision", name) if name in DETECTORS else resolve(name)
    return cache_folder() / (f"timm-{plain}.safetensors" if library == "timm" else f"{plain}.safetensors")


def _weights_folders() -> Iterator[tuple[str, Path]]:
    for folder in os.environ.get(FOLDERS, "").split(os.pathsep):
        if folder:
            yield "folder", Path(folder)


def _folders() -> Iterator[tuple[str, Path]]:
    yield from _weights_folders()
    yield "cache", cache_folder()


def _files(folder: Path, name: str, cached: Path | None = None) -> list[Path]:
    """Files of that name in lookup order, after one that is called as in the cache, where that is told."""
    exact = [folder / each for each in (cached and cached.name, f"{name}.safetensors") if each]
    others = [path for mark in "_-." for path in sorted(folder.glob(f"{name}{mark}*.safetensors"))]
    return [path for path in dict.fromkeys([*exact, *others]) if path.is_file()]


def _info(known: Known) -> WeightsInfo:
    cached = Path(f"timm-{known.name}.safetensors") if known.name in PACKAGES else None
    for source, folder in _folders():
        for path in _files(folder, known.name, cached):
            return _here(known.name, path, source, known.licence)
    package = packaged_path(known.name)
    if package is not None:
        return _here(known.name, package, "package", known.licence)
    return WeightsInfo(known.name, None, known.source, known.size, known.sha256, known.licence, False)


def _here(name: str, path: Path, source: str, licence: str) -> WeightsInfo:
    """A file that is here; not available where it cannot be read."""
    try:
        return WeightsInfo(name, path, source, path.stat().st_size, sha256(path), licence, True)
    except OSError:
        return WeightsInfo(name, path, source, 0, "", licence, False)


def local_files(name: str) -> list[Path]:
    """Files of that name in the folders and the cache, in lookup order: exact names before longer ones."""
    return [path for _, folder in _folders() for path in _files(folder, name)]


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        WeightsError: no such file, or a damaged one.
    """
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"weights {path}",
            expected="a whole safetensors file",
            got=f"one that cannot be read ({' '.join(str(error).split())})",
            fix="Copy it again from its source, or remove it.",
        ) from error


def _fill(backbone: Backbone, tensors: Mapping[str, Tensor], path: Path) -> None:
    wanted = {
        key: value
        for key, value in backbone.body.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    chosen: dict[str, Tensor] = {}
    for key, value in wanted.items():
        tensor = tensors.get(key)
        if tensor is not None and key == "pos_embed" and tensor.shape != value.shape:
            tensor = _resample(backbone, tensor)
        if tensor is None or tensor.shape != value.shape:
            got = "no such tensor" if tensor is None else f"shape {tuple(tensor.shape)}"
            raise WeightsError(
                f"weights {path}",
                expected=f"{key} of shape {tuple(value.shape)} ({backbone.name} to {backbone.layers[-1]})",
                got=got,
                fix=f"Put the weights of {backbone.name} there, or choose layers that the file holds.",
            )
        chosen[key] = tensor.to(value.dtype)
    require_finite(chosen, path)
    backbone.body.load_state_dict(chosen, strict=False)


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are no numbers, for which every score and figure would be none either.

    Raises:
        WeightsError: NaN or infinity in one of the tensors.
    """
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"weights {path}",
                expected="finite numbers",
                got=f"NaN or infinity in {key}",
                fix="Copy it again from its source, or make it anew.",
            )


def _resample(backbone: Backbone, position: Tensor) -> Tensor:
    """A vision transformer's position embedding, brought to the grid it was built for."""
    from timm.layers.pos_embed import resample_abs_pos_embed  # noqa: PLC0415

    body: Any = backbone.body
    prefix = 0 if body.no_embed_class else body.num_prefix_tokens
    with torch.no_grad():
        resampled: Tensor = resample_abs_pos_embed(
            position, new_size=list(body.patch_embed.grid_size), num_prefix_tokens=prefix
        )
    return resampled
