"""From the records of an evaluation or an inspection to a report: what to show."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import flawscope
from flawscope.data.samples import Sample
from flawscope.errors import FlawscopeError
from flawscope.files import writable_folder, write_text
from flawscope.metrics import Interval
from flawscope.report.content import NOT_SHOWN, Curve, Facts, Figure, ReportContent, ReportItem, Scatter
from flawscope.report.page import write_report
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.images import Frame
from flawscope.runtime.in_force import InForce
from flawscope.runtime.listing import told
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.record import Record, Views
from flawscope.station import tables
from flawscope.station.claims import read_models
from flawscope.station.drifting import raised
from flawscope.station.evaluate import Evaluation
from flawscope.station.picture import MOST
from flawscope.station.results import read_records, read_views
from flawscope.station.reviews import reviewed, reviews
from flawscope.station.store import turn

Embed = Callable[[Bundle, Sequence[Sample]], tuple[Scatter, ...]]

CURVE_POINTS = 400
LABELS = {
    "auroc": ("Image AUROC", "how surely a defective picture scores above a good one"),
    "average_precision": ("Average precision", "area under the precision-recall curve"),
    "max_f1": ("Maximal F1", "at the best threshold in hindsight; the verdicts do not use it"),
    "fpr_at_95_tpr": ("FPR at 95 % TPR", "good pictures flagged when 95 % of the defective ones are found"),
    "pixel_auroc": ("Pixel AUROC", "how surely a defective pixel stands out"),
    "pixel_average_precision": ("Pixel AP", "area under the pixels' precision-recall curve"),
    "aupro_30": ("AU-PRO 0.3", "mean share of each defect that is covered, up to 30 % false positive pixels"),
    "aupro_05": ("AU-PRO 0.05", "the same up to 5 %"),
    "au_spro_05_logical": ("AU-sPRO 0.05, logical", "saturated overlap, up to 5 % false positive pixels"),
    "au_spro_05_structural": ("AU-sPRO 0.05, structural", "likewise, structural defects"),
}


def evaluation_files(path: Path) -> tuple[Path, Path, Path]:
    """What an evaluation whose report is at `path` writes: the report, its figures, its pictures."""
    return path, path.with_name("evaluation.json"), path.with_name("pictures.csv")


def evaluation_report(
    bundle: Bundle,
    evaluation: Evaluation,
    path: Path,
    *,
    note: str = "",
    embed: Embed = lambda bundle, samples: (),
) -> Path:
    """Write the report of an evaluation at `path`, with evaluation.json and pictures.csv beside it.

    It shows the pictures that the evaluation made views of. `embed` draws the embeddings of test pictures,
    where training's packages are at hand.
    """
    writable_folder(path.parent)
    items = _items(evaluation.readable, evaluation.views)
    remarks = [note] if note else []
    if evaluation.known:
        remarks.append(f"{evaluation.known} pictures were left out, because the model has seen them.")
    remarks += [*told(evaluation.dataset.left_out), *_masks_left_out(evaluation), *evaluation.untold]
    if len(items) > MOST:
        remarks.append(f"Pictures are shown for {MOST} of {len(items)}: mistakes and the most anomalous.")
    drawn: tuple[Scatter, ...] = ()
    usable = {item.record.path for item in items} - evaluation.misfits.keys()
    try:
        drawn = embed(bundle, [sample for sample in evaluation.dataset if str(sample.path) in usable])
    except FlawscopeError as error:  # an extra, for which no figure should be lost
        remarks.append(f"Embeddings could not be drawn: {error}")
    content = _content(
        bundle,
        title=f"Evaluation: {evaluation.dataset.name}",
        items=items,
        unreadable=_unreadable(evaluation.records),
        note=" ".join(remarks),
        figures=_figures(evaluation),
        pro=_pro(evaluation),
        scatters=drawn,
    )
    page, figures, pictures = evaluation_files(path)
    write_report(page, content)
    write_text(figures, json.dumps(evaluation.to_json(), indent=2) + "\n")
    tables.write_table(pictures, tables.PICTURES, evaluation.records)
    return path


def inspection_report(bundle: Bundle, folder: Path) -> Path:
    """Write report.html beside the results of an inspection in `folder`; no picture is opened.

    What people found in reviews counts as the truth of their pictures.
    """
    with turn(folder):
        records = list(reviewed(read_records(folder), reviews(folder)))
        items = _items(records, read_views(folder))
        content = _content(
            bundle,
            title=f"Inspection: {bundle.folder.resolve().name}",
            items=items,
            unreadable=_unreadable(records),
            note=" ".join(_remarks(bundle, folder, items)),
        )
        return write_report(folder / "report.html", content)


def _remarks(bundle: Bundle, folder: Path, items: Sequence[ReportItem]) -> Iterator[str]:
    yield from (f"Drift: {alarm.text}" for alarm in raised(folder))
    if len(items) > MOST:
        yield f"Pictures are shown for the {MOST} most anomalous."
    present = InForce.of(bundle, (bundle.manifest.engine, bundle.manifest.precision)).verdicts
    now = {model.identity for model in read_models(folder) if model.verdicts == present}
    if earlier := sum(item.record.model not in now for item in items):
        yield (
            f"{earlier} of {len(items)} pictures were judged by another version of the model, "
            "with thresholds of its own."
        )
    if judged := sum(item.record.truth is not None for item in items):
        yield f"People reviewed {judged} of {len(items)} pictures; figures of accuracy are of those alone."


def _items(records: Iterable[Record], views: Mapping[str, Views]) -> tuple[ReportItem, ...]:
    readable = (record for record in records if record.error is None)
    return tuple(ReportItem(record, views.get(record.path, NOT_SHOWN)) for record in readable)


def _unreadable(records: Iterable[Record]) -> tuple[tuple[str, str], ...]:
    return tuple((record.path, record.error) for record in records if record.error is not None)


def _content(bundle: Bundle, **parts: Any) -> ReportContent:
    manifest = bundle.manifest
    calibration = manifest.calibration
    return ReportContent(
        subtitle=f"Model {bundle.folder.resolve().name}, method {manifest.method}, "
        f"trained {manifest.provenance.created[:10]}",
        created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        review_threshold=calibration.review_threshold,
        reject_threshold=calibration.reject_threshold,
        promise=calibration.statement(),
        provenance=_provenance(bundle),
        version=flawscope.__version__,
        **parts,
    )


def _engines(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What was measured of each engine: its parity, and its time where it was timed."""
    times = {} if manifest.speeds is None else manifest.speeds.by_pair()
    for entry in manifest.parity:
        taken = f"{times[entry.pair]:.1f} ms a {manifest.timed}. " if entry.pair in times else ""
        yield f"Engine {entry.engine} {entry.precision}", taken + entry.statement()


def _provenance(bundle: Bundle) -> tuple[Facts, ...]:
    manifest = bundle.manifest
    origin = manifest.provenance
    options = tuple((name, str(value)) for name, value in manifest.options.items())
    graph = next((entry.sha256 for name, entry in manifest.files.items() if name.endswith(".onnx")), "")
    model = (
        ("Method", manifest.method),
        *((knob.name, f"{knob.value:g}, {knob.about}") for knob in manifest.scalars),
        ("Input", _input(manifest.frame)),
        ("Trained", origin.created),
        ("Seed", str(origin.seed)),
        ("Graph sha256", graph),
        *_engines(manifest),
    )
    data = (
        ("Training pictures", str(origin.count("normal"))),
        ("Tuning pictures", str(origin.count("tuning"))),
        ("Calibration scores", _counted(manifest.calibration)),
    )
    versions = (("Hardware of training", origin.hardware), *sorted(origin.versions.items()))
    return Facts("Model", model), Facts("Data", data), Facts("Options", options), Facts("Versions", versions)


def _counted(calibration: Calibration) -> str:
    """How many scores calibrate, and of how many parts where they have groups."""
    parts = f" of {calibration.count} parts" if calibration.groups else ""
    return f"{len(calibration.scores)}{parts}"


def _input(frame: Frame) -> str:
    size = f"{frame.height} × {frame.width}, {frame.aspect}{', JPEG decoded reduced' * frame.reduced}"
    if frame.intensities is None:
        return size
    return f"{size}; {frame.intensities[0]:g} is black, {frame.intensities[1]:g} is white"


def _masks_left_out(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.misfits:
        yield (
            f"{len(evaluation.misfits)} pictures count in no figure of place; their masks cannot be used: "
            f"{'; '.join(evaluation.misfits.values())}"
        )


def _figures(evaluation: Evaluation) -> tuple[Figure, ...]:
    pixels = {name: Interval(value) for name, value in evaluation.localisation.items()}
    measured = [(*LABELS[name], interval) for name, interval in (evaluation.detection | pixels).items()]
    return tuple(Figure(label, *interval, about=about) for label, about, interval in measured)


def _pro(evaluation: Evaluation, limit: float = 0.3) -> Curve | None:
    if evaluation.overlap is None:
        return None
    curve = evaluation.overlap.curve()
    x = np.linspace(0.0, limit, CURVE_POINTS)
    y = np.interp(x, curve.fpr, curve.pro)
    return Curve(x.tolist(), y.tolist(), area=evaluation.localisation.get("aupro_30"), limit=limit)
