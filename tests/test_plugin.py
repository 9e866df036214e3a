"""A method of another package: one file, named by entry points alone, and the page that shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flawscope.methods.registry import available, describe
from flawscope.nn.run import Run
from flawscope.runtime import bundle
from flawscope.runtime.inspector import Inspector
from flawscope.station.deploy import deploy
from flawscope.testing import Check, Subject, detector_checks, parametrize_with_checks
from flawscope.training.train import train
from trained import recipe, write_pictures

PLUGIN = Path(__file__).parent / "plugin"
PAGE = Path(__file__).parents[1] / "docs/methods.md"
NAME = "anomaly_dino"
OPTIONS = {"backbone": "resnet18", "layers": ["layer2"], "weights": "random", "size": [64, 64]}
DRAWS_NOTHING = {"another_seed_gives_another_model": "all tokens are kept: nothing is drawn"}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGIN)


@pytest.mark.usefixtures("plugin")
def test_it_is_a_method_like_any_other() -> None:
    assert NAME in available()
    assert describe(NAME).presets["default"]["backbone"] == "tf_efficientnet_lite0"


@pytest.mark.usefixtures("plugin")
@parametrize_with_checks(detector_checks(Subject(NAME, OPTIONS), exceptions=DRAWS_NOTHING))
def test_it_keeps_the_contract(check: Check) -> None:
    check.run()


@pytest.mark.usefixtures("plugin")
def test_it_trains_exports_and_explains_in_its_own_words(tmp_path: Path) -> None:
    good = write_pictures(tmp_path / "good", 40)
    bad = write_pictures(tmp_path / "bad", 1, seed=1, spot=True)
    wanted = recipe(good, method=NAME, options=OPTIONS, split={"calibration": 0.4})
    made = train(wanted, tmp_path / "model", Run())
    manifest = made.bundle.manifest
    assert (manifest.method, manifest.explains) == (NAME, "nearest_token")
    copy = deploy(made.bundle.folder, tmp_path / "station")
    assert bundle.load(copy.folder).weights is None
    prediction = Inspector.load(copy.folder).inspect(bad / "000.png")
    tokens = manifest.learnt["tokens"]
    assert prediction.findings[0].text.endswith(f"; no nearer match among {tokens} tokens of good pictures")


def test_the_page_shows_that_very_file() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(
        r"^```python\n(.*?)^```", page[page.index("## Write your own") :], re.DOTALL | re.MULTILINE
    )
    assert shown[0] == (PLUGIN / f"{NAME}.py").read_text(encoding="utf-8")
    points = (PLUGIN / f"{NAME}-1.0.dist-info/entry_points.txt").read_text(encoding="utf-8")
    assert re.findall(r'^(\w+) = "(.*)"$', page, re.MULTILINE)[-2:] == re.findall(
        r"^(\w+) = (.*)$", points, re.MULTILINE
    )
