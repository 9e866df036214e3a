"""`export --sign` and `inspect --trust`: who made a model, asked on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model

Run = Callable[..., Any]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    return save_model(tmp_path / "model").folder


def test_a_signed_copy_is_inspected_with(flawscope: Run, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key").write_bytes(key.private_bytes(pem, *plain))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)

    made = flawscope("export", model, "--out", tmp_path / "station", "--sign", tmp_path / "key", "--json")
    assert (made.code, json.loads(made.out)["signed"]) == (0, True)
    trusting = "--trust", tmp_path / "key.pub"
    assert flawscope("inspect", tmp_path / "station", tmp_path / "a.png", *trusting).code == 0
    refused = flawscope("inspect", model, tmp_path / "a.png", *trusting)
    assert (refused.code, "got an unsigned one" in refused.err) == (5, True)
    changed = flawscope("calibrate", tmp_path / "station", "--false-rejects", "10%")
    assert (changed.code, "no longer signed" in changed.err) == (0, True)
    assert flawscope("inspect", tmp_path / "station", tmp_path / "a.png", *trusting).code == 5


def test_without_the_package_it_says_what_to_install(
    flawscope: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cryptography", "cryptography.hazmat.primitives.serialization"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "key").write_text("")
    for command in (
        ("inspect", model, tmp_path / "a.png", "--trust", tmp_path / "key"),
        ("export", model, "--out", tmp_path / "station", "--sign", tmp_path / "key"),
    ):
        ended = flawscope(*command)
        assert ended.code == 8
        assert "expected the package cryptography, got" in ended.err
        assert "pip install 'flawscope[sign]'" in ended.err
    assert flawscope("inspect", model, tmp_path / "a.png").code == 0
