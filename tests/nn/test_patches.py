"""Patches by slicing, and coverage by counting, one by one."""

from __future__ import annotations

import pytest
import torch

from flawscope.methods.multiscale_patch.patches import Coverage, crop, cut_grid, grid_shape

SIZES = [((12, 12), 4, 4), ((13, 17), 4, 3), ((9, 20), 9, 5), ((16, 16), 8, 1), ((11, 10), 5, 5)]


@pytest.mark.parametrize(("size", "patch", "stride"), SIZES)
def test_the_grid_holds_all_patches_that_fit(size: tuple[int, int], patch: int, stride: int) -> None:
    rows, columns = grid_shape(size, patch, stride)
    assert rows == len(range(0, size[0] - patch + 1, stride))
    assert columns == len(range(0, size[1] - patch + 1, stride))


def test_crops_are_slices() -> None:
    pictures = torch.rand(3, 3, 20, 30)
    owners, corners = torch.tensor([2, 0, 2, 1]), torch.tensor([[0, 0], [12, 22], [5, 7], [12, 0]])
    found = crop(pictures, owners, corners, 8)
    assert found.shape == (4, 3, 8, 8)
    for patch, owner, (top, left) in zip(found, owners, corners.tolist(), strict=True):
        assert torch.equal(patch, pictures[owner, :, top : top + 8, left : left + 8])


@pytest.mark.parametrize(("size", "patch", "stride"), SIZES)
def test_a_cut_grid_is_slices_line_by_line(size: tuple[int, int], patch: int, stride: int) -> None:
    pictures = torch.rand(2, 3, *size)
    expected = [
        picture[:, top : top + patch, left : left + patch]
        for picture in pictures
        for top in range(0, size[0] - patch + 1, stride)
        for left in range(0, size[1] - patch + 1, stride)
    ]
    assert torch.equal(cut_grid(pictures, patch, stride), torch.stack(expected))


@pytest.mark.parametrize(("size", "patch", "stride"), SIZES)
def test_each_pixel_has_the_mean_of_the_patches_over_it(
    size: tuple[int, int], patch: int, stride: int
) -> None:
    rows, columns = grid_shape(size, patch, stride)
    values = torch.rand(2, rows, columns)
    total, count = torch.zeros(2, *size), torch.zeros(size)
    for row in range(rows):
        for column in range(columns):
            window = (
                slice(row * stride, row * stride + patch),
                slice(column * stride, column * stride + patch),
            )
            total[:, window[0], window[1]] += values[:, row, column, None, None]
            count[window] += 1
    covered = count > 0
    found = Coverage(size, patch, stride)(values)
    torch.testing.assert_close(found[:, covered], (total / count)[:, covered])
    last = (rows - 1) * stride + patch - 1, (columns - 1) * stride + patch - 1
    assert torch.equal(found[:, last[0] :, 0], found[:, last[0], None, 0].expand(-1, size[0] - last[0]))
    assert torch.equal(found[:, 0, last[1] :], found[:, 0, last[1], None].expand(-1, size[1] - last[1]))
    assert torch.isfinite(found).all()
