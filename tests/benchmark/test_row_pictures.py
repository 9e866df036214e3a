"""Which pictures a benchmark's rows are tested on: those that training sets aside."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarked import BENCHMARK
from flawscope.benchmark.plan import Wishes, plan
from flawscope.benchmark.recipe import Benchmark
from flawscope.nn.run import Run
from flawscope.training.train import train
from trained import write_pictures


@pytest.mark.parametrize("groups", [None, {"pattern": "(..)[.]"}])
def test_rows_are_tested_on_the_good_pictures_that_training_sets_aside(
    tmp_path: Path, groups: dict[str, str] | None
) -> None:
    """Of a plain folder, in which one good picture lies twice."""
    good = write_pictures(tmp_path / "plain" / "good", 30)
    write_pictures(tmp_path / "plain" / "bad", 3, seed=1, spot=True)
    shutil.copy(good / "003.png", good / "103.png")
    base = BENCHMARK["base"] | {"data": {"groups": groups}}
    benchmark = Benchmark.parse(BENCHMARK | {"base": base, "rows": [{"label": "one"}], "charts": []})
    (planned,) = plan(benchmark, tmp_path / "plain", tmp_path / "out", Wishes(), Run()).planned
    tested = {sample.path for sample in planned.dataset.select(defective=False)}
    assert len(tested) == 6
    manifest = train(planned.recipe, tmp_path / "model", Run()).bundle.manifest
    assert not tested & {good / one.name for one in manifest.provenance.pictures}
