"""Tags by CLIP and by RAM++: a tiny CLIP of random weights, and a stand-in for the package `ram`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from flawscope.errors import DataError, MissingExtraError, WeightsError
from flawscope.nn.run import Run
from flawscope.segmenters.proposers.tags import DROPPED, ClipTagsOptions, RamTagsOptions, cleaned, found_tags

Picture = NDArray[np.uint8]
RUN = Run()


def test_clip_chooses_the_likely_words(tiny_clip: str, noise: Picture) -> None:
    words = ("nut", "wire", "plastic", "cap")
    tags = found_tags(ClipTagsOptions(model=tiny_clip, words=words, least=0.0001), [noise, noise // 2], RUN)
    assert sorted(tags) == ["cap", "nut", "wire"]
    assert (
        found_tags(ClipTagsOptions(model=tiny_clip, words=words, least=0.0001), [noise, noise // 2], RUN)
        == tags
    )
    with pytest.raises(DataError, match=r"that the tagger clip can name, got none .*tags: \[screw, washer\]"):
        found_tags(ClipTagsOptions(model=tiny_clip, words=words, drop=words), [noise], RUN)


def test_what_names_no_component_is_dropped() -> None:
    """The splicing connectors of table 8."""
    tags = ["attach", "cable", "connect", "Connector", "hook", "cable "]
    assert cleaned(tags, DROPPED) == ("cable", "connector", "hook")


class _Ram(nn.Module):
    """What the package makes of RAM++, as far as it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))
        self.register_buffer("relative_position_index", torch.zeros(1))

    def generate_tag(self, image: Tensor) -> tuple[list[str], list[str]]:
        assert image.shape == (1, 3, 384, 384)
        return ["box | pin | yellow" if self.scale > 0 else "nothing"], ["盒"]


def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    package, models, hub = (ModuleType(name) for name in ("ram", "ram.models", "huggingface_hub"))
    given: Any = package
    given.get_transform = lambda image_size: lambda _: torch.zeros(3, image_size, image_size)
    made: Any = models
    made.ram_plus = lambda pretrained, image_size, vit: _Ram()
    offline: Any = hub
    offline.constants = ModuleType("constants")
    offline.constants.HF_HUB_OFFLINE = False
    for name, module in (("ram", package), ("ram.models", models), ("huggingface_hub", hub)):
        monkeypatch.setitem(sys.modules, name, module)


def test_ram_names_what_it_sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noise: Picture) -> None:
    options = RamTagsOptions(model=tmp_path / "ram.safetensors")
    _stand_in(monkeypatch)
    save_file({"scale": torch.ones(1)}, options.model)
    assert found_tags(options, [noise, noise], RUN) == ("box", "pin")
    save_file({"other": torch.ones(1)}, options.model)
    with pytest.raises(WeightsError, match=r"expected the tensors of RAM.* got none for scale, say"):
        found_tags(options, [noise], RUN)


def test_without_the_package_ram_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, noise: Picture
) -> None:
    _stand_in(monkeypatch)
    monkeypatch.setitem(sys.modules, "ram", None)
    with pytest.raises(MissingExtraError, match=r"tags by ram: expected the package ram, got .* tagger clip"):
        found_tags(RamTagsOptions(model=tmp_path / "ram.safetensors"), [noise], RUN)
