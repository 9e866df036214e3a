"""How often the measured false-reject rate exceeds what was promised, beside what theory predicts.

    python benchmarks/false_rejects.py NAME=SCORES ... [--alpha 1%] [--rounds 1000] [--out STEM]
    python benchmarks/false_rejects.py --synthetic

SCORES holds raw scores of good pictures that the model has not been trained on: a JSON list, JSON with a list
under "scores", or a CSV with a column `score`. In each round the scores are split at random into calibration
and test; `Calibration` sets its threshold on the one part, and the share of the other part that it rejects is
compared with alpha.

Without ties, the number of m test scores above the k-th largest of n calibration scores is
beta-binomial(m, k, n - k + 1), whatever the scores: a random split makes them exchangeable. So the share of
rounds that exceed alpha is itself binomial with a known mean, and the bars in the plot are its 99.9 % range.
With ties fewer are rejected, and the prediction is an upper bound. What the study cannot show is whether
tomorrow's pictures are like those of the calibration; that is the assumption under either promise.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from flawscope.runtime.calibration import Calibration, Promise, parse_rate

PROMISES: tuple[Promise, ...] = ("with_confidence", "on_average")
RANGE = 0.999  # of the binomial error bars: one case in a thousand lies outside by chance


def split_study(
    scores: np.ndarray, calibration_size: int, alpha: float, promise: Promise, *, rounds: int, seed: int = 0
) -> dict[str, Any]:
    """Measured and predicted frequencies over `rounds` random splits of scores (N,).

    The rate compared with is the one that the calibration says it keeps: alpha, or the smallest it supports.
    """
    rng = np.random.default_rng(seed)
    tested = scores.size - calibration_size
    rejected = np.empty(rounds, np.int64)
    for index in range(rounds):
        mixed = rng.permutation(scores)
        calibration = Calibration(scores=mixed[:calibration_size], alpha=alpha, promise=promise)
        rejected[index] = np.sum(mixed[calibration_size:] > calibration.reject_threshold)
    rank, kept = calibration.rank, calibration.alpha_kept
    predicted = stats.betabinom(tested, rank, calibration_size - rank + 1)
    allowed = int(np.floor(kept * tested + 1e-9))  # so many rejects are still a rate of at most alpha
    chance = float(predicted.sf(allowed))
    low, high = (stats.binom.ppf(q, rounds, chance) / rounds for q in ((1 - RANGE) / 2, (1 + RANGE) / 2))
    measured = float(np.mean(rejected > allowed))
    ties = bool(np.unique(scores).size < scores.size)
    error = float(predicted.std() / tested / np.sqrt(rounds))
    return {
        "promise": promise,
        "calibration": calibration_size,
        "test": tested,
        "rounds": rounds,
        "alpha_asked": alpha,
        "alpha_kept": kept,
        "rank": rank,
        "exceeds_measured": measured,
        "exceeds_predicted": chance,
        "exceeds_range": [float(low), float(high)],
        "mean_rate_measured": float(rejected.mean() / tested),
        "mean_rate_predicted": float(predicted.mean() / tested),
        "mean_rate_standard_error": error,
        "ties": ties,
        "agrees": bool((ties or low <= measured) and measured <= high),
        "rejected": np.bincount(rejected).tolist(),
    }


def read_scores(path: Path) -> np.ndarray:
    """Scores (N,) from JSON or CSV."""
    if path.suffix == ".csv":
        with path.open(newline="") as stream:
            return np.array([float(row["score"]) for row in csv.DictReader(stream)])
    content = json.loads(path.read_text())
    return np.array(content["scores"] if isinstance(content, dict) else content, float)


def synthetic_scores(count: int = 1200, seed: int = 0) -> np.ndarray:
    """Skewed scores without ties, as maxima of heatmaps are: the self-check of the study itself."""
    return np.random.default_rng(seed).gumbel(3.0, 0.4, count)


def study(name: str, scores: np.ndarray, sizes: list[int], alpha: float, rounds: int) -> dict[str, Any]:
    """Every promise at every calibration size, for one set of scores; each with splits of its own."""
    cases = [
        split_study(scores, size, alpha, promise, rounds=rounds, seed=1000 * index + size)
        for index, promise in enumerate(PROMISES)
        for size in sizes
    ]
    return {"name": name, "pictures": int(scores.size), "cases": cases}


def plot(studies: list[dict[str, Any]], path: Path) -> None:
    """One row per set of scores: how often alpha is exceeded, then the rates of the largest calibration."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(studies), 3, figsize=(15, 4.2 * len(studies)), squeeze=False)
    for row, result in zip(axes, studies, strict=True):
        _plot_exceedance(row[0], result)
        for axis, promise in zip(row[1:], PROMISES, strict=True):
            _plot_rates(axis, [case for case in result["cases"] if case["promise"] == promise][-1])
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot_exceedance(axis: Any, result: dict[str, Any]) -> None:
    for promise, colour, shift in zip(PROMISES, ("#1f5fa8", "#c2571a"), (0.99, 1.01), strict=True):
        cases = [case for case in result["cases"] if case["promise"] == promise]
        sizes = np.array([case["calibration"] for case in cases]) * shift
        predicted = np.array([case["exceeds_predicted"] for case in cases])
        low, high = np.array([case["exceeds_range"] for case in cases]).T
        label = promise.replace("_", " ")
        bars = np.clip((predicted - low, high - predicted), 0, None)
        axis.errorbar(
            sizes, predicted, yerr=bars, color=colour, capsize=4, fmt="_", ms=9, label=f"{label}, predicted"
        )
        measured = [case["exceeds_measured"] for case in cases]
        axis.plot(sizes, measured, "o", color=colour, ms=5, label=f"{label}, measured")
    first = result["cases"][0]
    axis.axhline(0.05, color="grey", lw=0.8, ls=":", label="delta = 5 % (for an endless test set)")
    axis.set(
        xscale="log", xlabel="calibration pictures", ylabel="share of splits above alpha", ylim=(0, None)
    )
    axis.set_xticks(sorted({case["calibration"] for case in result["cases"]}))
    axis.xaxis.set_major_formatter("{x:.0f}")
    axis.minorticks_off()
    axis.set_title(f"{result['name']}: {result['pictures']} good pictures, {first['rounds']} splits each")
    axis.legend(fontsize=8, frameon=False)


def _plot_rates(axis: Any, case: dict[str, Any]) -> None:
    counts = np.arange(len(case["rejected"]))
    predicted = stats.betabinom(case["test"], case["rank"], case["calibration"] - case["rank"] + 1).pmf(
        counts
    )
    low, high = (stats.binom.ppf(q, case["rounds"], predicted) for q in ((1 - RANGE) / 2, (1 + RANGE) / 2))
    rates = 100 * counts / case["test"]
    axis.bar(rates, case["rejected"], width=80 / case["test"], color="#b9cde5", label="measured")
    expected = predicted * case["rounds"]
    bars = np.clip((expected - low, high - expected), 0, None)
    axis.errorbar(
        rates, expected, yerr=bars, fmt=".", color="#333333", capsize=2, label="beta-binomial, 99.9 % range"
    )
    axis.axvline(
        100 * case["alpha_kept"], color="#b22222", lw=1, label=f"alpha kept: {case['alpha_kept']:.2%}"
    )
    axis.set(xlabel="rejected good test pictures, %", ylabel="splits")
    axis.set_title(
        f"{case['promise'].replace('_', ' ')}: {case['calibration']} to calibrate, {case['test']} to test"
    )
    axis.legend(fontsize=8, frameon=False)


def main() -> None:
    """Read, study, print, write JSON and plot; exit 1 where a measurement leaves its predicted range."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", metavar="NAME=SCORES")
    parser.add_argument("--synthetic", action="store_true", help="check the study itself on made-up scores")
    parser.add_argument("--sizes", help="calibration sizes, such as 50,99,299; default: a quarter, half, 3/4")
    parser.add_argument("--alpha", default="1%")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/false_rejects"))
    options = parser.parse_args()
    pairs = [entry.split("=", 1) for entry in options.sets]
    named = {name: read_scores(Path(path)) for name, path in pairs}
    if options.synthetic or not named:
        named["synthetic"] = synthetic_scores()
    studies = []
    for name, scores in named.items():
        quarters = [scores.size // 4, scores.size // 2, 3 * scores.size // 4]
        sizes = [int(size) for size in options.sizes.split(",")] if options.sizes else quarters
        studies.append(study(name, scores, sizes, parse_rate(options.alpha, "--alpha"), options.rounds))
    command = " ".join(["python", "benchmarks/false_rejects.py", *sys.argv[1:]])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(
        json.dumps({"command": command, "studies": studies}, indent=1) + "\n"
    )
    plot(studies, options.out.with_suffix(".png"))
    for result in studies:
        for case in result["cases"]:
            print(
                f"{result['name']}, {case['promise']}, n={case['calibration']}, "
                f"alpha kept {case['alpha_kept']:.2%}: "
                f"exceeded in {case['exceeds_measured']:.1%}, predicted {case['exceeds_predicted']:.1%} "
                f"({case['exceeds_range'][0]:.1%} to {case['exceeds_range'][1]:.1%}); mean rate "
                f"{case['mean_rate_measured']:.2%}, predicted {case['mean_rate_predicted']:.2%}"
            )
    if not all(case["agrees"] for result in studies for case in result["cases"]):
        sys.exit("A measurement lies outside its predicted 99.9 % range.")


if __name__ == "__main__":
    main()
