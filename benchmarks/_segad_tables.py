"""The protocol's figures as a Markdown page."""

from __future__ import annotations

from typing import Any

import numpy as np

GROUPS = ("all", "seen", "unseen")


def markdown(result: dict[str, Any], name: str) -> str:
    pictures = result["pictures"]
    groups = [group for group in GROUPS if f"auroc_{group}" in result["rows"][0]]
    training, forests = result["training"], result["forests"]
    lines = [
        f"# SegAD on {result['product']}",
        "",
        "Image AUROC / FPR at 95 % TPR in percent; five seeds of the forest, detectors trained once: mean "
        "± sample standard deviation. All pictures stretched to 256×256; EfficientNet-Lite0 features, "
        "EfficientAD's small network with the shipped teacher.",
        "",
        *schedule_note(training),
        "",
        f"Pictures: {pictures['detectors']} good ones train the detectors, {pictures['forest_good']} good "
        f"ones and the drawn defects the forest; g, DevNet and DRA learn from all of these. Test: "
        f"{pictures['test_good']} good, {pictures['test_seen']} defective of kinds learnt from, "
        f"{pictures['test_unseen']} of the withheld kind ({result['withheld'] or 'none'}). g's scores for "
        f"the forest are held out in {training['folds']} folds.",
        "",
        f"![score histograms]({name}.svg)",
        "",
        "Scores of PatchCore, of g and of all with g and SegAD at the larger number of defects, first seed.",
    ]
    shots = sorted({row["defects"] for row in result["rows"] if row["defects"]}, reverse=True)
    alone = [row for row in result["rows"] if row["defects"] is None]
    for shot in shots:
        lines += ["", f"## {shot} defects to learn from", ""]
        lines += table(alone + [row for row in result["rows"] if row["defects"] == shot], groups)
    lines += ["", *gains(result["rows"], alone, groups, shots)]
    shares = "; ".join(
        f"{label}: {', '.join(f'{100 * share:.0f} %' for share in each)}"
        for label, each in result["segments"].items()
    )
    lines += ["", "## How", "", f"- Segments: {shares}"]
    for what, about in (("Detectors", training), ("Forests", forests)):
        numbers = ", ".join(f"{key} {value}" for key, value in about["versions"].items())
        lines += [
            f"- {what}: `{about['command']}`",
            f"  on {about['machine']}, {about['seconds']} s; {numbers}",
        ]
    return "\n".join(lines) + "\n"


def schedule_note(training: dict[str, Any]) -> list[str]:
    """How long the detectors trained, shortened or as published."""
    steps = ", ".join(f"{method} {count}" for method, count in training["steps"].items())
    if not steps:
        return [
            "Full schedules: each method's published number of epochs or steps, and its learning rate but "
            "for g's, which is a tenth of the published one (at that the loss grows with this backbone)."
        ]
    return [
        f"**Shortened training**: steps {steps}; DevNet and DRA 16 pictures a step where shortened. The "
        "papers' schedules are longer, so these figures compare with each other, not with published ones."
    ]


def table(rows: list[dict[str, Any]], groups: list[str]) -> list[str]:
    lines = [f"| method | segments | {' | '.join(groups)} |", f"| --- | --- |{' --- |' * len(groups)}"]
    for row in rows:
        figures = [f"{spread(row[f'auroc_{group}'])} / {spread(row[f'fpr95_{group}'])}" for group in groups]
        segments = "–" if row["segments"] == "alone" else f"SegAD, {row['segments']}"
        lines.append(f"| {row['method']} | {segments} | {' | '.join(figures)} |")
    return lines


def gains(
    rows: list[dict[str, Any]], alone: list[dict[str, Any]], groups: list[str], shots: list[int]
) -> list[str]:
    """AUROC that SegAD adds to each detector, in points."""
    columns = [f"{shot} defects, {group}" for shot in shots for group in groups]
    lines = ["## What SegAD adds to each detector (AUROC, points)", ""]
    lines += [f"| detector | segments | {' | '.join(columns)} |", f"| --- | --- |{' --- |' * len(columns)}"]
    for base in alone:
        for segments in ("one segment", "drafted map"):
            figures = []
            for shot in shots:
                wanted = (base["method"], segments, shot)
                row = next(row for row in rows if (row["method"], row["segments"], row["defects"]) == wanted)
                figures += [
                    f"{100 * (np.mean(row[f'auroc_{group}']) - base[f'auroc_{group}'][0]):+.1f}"
                    for group in groups
                ]
            lines.append(f"| {base['method']} | {segments} | {' | '.join(figures)} |")
    return lines


def spread(values: list[float]) -> str:
    percent = 100 * np.asarray(values)
    return f"{percent[0]:.1f}" if len(percent) == 1 else f"{percent.mean():.1f} ± {percent.std(ddof=1):.1f}"
