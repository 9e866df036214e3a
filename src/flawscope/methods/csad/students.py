"""CSAD's local and global students (LGST, section 3.4): structural flaws, and some logical ones.

Sections and tables are those of CSAD, named in this package, unless another paper is. The teacher is the
frozen network whose maps the component segmenter reads too, so that one pass serves both. A *local* student
sees 33×33 pixels and imitates it; a *global* one, EfficientAD's autoencoder, puts the whole picture through
64 values; and the local student imitates the global one with a head of its own. Trained as EfficientAD
(Batzner, Heckler, König, WACV 2024; section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.csad.structure import Structure
from flawscope.methods.csad.students_options import StudentsOptions
from flawscope.nn.backbones.build import IMAGENET, Backbone
from flawscope.nn.backbones.pdn import STRIDE, pdn_cells, pdn_s
from flawscope.nn.backbones.strides import layers_at
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.moments import Levels
from flawscope.nn.run import Run, seeded
from flawscope.nn.student_teacher.joined_teacher import JoinedTeacher
from flawscope.nn.student_teacher.networks import Autoencoder, border, bordered, taps
from flawscope.nn.student_teacher.objective import Coefficients, Objective, Part
from flawscope.nn.student_teacher.pictures import Batch, TrainingPictures
from flawscope.nn.student_teacher.training import train
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.training.stores import FeatureStore
from flawscope.nn.watch import Watch, batches

_HIGH = 0.1  # what the maps' upper quantile becomes (EfficientAD, section 3.4)
_NETWORKS = 0x57D
_BATCH = 4


class LocalStudent(nn.Module):
    """A patch description network with two maps: the teacher's, and the global student's (table 5).

    Args:
        channels: of the teacher's map, C.
        options: `local_student`, `width` and `padding`.
    """

    def __init__(self, channels: int, options: StudentsOptions) -> None:
        super().__init__()
        self.channels, self.design = channels, options.local_student
        doubled = 2 if self.design == "doubled" else 1
        self.body = pdn_s(doubled * channels, padding=options.padding, width=options.width)
        if self.design == "heads":
            self.local = nn.Conv2d(channels, channels, 1)
            self.whole = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, part: Part = "both") -> list[Tensor]:
        """Map normalised pixels (N, 3, H, W) to the maps asked for, (N, C, h, w) each."""
        if self.design == "heads":
            seen = F.relu(self.body(x))
            heads = {"local": [self.local], "whole": [self.whole], "both": [self.local, self.whole]}[part]
            return [head(seen) for head in heads]
        if self.design == "shared":
            seen = self.body(x)
            return [seen, seen] if part == "both" else [seen]
        half = {"local": slice(self.channels), "whole": slice(self.channels, None), "both": slice(None)}[part]
        return list(torch.split(taps(self.body, x, 1, half)[-1], self.channels, 1))


class LocalGlobal(Structure):
    """LGST: how far the local student is from the teacher, and the global student from the local one.

    Args:
        options: of the students.
        backbone: the teacher's network, at `options.strides` and perhaps others; it is not kept.
        size: height and width of the pictures, in pixels.

    Attributes:
        levels: of the local and of the global map; the quantiles on the tuning pictures become 0 and 0.1.

    Raises:
        OptionError: a stride at which the backbone has no layer, or pictures too small to go without padding.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, options: StudentsOptions, backbone: Backbone, size: tuple[int, int]) -> None:
        super().__init__()
        self.options = options
        self.grid = _grid(options, size)
        layers = layers_at(backbone, options.strides, option="strides", of="the students")
        where = pdn_cells("small", padding=options.padding)[-1]
        self.teacher = JoinedTeacher(
            backbone, layers, where=where, grid=self.grid, most=options.teacher_channels
        )
        with seeded(0):
            self.students = self._fresh()
        self.students.requires_grad_(False).eval()
        for key, value in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(key, torch.tensor(value).view(1, 3, 1, 1), persistent=False)
        self.levels = Levels(2, "quantiles", between=options.quantiles, top=_HIGH)
        self.border, whole = border(where, self.grid, size)
        self.heatmap = Heatmap(whole, size, 0.0, stride=STRIDE)

    def _fresh(self) -> nn.ModuleDict:
        channels = self.teacher.channels
        whole = Autoencoder(channels, self.grid, largest=self.options.rebuilt)
        return nn.ModuleDict({"local": LocalStudent(channels, self.options), "whole": whole})

    def learn(self, data: TrainingData, backbone: Backbone, run: Run, watch: Watch) -> list[dict[str, float]]:
        """See the base's: train both students, then scale both maps on the tuning pictures."""
        options, device = self.options, run.torch_device()
        with run.seeded(_NETWORKS):
            self.students = self._fresh()
        self.to(device)
        store = FeatureStore(backbone, data.normal, run, watch)
        self.teacher.learn(store.batch(rows) for rows in torch.split(torch.arange(len(store)), _BATCH))
        self.students.to(memory_format=torch.channels_last)
        natural = data.natural if options.natural else None
        pictures = TrainingPictures(
            data.normal,
            natural,
            size=options.batch,
            appearance=options.appearance,
            apart=options.appearance != "none",
            run=run,
        )
        kept = fingerprint(options, run, (data.normal, natural), backbone)
        history = train(
            pictures,
            Imitation(self, store, run),
            self.students,
            options,
            run=run,
            watch=watch,
            name=f"students-{kept}",
        )
        self.students.to(memory_format=torch.contiguous_format)
        self.levels.learn(self._raw(data.tuning, backbone, run, watch))
        return history

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        """See the base's: the mean of the local and the global map (appendix D), at 4 pixels a cell."""
        local, whole = self.local_and_global(pixels, maps)
        return (local + whole) / 2

    def local_and_global(self, pixels: Tensor, maps: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The local and the global map (N, h, w), each in its levels; what goes in is as for `forward`."""
        both = self.levels(torch.stack(self.differences(pixels, maps), 1))  # (N, 2, h, w)
        local, whole = bordered(both, self.border).unbind(1)
        return local, whole

    def differences(self, pixels: Tensor, maps: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean squared differences (N, h, w) of teacher and local student, and of both students."""
        x = self.normalised(pixels)
        local, whole = self.students["local"](x)
        rebuilt = self.students["whole"](x)
        return (self.teacher(maps) - local).square().mean(1), (rebuilt - whole).square().mean(1)

    def normalised(self, pixels: Tensor) -> Tensor:
        """What the students take: ImageNet's mean and deviation become 0 and 1."""
        return (pixels - self.mean) / self.std

    @torch.no_grad()
    def _raw(self, pictures: Pictures, backbone: Backbone, run: Run, watch: Watch) -> tuple[Tensor, Tensor]:
        """Differences of all pictures, (N, h, w) each, as the graph computes them."""
        found = [
            [maps.cpu() for maps in self.differences(pixels, backbone(pixels))]
            for pixels in batches(pictures, run, watch, "scaling the maps", _BATCH)
        ]
        local, whole = zip(*found, strict=True)
        return torch.cat(local), torch.cat(whole)


class Imitation(Objective):
    """The losses of one batch, at the run's precision: the teacher's in that of features."""

    def __init__(self, owner: LocalGlobal, store: FeatureStore, run: Run) -> None:
        options = owner.options
        super().__init__(Coefficients(penalty=float(options.natural)), options.hard_quantile)
        self.owner, self.store, self.run = owner, store, run

    def teacher(self, pixels: Tensor) -> list[Tensor]:
        """See the base's."""
        with torch.no_grad(), self.run.autocast(features=True):
            return [self.owner.teacher(self.store.backbone(pixels)).float()]

    def target(self, batch: Batch) -> list[Tensor]:
        """See the base's; the maps of the pictures as they are were read once."""
        if batch.indices is None:
            return super().target(batch)
        return [self.owner.teacher(self.store.batch(batch.indices))]

    def student(self, pixels: Tensor, part: Part) -> list[Tensor]:
        """See the base's."""
        with self.run.autocast():
            found = self.owner.students["local"](self.owner.normalised(pixels), part)
        return [maps.float() for maps in found]

    def rebuild(self, pixels: Tensor) -> Tensor:
        """See the base's."""
        with self.run.autocast():
            rebuilt: Tensor = self.owner.students["whole"](self.owner.normalised(pixels))
        return rebuilt.float()


def _grid(options: StudentsOptions, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the local student's map."""
    field = pdn_cells("small", padding=options.padding)[-1].field
    if not options.padding and min(size) < field:
        raise OptionError(
            "option 'size'",
            expected=f"at least {field} pixels a side for students without padding",
            got=f"{size[0]}x{size[1]}",
            fix="Choose a larger size, or padding=true for the students.",
        )
    with torch.device("meta"):
        shape = pdn_s(1, padding=options.padding)(torch.empty(1, 3, *size)).shape
    return shape[2], shape[3]
