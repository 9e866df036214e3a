"""`flawscope update`: twenty pictures of a changed light taught, beside training again on all pictures.

    python benchmarks/update.py --work WORK --out benchmarks/results/update

A rendered product is learnt; then the light turns weaker and warmer, and the model rejects good parts.
Twenty of them are taught. Measured: seconds (wall, and of the processor), how many of the taught pictures and
of thirty others in that light are rejected, and image AUROC in both lights, before and after, and of a model
that is trained on the old and the new pictures together. Thresholds promise 5 % false rejects with 95 %
confidence as far as the pictures support it. That the radius is where banks stop growing was settled by
trying others on this very product.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _machine import command, machine, versions
from PIL import Image

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.files import write_text
from flawscope.metrics import auroc
from flawscope.products import write_loco
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.pipeline import Pipeline
from flawscope.runtime.prediction import Decision
from flawscope.training.recipe import Recipe
from flawscope.training.train import train
from flawscope.training.update import update

PRODUCT, SIZE = "vent_cover", 256
LIGHT = (0.88, 0.84, 0.78)  # red, green, blue of the changed light, of the first one's
KINDS = ("good", "logical_anomalies", "structural_anomalies")
METHODS = ("joined_banks", "patchcore", "padim")


def main() -> None:
    wish = parse()
    first, new = rendered(wish.work)
    rows = [row for method in wish.methods for row in measured(method, wish.work, first, new)]
    told = {
        "command": command(),
        **machine(),
        "versions": versions("torch", "onnxruntime", "numpy"),
        "product": f"{PRODUCT}, {SIZE}x{SIZE}, light times {LIGHT}",
        "rows": rows,
    }
    write_text(wish.out.with_suffix(".json"), json.dumps(told, indent=1) + "\n")
    write_text(wish.out.with_suffix(".md"), page(told))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and models")
    parser.add_argument("--out", type=Path, required=True, help="stem of the results")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    return parser.parse_args()


def rendered(work: Path) -> tuple[Path, Path]:
    """The product in its first light, and twenty pictures to teach; beside them the test in that light."""
    first, new = work / "first" / PRODUCT, work / "new" / PRODUCT / "train" / "good"
    if not first.exists():
        write_loco(
            work / "first", PRODUCT, seed=3, train=50, validation=80, test_good=30, per_flaw=2, size=SIZE
        )
        write_loco(work / "new", PRODUCT, seed=4, train=20, validation=0, test_good=0, per_flaw=0, size=SIZE)
        for path in new.iterdir():
            relit(path, path)
        for kind in KINDS:
            for path in (first / "test" / kind).iterdir():
                relit(path, work / "relit" / kind / path.name)
    return first, new


def relit(source: Path, target: Path) -> None:
    """The picture in the changed light."""
    values = np.asarray(Image.open(source).convert("RGB"), np.float64) * LIGHT
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.round().astype(np.uint8)).save(target)


def measured(method: str, work: Path, first: Path, new: Path) -> list[dict[str, Any]]:
    """A row each for the model before, taught, and trained again."""
    recipe = Recipe.parse(
        {
            "data": {"folder": str(first)},
            "tiling": "none",
            "method": method,
            "calibration": {"false_rejects": 0.05},
            "engine": {"name": "onnxruntime", "precision": "fp32"},
        }
    )
    models = {name: work / f"{method}-{name}" for name in ("before", "taught", "trained again")}
    found = {
        "before": timed(lambda: train(recipe, models["before"], overwrite=True)),
        "taught": timed(lambda: update(models["before"], [new], models["taught"], overwrite=True)),
        "trained again": timed(
            lambda: train(recipe.teaching([str(new)]), models["trained again"], overwrite=True)
        ),
    }
    rows = []
    for name, (seconds, result) in found.items():
        rows.append({"method": method, "model": name, **seconds, **judged(bundle.load(models[name]), work)})
        if name == "taught":
            rows[-1] |= {"banks": result.banks, "calibrated": result.calibrated}
        print(json.dumps(rows[-1]), flush=True)
    return rows


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds of the wall clock and of the processor, and what came of it."""
    before = time.perf_counter(), time.process_time()
    result = work()
    after = time.perf_counter(), time.process_time()
    return {"seconds": after[0] - before[0], "processor_seconds": after[1] - before[1]}, result


def judged(model: Bundle, work: Path) -> dict[str, Any]:
    """Rejected shares, median scores in units of the threshold's distance, and AUROC in both lights."""
    pipeline, calibration = Pipeline.open(model), model.manifest.calibration
    lights = {"first": work / "first" / PRODUCT / "test", "new": work / "relit"}
    scores = {
        f"{light} {kind}": scored(pipeline, model, folder / kind)
        for light, folder in lights.items()
        for kind in KINDS
    }
    scores["taught"] = scored(pipeline, model, work / "new" / PRODUCT / "train" / "good")
    rejected = {
        name: float(np.mean([calibration.decide(float(score)) is Decision.REJECT for score in values]))
        for name, values in scores.items()
    }
    areas = {light: area(scores, light) for light in lights}
    return {
        "auroc": areas,
        "rejected": rejected,
        "threshold": calibration.reject_threshold,
        "promised": calibration.alpha_kept,
        "median_of_taught": float(np.median(scores["taught"])),
    }


def scored(pipeline: Pipeline, model: Bundle, folder: Path) -> np.ndarray:
    """The scores (n,) of a folder's pictures."""
    samples = [Sample(path, "test", defective=False) for path in sorted(folder.iterdir())]
    name = pipeline.judged[0]
    answers = pipeline.score(PictureFiles(samples, model.manifest.frame), (name,))
    return np.array([answer[name] for answer in answers], np.float32).ravel()


def area(scores: dict[str, np.ndarray], light: str) -> float:
    """Image AUROC of all flaws in one light."""
    parts = [scores[f"{light} {kind}"] for kind in KINDS]
    labels = np.concatenate([np.full(len(part), int(index > 0)) for index, part in enumerate(parts)])
    return float(auroc(labels, np.concatenate(parts)))


def page(told: dict[str, Any]) -> str:
    """The figures as Markdown."""
    on = f"{told['processor']}, {told['cores']} cores, load {told['load_before']} before"
    heads = (
        *("method", "model", "s", "processor s", "taught: rejected, median score (threshold)"),
        *(
            "others, new light: rejected",
            "first light: rejected",
            "AUROC new light",
            "AUROC first light",
            "bank",
        ),
    )
    lines = [
        "# Twenty good pictures of a changed light, taught",
        "",
        f"`{told['command']}` on {on}; "
        f"torch {told['versions']['torch']}, onnxruntime {told['versions']['onnxruntime']}.",
        "",
        f"{told['product']}: 50 good pictures to learn from, 80 to scale and calibrate on; 30 good and 2 of "
        "each flaw to test on, in each light.",
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    for row in told["rows"]:
        rejected, areas = row["rejected"], row["auroc"]
        banks = ", ".join(f"{old} → {now}" for old, now in row.get("banks", {}).values())
        taught = f"{rejected['taught']:.0%}, {row['median_of_taught']:.3g} ({row['threshold']:.3g})"
        cells = (
            row["method"],
            row["model"],
            f"{row['seconds']:.0f}",
            f"{row['processor_seconds']:.0f}",
            taught,
            f"{rejected['new good']:.0%}",
            f"{rejected['first good']:.0%}",
            f"{areas['new']:.3f}",
            f"{areas['first']:.3f}",
            banks,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
