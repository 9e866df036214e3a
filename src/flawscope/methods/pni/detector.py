"""PNI as a detector: a memory bank of which only what is usual here counts.

The source is named in this package's docstring. A feature is as likely as the nearest good one that may lie
there: by its position, where good pictures show it, or by its neighbourhood, which a network reads. Both
negative logarithms are averaged, as the authors' code does. Beyond that: features keep all their channels
(the code pools them to 1024), and the last weights stay (the code keeps those best on held-out cells).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.files import writable_folder
from flawscope.methods.detector import Detector, Facts, Learnt, Needs
from flawscope.methods.pni.options import PRESETS, PNIOptions
from flawscope.methods.pni.surroundings import Surroundings
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.coreset import coreset_size
from flawscope.nn.banks.features import PatchGrid, map_batches, patch_rows
from flawscope.nn.banks.neighbours import nearest
from flawscope.nn.banks.patchbank import select_patches
from flawscope.nn.banks.store import patch_store
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.run import Run, seeded
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.training.loop import Loop, Losses
from flawscope.nn.training.stores import shuffled
from flawscope.nn.watch import Watch

_NETWORK = 91
_FALL = 0.1


class PNI(Detector):
    """Features judged against good ones that are usual at their place and among their neighbours."""

    name: ClassVar = "pni"
    Options = PNIOptions
    options: PNIOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = "distances"

    bank: Tensor
    half_norms: Tensor
    centre: Tensor
    kinds: Tensor
    usual: Tensor

    def __init__(self, options: PNIOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.backbone = build_backbone(options.backbone, options.layers, strides=(8, 16), size=options.size)
        self.grid = PatchGrid(self.backbone, neighbourhood=options.neighbourhood)
        self.edge = options.neighbourhood // 2
        if min(self.grid.shape) <= 2 * self.edge:
            raise OptionError(
                "option 'size' of pni",
                expected=f"more than {2 * self.edge} cells a side within the borders that it leaves out",
                got=f"{self.grid.shape[0]}x{self.grid.shape[1]} cells",
                fix="Raise size, or lower neighbourhood.",
            )
        self.heatmap = Heatmap(self.grid.shape, options.size, options.smoothing)
        known = dict(facts or {})
        self.surroundings = self._fresh(int(str(known.get("classes", options.classes))), 0)
        cells = self.grid.shape[0] * self.grid.shape[1]
        self.register_buffer("bank", torch.zeros(1, self.grid.dim))  # (M, D), less the centre
        self.register_buffer("half_norms", torch.zeros(1))  # (M,)
        self.register_buffer("centre", torch.zeros(self.grid.dim))
        self.register_buffer("kinds", torch.zeros(1, dtype=torch.int64))  # (M,) class of each member
        self.register_buffer("usual", torch.ones(cells, 1, dtype=torch.bool))  # (P, M) by position

    def needs(self) -> Needs:
        """See `Detector.needs`."""
        return Needs(normal=1)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Collect features, choose bank and classes, count positions, and train the network.

        Raises:
            WeightsError: no weights for the backbone.
            Stopped: see `Detector.fit`; selection and training resume where they were.
        """
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        features = self._collect(data.normal, run, watch)  # (n, h, w, D)
        rows = self._inner(features.movedim(3, 1)).movedim(1, 3).flatten(0, 2)  # (R, D)
        members = coreset_size(len(rows), self.options.coreset)
        members = min(members, self.options.bank_limit or members)
        classes = min(self.options.classes, len(rows))
        chosen = select_patches(
            rows,
            max(members, classes),
            projection=self.options.projection,
            run=run,
            watch=watch,
            name="coreset",
        )
        kept, kinds = rows[chosen[:members]], rows[chosen[:classes]]
        self._remember(kept, kinds)
        history: list[dict[str, float]] = []
        if self.options.information != "neighbourhood":
            where = self._searched(features, kept, run, watch)  # (n, h, w)
            self.usual = usual_by_position(where, members, self.options.reach, self.options.threshold)
        self.surroundings = self._fresh(classes, int(run.generator(_NETWORK).initial_seed()))
        if self.surroundings is not None:
            told = self._searched(features, kinds, run, watch)
            history = self._train(
                self.surroundings, Neighbourhoods(features, told, self.options.reach), data, run, watch
            )
        return Learnt({"classes": classes}, history)

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; the map holds negative log-likelihoods, the score is its highest cell."""
        del scalars
        features = self.grid(self.backbone(pixels))  # (N, D, h, w)
        cells = self._inner(self._unlikely(features))  # (N, h', w')
        score = cells.flatten(1).amax(1)
        padded = F.pad(cells.unsqueeze(1), (self.edge,) * 4, mode="replicate").squeeze(1)  # (N, h, w)
        return {"score": score, "heatmap": self.heatmap(padded)}

    def _unlikely(self, features: Tensor) -> Tensor:
        """Negative log-likelihood (N, h, w) of features (N, D, h, w)."""
        options, shape = self.options, self.grid.shape
        distances = self._distances(features)  # (N, P, M)
        farthest = distances.amax(2)  # (N, P)
        found = []
        if options.information != "neighbourhood":
            found.append(_nearest_usual(distances, self.usual, farthest))
        if self.surroundings is not None:
            logits = self.surroundings(self.surroundings.padded(features))  # (N, K, h, w)
            chances = torch.softmax(logits / options.temperature, 1).flatten(2).transpose(1, 2)  # (N, P, K)
            likely = chances > options.threshold / len(self.bank)
            found.append(_nearest_usual(distances, likely.index_select(2, self.kinds), farthest))
        mean = torch.stack(found).mean(0).reshape(-1, *shape)  # (N, h, w)
        return options.decay * mean - math.log(options.decay)

    def _distances(self, features: Tensor) -> Tensor:
        """Distances (N, P, M) of all cells to all members."""
        rows = features.flatten(2).transpose(1, 2) - self.centre  # (N, P, D)
        products = torch.matmul(rows, self.bank.T)
        squared = rows.square().sum(2, keepdim=True) + 2 * (self.half_norms - products)
        return squared.clamp_min(0).sqrt()

    def _inner(self, maps: Tensor) -> Tensor:
        """Maps (..., h, w) without the cells whose patch reaches beyond the picture, as the authors' code."""
        edge, (height, width) = self.edge, self.grid.shape
        return maps[..., edge : height - edge, edge : width - edge]

    def _fresh(self, classes: int, seed: int) -> Surroundings | None:
        """A network that knows nothing yet; None where the position alone tells."""
        options = self.options
        if options.information == "position":
            return None
        with seeded(seed):
            made = Surroundings(
                self.grid.dim,
                classes,
                reach=options.reach,
                width=options.width,
                depth=options.depth,
                dropout=options.dropout,
            )
        return made.requires_grad_(False).eval()

    def _remember(self, members: Tensor, classes: Tensor) -> None:
        """Fill the bank with members (M, D), each of the class (K, D) that it is nearest to."""
        self.centre = members.mean(0)
        self.bank = members - self.centre
        self.half_norms = self.bank.square().sum(1) / 2
        self.kinds = nearest(members, classes)[1].squeeze(1)

    def _collect(self, pictures: Pictures, run: Run, watch: Watch) -> Tensor:
        """Features (n, h, w, D) of all training pictures."""
        folder = writable_folder(run.checkpoints.folder) if run.checkpoints else None
        height, width = self.grid.shape
        rows = len(pictures) * height * width
        kept = patch_store(rows, self.grid.dim, budget_bytes=run.memory, folder=folder)
        done = 0
        for maps in map_batches(self.backbone, pictures, run, watch):
            found = patch_rows(self.grid(maps))
            kept[done : done + len(found)] = found.cpu()
            done += len(found)
        return kept.view(-1, height, width, self.grid.dim)

    def _searched(self, features: Tensor, bank: Tensor, run: Run, watch: Watch) -> Tensor:
        """Index (n, h, w) of the member of a bank (M, D) that each cell is nearest to."""
        device, found = run.torch_device(), []
        with watch.stage("comparing cells", len(features)) as stage:
            for one in features:  # (h, w, D)
                watch.check_stop(run)
                found.append(nearest(one.flatten(0, 1).to(device), bank.to(device))[1].cpu())  # (h * w, 1)
                stage.advance()
        return torch.stack(found).view(-1, *self.grid.shape)

    def _train(
        self, network: Surroundings, draws: Neighbourhoods, data: TrainingData, run: Run, watch: Watch
    ) -> list[dict[str, float]]:
        """Teach the network which class each cell is of, from the features around it; returns the losses."""
        options, device = self.options, run.torch_device()
        network.to(device)
        optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)

        def step(number: int) -> Losses:
            around, kinds = draws(shuffled(len(draws), options.batch, number, run))
            with run.autocast():
                logits = network(around.to(device)).flatten(1)  # (B, K)
            return {"total": F.cross_entropy(logits.float(), kinds.to(device))}

        steps, falls = options.steps_for(len(draws)), options.falls + 1
        name = f"{self.name}-{fingerprint(options, run, (data.normal,), self.backbone)}"
        loop = Loop(name, steps, network, optimiser, run, watch, step)
        loop.schedule = lambda number: _FALL ** (number * falls // steps)
        return loop.go()


def usual_by_position(where: Tensor, members: int, reach: int, threshold: float) -> Tensor:
    """Which of M members are usual at each of P = h · w cells, (P, M) bool.

    Args:
        where: (n, h, w) member that each cell of the good pictures is nearest to.
        members: M.
        reach: cells to each side whose members count too.
        threshold: share of the cells' members, times M, above which one is usual.
    """
    height, width = where.shape[1:]
    places = torch.arange(height * width).view(height, width)
    counts = torch.bincount((places * members + where).flatten(), minlength=height * width * members)
    shown = counts.view(height, width, 1, members).permute(3, 2, 0, 1).float()  # (M, 1, h, w)
    side = 2 * reach + 1
    around = F.avg_pool2d(shown, side, 1, reach) * side**2  # (M, 1, h, w), within reach
    share = around / around.sum(0)
    return (share > threshold / members).flatten(1).T


class Neighbourhoods:
    """Cells of all pictures with those around them, drawn by their number.

    Args:
        features: (n, h, w, D).
        told: (n, h, w) class of each cell.
        reach: cells to each side; beyond the border lie zeros.
    """

    def __init__(self, features: Tensor, told: Tensor, reach: int) -> None:
        self.features, self.told = features, told
        self.offsets = torch.arange(-reach, reach + 1)

    def __len__(self) -> int:
        return self.told.numel()

    def __call__(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, D, p, p) around cells (B,), and their classes (B,)."""
        height, width = self.told.shape[1:]
        picture, row, column = torch.unravel_index(numbers, self.told.shape)
        rows = row[:, None, None] + self.offsets[:, None]  # (B, p, 1)
        columns = column[:, None, None] + self.offsets  # (B, 1, p)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (B, p, p)
        places = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        seen = self.features[picture[:, None, None], *places] * inside.unsqueeze(3)  # (B, p, p, D)
        return seen.permute(0, 3, 1, 2), self.told[picture, row, column]


def _nearest_usual(distances: Tensor, usual: Tensor, farthest: Tensor) -> Tensor:
    """Distance (N, P) to the nearest usual member, of (N, P, M); to the farthest where none is usual."""
    return torch.minimum(torch.where(usual, distances, torch.inf).amin(2), farthest)
