"""Real-IAD rearranged in the layout of MVTec AD, as section 5.2.1 of EfficientAD with CDO did."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from flawscope.data.layouts import read_dataset, real_iad
from flawscope.data.masks import MaskFile, union_mask
from flawscope.data.samples import Dataset, Sample
from flawscope.data.splits import split_normals
from flawscope.errors import DataError, OutputError, unknown
from flawscope.files import unwritable
from flawscope.progress import Progress, Silent
from flawscope.runtime.images import check_image, read_image
from flawscope.runtime.listing import IMAGE_SUFFIXES

SPLITS = ("thesis", "published")
TEST_SHARE = 0.1  # 2259 of 2511 normals trained in the thesis (tables 5.1 and 5.5): nine tenths
_SAFE = re.compile(r"[^\W_][\w .-]{0,99}")
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Converted:
    """One product as it was written: its folder and how many pictures went where."""

    product: str
    folder: Path
    train: int
    test_good: int
    test_defective: int
    masks: int


@dataclass(frozen=True, slots=True)
class _Move:
    """One sample and where it goes, below the product's folder; `mask` is None where it has none."""

    sample: Sample
    place: Path
    mask: Path | None


def convert_dataset(
    folder: Path,
    out: Path,
    *,
    product: str | None = None,
    split: str = "thesis",
    seed: int = 0,
    link: bool = False,
    progress: Progress | None = None,
) -> list[Converted]:
    """Write `<out>/<product>` in the layout of MVTec AD for one product of `folder`, or for all.

    Only normals train. With the split `thesis`, nine tenths of all normals do, drawn by `seed` with the views
    of a part together, whichever list of the JSON they are in; with `published`, those in its training list.
    The other normals and all defective pictures are for testing. File names keep the camera view. Each
    product's folder appears whole or not at all; every picture is checked on the way.

    Args:
        product: a name, `all`, or None where there is only one.
        link: hard links in place of copies; only masks that are not already 0 and 255 are written anew.

    Raises:
        OptionError: an unknown split.
        DataError: what `read_dataset` refuses, a kind or file whose name cannot be kept, too few normals.
        InputError: a picture or mask that is missing or damaged.
        OutputError: the product's folder is there already and not empty, or cannot be written; `out` is the
            data set's own.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    names: Sequence[str | None] = (product,)
    if product == "all" and real_iad.recognises(folder):
        names = real_iad.products(folder)
    datasets = [read_dataset(folder, layout=real_iad.NAME, product=name) for name in names]
    places = [_free_place(Path(out), dataset) for dataset in datasets]
    return [
        _convert(dataset, place, _divided(dataset, split, seed), link=link, progress=progress or Silent())
        for dataset, place in zip(datasets, places, strict=True)
    ]


def _divided(dataset: Dataset, split: str, seed: int) -> list[tuple[Sample, str]]:
    """Each sample with the folder below the product that receives it, such as train/good."""
    train = set(dataset.select(split="train", defective=False))
    if split == "thesis":
        train = set(split_normals(dataset.select(defective=False), seed=seed, test=TEST_SHARE).training)
    return [(sample, f"{'train' if sample in train else 'test'}/{sample.kind}") for sample in dataset]


def _convert(
    dataset: Dataset, place: Path, divided: list[tuple[Sample, str]], *, link: bool, progress: Progress
) -> Converted:
    moves = _moves(divided)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".part-") as temporary:
            root = Path(temporary) / "product"
            places = [place for move in moves for place in (move.place, move.mask) if place is not None]
            for folder in {"train/good", "test/good", "ground_truth", *(str(p.parent) for p in places)}:
                (root / folder).mkdir(parents=True, exist_ok=True)
            _carry_all(moves, root, link=link, title=dataset.name, progress=progress)
            root.rename(place)
    except OSError as error:
        raise unwritable(place, error) from error
    goods = [folder for sample, folder in divided if not sample.defective]
    return Converted(
        dataset.name,
        place,
        train=goods.count("train/good"),
        test_good=goods.count("test/good"),
        test_defective=len(divided) - len(goods),
        masks=sum(move.mask is not None for move in moves),
    )


def _moves(divided: list[tuple[Sample, str]]) -> list[_Move]:
    """Names for all files: the published stem, with the part's folder before it where that is taken."""
    taken: set[tuple[str, str]] = set()
    moves = []
    for sample, folder in divided:
        stem = name = re.sub(r"[^\w.-]", "_", sample.path.stem).lstrip(".") or "_"
        if (folder, name.casefold()) in taken:
            stem = name = f"{Path(sample.group or '').name}_{stem}"
        number = 2
        while (folder, name.casefold()) in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add((folder, name.casefold()))
        truth = Path("ground_truth", sample.kind, f"{name}_mask.png")
        place = Path(folder, name + _suffix(sample.path))
        moves.append(_Move(sample, place, truth if sample.defective and sample.masks else None))
    return moves


def _carry_all(moves: list[_Move], root: Path, *, link: bool, title: str, progress: Progress) -> None:
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="convert")
    try:
        with progress.stage(f"converting {title}", len(moves)) as stage:
            for _ in pool.map(lambda move: _carry(move, root, link=link), moves):
                stage.advance()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _carry(move: _Move, root: Path, *, link: bool) -> None:
    """Check one picture, then copy or link it, and bring its mask along."""
    info = check_image(move.sample.path)
    _transfer(move.sample.path, root / move.place, link=link)
    if move.mask is None:
        return
    area = union_mask(move.sample, info.height, info.width)  # (H, W)
    (mask,) = move.sample.masks
    if isinstance(mask, MaskFile) and _is_plain(mask.path):
        _transfer(mask.path, root / move.mask, link=link)
        return
    _, data = cv2.imencode(".png", area.astype(np.uint8) * 255)
    (root / move.mask).write_bytes(data.tobytes())


def _is_plain(path: Path) -> bool:
    """Whether a mask is a grey PNG of 0 and 255 already."""
    pixels = read_image(path)  # (H, W, C)
    grey = path.suffix.lower() == ".png" and pixels.shape[2] == 1 and pixels.dtype == np.uint8
    return grey and bool(((pixels == 0) | (pixels == 255)).all())


def _transfer(source: Path, target: Path, *, link: bool) -> None:
    if not link:
        shutil.copyfile(source, target)
        return
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP):
            raise
        raise OutputError(
            f"link {target.name}",
            expected="an output folder on the disk of the pictures, which allows hard links",
            got=(error.strerror or str(error)).lower(),
            fix="Use --copy.",
        ) from error


def _free_place(out: Path, dataset: Dataset) -> Path:
    """Where a product goes, once nothing stands there and all names that become folders are plain."""
    goods = [kind.name for kind in dataset.truths() if not kind.defective]
    for name in (dataset.name, *dataset.kinds(), *goods[1:]):  # a second name for good is no kind to keep
        if not _SAFE.fullmatch(name) or name in goods[1:]:
            raise DataError(
                f"{dataset.name} in {dataset.root}",
                expected="names of products and defect kinds in letters, digits, dots, - and _, no kind good",
                got=repr(name)[:80],
                fix="Correct the data set's JSON.",
            )
    if out.resolve() == dataset.root.resolve():
        raise OutputError(
            f"output {out}",
            expected="another folder than the data set's, which would then hold two layouts",
            got="its own",
            fix="Choose another folder.",
        )
    place = out / dataset.name
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise OutputError(
            f"output {place}",
            expected="a folder that is not there yet, or empty",
            got="one with content" if place.is_dir() else "a file",
            fix="Choose another folder, or remove this one.",
        )
    return place


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        known, got = ", ".join(IMAGE_SUFFIXES), suffix or "no suffix"
        raise DataError(f"picture {path}", expected=f"one of {known}", got=got, fix="Convert it.")
    return suffix
