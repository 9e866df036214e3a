"""The plan of trainings for a GPU: what is packed, what is passed over, what a cut leaves."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import importlib.util
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "gpu_campaign"


@pytest.fixture(scope="module")
def campaign() -> Iterator[ModuleType]:
    sys.path.insert(0, str(SCRIPT.parent))  # as for a script that is run
    loader = importlib.machinery.SourceFileLoader("gpu_campaign", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    yield module
    sys.path.remove(str(SCRIPT.parent))


def places(campaign: ModuleType, folder: Path) -> object:
    (folder / "out").mkdir(exist_ok=True)
    return campaign.Places(folder, folder / "work", folder / "out", "cpu", 20)


def job(campaign: ModuleType, name: str, *programs: str) -> object:
    """A job of Python one-liners; `{result}` stands for its result."""

    def commands(places: object, result: Path) -> list[list[str]]:
        del places
        return [["-c", program.replace("{result}", repr(str(result)))] for program in programs]

    return campaign.Job(name, (), f"{name}.json", commands)


WRITES = "open({result}, 'w').write('1')"


def test_finished_jobs_are_passed_over_and_a_failed_one_stops_no_other(
    campaign: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = [
        job(campaign, "first", WRITES),
        job(campaign, "second", "raise SystemExit(7)", WRITES),
        job(campaign, "third", WRITES),
    ]
    where = places(campaign, tmp_path)
    assert campaign.run(where, plan, math.inf) == campaign.UNFINISHED
    assert {file.stem for file in (tmp_path / "out").iterdir()} == {"first", "third"}
    assert "second: failed with exit code 7" in capfd.readouterr().out
    plan[1] = job(campaign, "second", WRITES)
    assert campaign.run(where, plan, math.inf) == 0
    assert capfd.readouterr().out.count("done before") == 2


def test_a_job_whose_time_is_up_is_interrupted_and_ends_the_call(
    campaign: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    waits = (
        "import pathlib, time\n"
        f"try:\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  pathlib.Path({str(kept)!r}).touch()"
    )
    plan = [job(campaign, "long", waits), job(campaign, "next", WRITES)]
    assert campaign.run(places(campaign, tmp_path), plan, time.monotonic() + 1.0) == campaign.UNFINISHED
    assert kept.exists()
    assert "long: interrupted" in capfd.readouterr().out
    assert not list((tmp_path / "out").iterdir())


def test_pictures_are_packed_small_with_masks_that_fit(campaign: ModuleType, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "packed"
    screw, tile = data / "mvtec_ad_512/screw", data / "magnetic_tile/MT_Break/Imgs"
    grey = np.tile(np.arange(512, dtype=np.uint8) // 2, (512, 1))
    mask = np.where(grey > 100, 255, 0).astype(np.uint8)
    for folder, name, pixels in (
        (screw / "train/good", "0.png", grey),
        (screw / "ground_truth/scratch", "0_mask.png", mask),
        (tile, "0.jpg", grey),
        (tile, "0.png", mask),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    campaign.pack(data, tmp_path, out, [campaign.Job("some", ("screw", "magnetic_tile"), "", None)])
    packed = {}
    for file in out.rglob("*.*"):
        with Image.open(file) as picture:
            packed[file.relative_to(out).as_posix()] = np.asarray(picture)
    assert {name: pixels.shape for name, pixels in packed.items()} == {
        "mvtec_ad_512/screw/train/good/0.png": (256, 256),
        "mvtec_ad_512/screw/ground_truth/scratch/0_mask.png": (256, 256),
        "magnetic_tile/MT_Break/Imgs/0.jpg": (288, 288),
        "magnetic_tile/MT_Break/Imgs/0.png": (288, 288),
    }
    for name in ("mvtec_ad_512/screw/ground_truth/scratch/0_mask.png", "magnetic_tile/MT_Break/Imgs/0.png"):
        assert set(np.unique(packed[name])) == {0, 255}


def test_more_than_the_limit_is_divided_into_packs_of_whole_jobs(
    campaign: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in sys.modules["_gpu_packs"].WEIGHTS.values():
        (tmp_path / file).write_bytes(bytes(400))
    needs = {"one": ("pdn_s", "vgg16"), "two": (), "three": ("pdn_s", "resnet18"), "four": ("vgg16",)}
    jobs = [campaign.Job(name, read, "", None) for name, read in needs.items()]
    monkeypatch.setattr(sys.modules["_gpu_packs"], "LIMIT", 1000)
    campaign.pack(tmp_path, tmp_path, tmp_path / "runs/out", jobs)
    first, second = (tmp_path / "runs/out_1", tmp_path / "runs/out_2")
    assert sorted((tmp_path / "runs").iterdir()) == [first, second]
    held = {
        place.name: (campaign.packed(place), {file.name for file in (place / "weights").iterdir()})
        for place in (first, second)
    }
    files = sys.modules["_gpu_packs"].WEIGHTS
    assert held == {
        "out_1": (["one", "four"], {files["pdn_s"], files["vgg16"]}),
        "out_2": (["two", "three"], {files["pdn_s"], files["resnet18"]}),
    }
    assert "out_2: 0.0 MB for two, three\n" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="out_1 holds something already"):
        campaign.pack(tmp_path, tmp_path, tmp_path / "runs/out", jobs)
    monkeypatch.setattr(sys.modules["_gpu_packs"], "LIMIT", 700)
    with pytest.raises(SystemExit, match=r"pdn_s and (resnet18|vgg16): 0.0 MB, more than the 0 MB of a pack"):
        campaign.pack(tmp_path, tmp_path, tmp_path / "other", jobs)


def test_every_job_names_what_pack_knows_and_a_command_that_is_there(
    campaign: ModuleType, tmp_path: Path
) -> None:
    known = {"screw", "magnetic_tile", "natural", *sys.modules["_gpu_packs"].WEIGHTS}
    where = places(campaign, tmp_path)
    assert len({each.name for each in campaign.PLAN}) == len(campaign.PLAN)
    for each in campaign.PLAN:
        assert set(each.needs) <= known
        for first, *_ in each.commands(dataclasses.replace(where), tmp_path / each.result):
            assert first == "-m" or (SCRIPT.parents[1] / first).is_file()
    assert [each.name for each in campaign.chosen(["rd4ad", "fastflow"])] == ["rd4ad_screw", "fastflow_screw"]
    with pytest.raises(SystemExit, match="No job begins with nothing"):
        campaign.chosen(["nothing"])
