"""Appearance augmentation against torchvision's definitions, and what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.data.synthetic import appearance
from flawscope.data.synthetic.appearance import (
    APPEARANCES,
    appearance_named,
    efficientad_appearance,
    thesis_appearance,
    unchanged,
)
from flawscope.errors import OptionError

OPERATIONS = ("brightness", "contrast", "saturation", "sharpness", "gamma")


def picture(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.25, 2.0])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_are_torchvisions(operation: str, factor: float) -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchvision.transforms.functional")
    for shape in ((3, 40, 56), (3, 3, 3), (3, 2, 5), (3, 9, 600)):
        image = picture(*shape)
        expected = getattr(functional, f"adjust_{operation}")(torch.from_numpy(image.copy()), factor).numpy()
        before = image.copy()
        result = getattr(appearance, operation)(image, factor)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(image, before)
        assert result.dtype == np.float32


@pytest.mark.parametrize("name", APPEARANCES)
def test_results_are_pictures_and_the_generator_alone_decides(name: str) -> None:
    image = picture(3, 24, 32)
    before, changes = image.copy(), appearance_named(name)
    view = np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)  # the same, not contiguous
    for seed in range(30):
        first = changes(image, np.random.default_rng(seed))
        assert first.shape == image.shape
        assert first.dtype == np.float32
        assert first.min() >= 0
        assert first.max() <= 1
        np.testing.assert_array_equal(first, changes(image, np.random.default_rng(seed)))
        np.testing.assert_allclose(first, changes(view, np.random.default_rng(seed)), atol=1e-6)
    np.testing.assert_array_equal(image, before)


def test_efficientad_applies_exactly_one_of_its_three(monkeypatch: pytest.MonkeyPatch) -> None:
    image, random = picture(3, 8, 8), np.random.default_rng(0)
    drawn: list[tuple[str, float]] = []
    monkeypatch.setattr(appearance, "_COLOURS", tuple(recorder(name, drawn) for name in OPERATIONS[:3]))
    for _ in range(600):
        efficientad_appearance(image, random)
    assert len(drawn) == 600
    for name in OPERATIONS[:3]:
        factors = [factor for called, factor in drawn if called == name]
        assert 150 < len(factors) < 250
        assert 0.8 <= min(factors) < 0.81
        assert 1.19 < max(factors) <= 1.2


def recorder(name: str, drawn: list[tuple[str, float]]) -> object:
    def record(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
        drawn.append((name, factor))
        return image

    return record


def test_the_thesis_applies_jitter_or_sharpness_or_gamma(monkeypatch: pytest.MonkeyPatch) -> None:
    image, random = picture(3, 8, 8), np.random.default_rng(0)
    drawn: list[tuple[str, float]] = []
    monkeypatch.setattr(appearance, "_COLOURS", tuple(recorder(name, drawn) for name in OPERATIONS[:3]))
    for name in OPERATIONS[3:]:
        monkeypatch.setattr(appearance, name, recorder(name, drawn))
    kinds, orders = [], set()
    for _ in range(600):
        drawn.clear()
        thesis_appearance(image, random)
        names = tuple(name for name, _ in drawn)
        if len(names) == 3:
            assert sorted(names) == sorted(OPERATIONS[:3])
            orders.add(names)
            kinds.append("jitter")
        else:
            (kind,) = names
            kinds.append(kind)
            low, high = {"sharpness": (0.5, 2.0), "gamma": (0.8, 1.25)}[kind]
            assert low <= drawn[0][1] <= high
    assert len(orders) == 6
    assert all(150 < kinds.count(kind) < 250 for kind in ("jitter", "sharpness", "gamma"))


def test_none_is_the_picture_itself() -> None:
    image = picture(3, 4, 4)
    assert unchanged(image, np.random.default_rng(0)) is image


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(OptionError, match=r'got "thesiss"\. Did you mean "thesis"'):
        appearance_named("thesiss")
