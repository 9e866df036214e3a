"""From an evaluation or an inspection to a report: what to show, and small pictures of it."""

from __future__ import annotations

import datetime
import heapq
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import flawscope
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import FlawscopeError
from flawscope.files import writable_folder, write_text
from flawscope.progress import Progress
from flawscope.report.content import Curve, Facts, Figure, Inset, ReportContent, ReportItem, Scatter
from flawscope.report.masks import Cuts
from flawscope.report.page import write_report
from flawscope.report.patches import match_insets
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.images import read_image
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.overlay import thumbnail, to_webp_bytes
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.station.evaluate import Evaluation, Judged, evaluate, write_pictures
from flawscope.station.inspection import laid_over, overlay_path
from flawscope.station.results import read_results

Embed = Callable[[Bundle, Sequence[Sample]], tuple[Scatter, ...]]

SIDE = 360  # pixels of a picture in the report
MOST = 300  # pictures shown; tables and figures count all
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


def evaluation_report(
    inspector: Inspector,
    dataset: Dataset,
    path: Path,
    *,
    progress: Progress | None = None,
    note: str = "",
    embed: Embed = lambda bundle, samples: (),
) -> Evaluation:
    """Evaluate, then write the report at `path` with evaluation.json and pictures.csv beside it.

    `embed` draws the embeddings of test pictures, where training's packages are at hand.
    """
    writable_folder(path.parent)
    gallery = _Gallery(inspector.bundle)
    cuts = Cuts()

    def watch(sample: Sample, answer: Prediction | FlawscopeError) -> None:
        gallery.add(sample, answer)
        if dataset.masked and isinstance(answer, Prediction):
            cuts.add(sample, answer, gallery.shown)

    evaluation = evaluate(inspector, dataset, progress=progress, watcher=watch)
    for name, inset in cuts.insets().items():
        gallery.shown[name]["insets"] += (inset,)
    items = tuple(_item(entry, gallery) for entry in evaluation.readable)
    unreadable = tuple(
        (str(entry.sample.path), entry.error) for entry in evaluation.judged if entry.error is not None
    )
    remarks = [note] if note else []
    if evaluation.known:
        remarks.append(f"{evaluation.known} pictures were left out, because the model has seen them.")
    if len(items) > MOST:
        remarks.append(f"Pictures are shown for {MOST} of {len(items)}: mistakes and the most anomalous.")
    drawn: tuple[Scatter, ...] = ()
    try:
        drawn = embed(inspector.bundle, [entry.sample for entry in evaluation.readable])
    except FlawscopeError as error:  # an extra, for which no figure should be lost
        remarks.append(f"Embeddings could not be drawn: {error}")
    content = _content(
        inspector.bundle,
        title=f"Evaluation: {dataset.name}",
        items=items,
        unreadable=unreadable,
        note=" ".join(remarks),
        figures=_figures(evaluation),
        pro=_pro(evaluation),
        scatters=drawn,
    )
    write_report(path, content)
    write_text(path.parent / "evaluation.json", json.dumps(evaluation.to_json(), indent=2) + "\n")
    write_pictures(path.parent / "pictures.csv", evaluation)
    return evaluation


def inspection_report(bundle: Bundle, folder: Path) -> Path:
    """Write report.html beside the results of an inspection in `folder`."""
    lines = read_results(folder)
    done = [line for line in lines if "error" not in line]
    shown = {line["path"] for line in heapq.nlargest(MOST, done, key=lambda line: line["score"])}
    items = tuple(_inspected(bundle, line, folder, pictured=line["path"] in shown) for line in done)
    remark = f"Pictures are shown for the {MOST} most anomalous." if len(items) > MOST else ""
    content = _content(
        bundle,
        title=f"Inspection: {bundle.folder.resolve().name}",
        items=items,
        unreadable=tuple((line["path"], line["error"]) for line in lines if "error" in line),
        note=remark,
    )
    return write_report(folder / "report.html", content)


@dataclass(slots=True)
class _Gallery:
    """Small pictures of mistakes and of the most anomalous parts; memory stays bounded."""

    bundle: Bundle
    _heap: list[tuple[tuple[bool, float], str]] = field(default_factory=list)
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, sample: Sample, answer: Prediction | FlawscopeError) -> None:
        if isinstance(answer, FlawscopeError):
            return
        mistake = sample.defective is not (answer.decision is not Decision.ACCEPT)
        rank, key = (mistake, answer.score), str(sample.path)
        if len(self._heap) < MOST:
            heapq.heappush(self._heap, (rank, key))
        elif rank > self._heap[0][0]:
            _, dropped = heapq.heapreplace(self._heap, (rank, key))
            del self.shown[dropped]
        else:
            return
        self.shown[key] = _detail(self.bundle, sample.path, answer)


def _detail(bundle: Bundle, path: Path, prediction: Prediction) -> dict[str, Any]:
    """Those fields of an item that only pictures shown in detail have."""
    image = read_image(path)
    laid = laid_over(image, bundle.manifest, prediction, boxes=False)
    return {
        "thumbnail": to_webp_bytes(thumbnail(image, SIDE)),
        "overlay": b"" if laid is None else to_webp_bytes(thumbnail(laid, SIDE)),
        "insets": match_insets(bundle, image, [finding.values for finding in prediction.findings]),
        "contributions": prediction.contributions,
    }


def _item(entry: Judged, gallery: _Gallery) -> ReportItem:
    if entry.decision is None:
        raise AssertionError("only readable pictures become items")
    return ReportItem(
        path=str(entry.sample.path),
        name=entry.sample.path.name,
        score=entry.score,
        p_value=entry.p_value,
        decision=entry.decision,
        defective=entry.sample.defective,
        kind=entry.sample.kind,
        seen=entry.sample.seen,
        findings=entry.findings,
        **gallery.shown.get(str(entry.sample.path), {}),
    )


def _inspected(bundle: Bundle, line: dict[str, Any], folder: Path, *, pictured: bool) -> ReportItem:
    path, decision = Path(line["path"]), Decision(line["decision"])
    detail: dict[str, Any] = {}
    if pictured:
        detail = {
            "thumbnail": _reduced(path),
            "overlay": _reduced(overlay_path(folder, path, decision)),
            "insets": _matches(bundle, path, line),
            "contributions": tuple((label, value) for label, value in line.get("contributions", ())),
        }
    return ReportItem(
        path=line["path"],
        name=path.name,
        score=line["score"],
        p_value=line["p_value"],
        decision=decision,
        findings=tuple(finding["text"] for finding in line["findings"]),
        **detail,
    )


def _matches(bundle: Bundle, path: Path, line: dict[str, Any]) -> tuple[Inset, ...]:
    """The pairs of patches that an earlier inspection told, where the picture is still there."""
    values = [finding.get("values", {}) for finding in line["findings"]]
    try:
        return match_insets(bundle, read_image(path), values)
    except FlawscopeError:
        return ()


def _reduced(path: Path) -> bytes:
    if not path.is_file():
        return b""
    try:
        image: NDArray[Any] = read_image(path)
    except FlawscopeError:
        return b""
    return to_webp_bytes(thumbnail(image, SIDE))


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


def _provenance(bundle: Bundle) -> tuple[Facts, ...]:
    manifest = bundle.manifest
    origin = manifest.provenance
    options = tuple((name, str(value)) for name, value in manifest.options.items())
    graph = next((entry.sha256 for name, entry in manifest.files.items() if name.endswith(".onnx")), "")
    model = (
        ("Method", manifest.method),
        *((knob.name, f"{knob.value:g}, {knob.about}") for knob in manifest.scalars),
        ("Input", f"{manifest.frame.height} × {manifest.frame.width}, {manifest.frame.aspect}"),
        ("Trained", origin.created),
        ("Seed", str(origin.seed)),
        ("Graph sha256", graph),
        *((f"Parity, {entry.engine}", entry.statement()) for entry in manifest.parity),
    )
    data = (
        ("Training pictures", str(origin.count("normal"))),
        ("Tuning pictures", str(origin.count("tuning"))),
        ("Calibration scores", str(len(manifest.calibration.scores))),
    )
    versions = (("Hardware of training", origin.hardware), *sorted(origin.versions.items()))
    return Facts("Model", model), Facts("Data", data), Facts("Options", options), Facts("Versions", versions)


def _figures(evaluation: Evaluation) -> tuple[Figure, ...]:
    found = []
    for name, interval in evaluation.detection.items():
        label, about = LABELS[name]
        low, high = (None if math.isnan(end) else end for end in (interval.low, interval.high))
        found.append(Figure(label, interval.value, low, high, about))
    for name, value in evaluation.localisation.items():
        label, about = LABELS[name]
        found.append(Figure(label, value, about=about))
    return tuple(found)


def _pro(evaluation: Evaluation, limit: float = 0.3) -> Curve | None:
    if evaluation.overlap is None:
        return None
    curve = evaluation.overlap.curve()
    x = np.linspace(0.0, limit, CURVE_POINTS)
    y = np.interp(x, curve.fpr, curve.pro)
    return Curve(x.tolist(), y.tolist(), area=evaluation.localisation.get("aupro_30"), limit=limit)
