"""Good pictures for a model that is trained: which of them it has not seen, what it says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.tiles import cut, tiles_of
from flawscope.errors import CalibrationError, OptionError
from flawscope.files import remembered_sha256
from flawscope.progress import Progress, counted
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.images import check_image
from flawscope.runtime.manifest import HeatmapRange, heatmap_range
from flawscope.runtime.overview import learnt
from flawscope.runtime.pipeline import Pipeline, scores_and_levels
from flawscope.runtime.provenance import SeenPicture
from flawscope.runtime.tiling import Tiling, of_pictures


def unseen(samples: Sequence[Sample], known: Sequence[SeenPicture], hint: str) -> tuple[Sample, ...]:
    """Those whose content and part the model does not know, each content once; there must be some.

    Raises:
        CalibrationError: there are none; `hint` goes on with what it says to do.
        InputError: a picture that cannot be read.
    """
    digests = {picture.sha256 for picture in known}
    parts = {picture.group for picture in known if picture.group is not None}
    fresh: dict[str, Sample] = {}
    akin = 0
    for sample in samples:
        check_image(sample.path)
        digest = remembered_sha256(sample.path)
        if digest in digests:
            continue
        akin += sample.group in parts
        if sample.group not in parts:
            fresh.setdefault(digest, sample)
    if not fresh:
        fix = f"Take new pictures of good parts{hint}."
        if akin:
            fix = "Take pictures of other parts; where numbers start anew each day, group by the day too."
        raise CalibrationError(
            "calibration pictures",
            expected="good pictures that the model has not seen",
            got=f"{len(samples)} pictures that it knows already"
            + (f", {akin} of them by other pictures of their part" if akin else ""),
            fix=fix,
        )
    return tuple(fresh.values())


def judged(
    pipeline: Pipeline, pictures: Pictures, progress: Progress
) -> tuple[list[float], HeatmapRange | None]:
    """Scores of the pictures, and the levels of their maps where the model has any; one map at a time."""
    with progress.stage("scoring good pictures", len(pictures)) as stage:
        stream = pipeline.score(counted(pictures, stage), pipeline.judged)
        answers = of_pictures(stream, tiles_of(pictures), pipeline.judged)
        scores, levels = scores_and_levels(answers, pipeline.judged)
    return scores, heatmap_range(levels) if levels else None


def tiling_with(
    opened: Bundle, values: Mapping[str, float], normals: Sequence[Path], progress: Progress
) -> Tiling | None:
    """How pictures are cut, with the overview's scale for other values of the model's knobs.

    That of the values in force comes from pictures that training set apart, which calibrate nothing; the new
    one comes from the same ones, which must be among `normals`.

    Args:
        opened: the model, with the values before.
        values: the new ones, by name.
        normals: good pictures at hand.
        progress: of scoring.

    Raises:
        OptionError: one of those pictures is not among them.
    """
    tiling, turned = opened.manifest.tiling, opened.manifest.with_scalars(values)
    if tiling is None or tiling.overview is None or turned.scalars == opened.manifest.scalars:
        return tiling
    wanted = {one.sha256: one for one in opened.manifest.provenance.pictures if one.role == "tuning"}
    found = {digest: path for path in normals if (digest := remembered_sha256(path)) in wanted}
    if missing := [one.name for digest, one in wanted.items() if digest not in found]:
        raise OptionError(
            ", ".join(values),
            expected=f"among --normals the {len(wanted)} good pictures that scaled the overview in training",
            got=f"{len(found)} of them, and not {missing[0]}",
            fix="Name their folder, too: --normals may be repeated. Or train again with the new value.",
        )
    if not wanted:
        return tiling
    samples = [Sample(found[digest], "train", defective=False) for digest in wanted]
    tiles = cut(samples, opened.manifest.frame, tiling)
    pipeline = Pipeline.open(replace(opened, manifest=turned))
    score = pipeline.judged[0]
    with progress.stage("scaling the overview", len(tiles)) as stage:
        answers = pipeline.score(counted(tiles, stage), (score,))
        return tiling.model_copy(update={"overview": learnt(answers, tiles_of(tiles), score)})
