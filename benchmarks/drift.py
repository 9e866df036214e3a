"""False alarms of drift on unchanged streams, and pictures until a change is found and named.

    python benchmarks/drift.py --data MVTEC --work FOLDER --out results/drift [--streams 10000]
        [--repeats 100] [--parts PART ...]

*Unchanged streams.* Each draws calibration pictures and a stream from one source: normal values with the rank
correlations of scores and conditions of a product's pictures, or whole pictures of it, with repeats. So both
are exchangeable. Counted are streams in which any quantity ever raises an alarm. Beside them: p-values
against the calibration pictures alone, which are not independent; and ADWIN and Page-Hinkley (river) on the
same standardised quantities, which see the calibration pictures first.

*Changed streams.* 299 calibration pictures, 500 unchanged ones, then up to 1000 that are changed: real ones
(screw) and rendered ones. Pictures repeat, and no stream knows which. Told are the median of pictures until
the first alarm after the change, the share of streams that have one, the share in which it is about the
quantity that was changed, and the share with an alarm before the change, left out of the other figures.
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
PARTS = (*PRODUCTS, "unchanged", "pictures", "fixed", "peers")
CALIBRATIONS, LENGTH = (60, 299), 1000
BEFORE, AFTER = 500, 1000
MORE = 0.03
ALPHA, ALPHAS = 0.01, (0.01, 0.05, 0.1)
SAID = {"defects": "3 % more defects"}
CHUNK = 1000  # streams in memory at once


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


def changed(product: str, pools: dict[str, Any], repeats: int) -> Iterator[dict[str, Any]]:
    """One row for each change and detector."""
    names = streams.watched(pools["good"])
    good = streams.table(pools["good"], names)
    for change, about in [*((name, about) for name, (about, _) in CHANGES.items()), ("defects", "scores")]:
        random = np.random.default_rng(11)
        unchanged_ = [(good, 299 + BEFORE)]
        if change == "defects":
            values = streams.drawn([*unchanged_, (good, AFTER)], repeats, random)
            bad = streams.drawn([(streams.table(pools["defective"], names), AFTER)], repeats, random)
            which = random.random((repeats, AFTER)) < MORE
            values[:, :, -AFTER:] = np.where(which, bad, values[:, :, -AFTER:])
        elif change in pools:
            values = streams.drawn(
                [*unchanged_, (streams.table(pools[change], names), AFTER)], repeats, random
            )
        else:
            continue
        told = {"flawscope": streams.alarms(names, values, 299, random, ALPHA)}
        told |= {name: first_alarms(make, values, 299) for name, make in detectors().items()}
        effect = float(
            np.nanmean(values[names.index(about), :, -AFTER:]) - np.nanmean(good[:, names.index(about)])
        )
        for name, alarms in told.items():
            row = {"product": product, "change": SAID.get(change, change), "about": about, "detector": name}
            row["effect_in_deviations"] = effect / float(np.nanstd(good[:, names.index(about)]))
            yield row | _figures(alarms, names.index(about))


def _figures(alarms: np.ndarray, about: int) -> dict[str, Any]:
    """Of first alarms (quantities, streams), counted from the first picture after calibration."""
    early = (alarms < BEFORE).any(0)
    alarms = alarms[:, ~early]
    first = alarms.min(0)
    found = first != streams.NEVER
    named = (alarms[about] == first) & found
    delays, scores = first[found] - BEFORE + 1, alarms[0][alarms[0] != streams.NEVER] - BEFORE + 1
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
