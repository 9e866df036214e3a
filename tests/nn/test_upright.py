"""Parts that lie at any angle: their pose against brute force and as drawn, and what tells of such parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.nn.run import Run
from flawscope.nn.upright.halves import half_turned
from flawscope.nn.upright.learning import Turning, learn_upright
from flawscope.nn.upright.pose import ANGLES, FREQUENCIES, RADII, Upright, stand_out
from flawscope.nn.watch import UNWATCHED
from flawscope.runtime.images import Frame
from flawscope.runtime.turned_placement import TurnedPlacement
from turning_parts import MARK, SIDE, wheel, write_wheels

SIZE = (SIDE, SIDE)


def pictures(folder: Path) -> PictureFiles:
    samples = [Sample(path, "train", defective=False) for path in sorted(folder.iterdir())]
    return PictureFiles(samples, Frame(height=SIDE, width=SIDE))


def pixels(drawn: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 255


def learnt(folder: Path) -> tuple[Upright, Turning]:
    upright = Upright(SIZE)
    return upright, learn_upright(upright, pictures(folder), Run(), UNWATCHED)


def at_any_angle(folder: Path, drawn: Callable[[float, int], np.ndarray], count: int) -> Path:
    """So many pictures of what is drawn by angle and seed."""
    draw = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(drawn(draw.uniform(0, 360), index)).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Upright:
    folder = tmp_path_factory.mktemp("wheels")
    write_wheels(folder, 60, seed=1)
    upright, turning = learnt(folder)
    assert turning.tells
    assert turning.together < 0.4
    return upright


def degrees(pose: torch.Tensor) -> np.ndarray:
    return np.rad2deg(np.arctan2(pose[:, 1].numpy(), pose[:, 0].numpy()))


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs((one - other + 180) % 360 - 180))


def test_the_likelihood_is_the_correlation_at_every_angle() -> None:
    draw = torch.Generator().manual_seed(0)
    upright = Upright((64, 64))
    template = torch.randn(ANGLES, RADII * 3, generator=draw)
    shown = torch.randn(1, ANGLES, RADII, 3, generator=draw)
    real, imaginary = upright.spectrum(template.reshape(1, ANGLES, RADII, 3))
    upright.real, upright.imaginary = real[0], -imaginary[0]
    spectrum = torch.fft.fft(stand_out(stand_out(template.T[None]))[0].T, dim=0)  # of both of them
    spectrum[0], spectrum[FREQUENCIES + 1 : ANGLES - FREQUENCIES] = 0, 0
    kept = torch.fft.ifft(spectrum, dim=0).real  # the frequencies that count
    expected = torch.stack([(shown.flatten(2)[0] * kept.roll(step, 0)).sum() for step in range(ANGLES)])
    found = upright.likelihood(upright.spectrum(shown))[0] * 2 / ANGLES
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0.2)


def test_the_angle_is_that_of_the_mark_however_the_light_falls(wheels: Upright) -> None:
    angles = np.arange(0, 360, 17.0)
    drawn = [wheel(angle, seed=int(angle), shift=(angle % 5 - 2, angle % 3 - 1)) for angle in angles]
    pose = wheels(pixels(drawn))
    turn = degrees(pose) - angles  # all by the same
    assert apart(turn, np.full_like(turn, turn[0])).max() < 3
    np.testing.assert_allclose(pose[:, 2], angles % 5 - 2, atol=0.8)
    np.testing.assert_allclose(pose[:, 3], angles % 3 - 1, atol=0.8)


def test_turned_pictures_are_alike_and_maps_come_back(wheels: Upright) -> None:
    drawn = pixels([wheel(angle, light=0) for angle in (10.0, 125.0, 275.0)])
    pose = wheels(drawn)
    turned = wheels.turned(drawn, pose)
    inside = torch.hypot(*torch.meshgrid(*[torch.arange(SIDE) - SIDE / 2] * 2, indexing="ij")) < 0.4 * SIDE
    for index in (1, 2):
        as_they_lie, alike = (float((one[index] - one[0])[:, inside].abs().mean()) for one in (drawn, turned))
        assert alike < 0.6 * as_they_lie
    red = turned[:, 0] - turned[:, 1]  # (3, H, W) peaks at the mark
    back = wheels.back(red, pose)
    for angle, found in zip((10.0, 125.0, 275.0), back, strict=True):
        row, column = divmod(int(found.argmax()), SIDE)
        turn, radius = np.deg2rad(angle + 30), MARK * 0.4 * SIDE
        expected = SIDE / 2 + radius * np.sin(turn), SIDE / 2 + radius * np.cos(turn)
        assert (row, column) == pytest.approx(expected, abs=2)


def test_a_part_that_touches_the_border_does_not_go_on_beyond_it() -> None:
    upright, drawn = Upright(SIZE), torch.full((1, 3, *SIZE), 0.2)
    drawn[:, :, 60:, 30:60] = 0.8
    upright.edge = torch.tensor(0.2)
    pose = torch.tensor([[1.0, 0.0, 0.0, 40.0]])  # the lower 40 rows are beyond the picture
    turned, moved = upright.turned(drawn, pose)[0], upright.moved(drawn, pose)[0]
    assert (turned[:, 25:55, 35:55] > 0.79).all()
    assert (turned[:, 58:, 35:55] < 0.4).all()
    assert (turned[:, :, :25] - 0.2).abs().max() < 1e-5  # the ground's own colours go on
    assert (moved[:, 25:, 35:55] > 0.79).all()


def test_maps_of_cells_come_back_as_whole_maps_do(wheels: Upright) -> None:
    drawn = pixels([wheel(75.0)])
    pose = wheels(drawn)
    cells = torch.zeros(1, 12, 12)
    cells[0, 3, 7] = 1
    small = wheels.back(cells, pose)
    large = wheels.back(torch.kron(cells, torch.ones(8, 8)), pose)
    place = [divmod(int(one.argmax()), one.shape[2]) for one in (small, large)]
    assert np.hypot(*(np.subtract(np.multiply(place[0], 8) + 4, place[1]))) < 9


def test_a_place_of_a_turned_picture_is_told_as_it_lies(wheels: Upright) -> None:
    drawn = pixels([wheel(75.0, light=0)])
    pose = wheels(drawn)
    turned = wheels.turned(drawn, pose)
    marks = [
        np.add(divmod(int((one[0, 0] - one[0, 1]).argmax()), SIDE), 0.5) / SIDE for one in (drawn, turned)
    ]
    placement = TurnedPlacement.of(Frame(*SIZE).placement(*SIZE), pose[0].numpy(), SIZE)
    assert placement.share(*(marks[1] * SIDE).tolist()) == pytest.approx(marks[0].tolist(), abs=0.05)


def test_the_angle_goes_on_smoothly(wheels: Upright) -> None:
    found = degrees(wheels(pixels([wheel(40 + step / 4, light=0) for step in range(9)])))
    assert np.abs(np.diff(found) - 0.25).max() < 0.6


def test_aligned_parts_and_textures_are_not_turned(tmp_path: Path) -> None:
    write_wheels(tmp_path / "aligned", 40, seed=2, turned=False)
    (tmp_path / "texture").mkdir()
    draw = np.random.default_rng(0)
    for index in range(40):
        grain = draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(grain).save(tmp_path / "texture" / f"{index:03d}.png")
    aligned, texture = (learnt(tmp_path / name)[1] for name in ("aligned", "texture"))
    assert not aligned.tells
    assert aligned.together > 0.95
    assert not texture.tells


def test_blank_pictures_are_not_turned(tmp_path: Path) -> None:
    for index in range(20):
        Image.fromarray(np.full((SIDE, SIDE, 3), 90, np.uint8)).save(tmp_path / f"{index:03d}.png")
    upright, turning = learnt(tmp_path)
    assert not turning.tells
    assert upright(torch.full((1, 3, *SIZE), 0.3)).isfinite().all()


def test_beyond_the_turned_picture_maps_are_at_their_least(wheels: Upright) -> None:
    pose = wheels(pixels([wheel(75.0, shift=(6, 0))]))
    maps = torch.full((1, SIDE, SIDE), 2.0)
    maps[0, 50, 50], maps[0, 60, 40] = -1, 5
    back = wheels.back(maps, pose)
    assert float(back.min()) == -1
    assert float(back[0, [0, 0, -1, -1], [0, -1, 0, -1]].min()) == -1  # corners that were turned out
    assert float(back[0, SIDE // 2, SIDE // 4]) == pytest.approx(2)


@pytest.mark.parametrize("side", [320, 500, 639])
def test_the_centre_is_that_of_the_picture_where_the_part_lies_there(side: int) -> None:
    upright = Upright((side, side))
    rows, columns = torch.meshgrid(*[torch.arange(side) - (side - 1) / 2] * 2, indexing="ij")
    disc = (torch.hypot(rows, columns) < side / 3).float().expand(1, 3, -1, -1)
    upright.edge = torch.tensor(0.5)
    small = upright.shrunk(disc)
    assert upright.centre(small).abs().max() < 0.2
    read = upright.circles(small, upright.centre(small))[0, :, :, 0]  # (A, R)
    radius = (torch.arange(RADII) + 0.5) / RADII * side / 2
    assert (read[:, radius < side / 3 - 2 * upright.step] > 0.95).all()
    assert (read[:, radius > side / 3 + 2 * upright.step] < 0.05).all()


def tray(angle: float, seed: int) -> np.ndarray:
    """A blue plate with short bars anywhere in it, red ones in one half; its shadow falls to one side."""
    draw, turn = np.random.default_rng(seed), np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    picture = np.full((SIDE, SIDE, 3), 150, np.uint8)
    plate = np.array([(-0.34, -0.26), (0.34, -0.26), (0.34, 0.26), (-0.34, 0.26)]) @ rotation.T

    def filled(corners: np.ndarray, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(picture, [np.round((corners + 0.5) * SIDE).astype(int)], colour)

    filled(plate + np.array([0.03, 0.04]), (112, 112, 112))
    filled(plate, (50, 80, 130))
    for column in range(4):
        for row in (-0.13, 0.13):
            lying = draw.uniform(0, np.pi)
            along = 0.05 * np.array([np.cos(lying), np.sin(lying)])
            centre = np.array([-0.24 + 0.16 * column, row])
            ends = np.round((np.array([centre - along, centre + along]) @ rotation.T + 0.5) * SIDE).astype(
                int
            )
            cv2.line(picture, *ends.tolist(), (200, 120, 40) if column < 2 else (150, 150, 150), 2)
    return np.clip(picture + draw.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def test_colours_tell_which_way_round_where_shadows_look_alike(tmp_path: Path) -> None:
    upright, turning = learnt(at_any_angle(tmp_path, tray, 60))
    assert turning.tells
    assert turning.together < 0.3
    angles = np.arange(0, 360, 13.0)
    turn = (
        degrees(upright(pixels([tray(angle, 1000 + index) for index, angle in enumerate(angles)]))) - angles
    )
    assert (apart(turn, np.full_like(turn, np.median(turn))) < 5).mean() > 0.9


def test_half_turns_by_hues_are_those_that_were_drawn() -> None:
    draw = torch.Generator().manual_seed(0)
    one = torch.rand(ANGLES, RADII, 3, generator=draw) * 0.5 + 0.3
    wrong = torch.rand(12, generator=draw) < 0.5
    light = torch.rand(12, ANGLES, RADII, 1, generator=draw) * 0.5 + 0.5  # which has no hue
    circles = torch.stack([one.roll(ANGLES // 2, 0) if other else one for other in wrong]) * light
    found = half_turned(circles, torch.full((12,), 30)) - 30
    assert set(found.tolist()) == {0, ANGLES // 2}
    assert len(set(zip(found.tolist(), wrong.tolist(), strict=True))) == 2


def club(angle: float, seed: int) -> np.ndarray:
    """A long bar with a disc at one end, whose centre lies far from its middle."""
    draw, turn = np.random.default_rng(seed), np.deg2rad(angle)
    picture = np.full((SIDE, SIDE, 3), 200, np.uint8)
    along = np.array([np.cos(turn), np.sin(turn)])
    ends = [np.round(SIDE / 2 + reach * SIDE * along).astype(int).tolist() for reach in (-0.42, 0.34)]
    cv2.line(picture, ends[0], ends[1], (90, 90, 90), 4)
    cv2.circle(picture, ends[1], 9, (60, 60, 60), -1)
    return np.clip(picture + draw.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def test_long_parts_are_turned_to_where_they_fit(tmp_path: Path) -> None:
    upright, turning = learnt(at_any_angle(tmp_path, club, 40))
    assert turning.tells
    assert turning.lost < 0.01
    assert upright.middle.norm() > 6  # from the heavy end to the middle
    drawn = pixels([club(angle, 1) for angle in (0.0, 70.0, 160.0, 290.0)])
    turned = upright.turned(drawn, upright(drawn))
    dark = [(one < 0.6).all(1).sum((1, 2)).float() for one in (turned, drawn)]
    assert (dark[0] > 0.9 * dark[1]).all()  # of the bar's edge some goes by sampling
    border = torch.ones(SIDE, SIDE, dtype=torch.bool)
    border[3:-3, 3:-3] = False
    assert (turned[:, :, border] > 0.6).all()


def test_parts_that_fit_no_way_are_not_turned() -> None:
    assert Turning(together=0.1, alike=0.8, unturned=0.1, lost=0.0).tells
    assert not Turning(together=0.1, alike=0.8, unturned=0.1, lost=0.02).tells
