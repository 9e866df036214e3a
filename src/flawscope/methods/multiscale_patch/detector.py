"""Multi-scale patch representation learning as a detector: patches far from every good one are anomalous.

The sources are named in this package's docstring. Encoders learn from patches of good pictures (sections 3.1
to 3.3); then every patch of a picture is compared with all patches of the good ones (section 3.4).
"""

from __future__ import annotations

import functools
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.files import writable_folder
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Facts, Learnt, Needs
from flawscope.methods.multiscale_patch.bank import EmbeddingBank
from flawscope.methods.multiscale_patch.options import PRESETS, MultiScalePatchOptions
from flawscope.methods.multiscale_patch.patches import Coverage, grid_shape
from flawscope.methods.multiscale_patch.training import Networks, train
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.features import patch_rows
from flawscope.nn.banks.store import patch_store
from flawscope.nn.memory import available_bytes, gib, require_memory
from flawscope.nn.run import Run, seeded
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.training.stores import PixelStore
from flawscope.nn.watch import Watch, batches
from flawscope.runtime.explain.examples import Examples
from flawscope.runtime.manifest import OutputSpec

_NETWORKS = 0x3C4E
_BATCH = 4
_FLOAT_BYTES = 4


def outputs_of(scales: tuple[int, ...]) -> tuple[OutputSpec, ...]:
    """Score, heatmap, and for each scale how far the nearest good patch is and which one."""
    found = [SCORE, HEATMAP]
    for scale in scales:
        distance, nearest = f"of each {scale}-pixel patch to the nearest good one", "number of that one"
        found += [
            OutputSpec(name=f"distance_{scale}", kind="heatmap", about=distance),
            OutputSpec(
                name=f"nearest_{scale}", kind="index_map", about=f"{nearest} among the good pictures' patches"
            ),
        ]
    return tuple(found)


class MultiScalePatch(Detector):
    """Learned embeddings of patches of three sizes; the score is the distance to the nearest good patches."""

    name: ClassVar = "multiscale_patch"
    Options = MultiScalePatchOptions
    options: MultiScalePatchOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = "patches"
    outputs = outputs_of((64, 32, 16))

    def __init__(self, options: MultiScalePatchOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.outputs = outputs_of(options.scales)
        options.check_room()
        self.networks = self._fresh(0)
        self.networks.requires_grad_(False).eval()
        self.grids = {s: grid_shape(options.size, s, options.stride(s)) for s in options.scales}
        self.banks = nn.ModuleDict(
            {str(s): EmbeddingBank(options.embedding, grid) for s, grid in self.grids.items()}
        )
        self.coverage = nn.ModuleDict(
            {str(s): Coverage(options.size, s, options.stride(s)) for s in options.scales}
        )

    def needs(self) -> Needs:
        """See `Detector.needs`."""
        return Needs(normal=1)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Train the encoders on `data.normal`, then keep its patches.

        The facts name each scale's side and stride in pixels, for the explanation; the files are the good
        pictures, small.

        Raises:
            DataError: fewer patches than clusters.
            OptionError: the patches of all pictures would not fit into memory.
            WeightsError: no weights for the encoders' backbone.
        """
        self._require_memory(len(data.normal))
        self.networks = self._fresh(int(run.generator(_NETWORKS).initial_seed())).to(run.torch_device())
        if self.options.weights == "pretrained":
            for backbone in self.networks.encoders.backbones():
                load_pretrained(backbone)
        name = f"{self.name}-{fingerprint(self.options, run, (data.normal,), self.networks)}"
        history = train(
            self.networks, PixelStore(data.normal, run, watch), self.options, run, watch, name=name
        )
        examples = self.remember(data.normal, run, watch, name)
        scales = self.options.scales
        facts: Facts = {"sides": list(scales), "strides": [self.options.stride(scale) for scale in scales]}
        return Learnt(facts=facts, history=history, files=examples.files())

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; the heatmap is AM of equation 8, the score that of equation 9."""
        del scalars
        options, maps, outputs = self.options, [], dict[str, Tensor]()
        for scale, embeddings in self.networks.encoders.grids(pixels).items():
            distances, nearest = self._bank(scale)(embeddings)  # (N, h, w) each
            maps.append(self.coverage[str(scale)](distances))  # (N, H, W), equation 7
            outputs |= {f"distance_{scale}": distances, f"nearest_{scale}": nearest}
        heatmap = functools.reduce(torch.add if options.combination == "sum" else torch.mul, maps)
        means = F.avg_pool2d(heatmap.unsqueeze(1), options.window[0], options.window[1])
        return {"score": means.flatten(1).amax(1), "heatmap": heatmap, **outputs}

    def patch_embeddings(self, pixels: Tensor) -> dict[int, tuple[int, Tensor]]:
        """For each scale the stride and embeddings (N, D, h, w) of pixels (N, 3, H, W)."""
        grids = self.networks.encoders.grids(pixels)
        return {scale: (self.options.stride(scale), grid) for scale, grid in grids.items()}

    def _fresh(self, seed: int) -> Networks:
        with seeded(seed):
            return Networks(self.options)

    @torch.no_grad()
    def remember(self, pictures: Pictures, run: Run, watch: Watch, prefix: str) -> Examples:
        """Fill the banks with the embeddings of all patches of all pictures; returns the pictures, small.

        `prefix` begins the names of checkpoints.
        """
        options = self.options
        self.eval()
        examples = Examples(options.size)
        folder = writable_folder(run.checkpoints.folder) if run.checkpoints else None
        budget = run.memory // len(self.grids)
        stores = {
            s: patch_store(
                len(pictures) * height * width, options.embedding, budget_bytes=budget, folder=folder
            )
            for s, (height, width) in self.grids.items()
        }
        filled = dict.fromkeys(stores, 0)
        for pixels in batches(pictures, run, watch, "embedding the patches", _BATCH):
            for picture in pixels[: max(0, options.examples - len(examples))].cpu().numpy():
                examples.add(picture)
            for scale, embeddings in self.networks.encoders.grids(pixels).items():
                rows = patch_rows(embeddings)
                stores[scale][filled[scale] : filled[scale] + len(rows)] = rows.cpu()
                filled[scale] += len(rows)
        for scale in options.scales:
            share, name = options.coreset, f"{prefix}-coreset-{scale}"
            self._bank(scale).keep(
                stores.pop(scale), share, options.bank_limit, run=run, watch=watch, name=name
            )
        return examples

    def _bank(self, scale: int) -> EmbeddingBank:
        bank = self.banks[str(scale)]
        if not isinstance(bank, EmbeddingBank):
            raise TypeError(f"{scale} has no bank")
        return bank

    def _require_memory(self, pictures: int) -> None:
        patches = pictures * sum(height * width for height, width in self.grids.values())
        needed = 2 * _FLOAT_BYTES * self.options.embedding * patches  # all of them, and the banks at most
        require_memory(
            needed,
            available_bytes(),
            what="patches of multiscale_patch",
            got=f"{gib(needed)} for the patches of {pictures} pictures",
            fix="Lower `embedding`, `size` or the number of pictures, or widen `strides`.",
        )
