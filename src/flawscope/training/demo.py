"""A rendered product and a model of it, for the demo."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from flawscope.nn.run import Run
from flawscope.products import write_loco
from flawscope.products.renderer import product_named
from flawscope.training.recipe import Recipe
from flawscope.training.train import TrainResult, train

TRAIN, VALIDATION, TEST_GOOD, PER_FLAW = 80, 40, 30, 5


NOTE = "These pictures are rendered: practice, not a product."


def demo_model(
    product: str,
    out: Path,
    run: Run,
    *,
    size: int = 256,
    announce: Callable[[str], None] = lambda text: None,
) -> tuple[Path, TrainResult]:
    """Render `product` into `out/pictures` and train on its good pictures into `out/model`.

    An earlier demo in the same folder is replaced.

    Returns:
        The folder of the pictures, and what training made.
    """
    product_named(product)
    earlier = out / "pictures" / product
    if (earlier / "truth.jsonl").is_file():
        shutil.rmtree(earlier)
    announce(f"Rendering {product}: {TRAIN + VALIDATION} good pictures to learn from, then a test set.")
    with run.progress.stage("rendering", 0) as stage:
        pictures = write_loco(
            out / "pictures",
            product,
            seed=run.seed,
            train=TRAIN,
            validation=VALIDATION,
            test_good=TEST_GOOD,
            per_flaw=PER_FLAW,
            size=size,
            progress=lambda done, total: stage.advance(),
        )
    recipe = Recipe.parse({"data": {"folder": str(pictures)}, "seed": run.seed})
    return pictures, train(recipe, out / "model", run, overwrite=True, announce=announce)
