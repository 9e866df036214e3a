"""Proposers of components: masks of a picture that may be one.

`build_proposer` makes one from options, by their `kind`: connected `areas` that differ from the ground; maps
or masks of a `folder`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flawscope.segmenters.kinds import explained
from flawscope.segmenters.proposers import proposal
from flawscope.segmenters.proposers.areas import Areas, AreasOptions
from flawscope.segmenters.proposers.given import Given, GivenOptions
from flawscope.segmenters.proposers.proposal import Proposal, Proposer

__all__ = ["AreasOptions", "GivenOptions", "Proposal", "Proposer", "ProposerOptions", "build_proposer"]

PROPOSERS: dict[str, type[Proposer]] = {"areas": Areas, "folder": Given}

ProposerOptions = Annotated[
    AreasOptions | GivenOptions,
    Field(discriminator="kind"),
    explained("proposer", {kind: made.Options for kind, made in PROPOSERS.items()}, "areas"),
]


def build_proposer(options: proposal.ProposerOptions) -> Proposer:
    """A proposer that has yet to be prepared; nothing is read or loaded."""
    return PROPOSERS[options.kind](options)
