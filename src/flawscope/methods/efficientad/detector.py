"""EfficientAD as a detector: a student that knows only good pictures, beside a teacher that knows all.

The sources are named in this package's docstring. Teacher, student and autoencoder are tables 5.2 to 5.4 of
the thesis; the local map is the teacher's difference to the student's first half of channels, the global map
the autoencoder's to the second half (section 4.5); both are scaled on the tuning pictures and mixed (section
4.7).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Facts, Learnt, Needs
from flawscope.methods.efficientad.options import PRESETS, EfficientADOptions
from flawscope.methods.efficientad.pictures import DefectivePictures
from flawscope.methods.efficientad.training import Objective
from flawscope.nn.backbones.build import IMAGENET
from flawscope.nn.backbones.pdn import STRIDE, cells, pdn, pdn_cells
from flawscope.nn.backbones.teachers import load_teacher
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.moments import Levels
from flawscope.nn.run import Run, seeded
from flawscope.nn.student_teacher.losses import discrepancy
from flawscope.nn.student_teacher.networks import (
    Autoencoder,
    Networks,
    Resampling,
    border,
    bordered,
    normalise_output,
    taps,
)
from flawscope.nn.student_teacher.training import train
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.training.loop import Patience
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.runtime.manifest import OutputSpec

_HIGH = 0.1  # what the maps' quantile q_b becomes
_NETWORKS = 7
_TUNED = 16  # tuning pictures that an early stop looks at
_BATCH = 4


class EfficientAD(Detector):
    """Differences of teacher, student and autoencoder; made for a GPU, and finds logical anomalies too."""

    name: ClassVar = "efficientad"
    Options = EfficientADOptions
    options: EfficientADOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = "two_maps"
    outputs = (
        SCORE,
        HEATMAP,
        OutputSpec(
            name="local_map",
            kind="heatmap",
            about="scaled difference of teacher and student: flaws of a patch",
        ),
        OutputSpec(
            name="global_map",
            kind="heatmap",
            about="scaled difference of autoencoder and student: flaws of the whole",
        ),
    )

    mean: Tensor
    std: Tensor

    def __init__(self, options: EfficientADOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        grid = _grid(options)
        with seeded(0):
            self.networks = self._fresh(grid)
        self.networks.requires_grad_(False).eval()
        for key, value in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(key, torch.tensor(value).view(1, 3, 1, 1), persistent=False)
        # q_a and q_b of the local and of the global map become 0 and 0.1 (section 4.7)
        self.levels = Levels(2, "quantiles", between=options.quantiles, top=_HIGH)
        outputs = self.networks.cells[-len(options.hierarchy) :]
        self.border, whole = border(outputs[-1], grid, options.size)
        self.heatmap = Heatmap(whole, options.size, 0.0, stride=STRIDE)
        self.resampling = nn.ModuleList(
            Resampling(where, outputs[-1], shape, grid)
            for where, shape in zip(outputs, _grids(options)[-len(outputs) :], strict=True)
        )

    def needs(self) -> Needs:
        """Tuning pictures for the maps' quantiles, natural ones for L_OOD, EfficientAD's own penalty."""
        natural = 1 if self.options.penalty == "ood" else 0
        return Needs(tuning=1, natural=natural, instead={"natural": "choose penalty=cdo"})

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Train student and autoencoder on `data.normal`, scale both maps on `data.tuning`.

        Raises:
            OptionError: `channels` is not the teacher's number.
            WeightsError: no weights for the teacher.
        """
        options = self.options
        with run.seeded(_NETWORKS):
            self.networks = self._fresh(_grid(options))
        self._load_teacher()
        self.networks.to(run.torch_device()).to(memory_format=torch.channels_last)
        normalise_output(self.networks.teacher, data.normal, run, watch, prepare=self._normalised)
        objective = Objective(self.networks, options, self._normalised, run)
        pictures = DefectivePictures(data.normal, data.natural, options, run)
        facts = self._skipped(pictures, watch) if pictures.defects.probability else {}
        kept = fingerprint(options, run, (data.normal, data.natural), self.networks.teacher)
        sample = data.tuning.subset(range(min(_TUNED, len(data.tuning))))
        networks = self.networks
        history = train(
            pictures,
            objective,
            nn.ModuleDict({"student": networks.student, "autoencoder": networks.autoencoder}),
            options,
            run=run,
            watch=watch,
            name=f"{self.name}-{kept}",
            patience=Patience(options.early_stop, lambda: self._tuning_loss(sample, run)),
        )
        self.networks.to(memory_format=torch.contiguous_format)
        self.levels.learn(self._raw(data.tuning, run, watch))
        return Learnt(facts=facts, history=history)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; `local_weight` is α of equation 4.12, score the maximum of the map."""
        weight = scalars.get("local_weight", self.options.local_weight)
        both = self.levels(torch.stack(self._maps(pixels), 1))  # (N, 2, h, w)
        local, whole = bordered(both, self.border).unbind(1)
        mixed = weight * local + (1 - weight) * whole
        return {
            "score": mixed.flatten(1).amax(1),
            "heatmap": self.heatmap(mixed),
            "local_map": local,
            "global_map": whole,
        }

    def _maps(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Raw local and global map (N, h, w) of pixels (N, 3, H, W)."""
        x = self._normalised(pixels)
        levels = self.options.hierarchy
        networks, depth = self.networks, len(levels)
        teacher, student = taps(networks.teacher, x, depth), taps(networks.student, x, depth)
        channels = teacher[-1].shape[1]
        rebuilt = networks.autoencoder(x)
        other = student[-1][:, channels:] if self.options.stae_weight else teacher[-1]
        whole = (rebuilt - other).square().mean(1)
        if self.options.local_map == "squares":
            return (teacher[-1] - student[-1][:, :channels]).square().mean(1), whole
        distances = [
            weight * discrepancy(expert, apprentice[:, : expert.shape[1]])
            for weight, expert, apprentice in zip(levels, teacher, student, strict=True)
        ]
        joined = [resample(each) for resample, each in zip(self.resampling, distances, strict=True)]
        return torch.stack(joined).sum(0), whole

    def _skipped(self, pictures: DefectivePictures, watch: Watch) -> Facts:
        """Whether synthetic defects keep off the background, told where the pictures decided it."""
        skips = pictures.defects.skip_background
        if self.options.skip_background == "auto":
            where = "on the product alone: it lies on plain ground" if skips else "anywhere: no plain ground"
            watch.say(f"Synthetic defects lie {where} (options.skip_background={str(skips).lower()}).")
        return {"skip_background": skips}

    def _normalised(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std

    def _fresh(self, grid: tuple[int, int]) -> Networks:
        options = self.options
        teacher = pdn(options.pdn, options.channels, padding=options.padding)
        student = pdn(options.pdn, 2 * options.channels, padding=options.padding)
        return Networks(teacher, student, Autoencoder(options.channels, grid))

    def _load_teacher(self) -> None:
        options = self.options
        teacher = load_teacher(
            options.teacher,
            options.pdn,
            padding=options.padding,
            weights=options.weights,
            channels=options.channels,
        )
        if teacher.channels != options.channels:
            raise OptionError(
                "option 'channels' of efficientad",
                expected=f"{teacher.channels}, as the teacher {teacher.source} has",
                got=str(options.channels),
                fix=f"Set channels={teacher.channels}.",
            )
        self.networks.teacher.load_state_dict(teacher.body.state_dict())

    @torch.no_grad()
    def _raw(self, pictures: Pictures, run: Run, watch: Watch) -> tuple[Tensor, Tensor]:
        """Raw maps of all pictures, (N, h, w) each, as the graph computes them."""
        self.eval()
        found = [
            [maps.cpu() for maps in self._maps(pixels)]
            for pixels in batches(pictures, run, watch, "scaling the maps", _BATCH)
        ]
        local, whole = zip(*found, strict=True)
        return torch.cat(local), torch.cat(whole)

    def _tuning_loss(self, pictures: Pictures, run: Run) -> float:
        return sum(float(maps.mean()) for maps in self._raw(pictures, run, UNWATCHED))


def _grid(options: EfficientADOptions) -> tuple[int, int]:
    """Height and width of the teacher's map."""
    field = pdn_cells(options.pdn)[-1].field
    if not options.padding and min(options.size) < field:
        raise OptionError(
            "option 'size' of efficientad",
            expected=f"at least {field} pixels a side without padding",
            got=f"{options.size[0]}x{options.size[1]}",
            fix="Choose a larger size, or padding=true.",
        )
    return _grids(options)[-1]


def _grids(options: EfficientADOptions) -> list[tuple[int, int]]:
    """Height and width of each convolution's map."""
    with torch.device("meta"):
        network = pdn(options.pdn, 1, padding=options.padding)
        maps = taps(network, torch.empty(1, 3, *options.size), len(cells(network)))
    return [(values.shape[2], values.shape[3]) for values in maps]
