"""Rendered products on disk, in the layout of the MVTec LOCO AD data set."""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from flawscope.errors import OptionError, OutputError
from flawscope.files import unwritable
from flawscope.products.renderer import product_named, render
from flawscope.products.scene import Product, Rendered
from flawscope.progress import Progress, Silent, Stage, counted

_PALETTE = (
    *(0x000000, 0x4E79A7, 0xF28E2B, 0x59A14F, 0xE15759),
    *(0xB07AA1, 0xEDC948, 0x76B7B2, 0xFF9DA7, 0x9C755F),
)
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class _Shot:
    """One picture to come: its folder below the product, its number there, its flaw."""

    folder: str
    index: int
    flaw: str | None

    @property
    def name(self) -> str:
        return f"{self.folder}/{self.index:03d}"

    def seed(self, product: str, seed: int) -> int:
        """A seed of its own for each picture, which does not move when other counts change."""
        key = [seed, zlib.crc32(product.encode()), zlib.crc32(self.folder.encode()), self.index]
        return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def write_loco(
    folder: Path,
    product: str,
    *,
    seed: int,
    train: int = 60,
    validation: int = 20,
    test_good: int = 20,
    per_flaw: int = 4,
    size: int = 256,
    progress: Progress | None = None,
) -> Path:
    """Write `<folder>/<product>` as MVTec LOCO AD lays it out, and return that path.

    Beside LOCO's train, validation, test, ground_truth and defects_config.json it holds `truth.jsonl` (path,
    flaw, a sentence and the mask's share of the area for each test picture) and `parts/` (indexed label maps
    under the pictures' own names, `parts/names.json` says what the labels are). The folder appears whole or
    not at all, and the same arguments give the same bytes.

    Raises:
        OptionError: an unknown product, a count below 1 (validation, test_good and per_flaw: below 0), or
            what `render` refuses.
        OutputError: the folder is there already, or cannot be written.
    """
    made = product_named(product)
    if train < 1 or min(validation, test_good, per_flaw) < 0:
        raise OptionError(
            "number of pictures",
            expected="at least 1 for training and 0 elsewhere",
            got=f"{train} training, {validation} validation, {test_good} good test, {per_flaw} per flaw",
            fix="Correct the counts.",
        )
    target = Path(folder) / product
    if target.exists():
        raise OutputError(
            f"output {target}",
            expected="a folder that is not there yet",
            got="one that is",
            fix="Choose another folder, or remove this one.",
        )
    shots = list(_shots(made, train, validation, test_good, per_flaw))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as temporary:
            root = Path(temporary) / product
            with (progress or Silent()).stage("rendering", len(shots)) as stage:
                _write(root, made, shots, stage, seed=seed, size=size)
            root.rename(target)
    except OSError as error:
        raise unwritable(target, error) from error
    return target


def _shots(product: Product, train: int, validation: int, test_good: int, per_flaw: int) -> Iterator[_Shot]:
    goods = {"train/good": train, "validation/good": validation, "test/good": test_good}
    for name, count in goods.items():
        yield from (_Shot(name, index, None) for index in range(count))
    for kind in ("logical", "structural"):
        names = [name for name, its_kind in product.flaws.items() if its_kind == kind]
        flaws = [name for name in names for _ in range(per_flaw)]
        yield from (_Shot(f"test/{kind}_anomalies", index, flaw) for index, flaw in enumerate(flaws))


def _write(
    root: Path, product: Product, shots: Sequence[_Shot], stage: Stage, *, seed: int, size: int
) -> None:
    values = {flaw: 255 - index for index, flaw in enumerate(product.flaws)}
    work = partial(_make, root, product, values, seed=seed, size=size)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="rendering")
    try:
        truths = [truth for truth in counted(pool.map(work, shots), stage) if truth is not None]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    lines = "".join(json.dumps(truth) + "\n" for truth in truths)
    (root / "truth.jsonl").write_text(lines, encoding="utf-8")
    names = json.dumps(list(product.part_names), indent=2) + "\n"
    (root / "parts" / "names.json").write_text(names, encoding="utf-8")
    config = [_defect(product, flaw, value, size) for flaw, value in values.items()]
    (root / "defects_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _make(
    root: Path, product: Product, values: Mapping[str, int], shot: _Shot, *, seed: int, size: int
) -> dict[str, object] | None:
    """Render and write one picture; what is true of it, if it is a test picture."""
    rendered = render(product.name, seed=shot.seed(product.name, seed), flaw=shot.flaw, size=size)
    _write_one(root, shot, rendered, values)
    if not shot.folder.startswith("test/"):
        return None
    about = {"path": f"{shot.name}.png", "flaw": shot.flaw, "truth": rendered.truth}
    return {**about, "area": round(float(rendered.mask.mean()), 6)}


def _defect(product: Product, flaw: str, value: int, size: int) -> dict[str, object]:
    """LOCO's entry for one flaw: at how much overlap a region counts as fully found."""
    share = product.saturation.get(flaw)
    return {
        "defect_name": flaw,
        "pixel_value": value,
        "saturation_threshold": 1.0 if share is None else round(share * size * size),
        "relative_saturation": share is None,
    }


def _write_one(root: Path, shot: _Shot, rendered: Rendered, values: Mapping[str, int]) -> None:
    _save(Image.fromarray(rendered.picture), root / f"{shot.name}.png")
    labels = Image.fromarray(rendered.parts)
    labels.putpalette(b"".join(code.to_bytes(3, "big") for code in _PALETTE))
    _save(labels, root / "parts" / f"{shot.name}.png")
    for index, mask in enumerate(rendered.masks):
        value = np.uint8(values[str(shot.flaw)])
        place = shot.name.replace("test/", "ground_truth/", 1)
        _save(Image.fromarray(mask * value), root / place / f"{index:03d}.png")


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="PNG", compress_level=4)
