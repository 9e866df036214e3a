"""The branches for structural flaws by their `kind`: `students` as published, or `patches` in banks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flawscope.methods.csad.patches import Patches, PatchesOptions
from flawscope.methods.csad.structure import Structure
from flawscope.methods.csad.students import LocalGlobal
from flawscope.methods.csad.students_options import StudentsOptions
from flawscope.nn.backbones.build import Backbone
from flawscope.segmenters.kinds import explained

StructureOptions = Annotated[
    StudentsOptions | PatchesOptions,
    Field(discriminator="kind"),
    explained("structure", {"students": StudentsOptions, "patches": PatchesOptions}, "students"),
]


def build_structure(
    options: StudentsOptions | PatchesOptions, backbone: Backbone, size: tuple[int, int]
) -> Structure:
    """An untaught branch for pictures of that height and width.

    Raises:
        OptionError: the backbone has no layer at one of `options.strides`, or the size is too small.
    """
    if isinstance(options, PatchesOptions):
        return Patches(options, backbone, size)
    return LocalGlobal(options, backbone, size)
