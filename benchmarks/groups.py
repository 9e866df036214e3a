"""How often false rejects exceed what was promised where several pictures show one part, counted either way.

    python benchmarks/groups.py [--rendered PARTS] [--rounds 1000] [--out benchmarks/results/groups]

Good parts come with five pictures each. Simulated scores are a part's own value and a picture's, both normal,
with 0, 50 or 90 % of the variance between parts. Rendered ones are PatchCore's (ResNet-18, 128x128, 40 parts
learnt) on trays of pins, each photographed five times: moved by up to two pixels, up to 3 % lighter or
darker, with noise of its own. In each round parts are split at random: 80 calibrate, with 400 pictures, and
the rest test.

Three ways to count: `pictures`, as if each showed another part; `groups`, of which a picture is judged;
`parts`, which are rejected when any of their pictures is. What is promised is compared with the share of test
parts whose picture, one drawn of each as calibration draws, is rejected, or of which any is. Without ties the
number of rejected among M test parts is beta-binomial(M, k, 81 - k) for `groups` with confidence and for
`parts`, whatever the scores; so the share of rounds that exceed the rate has a known mean and range. For
`pictures` no such law holds; beside it stands what it claims. `groups` on average keeps at most the rate.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _machine import command, machine, versions
from PIL import Image
from scipy import stats

from flawscope.files import write_text
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.groups import drawn

VIEWS, CALIBRATE, ALPHA, LEARNT = 5, 80, 0.05, 40
WAYS = ("pictures", "groups", "parts")
PROMISES = ("with_confidence", "on_average")
RANGE = 0.999


def simulated(between: float, parts: int, seed: int = 0) -> np.ndarray:
    """Scores (parts, VIEWS) with such a share of their variance between parts."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(parts, 1)) * np.sqrt(between)
    return own + rng.normal(size=(parts, VIEWS)) * np.sqrt(1 - between)


def photographed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another picture (H, W, 3) of the same part."""
    down, across = rng.integers(-2, 3, 2)
    moved = np.roll(picture, (down, across), (0, 1)).astype(np.float64)
    noisy = moved * rng.uniform(0.97, 1.03) + rng.normal(0, 2, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def rendered(parts: int, seed: int = 0) -> np.ndarray:
    """Scores (parts, VIEWS) of trays that a PatchCore has not learnt."""
    from flawscope.products import render
    from flawscope.runtime.inspector import Inspector
    from flawscope.training.recipe import Recipe
    from flawscope.training.train import train

    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as place:
        good = Path(place) / "good"
        good.mkdir()
        for part in range(LEARNT):
            picture = render("pin_tray", seed=part, size=128).picture
            for view in range(2):
                Image.fromarray(photographed(picture, rng)).save(good / f"part{part:03d}_{view}.png")
        recipe = {
            "data": {"folder": str(good), "groups": "part([0-9]+)_"},
            "method": "patchcore",
            "preset": None,
            "options": {
                "backbone": "resnet18",
                "layers": ["layer2", "layer3"],
                "size": [128, 128],
                "coreset": 0.05,
            },
            "split": {"calibration": 0.2},
            "engine": {"name": "onnxruntime"},
        }
        train(Recipe.parse(recipe), Path(place) / "model")
        inspector = Inspector.load(Path(place) / "model")
        rows = []
        for part in range(LEARNT, LEARNT + parts):
            picture = render("pin_tray", seed=part, size=128).picture
            rows.append([inspector.inspect(photographed(picture, rng)).score for _ in range(VIEWS)])
    return np.array(rows)


def between(scores: np.ndarray) -> float:
    """Share of the variance of scores (P, V) between parts: the intraclass correlation (ANOVA estimate)."""
    within = scores.var(axis=1, ddof=1).mean()
    means = scores.mean(axis=1).var(ddof=1)
    return float(max(0.0, means - within / scores.shape[1]) / (means + within * (1 - 1 / scores.shape[1])))


def study(scores: np.ndarray, way: str, promise: str, rounds: int, seed: int) -> dict[str, Any]:
    """Promised and observed over random splits of parts, scores (P, V)."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(CALIBRATE), scores.shape[1])
    grouping = (
        {} if way == "pictures" else {"groups": numbers, "judge": "part" if way == "parts" else "picture"}
    )
    single = np.array([drawn(np.sort(part).tolist(), [0] * len(part)).scores[0] for part in scores])
    rejected = []
    for _ in range(rounds):
        order = rng.permutation(len(scores))
        mixed = scores[order]
        calibration = Calibration(scores=mixed[:CALIBRATE].ravel(), alpha=ALPHA, promise=promise, **grouping)
        judged = mixed.max(axis=1) if way == "parts" else single[order]
        rejected.append(int(np.sum(judged[CALIBRATE:] > calibration.reject_threshold)))
    tested, kept, rank = len(scores) - CALIBRATE, calibration.alpha_kept, calibration.rank
    allowed = int(np.floor(kept * tested + 1e-9))
    law = stats.betabinom(tested, rank, calibration.count + 1 - rank)
    exact = way == "parts" or (way == "groups" and promise == "with_confidence")
    chance = float(law.sf(allowed))
    low, high = (stats.binom.ppf(q, rounds, chance) / rounds for q in ((1 - RANGE) / 2, (1 + RANGE) / 2))
    measured = float(np.mean(np.array(rejected) > allowed))
    mean, error = float(np.mean(rejected)) / tested, float(np.std(rejected)) / tested / np.sqrt(rounds)
    return {
        "way": way,
        "promise": promise,
        "alpha_kept": kept,
        "counted": calibration.count,
        "rank": rank,
        "mean_rate": mean,
        "mean_rate_predicted": float(law.mean() / tested),
        "exceeded": measured,
        "exceeded_predicted": chance,
        "exceeded_range": [float(low), float(high)],
        "exact": exact,
        "agrees": bool(low <= measured <= high) if exact else bool(mean <= kept + 4 * error),
    }


def table(sets: list[dict[str, Any]]) -> str:
    """The cases as Markdown."""
    head = (
        "| scores | between parts | counted | promise | rate promised | mean rate | predicted | exceeded in "
        "| predicted (99.9 % range) |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    rows = [head]
    for one in sets:
        for case in one["cases"]:
            low, high = case["exceeded_range"]
            law = f"{case['exceeded_predicted']:.1%} ({low:.1%} to {high:.1%})"
            claim = "if pictures were parts: " if case["way"] == "pictures" else ""
            if not case["exact"] and case["way"] == "groups":
                law = "–"
            predicted = (
                f"at most {case['alpha_kept']:.2%}"
                if law == "–"
                else f"{claim}{case['mean_rate_predicted']:.2%}"
            )
            rows.append(
                f"| {one['name']} | {one['between']:.0%} | {case['way']} ({case['counted']}) "
                f"| {case['promise'].replace('_', ' ')} | {case['alpha_kept']:.1%} | {case['mean_rate']:.2%} "
                f"| {predicted} | {case['exceeded']:.1%} | {law if law == '–' else claim + law} |"
            )
    return "\n".join(rows)


def main() -> None:
    """Score, split, compare; ends with an error where a grouped promise leaves its prediction."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rendered", type=int, default=240, help="rendered parts; 0: none")
    parser.add_argument("--parts", type=int, default=2000, help="simulated parts")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/groups"))
    options = parser.parse_args()
    sets = {f"simulated {share:.0%}": simulated(share, options.parts) for share in (0.0, 0.5, 0.9)}
    if options.rendered:
        sets["rendered"] = rendered(options.rendered)
    found = []
    for name, scores in sets.items():
        cases = [
            study(scores, way, promise, options.rounds, seed)
            for seed, (way, promise) in enumerate((way, promise) for promise in PROMISES for way in WAYS)
        ]
        found.append({"name": name, "parts": len(scores), "between": between(scores), "cases": cases})
    about = {
        "command": command(),
        "machine": machine(),
        "versions": versions("numpy", "scipy", "onnxruntime"),
    }
    result = {**about, "alpha": ALPHA, "views": VIEWS, "calibrate": CALIBRATE, "rounds": options.rounds}
    text = f"# Pictures of one part\n\n`{about['command']}`\n\n{table(found)}\n"
    write_text(options.out.with_suffix(".json"), json.dumps({**result, "sets": found}, indent=1) + "\n")
    write_text(options.out.with_suffix(".md"), text)
    print(text)
    if not all(case["agrees"] for one in found for case in one["cases"] if case["way"] != "pictures"):
        raise SystemExit("A grouped promise lies outside its prediction.")


if __name__ == "__main__":
    main()
