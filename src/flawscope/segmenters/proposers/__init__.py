"""Proposers of components: masks of a picture that may be one.

`build_proposer` makes one from options, by their `kind`: connected `areas` that differ from the ground; all
masks of `sam`; `grounded`, what SAM and Grounding DINO find by names; maps or masks of a `folder`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flawscope.segmenters.kinds import explained
from flawscope.segmenters.proposers import proposal
from flawscope.segmenters.proposers.areas import Areas, AreasOptions
from flawscope.segmenters.proposers.given import Given, GivenOptions
from flawscope.segmenters.proposers.grounded import Grounded, GroundedOptions
from flawscope.segmenters.proposers.proposal import Proposal, Proposer
from flawscope.segmenters.proposers.sam import Sam, SamOptions

__all__ = [
    "AreasOptions",
    "GivenOptions",
    "GroundedOptions",
    "Proposal",
    "Proposer",
    "ProposerOptions",
    "SamOptions",
    "build_proposer",
]

PROPOSERS: dict[str, type[Proposer]] = {"areas": Areas, "sam": Sam, "grounded": Grounded, "folder": Given}

ProposerOptions = Annotated[
    AreasOptions | SamOptions | GroundedOptions | GivenOptions,
    Field(discriminator="kind"),
    explained("proposer", {kind: made.Options for kind, made in PROPOSERS.items()}, "areas"),
]


def build_proposer(options: proposal.ProposerOptions) -> Proposer:
    """A proposer that has yet to be prepared; nothing is read or loaded."""
    return PROPOSERS[options.kind](options)
