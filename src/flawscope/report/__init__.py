"""One self-contained HTML file about an inspection or an evaluation."""

from flawscope.report.content import Curve, Facts, Figure, ReportContent, ReportItem
from flawscope.report.page import write_report

__all__ = ["Curve", "Facts", "Figure", "ReportContent", "ReportItem", "write_report"]
