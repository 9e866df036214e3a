"""Segments: what of the product each pixel shows.

`build_segmenter` makes a segmenter from options, by their `kind`: `one` segment; a `static` map, drawn or
drafted; `drafted`, one that fit drafts itself; `object` and ground, learnt without labels or downloads;
`clusters` of a backbone's features, per picture; maps of a `folder`, one for each picture.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from flawscope.errors import OptionError, suggest
from flawscope.runtime.frozen import option_error
from flawscope.runtime.images import Frame
from flawscope.segmenters.drafted_map import DraftedMap, DraftedMapOptions
from flawscope.segmenters.feature_clusters import FeatureClusters, FeatureClustersOptions
from flawscope.segmenters.folder_maps import FolderMaps, FolderMapsOptions
from flawscope.segmenters.object_ground import ObjectGround, ObjectGroundOptions
from flawscope.segmenters.segmenter import Segmenter, SegmenterOptions
from flawscope.segmenters.static_map import OneSegment, OneSegmentOptions, StaticMap, StaticMapOptions

__all__ = [
    "DraftedMapOptions",
    "FeatureClustersOptions",
    "FolderMapsOptions",
    "ObjectGroundOptions",
    "OneSegmentOptions",
    "SegmentOptions",
    "Segmenter",
    "StaticMapOptions",
    "build_segmenter",
]

SEGMENTERS: dict[str, type[Segmenter]] = {
    "one": OneSegment,
    "static": StaticMap,
    "drafted": DraftedMap,
    "object": ObjectGround,
    "clusters": FeatureClusters,
    "folder": FolderMaps,
}


def _explained(values: Any, validated: ValidatorFunctionWrapHandler) -> Any:
    """The options of `values`; the first problem becomes an OptionError that speaks of their kind alone."""
    try:
        return validated(values)
    except ValidationError as error:
        raise _option_error(values, error) from error


SegmentOptions = Annotated[
    OneSegmentOptions
    | StaticMapOptions
    | DraftedMapOptions
    | ObjectGroundOptions
    | FeatureClustersOptions
    | FolderMapsOptions,
    Field(discriminator="kind"),
    WrapValidator(_explained),
]


def build_segmenter(options: SegmenterOptions, frame: Frame) -> Segmenter:
    """An unfitted segmenter for pictures at `frame`; nothing is read or loaded yet.

    Raises:
        OptionError: unknown backbone or layers.
    """
    return SEGMENTERS[options.kind](options, frame)


def _option_error(values: Any, error: ValidationError) -> OptionError:
    problem = error.errors(include_url=False)[0]
    if not problem["loc"]:
        given = values.get("kind") if isinstance(values, dict) else values
        return OptionError(
            "kind of segments",
            expected="a known one, written {kind: one}",
            got="none" if given is None else repr(given)[:80],
            fix=suggest(str(given or ""), SEGMENTERS),
        )
    kind, name = str(problem["loc"][0]), ".".join(str(step) for step in problem["loc"][1:])
    what = f"option {name!r} of segments of kind {kind}"
    fields = SEGMENTERS[kind].Options.model_fields
    if problem["type"] == "extra_forbidden":
        owners = [other for other, made in SEGMENTERS.items() if name in made.Options.model_fields]
        known = fields.keys() - {"kind"}
        return OptionError(
            what,
            expected="an option of that kind",
            got=f"one of kind {' and '.join(owners)}" if owners else "an unknown one",
            fix=suggest(name, known) if known else f"Leave it out: kind {kind} has no options.",
        )
    return option_error(SEGMENTERS[kind].Options, error, what)
