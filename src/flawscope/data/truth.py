"""What the name of a folder or label says about the pictures under it: good, defective, or doubtful.

One set of names serves every layout. Case, separators, numbers and words such as `parts` do not count, apart
or joined on: `Good`, `OK_parts`, `Gutteile`, `01-normal`, `defect_free` and `nonDefective` all name good
pictures; `not_ok`, `NG` and `abnormal` do not.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_PLAIN = _set(
    """good ok okay okey normal normals pass passed passing accept accepted acceptable conforming conform
    conformal perfect nominal correct intact healthy clean flawless faultless undamaged spotless unflawed
    gut gute guter gutes guten io inordnung fehlerlos einwandfrei bon bons bonne bonnes conforme conformes
    bien bueno buena buenos buenas buono buoni bom boa normale normaal goed dobry dobre dobra dobrá bra
    godkänd godkendt hyvä хорошо хороший хорошие норма нормальный годен годный годные
    合格 合格品 良品 良 正常 好 好品 正品 正常品 양품 정상 합격"""
)
_FLAWS = _set(
    """defect defects defective defected anomaly anomalies anomalous fault faults faulty flaw flaws flawed
    damage damages damaged error errors issue issues problem problems reject rejects fehler defekt defekte
    mangel mängel défaut défauts defaut defauts defecto defectos difetto difetti defeito defeitos
    дефект дефекты брак 不良 缺陷 异常 異常 欠陥 불량 결함"""
)
_BAD = _FLAWS | _set(
    """bad ng nok ko nio kaputt schlecht ausschuss rejected fail failed failure failures fails abnormal
    abnormals abnorm unacceptable nonconforming nonconform mauvais malo mala cattivo scarto
    негодный 不合格 불합격"""
)
_NOT = _set("no non not none without zero un n nicht kein keine ohne sans sin senza sem нет без 无 無")
_FREE = ("free", "frei", "less")
_UNTOLD = _set(
    """fine negative positive neg pos n p true false yes no unknown other others misc unlabeled unlabelled
    unsorted unclear unsure undecided review recheck pending inlier inliers valid regular reference referenz
    ref golden master standard background unbroken uncracked unscratched unused"""
)
_FILLING = _set(
    """part parts piece pieces sample samples image images img imgs picture pictures photo photos product
    products item items unit units class label data set train training test testing val validation view views
    teil teile bild bilder muster the all only 品 图片 图像 样本 数据 画像 이미지"""
)
_NEAR = 0.85


@lru_cache(maxsize=4096)
def says_good(name: str) -> bool:
    """Whether a folder or label of this name holds good pictures.

    >>> [says_good(name) for name in ("Good", "OK_parts", "defect_free", "n.i.O.", "not_good", "good_old")]
    [True, True, True, False, False, False]
    """
    words = _words(name)
    joined = "".join(words)
    if joined in _PLAIN or (words and all(word in _PLAIN for word in words)):
        return True
    if len(words) > 1 and words[0] in _NOT and all(word in _FLAWS for word in words[1:]):
        return True
    if any(joined.startswith(word) and joined[len(word) :] in _FLAWS for word in _NOT):
        return True
    return any(joined.endswith(word) and joined.removesuffix(word) in _FLAWS for word in _FREE)


@lru_cache(maxsize=4096)
def says_bad(name: str) -> bool:
    """Whether a folder or label of this name holds defective pictures of no particular kind.

    >>> [says_bad(name) for name in ("NG", "not_OK", "defects", "abnormal", "scratch", "good")]
    [True, True, True, True, False, False]
    """
    words = _words(name)
    joined = "".join(words)
    if says_good(name) or not words:
        return False
    if joined in _BAD or all(word in _BAD for word in words):
        return True
    return any(joined.startswith(word) and joined[len(word) :] in _PLAIN for word in _NOT)


@lru_cache(maxsize=4096)
def doubtful(kind: str) -> bool:
    """Whether the name of a kind that counts as defective leaves doubt.

    It does where it is nearly a good one, says nothing, or denies a flaw.

    >>> [doubtful(kind) for kind in ("goood", "good_old", "1", "negative", "no_crack", "scratch", "not_good")]
    [True, True, True, True, True, False, False]
    """
    words = _words(kind)
    joined = "".join(words)
    if says_bad(kind) or any(one in _NOT and two in _PLAIN for one, two in pairwise(words)):
        return False
    if not words or joined in _UNTOLD or any(word in _PLAIN for word in words) or _denies(words):
        return True
    return bool(get_close_matches(joined, [word for word in _PLAIN if len(word) > 3], n=1, cutoff=_NEAR))


def says_otherwise(stem: str, *, defective: bool) -> bool:
    """Whether a picture's own name contradicts what it counts as, such as `NG_007` among good ones.

    >>> says_otherwise("part_NG_007", defective=False), says_otherwise("no_defect_007", defective=False)
    (True, False)
    """
    if defective:
        return says_good(stem)
    return says_bad(stem) or (not _denies(words := _words(stem)) and any(word in _BAD for word in words))


def _denies(words: list[str]) -> bool:
    """Whether a name says that something is not there: `no_crack`, `scratch_free`, `not_bad`."""
    joined = "".join(words)
    if (len(words) > 1 and words[0] in _NOT) or joined.endswith(_FREE):
        return True
    return any(joined.startswith(word) and joined.removeprefix(word) in _BAD for word in _NOT)


def _words(name: str) -> list[str]:
    """Words of a name without case, numbers and filling: `01_NotOK-Parts` and `NotOKparts` give not, ok."""
    plain = unicodedata.normalize("NFKC", name)
    parted = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])", " ", plain)
    words = [word for word in re.split(r"[\W\d_]+", parted.casefold()) if word]
    return [_bare(word) for word in words if word not in _FILLING]


@lru_cache(maxsize=1 << 12)
def _bare(word: str) -> str:
    """A word that tells good from bad without filling joined on: `goodparts` is good, `NG品` is NG."""
    known = _PLAIN | _BAD
    if word in known:
        return word
    cut = (rest for filling in _FILLING for rest in (word.removesuffix(filling), word.removeprefix(filling)))
    return next((rest for rest in cut if rest in known), word)
