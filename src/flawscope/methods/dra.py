"""DRA: disentangled representations of abnormality, a head each for seen, pseudo and residual anomalies.

Ding, Pang, Shen: Catching Both Gray and Black Swans: Open-set Supervised Anomaly Detection. CVPR 2022.

The residual head compares features with the mean of those of a few good pictures. In training these are drawn
anew each step and pass through the network with the batch. For the trained model they are drawn once by seed,
and the mean of their maps is stored: the authors' code draws them at each scoring, which would let scores
depend on chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torchvision.transforms.v2 import ColorJitter

from flawscope.data.training import TrainingData
from flawscope.methods.detector import HEATMAP, SCORE, Facts, Needs
from flawscope.methods.supervised.base import TrainingPictures
from flawscope.methods.supervised.devnet import (
    DeviationDetector,
    DeviationOptions,
    deviation_loss,
    prior_scores,
)
from flawscope.nn.heatmaps import top_mean
from flawscope.nn.run import Run
from flawscope.nn.training.loop import Losses
from flawscope.nn.training.stores import shuffled
from flawscope.runtime.manifest import OutputSpec

NORMAL, SEEN, PSEUDO = 0, 1, 2
HIDDEN = 256  # units of the normality head, in the authors' code


class PlainHead(nn.Module):
    """Scores of patches: a 1×1 convolution, as in DevNet. For seen and for pseudo anomalies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map features (N, C, h, w) to patch scores (N, h, w)."""
        scores: Tensor = self.score(maps)
        return scores.squeeze(1)


class ResidualHead(nn.Module):
    """Scores of patches by what the features lack of, or have over, those of good pictures."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.plain = PlainHead(channels)

    def forward(self, maps: Tensor, reference: Tensor) -> Tensor:
        """Map features (N, C, h, w) and the good pictures' mean (1, C, h, w) to patch scores (N, h, w)."""
        scores: Tensor = self.plain(self.mix(reference - maps))
        return scores


class NormalityHead(nn.Module):
    """How normal the picture is as a whole: two layers over the pooled features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden, self.score = nn.Linear(channels, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map features (N, C, h, w) to scores (N,), higher is more normal."""
        pooled = maps.mean((2, 3))  # (N, C)
        scores: Tensor = self.score(F.relu(self.hidden(pooled)))
        return scores.squeeze(1)


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Picture scores (N,) of the heads."""

    seen: Tensor
    pseudo: Tensor
    residual: Tensor
    normality: Tensor

    def anomaly(self) -> Tensor:
        """The score (N,): the anomaly heads' sum less the normality."""
        return self.seen + self.pseudo + self.residual - self.normality


def head_losses(scores: HeadScores, kinds: Tensor, prior: Tensor, margin: float) -> dict[str, Tensor]:
    """Deviation losses by head, and their sum `total`.

    The seen head learns from good and defective pictures, the pseudo head from good and pseudo anomalous
    ones, the residual head from all, the normality head from all with good ones as those that deviate.

    Args:
        scores: of N pictures.
        kinds: (N,) NORMAL, SEEN or PSEUDO.
        prior: (M,) reference scores.
        margin: of the deviation loss.
    """

    def loss(values: Tensor, deviating: Tensor, among: Tensor) -> Tensor:
        return deviation_loss(values[among].float(), deviating[among], prior, margin)

    anomalous, everywhere = kinds != NORMAL, torch.ones_like(kinds, dtype=torch.bool)
    losses = {
        "seen": loss(scores.seen, anomalous, kinds != PSEUDO),
        "pseudo": loss(scores.pseudo, anomalous, kinds != SEEN),
        "residual": loss(scores.residual, anomalous, everywhere),
        "normality": loss(scores.normality, ~anomalous, everywhere),
    }
    return {"total": torch.stack(list(losses.values())).sum(), **losses}


_REFERENCE, _STORED, _NATURAL = 3, 4, 5
AREA = (0.02, 0.15)  # share of the picture, in the authors' code
ASPECT = 0.3  # sides of the piece are to each other as this to 1, or less apart
JITTER = 0.1


class DRAOptions(DeviationOptions):
    """Options of DRA; defaults are its paper's, or its code's where the paper is silent."""

    epochs: int = Field(30, ge=1, description="epochs of `epoch_steps` steps (30)")
    reference_pictures: int = Field(
        5, ge=1, description="good pictures whose mean features the residuals are taken from (5)"
    )
    pseudo: Literal["cutmix", "natural"] = Field(
        "cutmix",
        description="pseudo anomalies: good pictures with a piece moved elsewhere, or natural pictures",
    )


class DRA(DeviationDetector):
    """Heads for seen, pseudo and residual anomalies and for normality; made to find unseen defects too."""

    name: ClassVar = "dra"
    Options = DRAOptions
    options: DRAOptions
    outputs = (
        SCORE,
        HEATMAP,
        OutputSpec(
            name="heads",
            kind="vector",
            about="scores of the heads: seen, pseudo, residual anomalies, normality",
            names=("seen", "pseudo", "residual", "normality"),
        ),
    )

    def __init__(self, options: DRAOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        for scale, shape in enumerate(self.shapes):
            self.register_buffer(f"reference_{scale}", torch.zeros(1, *shape))  # (1, C, h, w)

    def needs(self) -> Needs:
        """See `Detector.needs`; natural pictures are one source of pseudo anomalies."""
        natural = 1 if self.options.pseudo == "natural" else 0
        return replace(super().needs(), natural=natural, instead={"natural": "choose pseudo=cutmix"})

    def build_heads(self, channels: int) -> dict[str, nn.Module]:
        """The four heads."""
        return {
            "seen": PlainHead(channels),
            "pseudo": PlainHead(channels),
            "residual": ResidualHead(channels),
            "normality": NormalityHead(channels),
        }

    def losses(self, pictures: TrainingPictures, step: int) -> Losses:
        """Losses of the heads; half a batch is defective, a quarter pseudo anomalous, a quarter good.

        The authors' code makes a pseudo anomaly of each good picture by the toss of a coin.
        """
        options, run = self.options, pictures.run
        faulty = options.batch // 2
        changed = (options.batch - faulty) // 2
        good, seen = pictures.drawn(options.batch - faulty, faulty, step)
        if pictures.natural is not None:
            rows = shuffled(len(pictures.natural), changed, step, run, _NATURAL)
            pseudo = pictures.natural.batch(rows)
        else:
            pseudo = moved_pieces(good[:changed])
        count = options.reference_pictures
        rows = shuffled(len(pictures.normal), count, step, run, _REFERENCE)
        parts = [pictures.normal.batch(rows), good[changed:], pseudo, seen]
        kinds = [NORMAL] * (len(good) - changed) + [PSEUDO] * changed + [SEEN] * faulty
        pyramid = self.pyramid(self.turned(torch.cat(parts)))
        references = [maps[:count].mean(0, keepdim=True) for maps in pyramid]
        _, scores = self._heads([maps[count:] for maps in pyramid], references)
        prior = prior_scores(options.references)
        labels = torch.tensor(kinds, device=scores.seen.device)
        return head_losses(scores, labels, prior, options.margin)

    @torch.no_grad()
    def conclude(self, data: TrainingData, run: Run) -> None:
        """Store the mean features of `reference_pictures` good pictures, drawn by seed."""
        count = min(self.options.reference_pictures, len(data.normal))
        drawn = torch.randperm(len(data.normal), generator=run.generator(_STORED))[:count].tolist()
        pixels = torch.stack([torch.from_numpy(data.normal[index]) for index in drawn])
        for scale, maps in enumerate(self.pyramid(pixels.to(run.torch_device()))):
            self.get_buffer(f"reference_{scale}").copy_(maps.mean(0, keepdim=True))

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`.

        The heatmap is the sum of the three anomaly heads' patch scores, enlarged, mean over the scales; the
        normality, one number for the picture, is in the score alone.
        """
        del scalars
        pyramid = self.pyramid(pixels)
        references = [self.get_buffer(f"reference_{scale}") for scale in range(len(pyramid))]
        patches, scores = self._heads(pyramid, references)
        return {
            "score": scores.anomaly(),
            "heatmap": self.enlarged(patches),
            "heads": torch.stack([scores.seen, scores.pseudo, scores.residual, scores.normality], 1),
        }

    def _heads(self, pyramid: list[Tensor], references: list[Tensor]) -> tuple[list[Tensor], HeadScores]:
        """Summed anomaly maps (N, h, w) of each scale, and the heads' scores, means over the scales."""
        heads, top = self.networks.heads, self.options.top
        patches, scores = [], []
        for maps, reference in zip(pyramid, references, strict=True):
            found = [
                heads["seen"](maps),
                heads["pseudo"](maps),
                heads["residual"](maps, reference),
                heads["normality"](maps),
            ]
            *areas, normality = [each.abs() for each in found] if self.options.absolute else found
            patches.append(torch.stack(areas).sum(0))
            scores.append([*(top_mean(each, top) for each in areas), normality])
        means = [torch.stack(values).mean(0) for values in zip(*scores, strict=True)]
        return patches, HeadScores(*means)


def moved_pieces(pixels: Tensor) -> Tensor:
    """Copies of `pixels` (N, 3, H, W) in [0, 1], in each a rectangle taken from another place of the picture.

    Place, size and colours come from torch's global generator.
    """
    jitter = ColorJitter(JITTER, JITTER, JITTER, JITTER)
    made = pixels.clone()
    height, width = pixels.shape[2:]
    for picture, source in zip(made, pixels, strict=True):
        area, aspect, *places = torch.rand(6).tolist()
        area = (AREA[0] + area * (AREA[1] - AREA[0])) * height * width
        ratio = math.exp((2 * aspect - 1) * math.log(ASPECT))
        high = min(max(round(math.sqrt(area / ratio)), 1), height)
        wide = min(max(round(math.sqrt(area * ratio)), 1), width)
        top, below = (int(place * (height - high + 1)) for place in places[:2])
        left, right = (int(place * (width - wide + 1)) for place in places[2:])
        piece = jitter(source[:, top : top + high, left : left + wide])
        picture[:, below : below + high, right : right + wide] = piece
    return made
