"""Random rotation against quarter and half turns."""

from __future__ import annotations

import pytest
import torch

from flawscope.methods.supervised.devnet import rotated


def _turned(monkeypatch: pytest.MonkeyPatch, pixels: torch.Tensor, degrees: float) -> torch.Tensor:
    """`pixels` turned by `degrees`, the largest angle that may be drawn."""
    monkeypatch.setattr(torch, "rand", torch.ones)
    return rotated(pixels, degrees)


def test_quarter_turn_of_a_square(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.arange(2 * 3 * 64.0).view(2, 3, 8, 8)
    quarter = _turned(monkeypatch, pixels, 90.0)
    torch.testing.assert_close(quarter, torch.rot90(pixels, 1, (2, 3)), atol=1e-3, rtol=0)


def test_turns_keep_lengths_where_sides_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.zeros(1, 3, 20, 40)
    pixels[:, :, 9:11, 12:28] = 1.0  # a bar of 16 pixels
    torch.testing.assert_close(_turned(monkeypatch, pixels, 180.0), pixels, atol=1e-3, rtol=0)
    upright = _turned(monkeypatch, pixels, 90.0)
    expected = torch.zeros_like(pixels)
    expected[:, :, 2:18, 19:21] = 1.0
    torch.testing.assert_close(upright, expected, atol=1e-3, rtol=0)


def test_no_angle_leaves_pictures_alone_and_angles_are_seeded() -> None:
    pixels = torch.arange(3 * 3 * 16.0).view(3, 3, 4, 4)
    assert rotated(pixels, 0.0) is pixels
    torch.manual_seed(1)
    first = rotated(pixels, 180.0)
    torch.manual_seed(1)
    assert torch.equal(first, rotated(pixels, 180.0))
    assert not torch.equal(first[0], first[1])
