"""Evaluations tell what the pictures allow, and name what is missing for the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.data.annotations.attach import attach
from flawscope.data.layouts import read_dataset
from flawscope.errors import DataError
from flawscope.progress import Silent
from flawscope.report.build import evaluation_report
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.provenance import Provenance, seen
from flawscope.station.evaluate import Evaluation, evaluate
from flawscope.station.picture import MOST

HEIGHT, WIDTH = 48, 64
AREA = np.zeros((HEIGHT, WIDTH), bool)
AREA[10:30, 20:50] = True
PLACE = {"pixel_auroc", "pixel_average_precision", "aupro_30", "aupro_05"}


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    return Inspector.load(save_model(tmp_path_factory.mktemp("model") / "m").folder, threads=1)


def picture(path: Path, shade: int, *, bright: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((HEIGHT, WIDTH), 40 + shade, np.uint8)
    if bright:
        pixels[AREA] = 240
    Image.fromarray(pixels).save(path)


def folder(root: Path, *, good: int = 4, bent: int = 4, masks: Sequence[int] | None = None) -> Path:
    """Test pictures in the layout of MVTec AD, with masks of the defective ones numbered in `masks`."""
    (root / "train/good").mkdir(parents=True)
    (root / "test").mkdir()
    for index in range(good):
        picture(root / f"test/good/{index:03d}.png", index, bright=False)
    for index in range(bent):
        picture(root / f"test/bent/{index:03d}.png", index, bright=True)
    for index in range(bent) if masks is None else masks:
        mask(root, f"{index:03d}_mask.png", AREA)
    return root


def mask(root: Path, name: str, values: np.ndarray, **options: Any) -> Path:
    path = root / "ground_truth/bent" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def measured(inspector: Inspector, root: Path) -> Evaluation:
    return evaluate(inspector, read_dataset(root))


def test_with_both_classes_and_masks_all_is_told(inspector: Inspector, tmp_path: Path) -> None:
    evaluation = measured(inspector, folder(tmp_path))
    assert evaluation.untold == []
    assert evaluation.misfits == {}
    assert evaluation.detection["auroc"].value == 1
    assert set(evaluation.localisation) == PLACE
    assert {kind: rates.defective for kind, rates in evaluation.kinds.items()} == {
        "good": False,
        "bent": True,
    }


def test_pixels_of_ignored_components_count_in_no_figure_of_place(
    inspector: Inspector, tmp_path: Path
) -> None:
    root = folder(tmp_path / "data")
    for index in range(4):  # a date that shines on good pictures as the bend does
        pixels = np.full((HEIGHT, WIDTH), 40 + index, np.uint8)
        pixels[AREA] = 250
        Image.fromarray(pixels).save(root / f"test/good/{index:03d}.png")
    plain = measured(inspector, root)
    date = {"label": "date", "points": [[20, 10], [49, 29]], "shape_type": "rectangle"}
    place = tmp_path / "annotations"
    for index in range(4):
        path = place / f"test/good/{index:03d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"shapes": [date]}))
    (place / "components.yaml").write_text("- {name: date, ignore: true}")
    annotated = attach(read_dataset(root), place).require()
    assert "In 4 pictures pixels of date count in no figure of place." in annotated.left_out()
    found = evaluate(inspector, annotated.dataset, views=MOST)
    assert found.localisation["pixel_auroc"] > 0.99 > plain.localisation["pixel_auroc"]
    assert found.localisation["aupro_30"] > 0.99 > plain.localisation["aupro_30"]
    assert found.detection == plain.detection


@pytest.mark.parametrize(
    ("counts", "told", "missing"),
    [
        ({"bent": 0}, {"good": 0.0}, "need defective pictures, and all 4 are good"),
        ({"good": 0}, {"bent": 1.0}, "need good pictures, and all 4 are defective"),
    ],
)
def test_of_one_class_the_rates_are_told_and_the_rest_is_named(
    inspector: Inspector, tmp_path: Path, counts: dict[str, int], told: dict[str, float], missing: str
) -> None:
    evaluation = measured(inspector, folder(tmp_path, **counts))
    assert {kind: rates.reject for kind, rates in evaluation.kinds.items()} == told
    assert evaluation.detection == {}
    assert evaluation.untold[0].startswith("AUROC, average precision, F1 and FPR at 95 % TPR are not told: ")
    assert missing in evaluation.untold[0]
    assert evaluation.to_json()["not_told"] == evaluation.untold


def test_good_pictures_that_the_model_has_seen_are_named_as_missing(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", good=0)
    for index in range(3):
        picture(root / f"train/good/{index}.png", index, bright=False)
    known = seen(sorted((root / "train/good").iterdir()), "normal")
    provenance = Provenance(created="2025-01-01T00:00:00+00:00", seed=0, pictures=tuple(known))
    model = save_model(tmp_path / "model", provenance=provenance)
    (sentence,) = measured(Inspector.load(model.folder, threads=1), root).untold
    assert "all 4 are defective; 3 good ones are left out, because the model has seen them" in sentence


def test_unreadable_pictures_alone_tell_nothing(inspector: Inspector, tmp_path: Path) -> None:
    root = folder(tmp_path, good=1, bent=0)
    (root / "test/good/000.png").write_bytes(b"no picture")
    evaluation = measured(inspector, root)
    assert evaluation.kinds == {}
    assert "no picture could be read" in evaluation.untold[0]


@pytest.mark.parametrize(
    ("masks", "missing"),
    [
        (None, "they need masks of the defects, and the data set has none"),
        ((), "of 4 defective pictures 4 have no marked area"),
    ],
)
def test_figures_of_place_name_what_they_lack(
    inspector: Inspector, tmp_path: Path, masks: tuple[int, ...] | None, missing: str
) -> None:
    root = folder(tmp_path, masks=())
    if masks is not None:
        (root / "ground_truth").mkdir()
    evaluation = measured(inspector, root)
    assert evaluation.localisation == {}
    assert evaluation.detection["auroc"].value == 1
    (sentence,) = evaluation.untold
    assert sentence.startswith("Pixel AUROC, pixel AP and AU-PRO are not told: ")
    assert missing in sentence


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".jpg", ".PNG"])
@pytest.mark.parametrize("soft", [False, True])
def test_masks_of_any_kind_give_nearly_the_same_figures(
    inspector: Inspector, tmp_path: Path, suffix: str, soft: bool
) -> None:
    plain = measured(inspector, folder(tmp_path / "plain"))
    root = folder(tmp_path / "other", masks=())
    values = AREA.astype(np.uint8) * 255
    for index in range(4):
        drawn = cv2.GaussianBlur(values, (0, 0), 2) if soft else values
        mask(root, f"{index:03d}_gt{suffix}", drawn)
    other = measured(inspector, root)
    assert other.untold == []
    for name, value in plain.localisation.items():
        assert other.localisation[name] == pytest.approx(value, abs=0.01)


def test_one_mask_that_does_not_fit_costs_its_picture_alone(inspector: Inspector, tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    mask(root, "000_mask.png", AREA[:-1])
    truncated = mask(root, "001_mask.png", AREA)
    truncated.write_bytes(truncated.read_bytes()[:60])
    (root / "ground_truth/bent/002_mask.png").write_bytes(b"")
    good = root / "ground_truth/good/001_mask.png"
    good.parent.mkdir()
    Image.fromarray(AREA[:, 1:]).save(good)
    evaluation = measured(inspector, root)
    assert evaluation.detection["auroc"].value == 1
    assert len(evaluation.readable) == 8
    assert [Path(path).relative_to(root / "test").as_posix() for path in evaluation.misfits] == [
        "bent/000.png", "bent/001.png", "bent/002.png", "good/001.png",
    ]  # fmt: skip
    assert "000_mask.png: expected the picture's size, 64x48, got 64x47" in next(
        iter(evaluation.misfits.values())
    )
    assert set(evaluation.localisation) == PLACE
    for path in (root / "ground_truth").glob("*/*"):
        if path.name != "003_mask.png":
            path.unlink()
    for path in evaluation.misfits:
        Path(path).unlink()
    without = measured(inspector, root)
    assert without.localisation == pytest.approx(evaluation.localisation)


def test_masks_that_mark_the_ground_are_asked_about(inspector: Inspector, tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    mask(root, "000_mask.png", ~AREA)
    (told,) = measured(inspector, root).untold
    assert "masks that mark most of a picture, nearly all of its border included: 1 (bent/000.png)" in told


def test_masks_on_good_pictures_and_defects_without_any_are_told(
    inspector: Inspector, tmp_path: Path
) -> None:
    root = folder(tmp_path / "data")
    (root / "ground_truth/good").mkdir()
    (root / "ground_truth/bent/000_mask.png").rename(root / "ground_truth/good/000_mask.png")
    on_good, unmasked = measured(inspector, root).untold
    assert on_good.startswith(
        "Pictures that count as good, though their masks mark a defect: 1 (good/000.png)"
    )
    assert unmasked == "Defective pictures without a marked area, which count in no figure of place: 1."


def test_an_empty_folder_is_said_to_be_empty(inspector: Inspector, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    with pytest.raises(DataError, match="got no picture at all"):
        measured(inspector, tmp_path)


def test_masks_are_read_before_the_first_picture_is_scored(inspector: Inspector, tmp_path: Path) -> None:
    order: list[str] = []

    class Stages:
        def stage(self, title: str, total: int) -> Any:
            order.append(title)
            return Silent().stage(title, total)

    evaluate(inspector, read_dataset(folder(tmp_path)), progress=Stages())
    assert order == ["reading masks", "evaluating"]


def test_where_no_mask_can_be_used_scores_are_kept(inspector: Inspector, tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    for path in (root / "ground_truth/bent").iterdir():
        path.write_bytes(b"half a mask")
    (root / "test/bent/more.gif").write_bytes(b"GIF89a")
    evaluation = evaluate(inspector, read_dataset(root), views=MOST)
    assert evaluation.detection["auroc"].value == 1
    (sentence,) = evaluation.untold
    assert "of all pictures 4 have masks that cannot be used" in sentence
    report = evaluation_report(inspector.bundle, evaluation, tmp_path / "out/report.html")
    page = report.read_text(encoding="utf-8")
    assert "4 pictures count in no figure of place; their masks cannot be used" in page
    assert "are not told: of 4 defective pictures" in page
    figures = json.loads((tmp_path / "out/evaluation.json").read_text(encoding="utf-8"))
    assert "1 left out (.gif is not read; convert it to PNG): bent/more.gif." in page
    assert set(figures["left_out_of_data_set"]) == {
        str(root / "test/bent/more.gif"),
        str(root / "train/good"),
    }
    assert len(figures["left_out_of_localisation_with_unusable_mask"]) == 4
