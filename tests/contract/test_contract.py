"""Every registered method keeps the contract."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import nn

from flawscope.cli import main
from flawscope.methods.committee import Committee
from flawscope.methods.csad import labelling
from flawscope.methods.registry import available
from flawscope.report.build import inspection_report
from flawscope.runtime.images import read_image
from flawscope.runtime.inspector import Inspector
from flawscope.station.inspection import inspect_pictures
from flawscope.station.overlays import overlay_path
from flawscope.station.results import read_records
from flawscope.testing import Check, Subject, check_detector, detector_checks, parametrize_with_checks
from zoo import METHODS, ZOO

MODELS = [ZOO[method][0] for method in METHODS]


@pytest.fixture(scope="module", autouse=True)
def _components_are_joined_in_fewer_rounds() -> Iterator[None]:
    """Half the rounds join components of small pictures; each is traced node by node."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelling, "ROUNDS", 3)
        yield


def test_every_method_is_in_the_zoo() -> None:
    assert set(available()) <= set(METHODS)


def checks(*, slow: bool) -> Iterator[Check]:
    """Those that every run makes, or those that only `--all` makes."""
    for subject, kept in ZOO.values():
        for check in detector_checks(subject, export=kept.export, exceptions=kept.exceptions):
            if (check.name in kept.slow) == slow:
                yield check


@parametrize_with_checks(checks(slow=False))
def test_it_keeps_the_contract(check: Check) -> None:
    check.run()


@pytest.mark.slow
@parametrize_with_checks(checks(slow=True))
def test_it_keeps_the_contract_with_every_option(check: Check) -> None:
    check.run()


@pytest.mark.parametrize("subject", MODELS, ids=lambda subject: subject.label)
def test_its_model_inspects_and_explains_from_the_command_line(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = subject.tests.samples[1].path
    monkeypatch.setattr("sys.argv", ["flawscope", "inspect", str(subject.model), str(damaged), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    (line,) = capsys.readouterr().out.splitlines()
    answer, prediction = json.loads(line), Inspector.load(subject.model).inspect(damaged)
    assert not ended.value.code
    assert answer["score"] == pytest.approx(prediction.score, rel=1e-5)
    assert answer["decision"] == prediction.decision
    assert [finding["text"] for finding in answer["findings"]] == [each.text for each in prediction.findings]
    if answer["decision"] == "reject" and prediction.heatmap is not None:
        assert prediction.findings


@pytest.mark.parametrize("subject", [ZOO["csad"][0]], ids=lambda subject: subject.label)
def test_reports_show_components_and_what_is_said_of_them(subject: Subject, tmp_path: Path) -> None:
    inspector = Inspector.load(subject.model, threads=1)
    inspect_pictures(inspector, [sample.path for sample in subject.tests.samples], out=tmp_path)
    page = inspection_report(inspector.bundle, tmp_path).read_text(encoding="utf-8")
    flagged = [record for record in read_records(tmp_path) if record.flagged]
    said = [finding.text for record in flagged for finding in record.findings]
    assert any("component" in text for text in said)
    assert all(html.escape(text) in page for text in said)
    lines = []
    for record in flagged:
        found = inspector.inspect(record.path)
        assert found.segments is not None
        drawn = read_image(overlay_path(tmp_path, Path(record.path), found.decision))
        labels = inspector.bundle.manifest.frame.placement(*drawn.shape[:2]).labels_back(
            found.segments.labels
        )
        changes = np.diff(labels.astype(int), axis=0) != 0  # none where a picture is one component
        lines.append((drawn[1:][changes] == (0, 205, 235)).all(1))
    assert np.concatenate(lines).mean() > 0.5  # the rest lies under names and boxes


@pytest.mark.parametrize("subject", [ZOO["committee"][0]], ids=lambda subject: subject.label)
def test_a_network_of_several_members_is_once_in_the_graph(subject: Subject) -> None:
    assert isinstance(subject.detector, Committee)
    (network,) = subject.detector.members.networks
    nodes = onnx.load(subject.model / "model.onnx").graph.node
    once = sum(isinstance(one, nn.Conv2d) for one in network.modules())
    # one pass for two members, and one for the member that sees the picture at a size of its own
    assert sum(node.op_type == "Conv" for node in nodes) == 2 * once


@pytest.mark.slow
@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("pdn", ["small", "medium"])
def test_efficientad_at_the_papers_sizes(pdn: str, side: int) -> None:
    check_detector("efficientad", {"pdn": pdn, "size": (side, side), "weights": "random", "steps": 1})
