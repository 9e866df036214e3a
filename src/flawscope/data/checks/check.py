"""What is wrong with a data set before training: each finding names the files and what to do."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawscope.data.checks.enough import good_pictures_issues
from flawscope.data.checks.issues import Issue, found, worst_first
from flawscope.data.checks.kinds import kind_issues, left_out_issues
from flawscope.data.checks.near import SIDE, near_groups, thumbnail
from flawscope.data.checks.telltale import Traits, telltale_issues
from flawscope.data.checks.unnamed import suggested
from flawscope.data.checks.values import Values, value_issues
from flawscope.data.groups import GroupChoice, group_dataset, spanning
from flawscope.data.layouts import read_dataset
from flawscope.data.masks import seems_inverted, union_mask
from flawscope.data.pictures import THREADS
from flawscope.data.samples import Dataset, Sample
from flawscope.data.survey import each_once
from flawscope.errors import InputError
from flawscope.files import remembered_sha256
from flawscope.progress import Progress, Silent
from flawscope.runtime.false_rejects import check_rates
from flawscope.runtime.images import check_image, read_image
from flawscope.runtime.origin import Origin, origin

CHUNK = 256
ODD_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class _Look:
    """What one pass over a sample's files saw; `digest` is empty where the picture is unreadable."""

    sample: Sample
    digest: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    origin: Origin | None = None
    thumbnail: NDArray[np.float16] | None = None
    values: Values | None = None
    issues: tuple[Issue, ...] = ()


def check_data(
    data: Dataset | Path,
    *,
    layout: str | None = None,
    product: str | None = None,
    false_rejects: float = 0.01,
    confidence: float = 0.95,
    near: bool = True,
    groups: GroupChoice | None = None,
    progress: Progress | None = None,
) -> list[Issue]:
    """Look at every picture and mask of a data set; findings come worst first.

    Unreadable files, copies and near copies (within and across training and test), mixed sizes and modes,
    pictures of one colour or of a small range of values, masks that do not fit, kinds whose names leave
    doubt, what is left out, a format, size, mode or camera that alone tells the kinds apart, groups that
    nobody named or that lie on both sides, and too few good pictures, or parts, for the wanted false-reject
    rate. A folder whose layout cannot be read is a finding too, not an
    exception. Memory is some 7 KiB a picture (its thumbnail twice, and what was seen of it) and a few
    decoded pictures at a time; `near=False` does without the thumbnails.

    Args:
        data: a data set, or the folder of one; `layout` and `product` say how to read a folder.
        false_rejects, confidence: the promise that calibration shall keep.
        groups: which pictures show one part; None: as the layout tells, and what suggests groups is said.

    Raises:
        DataError, OptionError: groups that cannot be made.
        OptionError: an unknown layout, or a rate outside its range.
    """
    check_rates(false_rejects, 1.0 - confidence)
    if isinstance(data, Dataset):
        dataset = data
    else:
        try:
            dataset = read_dataset(data, layout=layout, product=product)
        except InputError as error:
            message = f"{error.what}: expected {error.expected}, got {error.got}."
            return [found("layout", Path(data), message, error.fix)]
    dataset, _ = group_dataset(dataset, groups)
    looks = _look_at_all(dataset, near, progress or Silent())
    readable = [look for look in looks if look.digest]
    issues = [issue for look in looks for issue in look.issues]
    issues += [*kind_issues(dataset), *left_out_issues(dataset)]
    issues += [*_copies(readable), *_sizes(readable), *_modes(readable), *telltale_issues(_traits(readable))]
    issues += value_issues([look.values for look in readable if look.values is not None])
    issues += _near_copies(readable) if near else ()
    issues += _groups(dataset, readable, named=groups is not None)
    if dataset.samples:
        usable = replace(dataset, samples=tuple(look.sample for look in readable))
        issues += good_pictures_issues(each_once(usable)[0], false_rejects, confidence)
    else:
        issues.append(found("no-pictures", dataset.root, "No pictures found."))
    return worst_first(issues)


def _look_at_all(dataset: Dataset, near: bool, progress: Progress) -> list[_Look]:
    looks: list[_Look] = []
    with (
        progress.stage("Looking at pictures", len(dataset)) as stage,
        ThreadPoolExecutor(THREADS, thread_name_prefix="check") as pool,
    ):
        for start in range(0, len(dataset), CHUNK):
            chunk = dataset.samples[start : start + CHUNK]
            for look in pool.map(lambda sample: _look(sample, dataset.masked, near), chunk):
                looks.append(look)
                stage.advance()
    return looks


def _look(sample: Sample, masked: bool, near: bool) -> _Look:
    try:
        info = check_image(sample.path)
        image = read_image(sample.path)
        digest, source = remembered_sha256(sample.path), origin(sample.path)
    except InputError as error:
        message = f"{sample.path.name} cannot be used: expected {error.expected}, got {error.got}."
        return _Look(sample, issues=(found("unreadable", [sample], message, error.fix),))
    except OSError as error:
        message = f"{sample.path.name} cannot be read: {error.strerror or error}."
        return _Look(sample, issues=(found("unreadable", [sample], message),))
    small = thumbnail(image) if near else None
    masks = tuple(_masks(sample, info.height, info.width, masked))
    size, mode = (info.height, info.width), f"{info.mode}, {info.bits} bit"
    return _Look(sample, digest, size, mode, source, small, Values.of(sample, info, image), masks)


def _masks(sample: Sample, height: int, width: int, masked: bool) -> Iterator[Issue]:
    name = sample.path.name
    if not sample.masks:
        if masked and sample.defective:
            yield found("mask-missing", [sample], f"{name} is defective ({sample.kind}) and has no mask.")
        return
    try:
        area = union_mask(sample, height, width)
        marked = bool(area.any())
    except InputError as error:
        message = f"Mask of {name} does not fit: {error.what}: expected {error.expected}, got {error.got}."
        yield found("mask-misfit", [sample], message, error.fix)
        return
    if marked and not sample.defective:
        yield found("mask-on-good", [sample], f"{name} counts as good, but its mask marks a defect.")
    if seems_inverted(area):
        message = f"The mask of {name} marks {area.mean():.0%} of the picture, its border included."
        yield found("mask-inverted", [sample], message)
    if not marked and sample.defective:
        yield found("mask-empty", [sample], f"{name} is defective ({sample.kind}), but its mask is empty.")


def _copies(looks: Sequence[_Look]) -> Iterator[Issue]:
    for samples in _by_digest(looks).values():
        names = _names(samples)
        if len({sample.defective for sample in samples}) > 1:
            yield found("contradiction", samples, f"One picture is both good and defective: {names}.")
        elif _crosses(samples):
            yield found("leak", samples, f"One picture is in training and in test: {names}.")
        elif len(samples) > 1:
            yield found("duplicate", samples, f"Copies of one picture: {names}.")


def _near_copies(looks: Sequence[_Look]) -> Iterator[Issue]:
    by_digest = _by_digest(looks)
    digests = list(by_digest)
    rows = {digest: row for row, digest in enumerate(digests)}
    thumbnails = np.zeros((len(digests), SIDE * SIDE), np.float16)
    for look in looks:
        if look.thumbnail is not None:
            thumbnails[rows[look.digest]] = look.thumbnail
    for group in near_groups(thumbnails):
        samples = [sample for row in group for sample in by_digest[digests[row]]]
        if len({sample.group for sample in samples}) == 1 and samples[0].group is not None:
            continue  # one part's pictures may be alike
        if _crosses(samples):
            message = f"Nearly the same picture is in training and in test: {_names(samples)}."
            yield found("near-leak", samples, message)
        else:
            yield found("near-duplicate", samples, f"Nearly the same picture: {_names(samples)}.")


def _groups(dataset: Dataset, looks: Sequence[_Look], *, named: bool) -> Iterator[Issue]:
    for part, samples in spanning(dataset).items():
        yield found("group-leak", samples, f"Part {part} is in training and in test: {_names(samples)}.")
    first = {look.digest: look for look in reversed(looks) if _learnt(look.sample)}  # each content once
    chosen = sorted(first.values(), key=lambda look: look.sample.path)
    small = [look.thumbnail for look in chosen if look.thumbnail is not None]
    seen = np.stack(small) if small and len(small) == len(chosen) else None
    suggestion = None if named else suggested([look.sample for look in chosen], seen)
    if suggestion is not None:
        samples = [sample for group in suggestion.groups for sample in group]
        yield found("unnamed-groups", samples, suggestion.message, suggestion.fix)


def _learnt(sample: Sample) -> bool:
    return not sample.defective and sample.split != "test"


def _sizes(looks: Sequence[_Look]) -> Iterator[Issue]:
    sizes = Counter(look.size for look in looks)
    if len(sizes) < 2:
        return
    usual = sizes.most_common(1)[0][0]
    others = [look.sample for look in looks if look.size != usual]
    if len(others) <= ODD_SHARE * len(looks):
        wanted = f"{usual[1]}x{usual[0]}"
        message = f"{len(others)} of {len(looks)} pictures are not {wanted} as the rest: {_names(others)}."
        yield found("odd-sizes", others, message)
        return
    low, high = (pick(looks, key=lambda look: math.prod(look.size)) for pick in (min, max))
    span = " to ".join(f"{look.size[1]}x{look.size[0]}" for look in (low, high))
    yield found("mixed-sizes", [low.sample, high.sample], f"Pictures come in {len(sizes)} sizes, {span}.")


def _modes(looks: Sequence[_Look]) -> Iterator[Issue]:
    modes = Counter(look.mode for look in looks)
    if len(modes) < 2:
        return
    usual = modes.most_common(1)[0][0]
    others = [look.sample for look in looks if look.mode != usual]
    listed = "; ".join(f"{count} are {mode}" for mode, count in modes.most_common())
    yield found("mixed-modes", others, f"Pictures differ in mode: {listed}.")


def _traits(looks: Sequence[_Look]) -> list[Traits]:
    return [
        Traits(look.sample, f"{look.size[1]}x{look.size[0]}", look.mode, **asdict(look.origin))
        for look in looks
        if look.origin is not None
    ]


def _by_digest(looks: Iterable[_Look]) -> dict[str, list[Sample]]:
    groups: defaultdict[str, list[Sample]] = defaultdict(list)
    for look in looks:
        groups[look.digest].append(look.sample)
    return groups


def _crosses(samples: Iterable[Sample]) -> bool:
    return len({sample.split == "test" for sample in samples}) > 1


def _names(samples: Sequence[Sample], shown: int = 4) -> str:
    listed = ", ".join("/".join(sample.path.parts[-2:]) for sample in samples[:shown])
    return f"{listed} and {len(samples) - shown} more" if len(samples) > shown else listed
