"""Training of all scales: the patches of a step, their losses, and fresh centres every few epochs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from flawscope.errors import DataError
from flawscope.methods.multiscale_patch.encoders import BLOCK_PIXELS, Encoders, times
from flawscope.methods.multiscale_patch.losses import (
    PositionClassifier,
    cosine_loss,
    kmeans_loss,
    position_loss,
    svdd_loss,
    total_loss,
)
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.methods.multiscale_patch.patches import Places, anywhere, crop, draw
from flawscope.nn.run import Run
from flawscope.nn.training.loop import Loop, Losses
from flawscope.nn.training.stores import PixelStore, shuffled, steps_of
from flawscope.nn.watch import UNWATCHED, Watch

_PLACES, _CENTRES, _STANDARD = 0x9A7C, 0xC317, 0x57A9
_STARTS = 3  # of K-means; the best is kept
_PICTURES = 16  # summed at a time for their mean
_SMALLER = 8  # passes without gradients are faster in smaller blocks
_AT_ONCE = _SMALLER * BLOCK_PIXELS  # pixels of patches of one pass forwards and backwards


def due(number: int, options: MultiScalePatchOptions, pictures: int) -> bool:
    """Whether the centres are computed afresh before this step: every few epochs (section 3.2.3)."""
    length = options.kmeans_every * options.patches * pictures
    return number == 0 or number * options.batch // length > (number - 1) * options.batch // length


def centres(embeddings: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Centres (K, D) of embeddings (n, D); where fewer of them differ than K, some centres are equal."""
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    seed = int(torch.randint(2**31, (1,), generator=generator))
    found = MiniBatchKMeans(count, random_state=seed, n_init=_STARTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found.fit(embeddings.numpy())
    return torch.from_numpy(found.cluster_centers_)


class Networks(nn.Module):
    """What learns: encoders and classifiers by scale; and the centres of K-means, which are computed."""

    def __init__(self, options: MultiScalePatchOptions) -> None:
        super().__init__()
        self.encoders = Encoders(options)
        self.classifiers = nn.ModuleDict(
            {str(s): PositionClassifier(options.embedding, options.directions) for s in options.scales}
        )
        for scale in options.scales:
            self.register_buffer(f"centres_{scale}", torch.zeros(options.clusters, options.embedding))

    def centres(self, scale: int) -> Tensor:
        """Centres (K, D) of equation 4."""
        return self.get_buffer(f"centres_{scale}")


class Objective:
    """The losses of one scale for the patches of a step, at the run's precision."""

    def __init__(self, networks: Networks, options: MultiScalePatchOptions, run: Run) -> None:
        self.networks, self.options, self.run = networks, options, run
        embed = networks.encoders.embed
        self.embed = torch.compile(embed, dynamic=False) if options.compile else embed

    def __call__(self, pixels: Tensor, places: Places, scale: int) -> dict[str, Tensor]:
        """Losses by name; pixels (N, 3, H, W) as `Encoders.centred` gives them."""
        found, losses = self._embedded(pixels, places, scale), dict[str, Tensor]()
        if "svdd" in self.options.losses:
            losses["svdd"] = svdd_loss(found["i"], found["j"])
        if "cos" in self.options.losses:
            losses["cos"] = cosine_loss(found["i"], found["j"], found["k"])
        if places.label is not None:
            logits = self.networks.classifiers[str(scale)](found["m"], found["n"])
            losses["ssl"] = position_loss(logits, places.label.to(pixels.device))
        if "kmeans" in self.options.losses:
            losses["kmeans"] = kmeans_loss(found["r"], self.networks.centres(scale))
        return losses

    def _embedded(self, pixels: Tensor, places: Places, scale: int) -> dict[str, Tensor]:
        """Embeddings (n, D) float32 by kind, of patches that were all cut in one gather."""
        kinds, device = list(places.corners), pixels.device
        corners = torch.cat([places.corners[kind] for kind in kinds])  # (kinds * n, 2)
        owners = places.owners.repeat(len(kinds))
        patches = crop(pixels, owners.to(device), corners.to(device), scale)
        if self.options.noise:
            patches = patches + self._noise(patches, kinds)
        patches = patches.contiguous(memory_format=torch.channels_last)
        with self.run.autocast():
            embeddings: Tensor = self.embed(scale, patches)
        return dict(zip(kinds, embeddings.float().chunk(len(kinds)), strict=True))

    def _noise(self, patches: Tensor, kinds: list[str]) -> Tensor:
        """Noise on the patches of L_SSL, against what a lens does to colours near the border (Patch SVDD)."""
        told = torch.tensor([kind in "mn" for kind in kinds], device=patches.device)
        told = told.repeat_interleave(len(patches) // len(kinds)).view(-1, 1, 1, 1)  # (kinds * n, 1, 1, 1)
        shift = torch.randn(len(patches), 3, 1, 1, device=patches.device)
        return self.options.noise * told * (shift + torch.randn_like(patches))


def steps_in_all(options: MultiScalePatchOptions, pictures: int) -> int:
    """Training steps on so many pictures: those of the epochs, or fewer where the options say so."""
    if options.steps is not None:
        return options.steps
    return steps_of(options.epochs, pictures * options.patches, options.batch)


def train(
    networks: Networks,
    store: PixelStore,
    options: MultiScalePatchOptions,
    run: Run,
    watch: Watch,
    *,
    name: str,
    finished: Callable[[int], bool] = lambda step: False,
) -> list[dict[str, float]]:
    """Train all scales in place, each by its own losses; returns the loss curve.

    `name` is the checkpoint's; `finished` is asked after each step, and True ends the training early.

    Batch norms of pretrained encoders keep their statistics; those of random ones learn theirs.

    Raises:
        DataError: more clusters than patches to find them among.
        Stopped: the stop signal was set; the same call with the same run's checkpoints goes on from there.
    """
    steps = steps_in_all(options, len(store))
    patches = len(store) * options.kmeans_patches
    if steps and "kmeans" in options.losses and options.clusters > patches:
        raise DataError(
            "training patches",
            expected=f"at least {options.clusters} for as many clusters",
            got=f"{patches} ({options.kmeans_patches} in each of {len(store)} pictures)",
            fix="Lower `clusters`, raise `kmeans_patches`, or add good pictures.",
        )
    if options.mean_picture:
        networks.encoders.centre(mean_picture(store, run, watch))
    if options.standardise:
        standardise(networks, store, options, run, watch)
    objective = Objective(networks, options, run)
    optimiser = torch.optim.Adam(_groups(networks, options), fused=True)

    def step(number: int) -> Losses:
        if "kmeans" in options.losses and due(number, options, len(store)):
            _refresh(networks, store, number, run, watch)
        networks.train(options.weights == "random")
        pixels = networks.encoders.centred(store.batch(shuffled(len(store), options.pictures, number, run)))
        return descend(objective, pixels, number, run)

    return Loop(name, steps, networks, optimiser, run, watch, step, finished=finished).go()


def mean_picture(store: PixelStore, run: Run, watch: Watch = UNWATCHED) -> Tensor:
    """The mean (3, H, W) float64 of all pictures."""
    total = torch.zeros((), dtype=torch.float64, device=store.device)
    for pictures in torch.split(torch.arange(len(store)), _PICTURES):
        watch.check_stop(run)
        total = total + store.batch(pictures).double().sum(0)
    return total / len(store)


def _groups(networks: Networks, options: MultiScalePatchOptions) -> list[dict[str, Any]]:
    """New layers at the learning rate, trunks at their share of it; those at 0 get no gradient at all."""
    trunks = networks.encoders.trunks()
    known = set(map(id, trunks))
    new = [parameter for parameter in networks.parameters() if id(parameter) not in known]
    groups = [{"params": new, "lr": options.learning_rate}]
    if options.trunk_rate:
        groups.append({"params": trunks, "lr": options.trunk_rate * options.learning_rate})
    return groups


def descend(objective: Objective, pixels: Tensor, number: int, run: Run) -> Losses:
    """Losses of a step on pixels (N, 3, H, W), `total` and each by name and scale.

    To bound memory, the gradients of all blocks but the last are added up here; that of the last waits for
    the loop.
    """
    options = objective.options
    blocks = list(_blocks(options, len(pixels), number, run, at_once(pixels.device)))
    total, losses = pixels.new_zeros(()), dict[str, Tensor]()
    for index, (scale, places, share) in enumerate(blocks):
        found = objective(pixels, places, scale)
        own = share * total_loss(found, options.closeness, options.kmeans_weight)
        if index < len(blocks) - 1:
            own.backward()  # type: ignore[no-untyped-call]
            own = own.detach()
        total = total + own
        for kind, loss in found.items():
            key = f"{kind}_{scale}"
            losses[key] = losses.get(key, torch.zeros_like(total)) + share * loss.detach()
    return {"total": total, **losses}


def at_once(device: torch.device) -> int:
    """Pixels of patches that one pass takes on this device."""
    return _AT_ONCE * times(device)


def _blocks(
    options: MultiScalePatchOptions, pictures: int, number: int, run: Run, pixels: int
) -> Iterator[tuple[int, Places, float]]:
    """Scale by scale the places of a step, in blocks of a bounded number of pixels, each with its share."""
    for scale in options.scales:
        places = draw(options, scale, pictures, run.generator(_PLACES, scale, number))
        count = len(places.owners)
        size = max(1, pixels // (len(places.corners) * scale**2))
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield scale, places.between(start, stop), (stop - start) / count


def _refresh(networks: Networks, store: PixelStore, number: int, run: Run, watch: Watch) -> None:
    """Compute the centres of every scale afresh, from random patches of all pictures."""
    networks.eval()
    options = networks.encoders.options
    for scale in options.scales:
        generator = run.generator(_CENTRES, scale, number)
        found = sampled(networks, store, scale, generator, run=run, watch=watch)
        networks.centres(scale).copy_(centres(found, options.clusters, generator))


def standardise(
    networks: Networks, store: PixelStore, options: MultiScalePatchOptions, run: Run, watch: Watch = UNWATCHED
) -> None:
    """Scale each encoder so that every component of its embeddings starts with mean 0 and variance 1."""
    networks.train(options.weights == "random")  # as in training: batch norms of random networks learn theirs
    for scale in options.encoders:
        generator = run.generator(_STANDARD, scale)
        networks.encoders.standardise(scale, sampled(networks, store, scale, generator, run=run, watch=watch))


@torch.no_grad()
def sampled(
    networks: Networks,
    store: PixelStore,
    scale: int,
    generator: torch.Generator,
    *,
    run: Run,
    watch: Watch = UNWATCHED,
) -> Tensor:
    """Embeddings (n, D) float32 of `kmeans_patches` random patches of each of all pictures."""
    options = networks.encoders.options
    block = max(1, at_once(store.device) // _SMALLER // scale**2)
    count = options.kmeans_patches
    together = max(1, at_once(store.device) // (count * scale**2))
    room = (options.size[0] - scale, options.size[1] - scale)
    rows = []
    for pictures in torch.split(torch.arange(len(store)), together):
        watch.check_stop(run)
        corners = anywhere(count * len(pictures), room, generator)
        pixels = networks.encoders.centred(store.batch(pictures))
        owners = torch.arange(len(pictures), device=pixels.device).repeat_interleave(count)
        patches = crop(pixels, owners, corners.to(pixels.device), scale)
        embeddings = [networks.encoders.embed(scale, some) for some in torch.split(patches, block)]
        rows.append(torch.cat(embeddings).float().cpu())
    return torch.cat(rows)
