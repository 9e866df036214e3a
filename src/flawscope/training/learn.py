"""Learn known defects on top of a trained model: its detector stays, a SegAD forest joins it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from flawscope.data.defects import read_defects, refuse_repeated
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample, paths_of
from flawscope.data.splits import FEWEST_HELD_OUT, split_normals
from flawscope.data.training import Unseen
from flawscope.errors import BundleError, DataError, OptionError
from flawscope.files import sha256, writable_folder, write_text
from flawscope.methods.registry import parse_options
from flawscope.methods.segad import SegAD, SegADOptions
from flawscope.methods.segad.table import Table
from flawscope.nn.run import Run
from flawscope.runtime import bundle
from flawscope.runtime.bundle import Bundle, Manifest
from flawscope.runtime.calibration import Calibration, normals_needed
from flawscope.runtime.engines import require_engine
from flawscope.runtime.images import check_image
from flawscope.runtime.manifest import Provenance, SeenPicture, seen
from flawscope.training.assemble import assemble
from flawscope.training.gain import Gain, cross_validated, gains
from flawscope.training.held_out import HeldOut

FOLDS = 5
FEWEST_NORMALS = 10
FEWEST_OF_A_KIND = 2
GAIN = "gain.json"


@dataclass(frozen=True, slots=True)
class LearnResult:
    """The new model, pictures by role, those of `normals` that were left out, and the gain."""

    bundle: Bundle
    counts: dict[str, int]
    known: int
    gains: tuple[Gain, ...]


def learn(
    model: Path,
    out: Path,
    run: Run,
    *,
    normals: Sequence[Path],
    defects: Path,
    options: Mapping[str, Any] | None = None,
    alpha: float | None = None,
    delta: float | None = None,
    overwrite: bool = False,
    announce: Callable[[str], None] = lambda text: None,
) -> LearnResult:
    """Make a SegAD model in `out` from the detector of `model`, good pictures it has not seen, and defects.

    Good pictures that the detector learnt from or was scaled on are left out by content; those that only
    calibrated it may serve. Some of the others grow the forest, the rest calibrate; with few, all do both, in
    folds (the weaker promise). The gain is measured in cross-validation.

    Args:
        normals: good pictures.
        defects: folder of defective ones, in sub-folders by kind where there are several.
        options: of SegAD, over its paper's; detectors and size are the model's.
        alpha, delta: of the promise on false rejects; None keeps the model's.

    Raises:
        BundleError: a damaged model, or one without training weights or without a heatmap.
        DataError: too few pictures, a kind with one picture, a defective picture that is a good one.
        OptionError: `out` holds a model and `overwrite` is off; a wrong option.
        Stopped: `run.stop` was set; the model folder is not touched.
    """
    opened = bundle.load(model)
    if bundle.is_bundle(out) and (not overwrite or out.resolve() == opened.folder.resolve()):
        raise OptionError(
            f"--out {out}",
            expected="a new or empty folder",
            got="a model",
            fix="Choose another --out, or replace another model with --overwrite.",
        )
    require_engine(opened.manifest.engine, opened.manifest.precision)
    detector = _detector(opened, options or {})
    fresh, known = _unseen(opened.manifest, normals)
    defective = _defective(opened.manifest, defects, fresh)
    writable_folder(out)
    settings = opened.manifest.calibration
    wish = (settings.alpha if alpha is None else alpha, settings.delta if delta is None else delta)
    work = _Learning(opened, detector, run, normals=fresh, defective=defective, wish=wish)
    made = work.into(out)
    for remark in detector.remarks:
        announce(remark)
    counts = {"forest": len(work.forest), "calibration": len(work.apart), "defective": len(defective)}
    return LearnResult(made, counts, known, tuple(work.gains))


class _Learning:
    """One call of `learn`, once everything is checked."""

    def __init__(
        self,
        opened: Bundle,
        detector: SegAD,
        run: Run,
        *,
        normals: tuple[Sample, ...],
        defective: tuple[Sample, ...],
        wish: tuple[float, float],
    ) -> None:
        self.opened, self.detector, self.defective, self.run = opened, detector, defective, run
        self.alpha, self.delta = wish
        needed = normals_needed(*wish)
        held_out = min(len(normals) // 2, needed)
        self.in_folds = held_out < min(FEWEST_HELD_OUT, needed)
        parts = split_normals(normals, seed=run.seed, calibration=0 if self.in_folds else held_out)
        self.forest = parts.training
        self.apart = self.forest if self.in_folds else parts.calibration
        self.gains: list[Gain] = []

    def into(self, out: Path) -> Bundle:
        detector, run = self.detector, self.run
        unseen = Unseen(self._pictures(self.forest), self._pictures(self.defective), self._pictures(()))
        table = detector.collect(unseen, run)
        folds = max(2, min(FOLDS, len(self.defective), len(self.forest)))
        scores, parts = cross_validated(table, detector.options.forest, folds, run)
        self.gains = gains(table, detector.options.forest, scores, folds, run)
        detector.settle(table, run.seed)
        held_out = self._few(table, scores, parts) if self.in_folds else None
        return bundle.save(out, lambda folder: self._fill(folder, held_out))

    def _few(self, table: Table, scores: Any, parts: Any) -> HeldOut:
        """Scores of the good pictures by forests that have not learnt from them, and the detector's maps."""
        good = ~table.defective
        by_fold = tuple(scores[good & (parts == fold)] for fold in range(int(parts.max()) + 1))
        maps = self.detector.score(self._pictures(self.forest), self.run)["heatmap"]
        return HeldOut(tuple(fold for fold in by_fold if len(fold)), maps)

    def _fill(self, folder: Path, held_out: HeldOut | None) -> Manifest:
        manifest = self.opened.manifest
        made = assemble(
            folder,
            self.detector,
            self.run,
            method="segad",
            engine=(manifest.engine, manifest.precision),
            apart=self._pictures(self.apart),
            held_out=held_out,
            calibrate=self._calibration,
            provenance=self._provenance(),
        )
        write_text(folder / GAIN, json.dumps([gain.to_json() for gain in self.gains], indent=1) + "\n")
        return made

    def _calibration(self, held_out: HeldOut) -> Calibration:
        if self.in_folds:
            folds = [fold.tolist() for fold in held_out.scores]
            return Calibration.from_folds(folds, alpha=self.alpha, delta=self.delta)
        promise = self.opened.manifest.calibration
        kept = "with_confidence" if promise.cross_conformal else promise.promise
        scores = tuple(held_out.scores[0].tolist())
        return Calibration(scores=scores, alpha=self.alpha, delta=self.delta, promise=kept)

    def _provenance(self) -> Provenance:
        before = [p for p in self.opened.manifest.provenance.pictures if p.role != "calibration"]
        added: list[SeenPicture] = [
            *seen(paths_of(self.forest), "tuning"),
            *(seen(paths_of(self.apart), "calibration") if not self.in_folds else ()),
            *seen(paths_of(self.defective), "defective"),
        ]
        return Provenance.now(self.run.seed, [*before, *added])

    def _pictures(self, samples: Sequence[Sample]) -> Pictures:
        return Pictures(samples, self.detector.frame)


def _detector(opened: Bundle, options: Mapping[str, Any]) -> SegAD:
    """An unfitted SegAD around the model's trained detector."""
    manifest, weights = opened.manifest, opened.weights
    base = f"model {opened.folder}"
    if manifest.method == "segad" or manifest.output("heatmap") is None:
        raise BundleError(
            base,
            expected="a model of good pictures alone, with a heatmap",
            got=f"one of method {manifest.method}",
            fix="Name the model that `flawscope train` made from good pictures; learn all defects at once.",
        )
    if weights is None:
        raise BundleError(
            base,
            expected=f"a model with {bundle.WEIGHTS}",
            got="a copy for the station, without them",
            fix="Name the model folder that `flawscope train` made.",
        )
    reserved = sorted({"detectors", "size", "aspect"} & options.keys())
    if reserved:
        raise OptionError(
            f"option {reserved[0]!r}",
            expected="the model's own",
            got="another",
            fix="Leave it out, or train anew with: flawscope train --method segad.",
        )
    turned = {name: value for name, value in manifest.scalar_values().items() if name in manifest.options}
    own = {**manifest.options, **turned}
    values = {
        "segments": {"kind": "one"},
        **options,
        "detectors": [{"method": manifest.method, "options": own}],
        "size": own["size"],
        "aspect": own["aspect"],
    }
    detector = SegAD(parse_options("segad", SegADOptions, values))  # type: ignore[arg-type]
    detector.parts[0].restore(load_file(weights))
    return detector


def _unseen(manifest: Manifest, normals: Sequence[Path]) -> tuple[tuple[Sample, ...], int]:
    """Good pictures that fit has not seen, each content once; and how many were left out."""
    taken = {picture.sha256 for picture in manifest.provenance.pictures if picture.role != "calibration"}
    fresh = []
    for path in normals:
        check_image(path)
        digest = sha256(path)
        if digest not in taken:
            taken.add(digest)
            fresh.append(Sample(path, "train", defective=False))
    known = len(normals) - len(fresh)
    if len(fresh) < FEWEST_NORMALS:
        raise DataError(
            "good pictures",
            expected=f"at least {FEWEST_NORMALS} that the model has not learnt from",
            got=f"{len(fresh)}, and {known} that it has or that came twice",
            fix="Take new pictures of good parts.",
        )
    return tuple(fresh), known


def _defective(manifest: Manifest, folder: Path, normals: Sequence[Sample]) -> tuple[Sample, ...]:
    """Defective pictures with at least two of each kind, none of them a good picture."""
    found = read_defects(folder)
    for sample in found:
        check_image(sample.path)
    counts = Counter(sample.kind for sample in found)
    kind, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < FEWEST_OF_A_KIND:
        raise DataError(
            f"defect kind {kind!r}" if len(counts) > 1 else f"defective pictures in {folder}",
            expected=f"at least {FEWEST_OF_A_KIND} pictures, one to learn from and one to judge by",
            got=str(fewest),
            fix="Add a picture of it, or put it into the folder of another kind.",
        )
    refuse_repeated(normals, found)
    known = {picture.sha256: picture.name for picture in manifest.provenance.pictures}
    for sample in found:
        name = known.get(sha256(sample.path))
        if name is not None:
            raise DataError(
                f"defective picture {sample.path}",
                expected="a picture that the model does not know as good",
                got=f"the content of {name}, from which it was made",
                fix="Remove it; if the part is defective, train the model again without it.",
            )
    return found
