"""Teachers: patch description networks with distilled weights, the shipped one or a user's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from flawscope.errors import OptionError, WeightsError
from flawscope.nn.backbones._sources import packaged, packaged_path
from flawscope.nn.backbones.build import IMAGENET
from flawscope.nn.backbones.pdn import PDN_CHANNELS, PdnSize, pdn
from flawscope.nn.backbones.weights import FOLDERS, cache_folder, local_files, read_weights, require_finite
from flawscope.nn.run import seeded

NAMES: dict[PdnSize, str] = {"small": "pdn_s", "medium": "pdn_m"}
SUFFIX = ".safetensors"
STATISTICS = ("target_mean", "target_std")


class Teacher(nn.Module):
    """A frozen patch description network that takes pixels.

    Attributes:
        body: `pdn_s` or `pdn_m`; its keys are those of the weights file.
        channels: features of one patch.
        source: the weights' file name; empty where they are random.
        statistics: mean and standard deviation (channels,) of what the network learnt to predict normalised,
            or None where the file does not say.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Sequential,
        channels: int,
        source: str = "",
        statistics: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.body, self.channels, self.source, self.statistics = body, channels, source, statistics
        for key, value in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(key, torch.tensor(value).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `pixels` (N, 3, H, W) in [0, 1] to features (N, channels, h, w), h = H / 4 where padded."""
        features: Tensor = self.body((pixels - self.mean) / self.std)
        return features

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode."""
        del mode
        return super().train(False)


def load_teacher(
    name: str | None = None,
    size: PdnSize = "small",
    *,
    padding: bool = True,
    weights: Literal["pretrained", "random"] = "pretrained",
    channels: int = PDN_CHANNELS,
) -> Teacher:
    """A teacher with the weights that the lookup order finds first: folders, cache, this package.

    Args:
        name: weights to look for, as `flawscope weights` lists them, or the path of a `.safetensors` file;
            None takes `pdn_s` or `pdn_m`. The number of channels is the file's.
        size: which network the weights are for.
        padding: whether the convolutions pad; the weights fit both.
        weights: `random` fills the network from a fixed seed and looks for nothing.
        channels: of the teacher's map, where its weights are random.

    Raises:
        WeightsError: no such file, a damaged one, or one of another network.
        OptionError: a name that is none.
    """
    if weights == "random":
        with seeded(0):
            return Teacher(pdn(size, channels, padding=padding), channels)
    name = name or NAMES[size]
    problem: WeightsError | None = None
    for path in _candidates(name):
        try:
            shipped = path == packaged_path(path.stem)
            tensors = packaged(path.stem, path) if shipped else read_weights(path)
            return _filled(tensors, path, size, padding)
        except WeightsError as error:
            if path.stem == name or name.endswith(SUFFIX):
                raise
            problem = problem or error  # a file of something else with a longer name
    raise problem or _missing(name, size)


def _candidates(name: str) -> list[Path]:
    if name.endswith(SUFFIX):
        return [Path(name)]
    if not re.fullmatch(r"[\w.-]+", name):
        raise OptionError(
            f"teacher {name!r}",
            expected=f"a name of letters, digits, points and dashes, or the path of a {SUFFIX} file",
            got="neither",
            fix="`flawscope weights` lists the names.",
        )
    package = packaged_path(name)
    own = [package] if package is not None and package.suffix == SUFFIX else []
    return [*local_files(name), *own]


def _filled(tensors: Mapping[str, Tensor], path: Path, size: PdnSize, padding: bool) -> Teacher:
    keys = list(pdn(size, 1).state_dict())
    last = tensors.get(keys[-1])
    channels = len(last) if last is not None and last.ndim == 1 else PDN_CHANNELS
    body = pdn(size, channels, padding=padding)
    for key, value in body.state_dict().items():
        tensor = tensors.get(key)
        if tensor is None or tensor.shape != value.shape:
            raise WeightsError(
                f"weights {path}",
                expected=f"{key} of shape {tuple(value.shape)} ({NAMES[size]})",
                got="no such tensor" if tensor is None else f"shape {tuple(tensor.shape)}",
                fix=f"Name a file that `flawscope distill --student {NAMES[size]}` made.",
            )
    learnt = {key: tensors[key].float() for key in keys}
    mean, std = (tensors.get(key, torch.empty(0)).float() for key in STATISTICS)
    known = mean.shape == std.shape == (channels,)
    require_finite({**learnt, STATISTICS[0]: mean, STATISTICS[1]: std}, path)
    if known and (std <= 0).any():
        raise WeightsError(
            f"weights {path}",
            expected=f"deviations above 0 in {STATISTICS[1]}",
            got=f"{float(std.min()):g}",
            fix="Copy it again from its source, or make it anew.",
        )
    body.load_state_dict(learnt)
    return Teacher(body, channels, path.name, (mean, std) if known else None)


def _missing(name: str, size: PdnSize) -> WeightsError:
    file = f"{name}{SUFFIX}"
    return WeightsError(
        f"teacher {name}",
        expected=f"a file {file}",
        got="none in the weights folders, the cache and this package",
        fix=f"Put it into {cache_folder()} or a folder named by {FOLDERS}, or make it with: "
        f"flawscope distill PICTURES --student {NAMES[size]} --out {file}",
    )
