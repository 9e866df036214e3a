"""The manifest guards itself: no value in it changes unnoticed, and a signature tells whose it is."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.errors import BundleError, MissingExtraError, OptionError
from flawscope.runtime import bundle, seal
from flawscope.runtime.inspector import Inspector
from flawscope.station.calibrate import calibrate
from flawscope.station.deploy import deploy

Keys = tuple[Path, Path]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model").folder


def fields_of(model: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((model / bundle.MANIFEST).read_text())
    return values


def rewrite(model: Path, text: str) -> None:
    (model / bundle.MANIFEST).write_text(text)


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(model: Path) -> None:
    path, before = model / bundle.MANIFEST, bundle.load(model).manifest
    content = path.read_bytes()
    random = np.random.default_rng(0)
    accepted = 0
    for place in random.choice(len(content), 250, replace=False):
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        try:
            assert bundle.load(model).manifest == before
            accepted += 1
        except BundleError:
            pass
    assert accepted < 5  # white space that became another white space


def _score(fields: dict[str, Any]) -> None:
    fields["calibration"]["scores"][-1] *= 2


def _threshold(fields: dict[str, Any]) -> None:
    fields["heatmap"]["threshold"] = 0.9


def _foreign(fields: dict[str, Any]) -> None:
    fields["foreign"] = 1


def _option(fields: dict[str, Any]) -> None:
    fields["options"]["size"] = [16, 17]


def _unguarded(fields: dict[str, Any]) -> None:
    del fields["sha256"]


@pytest.mark.parametrize("edit", [_score, _threshold, _foreign, _option, _unguarded])
def test_a_changed_value_is_refused(model: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    fields = fields_of(model)
    edit(fields)
    rewrite(model, json.dumps(fields))
    with pytest.raises(BundleError, match=r"expected manifest\.json as it was written.* got other content"):
        bundle.load(model)


@pytest.mark.parametrize("options", [{}, {"indent": 4}, {"separators": (",", ":")}, {"sort_keys": True}])
def test_the_same_content_written_anew_is_the_same_manifest(model: Path, options: dict[str, Any]) -> None:
    before = bundle.load(model).manifest
    rewrite(model, json.dumps(fields_of(model), **options))
    assert bundle.load(model).manifest == before


def test_numbers_count_by_their_value(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", options={"size": [16, 16], "share": 1.0}).folder
    text = (model / bundle.MANIFEST).read_text()
    assert '"share": 1.0' in text
    rewrite(model, text.replace('"share": 1.0', '"share": 1'))
    bundle.load(model)
    rewrite(model, text.replace('"share": 1.0', '"share": 1.0000001'))
    with pytest.raises(BundleError, match="other content"):
        bundle.load(model)


def test_a_key_that_stands_twice_is_refused(model: Path) -> None:
    text = (model / bundle.MANIFEST).read_text()
    rewrite(model, text.replace('"method"', '"method": "another",\n "method"', 1))
    with pytest.raises(BundleError, match="damaged"):
        bundle.load(model)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_beyond_json_are_refused(model: Path, number: str) -> None:
    text = (model / bundle.MANIFEST).read_text()
    assert '"threshold": 0.6' in text
    rewrite(model, text.replace('"threshold": 0.6', f'"threshold": {number}'))
    with pytest.raises(BundleError, match=r"JSON in manifest\.json"):
        bundle.load(model)


@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_a_truncated_manifest_is_refused(model: Path, kept: float) -> None:
    text = (model / bundle.MANIFEST).read_text()
    rewrite(model, text[: int(kept * len(text))])
    with pytest.raises(BundleError, match="damaged"):
        bundle.load(model)


def test_a_swapped_graph_is_refused(model: Path, tmp_path: Path) -> None:
    other = save_model(tmp_path / "other", divide_by=3.0).folder
    shutil.copy(other / bundle.GRAPH, model / bundle.GRAPH)
    with pytest.raises(BundleError, match=r"model\.onnx as its manifest describes it"):
        bundle.load(model)


def test_calibration_seals_anew(model: Path) -> None:
    before = fields_of(model)["sha256"]
    calibrate(model, alpha=0.2)
    assert fields_of(model)["sha256"] != before
    assert bundle.load(model).manifest.calibration.alpha == 0.2


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """A private and a public Ed25519 key, in PEM."""
    return make_keys(tmp_path / "factory")


def make_keys(stem: Path) -> Keys:
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    private, public = stem.with_suffix(".key"), stem.with_suffix(".pub")
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_signed_copy_is_trusted_and_its_model_is_not(model: Path, keys: Keys, tmp_path: Path) -> None:
    station = deploy(model, tmp_path / "station", sign=keys[0])
    assert station.signed
    assert bundle.load(station.folder, trust=keys[1]).manifest == station.manifest
    assert Inspector.load(station.folder, trust=keys[1]).inspect(np.zeros((4, 4), np.uint8)).score == 0
    assert bundle.load(station.folder).signed
    for unsigned in (model, deploy(station.folder, tmp_path / "again").folder):
        with pytest.raises(BundleError, match=r"signed with .*factory\.pub, got an unsigned one"):
            bundle.load(unsigned, trust=keys[1])


def test_a_signed_model_moves_and_is_written_anew(model: Path, keys: Keys, tmp_path: Path) -> None:
    station = deploy(model, tmp_path / "station", sign=keys[0]).folder
    moved = Path(shutil.copytree(station, tmp_path / "moved"))
    rewrite(moved, json.dumps(fields_of(moved), sort_keys=True))
    bundle.load(moved, trust=keys[1])


def test_another_key_is_not_trusted(model: Path, keys: Keys, tmp_path: Path) -> None:
    theirs = make_keys(tmp_path / "theirs")
    station = deploy(model, tmp_path / "station", sign=theirs[0]).folder
    with pytest.raises(BundleError, match="got one signed with another key"):
        bundle.load(station, trust=keys[1])


@pytest.mark.parametrize("forged", ["value", "key", "content"])
def test_whoever_makes_the_hash_anew_does_not_make_the_signature(
    model: Path, keys: Keys, tmp_path: Path, forged: str
) -> None:
    """A forger changes the model, and claims the factory's key for it."""
    station = deploy(model, tmp_path / "station", sign=keys[0]).folder
    fields = fields_of(station)
    if forged == "content":
        _score(fields)
    elif forged == "value":
        fields["signature"]["value"] = "00" * 64
    else:
        fields["signature"]["value"] = 7
    fields["sha256"] = seal.digest(fields)
    rewrite(station, json.dumps(fields))
    bundle.load(station)
    with pytest.raises(BundleError, match="got a signature that does not fit it"):
        bundle.load(station, trust=keys[1])


def test_a_damaged_signature_is_damage_without_trust_too(model: Path, keys: Keys, tmp_path: Path) -> None:
    station = deploy(model, tmp_path / "station", sign=keys[0]).folder
    fields = fields_of(station)
    fields["signature"]["value"] = "00" * 64
    rewrite(station, json.dumps(fields))
    with pytest.raises(BundleError, match="other content"):
        bundle.load(station)


def test_calibration_ends_a_signature(model: Path, keys: Keys, tmp_path: Path) -> None:
    station = deploy(model, tmp_path / "station", sign=keys[0]).folder
    assert not calibrate(model, alpha=0.2).unsigned
    assert calibrate(station, alpha=0.2).unsigned
    with pytest.raises(BundleError, match=r"got an unsigned one\. .*export --sign KEY"):
        bundle.load(station, trust=keys[1])
    again = deploy(station, tmp_path / "again", sign=keys[0]).folder
    assert bundle.load(again, trust=keys[1]).manifest.calibration.alpha == 0.2


def test_keys_that_are_none(model: Path, keys: Keys, tmp_path: Path) -> None:
    private, public = keys
    (tmp_path / "text").write_text("not a key")
    for path in (tmp_path / "text", tmp_path / "absent", public):
        with pytest.raises(OptionError, match="an Ed25519 private key in PEM, without a password"):
            deploy(model, tmp_path / "station", sign=path)
    assert not (tmp_path / "station").exists()
    for path in (tmp_path / "text", tmp_path / "absent", private):
        with pytest.raises(OptionError, match="an Ed25519 public key in PEM"):
            bundle.load(model, trust=path)


def test_a_key_of_another_kind_or_with_a_password(model: Path, keys: Keys, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    other, locked = tmp_path / "other.key", tmp_path / "locked.key"
    curve = generate_private_key(SECP256R1())
    other.write_bytes(curve.private_bytes(pem, form, serialization.NoEncryption()))
    ours = serialization.load_pem_private_key(keys[0].read_bytes(), None)
    locked.write_bytes(ours.private_bytes(pem, form, serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(OptionError, match="got a key of another kind"):
        deploy(model, tmp_path / "station", sign=other)
    with pytest.raises(OptionError, match="without a password, got another file"):
        deploy(model, tmp_path / "station", sign=locked)


def test_without_the_package_the_extra_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cryptography", "cryptography.hazmat.primitives.serialization"):
        monkeypatch.setitem(sys.modules, name, None)
    key = tmp_path / "key"
    key.write_text("")
    with pytest.raises(MissingExtraError, match=r"pip install 'flawscope\[sign\]'"):
        bundle.load(model, trust=key)
    with pytest.raises(MissingExtraError, match=r"--sign: .*flawscope\[sign\]"):
        deploy(model, tmp_path / "station", sign=key)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    assert Inspector.load(model).inspect(tmp_path / "a.png").score == 0  # nothing else asks for it
