"""The committee beside each of its members alone, on rendered and on real products: image AUROC, latency.

    FLAWSCOPE_WEIGHTS=WEIGHTS python benchmarks/committee.py --data DATA --work WORK --json OUT.json \\
        --markdown OUT.md [--efficientad 500] [--latency] [--pixels]
    … --plan                                   what there is to do, and nothing else
    … --products screw --fit csad              fit that member on that product, and nothing else

Rendered products are those of csad.py, and lie where it has them (WORK/d{seed}/{product}), and three more, of
one part or of none that recur: for each seed 200 good pictures for training, 60 that no member sees, which
give the levels, and 80 good and about 200 flawed ones for testing. Screw is as published; of magnetic tile
and BSData every third good picture is for testing; a tenth of their good training pictures give the levels.
Members are those of the committee's preset default,
EfficientAD where its steps are given, at the learning rate of a shortened training and without padding;
nothing is chosen on test pictures.

Each member is fitted once (`fit_once`), and kept in WORK/committee; the committee takes it from there, and a
member alone is its raw score there, also where the committee leaves it out; where it refuses the good
pictures it has none. One that sees parts turned in the committee is fitted there again, on turned pictures.
`sum` and `largest` join the same levels. `csad, banks as its branch` is
what CSAD's own fusion makes of the same fits: the larger of its score and of the joined banks' in deviations
of good pictures.

Rows are written as they come, with raw scores, and those that OUT.json has are not computed again: run it in
pieces, one product at a time, and stop it when you like.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from _committee_places import PRODUCTS, RENDERED, Ground, ground
from _committee_tables import page
from _localisation import add, figures
from accuracy import about

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import FlawscopeError, UnsuitedError
from flawscope.files import write_text
from flawscope.methods.committee import Committee
from flawscope.methods.committee.frames import at_size
from flawscope.methods.committee.learning import for_members
from flawscope.methods.detector import Detector
from flawscope.methods.fit_once import fit_once
from flawscope.methods.registry import create, options_of
from flawscope.methods.running import answers, score
from flawscope.metrics import RegionOverlap
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.explain.joint import RAW

SHORTENED = {"learning_rate": 1e-3, "padding": False}  # EfficientAD with a fraction of its steps


def fresh(given: argparse.Namespace) -> Committee:
    """The committee that is measured, unfitted."""
    options = options_of("committee", given.preset, given.options)
    if given.efficientad:
        steps = {"size": [256, 256], "steps": given.efficientad, **SHORTENED}
        members = [spec.model_dump(mode="json") for spec in create("committee", options).options.members]
        options["members"] = [*members, {"method": "efficientad", "options": steps}]
    made = create("committee", options)
    assert isinstance(made, Committee)
    return made


def shown(place: Ground, owner: Committee, watch: Watch) -> dict[str, tuple[Detector, TrainingData]]:
    """Each member of a committee that is yet to be fitted, made anew, and what it learns from there."""
    data, scaled = place.data(owner.options.frame), owner.options.scaled
    members = dict(zip(owner.names, owner.members, strict=True))
    unfit = owner.look(data, place.run(), watch)
    given, _ = for_members(data, members, scaled)
    taking, _ = for_members(data, {name: one for name, one in members.items() if name not in unfit}, scaled)
    return {
        name: (create(one.name, one.options.model_dump(mode="json")), (given | taking)[name])
        for name, one in members.items()
    }


def fit_member(
    place: Ground, name: str, member: Detector, data: TrainingData, watch: Watch
) -> tuple[Detector, float]:
    """One member, fitted now or earlier, and the seconds that its fit took."""
    timed = place.folder / "seconds.json"
    known = json.loads(timed.read_text(encoding="utf-8")) if timed.exists() else {}
    started = time.perf_counter()
    fitted = fit_once(member, data, place.run(), watch)
    own = f"{name} {member.options.model_dump_json()}"
    if own not in known:
        known[own] = round(time.perf_counter() - started, 1)
        write_text(timed, json.dumps(known, indent=1) + "\n")
    return fitted, float(known[own])


def measured(place: Ground, given: argparse.Namespace, watch: Watch) -> dict[str, Any]:
    """Raw scores of the members on good pictures for levels and on test ones, and the committee's seconds."""
    owner, seconds, fitted = fresh(given), dict[str, float](), dict[str, Detector]()
    names, data = owner.names, place.data(owner.options.frame)
    members = shown(place, owner, watch)
    for name in names:
        with suppress(UnsuitedError):
            fitted[name], seconds[name] = fit_member(place, name, *members[name], watch)
    started = time.perf_counter()
    owner.fit(data, place.run(), watch)
    levelled = time.perf_counter() - started
    parts = {"tuning": levelling(owner, data), "test": place.pictures("test", owner.options.frame)}
    alone = {name: fitted[name] for name in owner.left_out if name in fitted}
    row = {
        "members": list(names),
        "left_out": owner.left_out,
        "fit_seconds": seconds,
        "levelling_seconds": round(levelled, 1),
        "threads": torch.get_num_threads(),
        "pictures": {part: len(place.samples(part)) for part in ("training", "tuning", "test")}
        | {"levels": len(parts["tuning"])},
        "kinds": place.kinds,
        "raw": {
            part: {
                name: " ".join(f"{value:.7g}" for value in values)
                for name, values in raw_scores(owner, alone, pictures, Run(place.seed), watch).items()
            }
            for part, pictures in parts.items()
        },
    }
    every = {"committee": owner, **{name: fitted[name] for name in owner.names}}
    row |= {"latency": latency(every, place)} if given.latency else {}
    return row | ({"pixels": localised(every, place, watch)} if given.pixels else {})


def levelling(owner: Committee, data: TrainingData) -> Pictures:
    """The good pictures from which a fitted committee has its levels."""
    members = dict(zip(owner.names, owner.members, strict=True))
    _, apart = for_members(data, members, owner.options.scaled)
    return data.tuning + apart if len(owner.good_levels) > len(data.tuning) else data.tuning


def raw_scores(
    owner: Committee, alone: Mapping[str, Detector], pictures: Pictures, run: Run, watch: Watch
) -> dict[str, list[float]]:
    """Of each member that is fitted, those left out included: the raw scores of n pictures."""
    joint = score(owner, pictures, run, watch, keep=(RAW,))[RAW]  # (n, K)
    found = {name: joint[:, number].tolist() for number, name in enumerate(owner.names)}
    for name, one in alone.items():
        seen = at_size(pictures, one.options.size)
        found[name] = score(one, seen, run, watch, keep=("score",))["score"].tolist()
    return found


def localised(detectors: Mapping[str, Detector], place: Ground, watch: Watch) -> dict[str, dict[str, float]]:
    """Pixel AUROC and AU-PRO of the heatmaps of the committee and of each member alone."""
    found = {}
    for name, detector in detectors.items():
        overlap, frame = RegionOverlap(), detector.options.frame
        pictures = place.pictures("test", frame)
        maps = answers(detector, pictures, Run(place.seed), watch, keep=("heatmap",))
        for sample, outputs in zip(pictures.samples, maps, strict=True):
            add(overlap, sample, frame, outputs["heatmap"])
        found[name] = {key: round(value, 5) for key, value in figures(overlap).items()}
    return found


def latency(detectors: Mapping[str, Detector], place: Ground) -> dict[str, dict[str, float]]:
    """Milliseconds a picture of the exported committee and of each member alone, by engine, in float32."""
    import tempfile

    from flawscope.runtime.engines import installed
    from flawscope.runtime.pipeline import Pipeline
    from flawscope.runtime.timing import measured_speeds
    from flawscope.training.export import export

    found = {}
    for name, detector in detectors.items():
        pictures = place.pictures("test", detector.options.frame)
        with tempfile.TemporaryDirectory() as folder:
            graphs = export(detector, Path(folder))
            pairs = [pair for pair in installed() if pair[1] == "fp32"]
            pipelines = [Pipeline.in_engine(graphs, *pair) for pair in pairs]
            speeds = measured_speeds(pipelines, [pictures[index] for index in range(8)])
        found[name] = {row.engine: round(row.milliseconds, 2) for row in speeds.rows}
    return found


def wanted(given: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Product and seed of each row that is asked for; real products have one seed."""
    for seed in given.seeds:
        for product in given.products:
            if product in RENDERED or seed == given.seeds[0]:
                yield product, seed


def listed(text: str) -> list[str]:
    """Items between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the real products")
    parser.add_argument("--work", type=Path, required=True, help="rendered pictures and fits are kept here")
    parser.add_argument("--products", type=listed, default=PRODUCTS)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in listed(text)], default=[0])
    parser.add_argument("--size", type=int, default=256, help="pixels a side of the rendered pictures")
    parser.add_argument("--preset", default="default", help="of the committee")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object over the preset")
    parser.add_argument("--efficientad", type=int, metavar="STEPS", help="EfficientAD as a member, too")
    parser.add_argument("--latency", action="store_true", help="export and time committee and members")
    parser.add_argument("--pixels", action="store_true", help="pixel AUROC and AU-PRO of all heatmaps")
    parser.add_argument(
        "--fit", metavar="MEMBER", help="fit that member where it is not, and measure nothing"
    )
    parser.add_argument("--plan", action="store_true", help="tell what there is to do, and end")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, help="tables of all rows of OUT.json")
    given = parser.parse_args(arguments)
    for product in given.products:
        if product not in PRODUCTS:
            parser.error(f"unknown product {product!r}: one of {', '.join(PRODUCTS)}")
    return given


def plan(given: argparse.Namespace, missing: list[tuple[str, int]]) -> Iterator[str]:
    """One line for each row that is missing."""
    owner = fresh(given)
    yield f"{len(missing)} rows to measure; members {', '.join(owner.names)}."
    for product, seed in missing:
        kept = Path(given.work) / "committee" / f"{product}-{seed}" / "seconds.json"
        there = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        told = [
            f"{name} {'kept' if f'{name} {member.options.model_dump_json()}' in there else 'to fit'}"
            for name, member in zip(owner.names, owner.members, strict=True)
        ]
        yield f"  {product}, seed {seed}: {', '.join(told)}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 where a row failed."""
    given = parse(arguments)
    known: dict[str, Any] = {"runs": [], "options": None, "rows": []}
    result = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else known
    meant = fresh(given).options.model_dump(mode="json")
    if result["options"] not in (None, meant):
        raise SystemExit(f"{given.json}: another committee is measured there; name another file.")
    result["options"] = meant
    done = {(row["product"], row["seed"]) for row in result["rows"]}
    missing = [pair for pair in wanted(given) if pair not in done]
    print("\n".join(plan(given, missing)), flush=True)
    if given.plan:
        return 0
    run, failed = about(), 0
    for path, name in (
        (given.json, "OUT.json"),
        (given.markdown, "OUT.md"),
        (given.work, "WORK"),
        (given.data, "DATA"),
    ):
        run["command"] = run["command"].replace(str(path), name)
    for product, seed in missing:
        try:
            place, watch = ground(given, product, seed), Watch(say=print)
            if given.fit:
                owner = fresh(given)
                _, seconds = fit_member(place, given.fit, *shown(place, owner, watch)[given.fit], watch)
                print(f"{given.fit}, {product}, seed {seed}: fitted in {seconds} s", flush=True)
                continue
            row = {"product": product, "seed": seed, **measured(place, given, watch)}
        except FlawscopeError as error:
            print(f"{product}, seed {seed}: {error}", file=sys.stderr)
            failed = 1
            continue
        result["runs"] += [run] if run not in result["runs"] else []
        result["rows"].append(row)
        write_text(given.json, json.dumps(result, indent=1) + "\n")
        print(page({**result, "rows": [row]}, rows_only=True), flush=True)
    text = page(result)
    if given.markdown and not given.fit:
        write_text(given.markdown, text)
    print(text)
    return failed


if __name__ == "__main__":
    sys.exit(main())
