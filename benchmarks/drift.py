"""False alarms of drift on unchanged streams, and pictures until a change is found and named.

    python benchmarks/drift.py --data MVTEC --work FOLDER --out results/drift [--streams 10000]
        [--repeats 100] [--parts PART ...]

*Unchanged streams.* Each draws calibration pictures and a stream from one source: normal values with the rank
correlations of scores and conditions of a product's pictures, or whole pictures of it, with repeats. So both
are exchangeable. Counted are streams in which any quantity ever raises an alarm. Beside them: p-values
against the calibration pictures alone, which are not independent; and ADWIN and Page-Hinkley (river) on the
same standardised quantities, which see the calibration pictures first.

*Changed streams.* 299 calibration pictures, 500 unchanged ones, then 1000 that are changed: real ones
(screw) and rendered ones; of more defects, which take longer, also 5000 of each, and of the scores that
product.json has of further products. Pictures repeat, and no stream knows which. Told are the median of
pictures until the first alarm after the change, the share of streams that have one, the share in which it is
about the quantity that was changed, and the share with an alarm before the change, left out of the rest.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _drift_streams as streams
import numpy as np
from _drift_peers import detectors, first_alarms
from _drift_pool import CHANGES, kept
from _drift_report import markdown
from _machine import command, machine, versions

PRODUCTS = ("screw", "impeller", "pin_tray")
PARTS = (*PRODUCTS, "further", "unchanged", "pictures", "fixed", "peers")
CALIBRATIONS, LENGTH = (60, 299), 1000
BEFORE, AFTER = 500, 1000
LATER = 5000  # unchanged pictures, and changed ones
MORE = 0.03
ALPHA, ALPHAS = 0.01, (0.01, 0.05, 0.1)
SAID = {"defects": "3 % more defects", "later": f"the same, {LATER} before and after"}
SCORES_OF = Path(__file__).parent / "results" / "product.json"
SEED = 1  # of the pictures in product.json
CHUNK = 1000  # streams in memory at once

Pools = dict[str, list[dict[str, float]]]  # pictures by what was changed; of each its score and conditions


def unchanged(pool: list[dict[str, float]], count: int, reference: int, source: str) -> dict[str, Any]:
    """Shares of unchanged streams that ever raise an alarm, by alpha: any, and one of scores."""
    random = np.random.default_rng(reference)
    names = streams.watched(pool)
    rows = streams.table(pool, names)
    best = {name: list[np.ndarray]() for name in names}
    for _ in range(-(-count // CHUNK)):
        values = _unchanged(rows, source, reference, CHUNK, random)
        for name, own in zip(names, values, strict=True):
            known = np.count_nonzero(~np.isnan(own[:, :reference]), axis=1)
            p = streams.p_values(own, reference, random)
            best[name].append(streams.highest(name, p, known)[:, -1])
    found = {name: np.concatenate(parts) for name, parts in best.items()}
    shares = {}
    for alpha in ALPHAS:
        reached = np.array([found[name] >= streams.limit(name, alpha) for name in names])
        shares[f"{alpha:g}"] = {"any": float(reached.any(0).mean()), "scores": float(reached[0].mean())}
    return {
        "source": source,
        "calibration": reference,
        "streams": count,
        "pictures": LENGTH,
        "quantities": list(names),
        "alarms": shares,
    }


def _unchanged(
    rows: np.ndarray, source: str, reference: int, count: int, random: np.random.Generator
) -> np.ndarray:
    if source == "normal":
        return streams.correlated(rows, count, reference + LENGTH, random)
    return streams.drawn([(rows, reference + LENGTH)], count, random)


def against_the_reference_alone(reference: int, length: int, count: int) -> dict[str, Any]:
    """The same bets on scores, with p-values that rank each picture among the calibration pictures alone."""
    random = np.random.default_rng(7)
    reached = []
    for _ in range(-(-count // CHUNK)):
        values = random.standard_normal((CHUNK, reference + length))
        p = streams.fixed_p_values(values, reference, random)
        best = streams.highest(streams.SCORES, p, np.full(CHUNK, reference))[:, -1]
        reached.append(best >= -np.log(ALPHA))
    share = float(np.concatenate(reached).mean())
    return {
        "calibration": reference,
        "pictures": length,
        "streams": count,
        "promised": ALPHA,
        "alarms": share,
    }


def peers_unchanged(pool: list[dict[str, float]], count: int, reference: int) -> dict[str, Any]:
    """As `unchanged`, of river's detectors on normal values."""
    random = np.random.default_rng(reference)
    names = streams.watched(pool)
    rows = streams.table(pool, names)
    found: dict[str, list[np.ndarray]] = {name: [] for name in detectors()}
    for _ in range(-(-count // CHUNK)):
        values = _unchanged(rows, "normal", reference, min(CHUNK, count), random)
        for name, make in detectors().items():
            found[name].append(first_alarms(make, values, reference) != streams.NEVER)
    shares = {}
    for name, parts in found.items():
        reached = np.concatenate(parts, 1)
        shares[name] = {"any": float(reached.any(0).mean()), "scores": float(reached[0].mean())}
    return {"calibration": reference, "streams": count, "pictures": LENGTH, "alarms": shares}


def changed(product: str, pools: Pools, repeats: int) -> Iterator[dict[str, Any]]:
    """One row for each change and detector."""
    names = streams.watched(pools["good"])
    good = streams.table(pools["good"], names)
    asked = {name: about for name, (about, _) in CHANGES.items()} | {"defects": "scores", "later": "scores"}
    for change, about in asked.items():
        random = np.random.default_rng(11)
        before, after = (LATER, LATER) if change == "later" else (BEFORE, AFTER)
        if change in ("defects", "later"):
            values = streams.drawn([(good, 299 + before), (good, after)], repeats, random)
            bad = streams.drawn([(streams.table(pools["defective"], names), after)], repeats, random)
            which = random.random((repeats, after)) < MORE
            values[:, :, -after:] = np.where(which, bad, values[:, :, -after:])
        elif change in pools:
            changed_ = streams.table(pools[change], names)
            values = streams.drawn([(good, 299 + before), (changed_, after)], repeats, random)
        else:
            continue
        told = {"flawscope": streams.alarms(names, values, 299, random, ALPHA)}
        told |= {name: first_alarms(make, values, 299) for name, make in detectors().items()}
        effect = float(
            np.nanmean(values[names.index(about), :, -after:]) - np.nanmean(good[:, names.index(about)])
        )
        for name, alarms in told.items():
            row = {"product": product, "change": SAID.get(change, change), "about": about, "detector": name}
            row["effect_in_deviations"] = effect / float(np.nanstd(good[:, names.index(about)]))
            yield row | _figures(alarms, names.index(about), before)


def further(rows: list[dict[str, Any]]) -> Iterator[tuple[str, Pools]]:
    """Scores of what product.py has measured, but for products of which conditions are known, too."""
    for row in rows:
        if row["preset"] == "product" and row["seed"] == SEED and row["product"] not in PRODUCTS:
            pools: Pools = {"good": [], "defective": []}
            for kind, score in zip(row["kinds"], row["scores"].split(), strict=True):
                pools["good" if kind == "g" else "defective"].append({streams.SCORES: float(score)})
            yield row["product"], pools


def _figures(alarms: np.ndarray, about: int, before: int) -> dict[str, Any]:
    """Of first alarms (quantities, streams), counted from the first picture after calibration."""
    early = (alarms < before).any(0)
    alarms = alarms[:, ~early]
    first = alarms.min(0)
    found = first != streams.NEVER
    named = (alarms[about] == first) & found
    delays, scores = first[found] - before + 1, alarms[0][alarms[0] != streams.NEVER] - before + 1
    return {
        "before": float(early.mean()),
        "found": float(found.mean()) if len(found) else None,
        "named": float(named.mean()) if len(found) else None,
        "median": float(np.median(delays)) if len(delays) else None,
        "nine_of_ten": float(np.quantile(delays, 0.9)) if len(delays) else None,
        "scores": float(len(scores) / len(found)) if len(found) else None,
        "median_of_scores": float(np.median(scores)) if len(scores) else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MVTec AD's screw")
    parser.add_argument("--work", type=Path, required=True, help="where scored pictures are kept")
    parser.add_argument("--out", type=Path, required=True, help="results without their endings")
    parser.add_argument("--scores", type=Path, default=SCORES_OF, help="what product.py wrote, for `further`")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="others stay as they are")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    for part in chosen.parts:
        rows = _part(part, chosen)
        told = {"command": command(), "machine": machine(), "rows": rows}
        (chosen.work / f"part-{part}.json").write_text(json.dumps(told, indent=1))
        print(part, json.dumps(rows[-1]), flush=True)
        _write(chosen.work, chosen.out)
    return 0


def _write(work: Path, out: Path) -> None:
    """Join the parts that were measured so far."""
    places = {part: work / f"part-{part}.json" for part in PARTS}
    result = {
        "versions": versions("numpy", "river", "onnxruntime", "opencv-python-headless"),
        "parts": {name: json.loads(place.read_text()) for name, place in places.items() if place.is_file()},
    }
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(result))


def _part(part: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    if part in PRODUCTS:
        return list(changed(part, kept(part, chosen.data, chosen.work), chosen.repeats))
    if part == "further":
        pools = further(json.loads(chosen.scores.read_text(encoding="utf-8"))["rows"])
        return [row for product, pool in pools for row in changed(product, pool, chosen.repeats)]
    if part == "fixed":
        return [against_the_reference_alone(count, 10 * LENGTH, CHUNK) for count in CALIBRATIONS]
    pool = kept("screw", chosen.data, chosen.work)["good"]
    if part == "peers":
        return [peers_unchanged(pool, chosen.streams, 299)]
    if part == "pictures":
        return [unchanged(pool, chosen.streams, 299, "pictures")]
    return [unchanged(pool, chosen.streams, count, "normal") for count in CALIBRATIONS]


if __name__ == "__main__":
    sys.exit(main())
