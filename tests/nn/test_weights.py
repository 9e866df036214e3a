"""Where weights are looked for, what is refused, and what reaches the backbone."""

from __future__ import annotations

import os
import urllib.error
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flawscope.errors import WeightsError
from flawscope.nn.backbones import _sources
from flawscope.nn.backbones import weights as weights_module
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.weights import CACHE, FOLDERS, cache_folder, fetch, list_weights, load_pretrained

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, no folders, and no way out."""

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(_sources.urllib.request, "urlopen", refuse)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDERS, raising=False)


def backbone() -> Backbone:
    return build_backbone("resnet18", ["layer1"])


def weights(value: float) -> dict[str, torch.Tensor]:
    """Weights for `backbone`, all of one value, without batch norm's counters, as converted files are."""
    state = backbone().body.state_dict()
    return {key: torch.full_like(tensor, value) for key, tensor in state.items() if "num_batches" not in key}


def put(folder: Path, name: str, value: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(value), folder / name)
    return folder


def loaded_value(network: Backbone) -> float:
    load_pretrained(network)
    return float(network.body.get_parameter("conv1.weight").flatten()[0])


def test_folders_come_first_in_their_order_then_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(cache_folder(), "resnet18.safetensors", 1)
    assert loaded_value(backbone()) == 1
    first, second = (
        put(tmp_path / "a", "resnet18_partial.safetensors", 2),
        put(tmp_path / "b", "resnet18.safetensors", 3),
    )
    monkeypatch.setenv(FOLDERS, f"{tmp_path / 'none'}:{first}:{second}".replace(":", os.pathsep))
    assert loaded_value(backbone()) == 2


def test_the_exact_name_wins_and_other_networks_files_are_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    put(tmp_path, "resnet18_a.safetensors", 4)
    put(tmp_path, "resnet18.safetensors", 5)
    put(tmp_path, "resnet18d.safetensors", 6)
    assert loaded_value(backbone()) == 5
    (tmp_path / "resnet18.safetensors").unlink()
    assert loaded_value(backbone()) == 4


def test_a_download_of_timm_may_be_copied_into_a_folder_as_the_error_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = build_backbone("timm:resnet18", ["layer1"])
    with pytest.raises(WeightsError, match=r"`flawscope weights timm:resnet18`.*timm-resnet18\.safetensors"):
        load_pretrained(network)
    monkeypatch.setenv(FOLDERS, str(put(tmp_path, "resnet18.safetensors", 7)))
    assert loaded_value(network) == 7
    put(tmp_path, "timm-resnet18.safetensors", 8)
    assert loaded_value(network) == 8
    assert loaded_value(backbone()) == 7  # torchvision's own
    put(tmp_path, f"timm-{LITE0}.safetensors", 1)
    found = {info.name: info for info in list_weights()}
    assert found[LITE0].where == tmp_path / f"timm-{LITE0}.safetensors"


def test_shipped_weights_need_no_download() -> None:
    assert fetch("pdn_s") == _sources.packaged_path("pdn_s")


def test_half_precision_files_fill_float32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    save_file({key: value.half() for key, value in weights(0.5).items()}, tmp_path / "resnet18.safetensors")
    network = backbone()
    assert loaded_value(network) == 0.5
    assert network.body.get_parameter("conv1.weight").dtype == torch.float32


def test_a_partial_file_must_hold_every_layer_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDERS, str(put(tmp_path, "resnet18.safetensors", 1)))
    with pytest.raises(WeightsError, match=r"expected layer2\.\S+ of shape .* got no such tensor"):
        load_pretrained(build_backbone("resnet18", ["layer2"]))


def test_damaged_and_foreign_files_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    path = tmp_path / "resnet18.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="a whole safetensors file") as caught:
        load_pretrained(backbone())
    assert str(path) in str(caught.value)
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="no such tensor"):
        load_pretrained(backbone())
    save_file({**weights(1), "conv1.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(WeightsError, match=r"got shape \(64, 3, 3, 3\)"):
        load_pretrained(backbone())


def test_weights_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDERS, str(put(tmp_path, "resnet18.safetensors", float("nan"))))
    with pytest.raises(WeightsError, match=r"finite numbers, got NaN or infinity in conv1\.weight"):
        load_pretrained(backbone())


def test_offline_the_error_names_file_size_and_place() -> None:
    with pytest.raises(WeightsError) as caught:
        load_pretrained(backbone())
    message = str(caught.value)
    assert all(part in message for part in ("resnet18.safetensors", "45 MB", str(cache_folder()), FOLDERS))
    assert "\n" not in message
    with pytest.raises(WeightsError, match=r"vit_tiny_patch16_224\.safetensors, about 2\d MB"):
        fetch("timm:vit_tiny_patch16_224")


def test_a_download_is_checked_and_kept_as_safetensors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "published.pth"
    torch.save(weights(3), source)
    monkeypatch.setattr(_sources.urllib.request, "urlopen", lambda *_, **__: source.open("rb"))
    with pytest.raises(WeightsError, match="sha256 starts with f37072fd"):
        fetch("resnet18")
    monkeypatch.setattr(_sources, "sha256", lambda _: "f37072fd" + "0" * 56)
    assert fetch("resnet18") == cache_folder() / "resnet18.safetensors"
    assert set(load_file(cache_folder() / "resnet18.safetensors")) == set(weights(3))
    assert loaded_value(backbone()) == 3


def test_the_data_package_is_checked_and_its_first_kernel_is_the_published_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = build_backbone(LITE0)
    load_pretrained(network)
    path = _sources.packaged_path(LITE0)
    assert path is not None
    stored = torch.load(path, weights_only=True)
    assert torch.equal(network.body.get_parameter("conv_stem.weight"), next(iter(stored.values())))
    changed = tmp_path / "changed.pth"
    changed.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="the published file"):
        _sources.packaged(LITE0, changed)


def test_the_list_tells_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDERS, str(put(tmp_path, "resnet18.safetensors", 1)))
    put(tmp_path, "mine.safetensors", 1)
    found = {info.name: info for info in list_weights()}
    assert found["resnet18"].where == tmp_path / "resnet18.safetensors"
    assert found["resnet18"].available
    assert found[LITE0].source == "package"
    assert found[LITE0].licence == "Apache-2.0"
    assert not found["wide_resnet50_2"].available
    assert found["wide_resnet50_2"].source == "download"
    assert found["pdn_s"].source == "package"
    assert found["pdn_s"].licence == "Apache-2.0"
    assert found["mine"].licence == "unknown"


def test_the_list_ends_at_no_file_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDERS, str(put(tmp_path, "mine.safetensors", 1)))
    (tmp_path / "gone.safetensors").symlink_to("nowhere")
    (tmp_path / "folder.safetensors").mkdir()
    assert {"mine", "gone", "folder"} & {info.name for info in list_weights()} == {"mine"}

    def unreadable(path: Path) -> str:
        raise PermissionError(path)

    monkeypatch.setattr(weights_module, "sha256", unreadable)
    found = {info.name: info for info in list_weights()}
    assert (found["mine"].available, found["mine"].where) == (False, tmp_path / "mine.safetensors")


@pytest.mark.real
def test_the_partial_resnet_file_and_pdn_s_load(monkeypatch: pytest.MonkeyPatch, real_weights: Path) -> None:
    monkeypatch.setenv(FOLDERS, str(real_weights))
    for name in ("resnet18", "pdn_s"):
        network = build_backbone(name)
        before = {key: value.clone() for key, value in network.body.named_parameters()}
        load_pretrained(network)
        assert all(
            not torch.equal(before[key], value)
            for key, value in network.body.named_parameters()
            if value.ndim > 1
        )
