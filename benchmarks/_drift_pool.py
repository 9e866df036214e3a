"""What streams are drawn from: scores and conditions of pictures as they are, changed, and defective."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flawscope.products.renderer import product_named, render
from flawscope.runtime.conditions import conditions
from flawscope.runtime.images import read_image
from flawscope.runtime.inspector import Inspector

Picture = NDArray[np.uint8]
Row = dict[str, float]

FIT, POOL, DEFECTIVE = 120, 240, 100
SIZE = 256  # of rendered pictures
RENDERED_SEED = 50_000


def light(picture: Picture) -> NDArray[np.floating]:
    """A tenth less light."""
    return picture * 0.9


def defocus(picture: Picture) -> NDArray[np.floating]:
    """Blurred by a Gaussian with σ of one pixel."""
    blurred = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.0)
    return np.asarray(blurred).reshape(picture.shape)


def shift(picture: Picture) -> NDArray[np.floating]:
    """Five pixels to the right, the border repeated."""
    return np.pad(picture, ((0, 0), (5, 0), (0, 0)), mode="edge")[:, :-5].astype(np.float32)


def warm(picture: Picture) -> NDArray[np.floating]:
    """Red 4 % higher, blue 4 % lower; of a grey picture nothing."""
    return picture * np.array([1.04, 1.0, 0.96]) if picture.shape[2] == 3 else picture.astype(np.float64)


CHANGES: dict[str, tuple[str, Callable[[Picture], NDArray[np.floating]]]] = {
    "light −10 %": ("brightness", light),
    "defocus of 1 px": ("sharpness", defocus),
    "shift of 5 px": ("x", shift),
    "warm cast": ("warmth", warm),
}


def make(product: str, data: Path) -> dict[str, list[Row]]:
    """Rows of the pictures by what was done to them: `good`, the changes, `defective`.

    What `train` makes by itself learns from most of `FIT` good pictures and scores others. Screw is read
    from `data`, in the layout of MVTec AD; every other product is rendered.
    """
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch
    from flawscope.training.recipe import Recipe
    from flawscope.training.train import train

    with tempfile.TemporaryDirectory() as folder:
        good, defective = _pictures(product, data)
        learnt = Path(folder, "data", "good")
        learnt.mkdir(parents=True)
        for index in range(FIT):
            Image.fromarray(np.squeeze(next(good))).save(learnt / f"{index:03d}.png")
        recipe = Recipe.parse(
            {
                "data": {"folder": str(learnt.parent)},
                "calibration": {"false_rejects": 0.2},
                "engine": {"name": "onnxruntime"},
            }
        )
        told = Watch(say=lambda said: print(f"{product}: {said}", flush=True))
        train(recipe, Path(folder, "model"), Run(), told)
        with Inspector.load(Path(folder, "model"), threads=1) as inspector:
            pool = [picture for picture, _ in zip(good, range(POOL), strict=False)]
            rows = {"good": [_row(inspector, picture) for picture in pool]}
            for name, (_, change) in CHANGES.items():
                if name != "warm cast" or pool[0].shape[2] == 3:
                    changed = (np.clip(np.rint(change(picture)), 0, 255) for picture in pool)
                    rows[name] = [_row(inspector, picture.astype(np.uint8)) for picture in changed]
            some = (picture for picture, _ in zip(defective, range(DEFECTIVE), strict=False))
            rows["defective"] = [_row(inspector, picture) for picture in some]
    return rows


def kept(product: str, data: Path, work: Path) -> dict[str, list[Row]]:
    """As `make`, once for each folder `work`."""
    place = work / f"{product}.json"
    if not place.is_file():
        work.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(make(product, data)))
    return json.loads(place.read_text())


def _row(inspector: Inspector, picture: Picture) -> Row:
    decoded, prediction = inspector.look(picture)
    return {"scores": prediction.score, **conditions(decoded, inspector.bundle.manifest.frame)}


def _pictures(product: str, data: Path) -> tuple[Iterator[Picture], Iterator[Picture]]:
    """Good and defective pictures (H, W, C), in an order that tells nothing."""
    if product != "screw":
        flaws = sorted(product_named(product).flaws)
        seeds = range(RENDERED_SEED, RENDERED_SEED + FIT + POOL)
        good = (render(product, seed=seed, size=SIZE).picture for seed in seeds)
        wrong = range(RENDERED_SEED + 10_000, RENDERED_SEED + 10_000 + DEFECTIVE)
        bad = (
            render(product, seed=seed, flaw=flaws[index % len(flaws)], size=SIZE).picture
            for index, seed in enumerate(wrong)
        )
        return good, bad
    folder = data / "screw"
    good_files = [*folder.glob("train/good/*.png"), *folder.glob("test/good/*.png")]
    bad_files = [path for path in folder.glob("test/*/*.png") if path.parent.name != "good"]
    return _read(good_files), _read(bad_files)


def _read(paths: Iterable[Path]) -> Iterator[Picture]:
    ordered = sorted(paths)
    for index in np.random.default_rng(0).permutation(len(ordered)):
        yield read_image(ordered[index])
