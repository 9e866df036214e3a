"""The parts of the report above and below the table of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from flawscope.metrics.ranking import auroc
from flawscope.report.charts import pro_chart, roc_chart, score_chart
from flawscope.report.content import GOOD, Figure, ReportContent, ReportItem
from flawscope.report.markup import badge, image, number, plural, share, text, verdict_bar
from flawscope.runtime.prediction import Decision

_MOST_MISSES = 12


def header(content: ReportContent) -> str:
    """Title, verdict cards, note and promise."""
    note = f'<p class="note">{text(content.note)}</p>' if content.note else ""
    counts = {decision: content.count(decision) for decision in Decision}
    return (
        f'<header><p class="eyebrow">Inspection report</p><h1>{text(content.title)}</h1>'
        f'<p class="subtitle">{text(content.subtitle)} <span>· {text(content.created)}</span></p></header>'
        f'{note}<section class="summary"><div class="cards">{_verdict_cards(content)}</div>'
        f"{verdict_bar(counts)}{_truth_line(content)}"
        '<p class="promise"><strong>What the thresholds promise</strong> '
        f"{text(content.promise)}</p></section>"
    )


def _verdict_cards(content: ReportContent) -> str:
    whole = len(content.items)
    cards = [_card("", "Pictures", f"{whole:,}".replace(",", "\N{NO-BREAK SPACE}"), _unreadable(content))]
    about = {
        Decision.ACCEPT: "as good parts look",
        Decision.REVIEW: "for a person to look at",
        Decision.REJECT: "beyond the reject threshold",
    }
    for decision, meaning in about.items():
        count = content.count(decision)
        cards.append(
            _card(str(decision), str(decision).capitalize(), str(count), f"{share(count, whole)} · {meaning}")
        )
    return "".join(cards)


def _unreadable(content: ReportContent) -> str:
    failed = len(content.unreadable)
    return f"{failed} more could not be read" if failed else "all of them readable"


def _card(kind: str, label: str, value: str, about: str) -> str:
    return (
        f'<div class="card {kind}"><span class="label">{text(label)}</span>'
        f'<span class="value">{text(value)}</span><span class="about">{text(about)}</span></div>'
    )


def _truth_line(content: ReportContent) -> str:
    """What the verdicts mean against the truth, in one sentence."""
    bad, good = content.defective, content.good
    parts = []
    if bad:
        stopped = sum(item.decision is not Decision.ACCEPT for item in bad)
        parts.append(
            f"<b>{stopped} of {plural(len(bad), 'defective part')}</b> ({share(stopped, len(bad))}) "
            f"{'was' if stopped == 1 else 'were'} stopped: "
            f"{sum(item.decision is Decision.REJECT for item in bad)} rejected, "
            f"{sum(item.decision is Decision.REVIEW for item in bad)} sent to review."
        )
    if good:
        wrong = sum(item.false_reject for item in good)
        looked = sum(item.decision is Decision.REVIEW for item in good)
        parts.append(
            f"<b>{wrong} of {plural(len(good), 'good part')}</b> ({share(wrong, len(good))}) "
            f"{'was' if wrong == 1 else 'were'} rejected, {looked} sent to review."
        )
    return f'<p class="truth">{" ".join(parts)}</p>' if parts else ""


def scores(content: ReportContent) -> str:
    """The score histogram."""
    if not content.items:
        return ""
    hint = (
        "Each strip below is one kind; each mark one picture."
        if len(content.by_kind()) > 1
        else "Higher is more anomalous."
    )
    key = (
        '<p class="key"><i class="good"></i>good<i class="defective"></i>defective'
        '<i class="unseen"></i>defective, of kinds withheld from training</p>'
        if content.unseen
        else ""
    )
    return _section("Scores", f'<div class="chart">{score_chart(content)}</div>{key}', hint)


def accuracy(content: ReportContent) -> str:
    """Measured figures, ROC and PRO curve; empty without truth."""
    charts = []
    if content.good and content.defective:
        charts.append(
            f"<figure><figcaption>ROC curve, pictures</figcaption>{roc_chart(content)}"
            '<p class="key"><i class="reject"></i>reject threshold'
            '<i class="review"></i>review threshold</p></figure>'
        )
    if content.pro is not None:
        area = (
            "" if content.pro.area is None else f'<p class="key">area, normalised: {content.pro.area:.3f}</p>'
        )
        charts.append(
            f"<figure><figcaption>PRO curve, defect areas</figcaption>{pro_chart(content.pro)}{area}</figure>"
        )
    figures = "".join(_figure(figure) for figure in content.figures)
    if not charts and not figures:
        return ""
    body = f'<div class="cards figures">{figures}</div><div class="curves">{"".join(charts)}</div>'
    return _section("Accuracy", body, "Measured on pictures that the model has not seen.")


def _figure(figure: Figure) -> str:
    value = f"{figure.value:.3f}" if isfinite(figure.value) else "–"
    about = [figure.about] if figure.about else []
    if figure.low is not None and figure.high is not None and isfinite(figure.low + figure.high):
        about.insert(0, f"95 %: {figure.low:.3f} to {figure.high:.3f}")
    return _card("", figure.label, value, " · ".join(about))


def kinds(content: ReportContent) -> str:
    """Verdicts for each kind; empty without truth."""
    groups = content.by_kind()
    if not groups:
        return ""
    rows = "".join(
        _kind_row(kind, items, content.good, withheld=content.withheld(items))
        for kind, items in groups.items()
    )
    table = (
        '<div class="scroll"><table class="kinds"><thead><tr><th>Kind</th><th class="n">Pictures</th>'
        '<th class="n">Accept</th><th class="n">Review</th><th class="n">Reject</th><th>Verdicts</th>'
        f'<th class="n">AUROC</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
    return _section("By kind", table, "AUROC: this kind against the good pictures.")


def _kind_row(kind: str, items: Sequence[ReportItem], good: Sequence[ReportItem], *, withheld: bool) -> str:
    counts = {decision: sum(item.decision is decision for item in items) for decision in Decision}
    cells = "".join(f'<td class="n">{count}</td>' for count in counts.values())
    about = "<small>withheld from training</small>" if withheld else ""
    ranked = "–" if kind == GOOD or not good else f"{_ranked(items, good):.3f}"
    return (
        f"<tr><th>{text(kind)}{about}</th><td class='n'>{len(items)}</td>{cells}"
        f'<td>{verdict_bar(counts)}</td><td class="n">{ranked}</td></tr>'
    )


def _ranked(items: Sequence[ReportItem], good: Sequence[ReportItem]) -> float:
    labels = [0] * len(good) + [1] * len(items)
    return auroc(labels, [item.score for item in (*good, *items)])


def misses(content: ReportContent, rows: dict[str, str]) -> str:
    """Missed defects and false rejects, worst first; without truth, the most anomalous pictures."""
    if not content.judged:
        found = sorted(content.items, key=lambda item: -item.score)
        top = [item for item in found if item.decision is not Decision.ACCEPT][:_MOST_MISSES]
        return _section("Most anomalous", _tiles(top, rows), "Highest scores first.") if top else ""
    missed = sorted((item for item in content.items if item.missed), key=lambda item: item.score)
    false = sorted((item for item in content.items if item.false_reject), key=lambda item: -item.score)
    parts = []
    if content.defective:
        parts.append(_group("Defective, but accepted", missed, rows, "No defective part was accepted."))
    if content.good:
        parts.append(_group("Good, but rejected", false, rows, "No good part was rejected."))
    return _section("Worst misses", "".join(parts), "Furthest from their threshold first.")


def _group(title: str, items: Sequence[ReportItem], rows: dict[str, str], none: str) -> str:
    if not items:
        return f'<h3>{title}</h3><p class="fine"><i aria-hidden="true">✓</i>{none}</p>'
    more = f" · the worst {_MOST_MISSES} shown" if len(items) > _MOST_MISSES else ""
    return f"<h3>{title} <small>{len(items)}{more}</small></h3>{_tiles(items[:_MOST_MISSES], rows)}"


def _tiles(items: Sequence[ReportItem], rows: dict[str, str]) -> str:
    tiles = "".join(
        f'<button type="button" class="tile" data-open="{rows[item.path]}">'
        f'<span class="pair">{image(item.thumbnail, item.name)}{image(item.overlay, "heatmap")}</span>'
        f'<span class="caption"><bdi>{text(item.name)}</bdi>{badge(item.decision)}</span>'
        f'<span class="about">{_truth(item)}score {number(item.score)}</span></button>'
        for item in items
    )
    return f'<div class="tiles">{tiles}</div>'


def _truth(item: ReportItem) -> str:
    return f"{text(item.kind)} · " if item.kind else ""


def unreadable(content: ReportContent) -> str:
    """Pictures that could not be inspected, each with its reason."""
    if not content.unreadable:
        return ""
    rows = "".join(
        f"<tr><th><bdi>{text(path)}</bdi></th><td>{text(error)}</td></tr>"
        for path, error in content.unreadable
    )
    table = f'<div class="scroll"><table class="errors"><tbody>{rows}</tbody></table></div>'
    return _section("Not inspected", table, plural(len(content.unreadable), "picture"))


def provenance(content: ReportContent) -> str:
    """Where data and model come from."""
    blocks = "".join(
        f'<div class="facts"><h3>{text(facts.title)}</h3><dl>'
        + "".join(f"<dt>{text(label)}</dt><dd>{text(value)}</dd>" for label, value in facts.rows)
        + "</dl></div>"
        for facts in content.provenance
    )
    return _section("Data and model", f'<div class="blocks">{blocks}</div>', "") if blocks else ""


def _section(title: str, body: str, hint: str) -> str:
    about = f'<p class="hint">{text(hint)}</p>' if hint else ""
    return f'<section><div class="head"><h2>{text(title)}</h2>{about}</div>{body}</section>'
