"""From what a proposer finds in each good picture to label maps that a network can learn (section 3.1)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flawscope.data.annotations.partition import BACKGROUND
from flawscope.data.pictures import Pictures
from flawscope.errors import DataError, OptionError, UnsuitedError
from flawscope.nn.run import Run, full_float32
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.overlay import to_bytes
from flawscope.segmenters.grouping import NONE, Grouping, group
from flawscope.segmenters.proposers.proposal import Proposal, Proposer
from flawscope.segmenters.pseudo_labels.compact import Component
from flawscope.segmenters.pseudo_labels.component_features import ComponentFeatures, weighted
from flawscope.segmenters.pseudo_labels.filters import (
    Masks,
    filled,
    filter_by_combine,
    filter_by_grounding,
    regions,
)
from flawscope.segmenters.pseudo_labels.histograms import class_histograms, trusted
from flawscope.segmenters.pseudo_labels.naming import class_names
from flawscope.segmenters.pseudo_labels.numbers import irregular, usual_numbers
from flawscope.segmenters.pseudo_labels.options import PseudoLabelOptions


class NoComponentsError(UnsuitedError):
    """Pictures in which a proposer finds no components, or none that they share."""


@dataclass
class PseudoLabels:
    """Label maps of N pictures.

    Attributes:
        maps: (N, H, W) 0 for the background, else the class, to K.
        labelled: (N,) whether a picture's map may be learnt from; the others have unreliable ones.
        names: K + 1 names of the classes, the background's first.
    """

    maps: NDArray[np.uint8]
    labelled: NDArray[np.bool_]
    names: tuple[str, ...]


@dataclass
class _Found:
    """Components of all pictures, with their features and what the proposer calls them."""

    proposed: int = 0
    components: list[Component] = field(default_factory=list)
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    called: list[str] = field(default_factory=list)


@full_float32()
def make_labels(
    pictures: Pictures, proposer: Proposer, options: PseudoLabelOptions, run: Run, watch: Watch = UNWATCHED
) -> PseudoLabels:
    """Label maps of good pictures; repeatable, nothing is drawn.

    A proposer whose proposals are finished label maps is taken at its word: nothing is clustered, and
    pictures for which it has none are unlabelled. Else its masks are filtered, components that look alike
    become classes, and pictures whose class histograms stand apart are unlabelled.

    Args:
        pictures: good ones, at the frame that the maps will have.
        proposer: not yet prepared.
        options: see there.
        run: its device computes.
        watch: progress, stop signal, and what was found.

    Raises:
        DataError: no picture.
        NoComponentsError: no component that passes the filters, no class with enough members, or too few
            label maps that agree.
        OptionError: filters that need names from a proposer that gives none.
        WeightsError: the backbone's weights are not to be had.
        Stopped: the stop signal was set; nothing is kept.
    """
    if not len(pictures):
        fix = "Add good pictures to the folder."
        raise DataError("pictures to label", expected="at least one good picture", got="none", fix=fix)
    proposer.prepare(pictures, run, watch)
    if proposer.labels:
        return _as_given(pictures, proposer, run, watch)
    found = _components(pictures, proposer, options, run, watch)
    if not found.components:
        raise NoComponentsError(
            f"components in {len(pictures)} pictures",
            expected="masks that pass the filters",
            got=f"{found.proposed} masks proposed, none left" if found.proposed else "no mask proposed",
            fix="Choose another proposer, or another value of labels.refine or labels.smallest.",
        )
    grouping = _classes(found, len(pictures), options, run, watch)
    if options.numbers:
        grouping = grouping.without(irregular(_numbers(found, grouping, len(pictures))))
    maps, names = _drawn(found, grouping, pictures)
    labelled = trusted(
        class_histograms(maps, grouping.count),
        watch,
        by=options.trust,
        keep=options.keep,
        cluster=options.cluster,
    )
    if options.numbers:
        usual = labelled & usual_numbers(_numbers(found, grouping, len(pictures)))
        labelled = usual if usual.any() else labelled
    _require_agreement(labelled, options.agreeing)
    watch.say(
        f"{len(found.components)} components fall into {grouping.count} classes (bandwidth "
        f"{grouping.bandwidth:.3g}); {labelled.sum()} of {len(pictures)} label maps may be learnt from."
    )
    return PseudoLabels(maps, labelled, names)


def _require_agreement(labelled: NDArray[np.bool_], agreeing: float) -> None:
    """Refuse components that come and go: label maps of which fewer than that share may be learnt from.

    Raises:
        NoComponentsError: so it is.
    """
    least, count = int(np.ceil(agreeing * len(labelled))), int(labelled.sum())
    if count < least:
        raise NoComponentsError(
            f"components in {len(labelled)} pictures",
            expected=f"{least} or more label maps that agree, as those of parts that recur do",
            got=f"{count}",
            fix="Annotate parts, correct the maps by hand, or lower labels.agreeing.",
        )


def refined(proposal: Proposal, options: PseudoLabelOptions) -> Masks:
    """The masks (M, H, W) of a proposal that may be components, by the option `refine`.

    Raises:
        OptionError: grounding without names.
    """
    masks, named = proposal.masks, proposal.named
    way = options.refine
    if way == "auto":
        way = "none" if not len(masks) else "combine" if named is None else "both"
    if way in ("grounding", "both") and named is None:
        raise OptionError(
            f"labels.refine {way}",
            expected="a proposer that names regions",
            got="one that proposes masks alone",
            fix="Choose combine, none or auto.",
        )
    if way == "none" and named is not None:
        masks = regions(named)
    if way in ("grounding", "both") and named is not None:
        masks = filter_by_grounding(masks, named > 0, options.overlap)
    if way in ("combine", "both"):
        masks = filter_by_combine(masks, options.overlap)
    least = max(1.0, options.smallest * masks.shape[1] * masks.shape[2])
    return np.asarray(masks[np.count_nonzero(masks, axis=(1, 2)) >= least])


def _components(
    pictures: Pictures, proposer: Proposer, options: PseudoLabelOptions, run: Run, watch: Watch
) -> _Found:
    """Propose, filter and describe, picture by picture; of each only components and features stay."""
    describe, found = ComponentFeatures(options.features, run), _Found()
    with watch.stage("finding components", len(pictures)) as stage:
        for index, pixels in enumerate(pictures):
            watch.check_stop(run)
            picture = to_bytes(pixels)
            proposal = proposer.propose(picture, pictures.samples[index])
            masks = refined(proposal, options)
            found.proposed += len(proposal.masks) or int(proposal.named is not None and proposal.named.any())
            if len(masks):
                found.rows.append(describe(picture, masks))
            for mask in masks:
                found.called.append(_called(proposal, mask))
                found.components.append(Component.of(filled(mask) if options.holes else mask, index))
            stage.advance()
    return found


def _called(proposal: Proposal, mask: NDArray[np.bool_]) -> str:
    """The name that most of a mask's pixels bear; empty where that is none."""
    if proposal.named is None:
        return ""
    winner = int(np.bincount(proposal.named[mask]).argmax())
    return proposal.names[winner - 1] if winner else ""


def _classes(found: _Found, pictures: int, options: PseudoLabelOptions, run: Run, watch: Watch) -> Grouping:
    """Classes of the components found.

    Raises:
        NoComponentsError: there is none with enough members.
    """
    grouping = group(
        weighted(np.concatenate(found.rows), options.features),
        np.array([component.picture for component in found.components]),
        pictures,
        run,
        watch,
        bandwidth=options.bandwidth,
        least_share=options.least_share,
        most=options.most,
    )
    if not grouping.count:
        raise NoComponentsError(
            f"components in {pictures} pictures",
            expected=f"a group of {int(np.ceil(options.least_share * pictures))} or more that look alike",
            got=f"{len(found.components)} components in {grouping.groups} smaller groups",
            fix="Choose a larger labels.bandwidth, a lower labels.least_share, or another proposer.",
        )
    return grouping


def _numbers(found: _Found, grouping: Grouping, pictures: int) -> NDArray[np.intp]:
    """Components of each class in each picture, (N, K)."""
    numbers = np.zeros((pictures, grouping.count), np.intp)
    for component, label in zip(found.components, grouping.classes, strict=True):
        if label != NONE:
            numbers[component.picture, label] += 1
    return numbers


def _drawn(
    found: _Found, grouping: Grouping, pictures: Pictures
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Label maps (N, H, W), smaller components upon larger ones, and the classes' names; the largest is 1."""
    areas = np.array([component.area for component in found.components])
    inner = grouping.classes != NONE
    totals = np.bincount(grouping.classes[inner], weights=areas[inner])
    order = np.argsort(-totals, kind="stable")
    label = np.argsort(order) + 1  # of each class
    maps = np.zeros((len(pictures), pictures.frame.height, pictures.frame.width), np.uint8)
    for index in np.argsort(-areas, kind="stable"):
        component = found.components[index]
        if inner[index]:
            component.draw(maps[component.picture], int(label[grouping.classes[index]]))
    votes = [Counter[str]() for _ in order]
    for index in np.flatnonzero(inner):
        votes[label[grouping.classes[index]] - 1][found.called[index]] += 1
    return maps, (BACKGROUND, *class_names([counter.most_common(1)[0][0] for counter in votes]))


def _as_given(pictures: Pictures, proposer: Proposer, run: Run, watch: Watch) -> PseudoLabels:
    """What a proposer of finished label maps gives."""
    frame = pictures.frame
    maps = np.zeros((len(pictures), frame.height, frame.width), np.uint8)
    labelled, names = np.zeros(len(pictures), np.bool_), tuple[str, ...]()
    with watch.stage("reading label maps", len(pictures)) as stage:
        for index, pixels in enumerate(pictures):
            watch.check_stop(run)
            proposal = proposer.propose(to_bytes(pixels), pictures.samples[index])
            if proposal.named is not None:
                maps[index], labelled[index] = proposal.named, True
                names = proposal.names if len(proposal.names) > len(names) else names
            stage.advance()
    if not maps.any():
        raise DataError(
            f"label maps of {len(pictures)} pictures",
            expected="a component in at least one",
            got="background alone" if labelled.any() else "no map",
            fix="Draw components, with indices from 1 on.",
        )
    return PseudoLabels(maps, labelled, (BACKGROUND, *names))
