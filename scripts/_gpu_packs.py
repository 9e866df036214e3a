"""Packs of the GPU campaign: what its jobs read, reduced as far as they allow, in folders of bounded size."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

LIMIT = 64_000_000  # bytes of one pack
JOBS = "jobs"  # file of a pack that names its jobs
TILE_SIDE, SCREW_SIDE = 288, 256
WEIGHTS = {
    "pdn_s": "pdn_s_resnet18.safetensors",
    "resnet18": "resnet18_imagenet_stem_to_layer3.safetensors",
    "vgg16": "vgg16_hed_features.safetensors",
}


class Job(Protocol):
    """What packing knows of a job of the plan: its name, and pictures and weights by name."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...


def packed(data: Path) -> list[str]:
    """Names of the jobs for which a folder was packed; none for one that `pack` has not made."""
    file = data / JOBS
    return file.read_text(encoding="utf-8").split() if file.is_file() else []


def pack(data: Path, weights: Path, out: Path, jobs: Sequence[Job]) -> None:
    """Copy what `jobs` read into `out`, or, where that is more than `LIMIT`, into several folders beside it.

    Raises:
        SystemExit: a job that reads more than `LIMIT` bytes; a folder that holds something.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{out.name}_", dir=out.parent) as folder:
        parts = {need: Path(folder, need) for need in sorted({need for job in jobs for need in job.needs})}
        for need, part in parts.items():
            copy(need, data, weights, part)
        sizes = {need: bytes_in(part) for need, part in parts.items()}
        packs = divided(jobs, sizes)
        endings = [""] if len(packs) == 1 else [f"_{number + 1}" for number in range(len(packs))]
        places = [out.with_name(f"{out.name}{ending}") for ending in endings]
        for place in places:
            if place.exists() and any(place.iterdir()):
                raise SystemExit(f"{place} holds something already: name a new folder with --out.")
        for place, some in zip(places, packs, strict=True):
            place.mkdir(exist_ok=True)
            for need in {need for job in some for need in job.needs}:
                shutil.copytree(parts[need], place, dirs_exist_ok=True)
            names = [job.name for job in some]
            (place / JOBS).write_text("\n".join(names) + "\n", encoding="utf-8")
            print(f"{place}: {bytes_in(place) / 1e6:.1f} MB for {', '.join(names)}")


def copy(need: str, data: Path, weights: Path, out: Path) -> None:
    """Copy the pictures of a product, natural ones, or weights, into `out`, reduced as far as jobs allow."""
    if need == "screw":
        for file in sorted((data / "mvtec_ad_512/screw").rglob("*.png")):
            masks = "ground_truth" in file.parts
            with Image.open(file) as picture:
                way = Image.Resampling.NEAREST if masks else Image.Resampling.BOX
                keep(picture.resize((SCREW_SIDE, SCREW_SIDE), way), out / file.relative_to(data))
    if need == "magnetic_tile":
        for file in sorted((data / "magnetic_tile").glob("MT_*/Imgs/*")):
            with Image.open(file) as picture:
                way = Image.Resampling.NEAREST if file.suffix == ".png" else Image.Resampling.LANCZOS
                picture.thumbnail((TILE_SIDE, TILE_SIDE), way)
                keep(picture, out / file.relative_to(data))
    if need == "natural":
        (out / need).mkdir(parents=True)
        for file in (data / "natural_images_1000").glob("*.jpg"):
            shutil.copyfile(file, out / need / file.name)
    if need in WEIGHTS:
        (out / "weights").mkdir(parents=True)
        shutil.copyfile(weights / WEIGHTS[need], out / "weights" / WEIGHTS[need])


def bytes_in(folder: Path) -> int:
    """Size of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def divided(jobs: Sequence[Job], sizes: dict[str, int]) -> list[list[Job]]:
    """The jobs in few groups, each of which reads at most `LIMIT` bytes; those that read most come first.

    Raises:
        SystemExit: a job that reads more by itself.
    """

    def read(needs: Iterable[str]) -> int:
        return sum(sizes[need] for need in needs)

    packs = list[set[str]]()
    for needs in sorted({frozenset(job.needs) for job in jobs}, key=lambda one: (-read(one), sorted(one))):
        if read(needs) > LIMIT:
            what = f"{' and '.join(sorted(needs))}: {read(needs) / 1e6:.1f} MB"
            raise SystemExit(f"{what}, more than the {LIMIT / 1e6:.0f} MB of a pack.")
        fitting = [one for one in packs if read(one | needs) <= LIMIT]
        if fitting:
            min(fitting, key=lambda one: read(needs - one)).update(needs)
        else:
            packs.append(set(needs))
    groups = [list[Job]() for _ in packs]
    for job in jobs:
        groups[next(number for number, one in enumerate(packs) if one.issuperset(job.needs))].append(job)
    return sorted((group for group in groups if group), key=lambda group: jobs.index(group[0]))


def keep(picture: Image.Image, target: Path) -> None:
    """Write a picture as PNG or JPEG, as its name says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, **({"quality": 90} if target.suffix == ".jpg" else {"optimize": True}))
