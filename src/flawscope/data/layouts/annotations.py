"""Which file is the mask of which picture: by place and name, whatever its ending and case."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePath

import numpy as np

from flawscope.data.labelme import annotation
from flawscope.data.masks import MaskFile
from flawscope.data.samples import Sample
from flawscope.data.tables import composed
from flawscope.errors import InputError
from flawscope.runtime.images import check_image, read_image
from flawscope.runtime.listing import IMAGE_SUFFIXES, list_images

_WORDS = r"(?:masks?|gts?|ground[-_ ]?truths?|segmentations?|annotations?)"
_FOLDER = re.compile(_WORDS, re.IGNORECASE)
_BESIDE = rf"(?:{_WORDS}|segs?|labels?)"  # which mean masks beside a picture's name, not alone
_OF = re.compile(rf"(?P<of>.*[^-_. ])[-_. ]+{_BESIDE}(?:[-_ ]?(?P<number>\d+))?", re.IGNORECASE)
_DOUBTFUL = re.compile(r".*[-_. ](?:segs?|labels?)(?:[-_ ]?\d+)?", re.IGNORECASE)
_PLAIN = 0.2  # share of a mask's pixels that have one value, at least
_BEFORE = re.compile(rf"{_BESIDE}[-_. ]+(?P<of>.+)", re.IGNORECASE)
_PHOTOGRAPHS, _GREY = (".jpg", ".jpeg"), ("1", "L", "P", "I;16")
_FIRST = (".png", *IMAGE_SUFFIXES)

_Place = tuple[Path, str]  # a file's folder, and its name without ending and case


def key_of(name: str) -> str:
    """By what a name is found: whatever its case, and however its letters are composed."""
    return composed(name).casefold()


def is_mask_folder(name: str) -> bool:
    """Whether a folder of this name holds masks of pictures elsewhere: ground_truth, masks, GT, …"""
    return _FOLDER.fullmatch(name) is not None


def masked_kind(name: str) -> str | None:
    """The folder that one named `scratch_mask` or `scratch-gt` holds masks of; None for other names.

    >>> masked_kind("scratch_masks"), masked_kind("scratch")
    ('scratch', None)
    """
    found = _OF.fullmatch(name)
    return found["of"] if found else None


def may_be_kind(folder: Path) -> bool:
    """Whether a folder such as `missing_label` shows photographs: a label that is missing, not masks."""
    if not _DOUBTFUL.fullmatch(folder.name):
        return False
    with suppress(InputError):
        for path in _files(folder)[:1]:
            pixels = read_image(path)  # (H, W, C)
            values = np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0, return_counts=True)[1]
            return int(values.max()) < _PLAIN * int(values.sum())
    return False


def _says_masks(name: str) -> bool:
    return is_mask_folder(name) or masked_kind(name) is not None


def divide(folder: Path, paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures and masks among files below `folder`.

    Masks are what lies in an inner folder of masks, files such as `000_mask.png` beside a picture 000, and a
    grey `000.png` beside a colour photograph `000.jpg`.
    """
    outside, masks = list[tuple[Path, _Place]](), list[Path]()
    of_masks = dict[Path, bool]()  # each folder once: there may be many files
    for path in paths:
        parent = path.parent
        if parent not in of_masks:
            of_masks[parent] = any(map(_says_masks, parent.relative_to(folder).parts))
        if of_masks[parent]:
            masks.append(path)
        else:
            outside.append((path, (parent, key_of(path.stem))))
    places = {place for _, place in outside}
    photographs = {place: path for path, place in outside if path.suffix.lower() in _PHOTOGRAPHS}
    pictures = list[Path]()
    for path, place in outside:
        of = _OF.fullmatch(path.stem)
        beside = of is not None and (place[0], key_of(of["of"])) in places
        shown = photographs.get(place)
        beside |= shown is not None and path.suffix.lower() == ".png" and _is_grey(path, shown)
        (masks if beside else pictures).append(path)
    return pictures, masks


def masks_among(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Those of the files below `folder` that are masks of others there: by place or name, as `divide` tells.

    A file in a folder of masks counts only where a picture has its name, so that products which are called so
    stay pictures.
    """
    pictures, masks = divide(folder, paths)
    if not masks:
        return []
    names = {key_of(name) for path in pictures for name in (path.stem, path.name)}
    return [
        path
        for path in masks
        if key_of(path.parent.name) in names or any(name in names for name, _ in _names(path))
    ]


class ArrivingMasks:
    """Which of the files below a folder, that come and go one by one, are masks of others there.

    It tells of each what `masks_among` tells of all at once, as far as the others have come.
    """

    def __init__(self, folder: Path) -> None:
        self._in_masks = cache(lambda inner: any(map(_says_masks, inner.relative_to(folder).parts)))
        self._files: defaultdict[_Place, set[str]] = defaultdict(
            set
        )  # names by place, without masks' folders
        self._names = Counter[str]()

    def add(self, path: Path) -> None:
        """A file came."""
        place = path.parent, key_of(path.stem)
        if not self._in_masks(path.parent) and path.name not in self._files[place]:
            self._files[place].add(path.name)
            self._names.update((place[1], key_of(path.name)))

    def discard(self, path: Path) -> None:
        """A file went."""
        place = path.parent, key_of(path.stem)
        if path.name in self._files.get(place, ()):
            self._files[place].remove(path.name)
            if not self._files[place]:
                del self._files[place]
            for name in (place[1], key_of(path.name)):
                self._names[name] -= 1
                if not self._names[name]:
                    del self._names[name]

    def __contains__(self, path: Path) -> bool:
        if self._in_masks(path.parent):
            called = (key_of(path.parent.name), *(name for name, _ in _names(path)))
            return any(name in self._names for name in called)
        of = _OF.fullmatch(path.stem)
        if of is not None and (path.parent, key_of(of["of"])) in self._files:
            return True
        if path.suffix.lower() != ".png":
            return False
        alike = (path.with_name(name) for name in self._files.get((path.parent, key_of(path.stem)), ()))
        return any(one.suffix.lower() in _PHOTOGRAPHS and _is_grey(path, one) for one in alike)


def _is_grey(path: Path, photograph: Path) -> bool:
    """Whether a file has no colours, and the photograph that it is called as has some."""
    with suppress(InputError):
        return check_image(path).mode in _GREY and check_image(photograph).mode not in _GREY
    return False


def with_masks(
    samples: Sequence[Sample], base: Path, *folders: Path, beside: Iterable[Path] = ()
) -> list[Sample]:
    """The samples of one kind, each with its masks.

    A mask is called as its picture, with or without a word for masks (`000_mask`, `000-gt`, `mask_000`) and a
    number where there are several, and has any ending that pictures have. It lies below one of `folders` as
    the picture lies below `base`; or, where no other picture and no other mask has its name, anywhere in
    them. A folder there that is called as the picture holds one area a file.

    Args:
        samples: with pictures below `base`.
        base: the folder of the kind.
        folders: places of masks, the first that has any of a picture counts.
        beside: files below `base` that are masks.
    """
    names = Counter(key_of(sample.path.stem) for sample in samples)
    places = [_Masks(path, _files(path), names) for path in folders]
    places.append(_Masks(base, beside, names))
    found = []
    for sample in samples:
        below = sample.path.relative_to(base).parent
        alone = names[key_of(sample.path.stem)] == 1
        masks = next((masks for place in places if (masks := place.of(sample.path, below, alone))), ())
        found.append(replace(sample, masks=tuple(map(MaskFile, masks))))
    return found


def with_flat_masks(samples: Sequence[Sample], folders: Iterable[Path]) -> list[Sample]:
    """Defective samples without masks get those directly in `folders`, where names leave no doubt."""
    names = Counter(key_of(sample.path.stem) for sample in samples if sample.defective)
    places = [_Masks(folder, _files(folder, deep=False), names) for folder in folders]
    found = []
    for sample in samples:
        if sample.defective and not sample.masks and names[key_of(sample.path.stem)] == 1:
            near = (place.of(sample.path, PurePath(), alone=False) for place in places)
            masks = next((masks for masks in near if masks), ())
            sample = replace(sample, masks=tuple(map(MaskFile, masks)))  # noqa: PLW2901
        found.append(sample)
    return found


def with_labels(samples: Sequence[Sample], base: Path, *folders: Path) -> list[Sample]:
    """Samples without masks get the LabelMe file of their name that lies beside them, or in `folders` so."""
    labels = cache(_labels_in)
    found = []
    for sample in samples:
        below = sample.path.relative_to(base).parent
        places = (_called(labels(folder / below), sample.path.stem) for folder in (base, *folders))
        place = None if sample.masks else next((path for path in places if path is not None), None)
        areas = annotation(place) if place is not None else None
        found.append(sample if areas is None else replace(sample, masks=(areas,)))
    return found


def _called(labels: Mapping[str, Path], stem: str) -> Path | None:
    """The file of that very name, or of one that differs in case or composition alone."""
    return labels.get(stem) or labels.get(key_of(stem))


def _labels_in(folder: Path) -> dict[str, Path]:
    """JSON files directly in a folder, by the names of their pictures."""
    with suppress(OSError), os.scandir(folder) as entries:
        paths = [Path(entry.path) for entry in entries if entry.name.lower().endswith(".json")]
        return {key_of(path.stem): path for path in paths} | {path.stem: path for path in paths}
    return {}


@dataclass(frozen=True, slots=True)
class _Called:
    """How a mask's name stands to its picture's: with a word for masks or without, with which number."""

    path: Path
    bare: bool
    number: str


class _Masks:
    """Files below a folder of masks by the pictures whose names they bear."""

    def __init__(self, folder: Path, paths: Iterable[Path], pictures: Container[str]) -> None:
        self._by_place: defaultdict[tuple[PurePath, str], list[_Called]] = defaultdict(list)
        self._by_name: defaultdict[str, list[_Called]] = defaultdict(list)
        self._by_folder: defaultdict[tuple[PurePath, str], list[Path]] = defaultdict(list)
        for path in paths:
            inner = path.relative_to(folder).parts[:-1]
            below = PurePath(*(name for name in inner if not _says_masks(name)))
            for name, called in _names(path):
                self._by_place[below, name].append(called)
                if key_of(below.name) not in pictures:
                    self._by_name[name].append(called)
            self._by_folder[below.parent, key_of(below.name)].append(path)

    def of(self, picture: Path, below: PurePath, alone: bool) -> list[Path]:
        """Masks of a picture that lies so far `below` its kind's folder; anywhere where it is `alone`."""
        for name in (key_of(picture.stem), key_of(picture.name)):
            if called := self._by_place.get((below, name)):
                return _chosen(called, picture)
            if areas := self._by_folder.get((below, name)):
                return areas
            called = self._by_name.get(name, []) if alone else []
            if called and len({one.path.parent for one in called}) == 1:
                return _chosen(called, picture)
        return []


def _files(folder: Path, *, deep: bool = True) -> list[Path]:
    """Files in a folder of masks; none where it cannot be listed, which is told as left out."""
    with suppress(InputError):
        return list_images(folder, recursive=deep)
    return []


def _names(path: Path) -> Iterable[tuple[str, _Called]]:
    stem = path.stem
    yield key_of(stem), _Called(path, bare=True, number="")
    if after := _OF.fullmatch(stem):
        yield key_of(after["of"]), _Called(path, bare=False, number=after["number"] or "")
    elif before := _BEFORE.fullmatch(stem):
        yield key_of(before["of"]), _Called(path, bare=False, number="")


def _chosen(called: Sequence[_Called], picture: Path) -> list[Path]:
    """One file for each number: with a word for masks rather than bare, of equal case, PNG first."""
    exact = [one for one in called if picture.stem in one.path.stem] or called
    named = [one for one in exact if not one.bare] or exact
    ranked = sorted(named, key=lambda one: (one.number, _FIRST.index(one.path.suffix.lower()), one.path))
    return list({one.number: one.path for one in reversed(ranked)}.values())[::-1]
