"""Training on annotated pictures: what a detector gets, and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from annotated import polygon
from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.methods.detector import Detector, Learnt
from flawscope.methods.registry import create
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.training import train as training
from flawscope.training.recipe import Recipe
from trained import recipe, write_pictures


def annotate(folder: Path, *names: str, label: str = "screw") -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        shapes = [polygon(label, (4, 4, 20, 20)), polygon("plate", (0, 0, 60, 60))]
        (folder / f"{name}.json").write_text(json.dumps({"shapes": shapes}))
    return folder


class Enough(Exception):  # noqa: N818 - ends a training that need not end well
    pass


def test_a_detector_gets_the_annotated_pictures_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_pictures(tmp_path / "good", 30)
    place = annotate(tmp_path / "annotations", "003", "007", "019")
    (place / "nowhere.json").write_text(json.dumps({"shapes": [polygon("screw", (1, 1, 3, 3))]}))
    seen, said = list[set[str]](), list[str]()

    def watched(self: Detector, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        assert data.parts is not None
        seen.append({sample.path.stem for sample in data.parts.samples})
        raise Enough

    monkeypatch.setattr(type(create("patchcore")), "learn", watched)
    made = recipe(pictures, data={"folder": str(pictures), "annotations": str(place)})
    assert Recipe.parse(yaml.safe_load(made.to_yaml())).data.annotations == place
    with pytest.raises(Enough):
        training.train(made, tmp_path / "model", Run(), Watch(say=said.append))
    assert seen == [{"003", "007", "019"}]  # in the first fold, as in all
    assert "3 good training pictures are annotated: screw, plate." in said
    assert any("Annotations without a picture" in line and "nowhere.json" in line for line in said)


def test_wrong_annotations_end_before_any_work(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "good", 6)
    place = annotate(tmp_path / "annotations", "elsewhere")
    data = {"folder": str(pictures), "annotations": str(place)}
    with pytest.raises(DataError, match="called as one of its pictures"):
        training.train(recipe(pictures, data=data), tmp_path / "model", Run())
    annotate(place, "003", label="scrw")
    (place / "components.yaml").write_text("- screw\n- plate\n")
    with pytest.raises(DataError, match='Did you mean "screw"'):
        training.train(recipe(pictures, data=data), tmp_path / "model", Run())
    assert not (tmp_path / "model").exists()


def test_recipes_without_annotations_do_not_mention_them(tmp_path: Path) -> None:
    assert "annotations" not in recipe(tmp_path).to_yaml()
