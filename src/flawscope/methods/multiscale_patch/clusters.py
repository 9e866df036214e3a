"""The centres c_k of equation 4: mini-batch K-means over random patches of all pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from flawscope.errors import DataError
from flawscope.methods.multiscale_patch import sampler
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.methods.multiscale_patch.patches import crop
from flawscope.nn.run import Run
from flawscope.nn.training.stores import PixelStore
from flawscope.nn.watch import UNWATCHED, Watch

_STARTS = 3  # of K-means; the best is kept


def due(number: int, options: MultiScalePatchOptions, pictures: int) -> bool:
    """Whether the centres are computed afresh before this step: every few epochs (section 3.2.3)."""
    length = options.kmeans_every * pictures
    return number == 0 or number * options.batch // length > (number - 1) * options.batch // length


def check_clusters(options: MultiScalePatchOptions, pictures: int) -> None:
    """Refuse more clusters than patches.

    Raises:
        DataError: there are more.
    """
    patches = pictures * options.patches
    if "kmeans" in options.losses and options.clusters > patches:
        raise DataError(
            "training patches",
            expected=f"at least {options.clusters} for as many clusters",
            got=f"{patches} ({options.patches} in each of {pictures} pictures)",
            fix="Lower `clusters`, raise `patches`, or add good pictures.",
        )


@torch.no_grad()
def sampled(
    embed: Callable[[Tensor], Tensor],
    store: PixelStore,
    options: MultiScalePatchOptions,
    scale: int,
    *,
    generator: torch.Generator,
    together: int,
    run: Run,
    watch: Watch = UNWATCHED,
) -> Tensor:
    """Embeddings (n, D) float32 of random patches, as many in each picture as a step takes.

    Args:
        embed: patches (n, 3, θ, θ) to embeddings (n, D).
        store: the pictures.
        options: the patches a picture and the pictures' size.
        scale: side θ of the patches.
        generator: of the draws.
        together: pictures whose patches are embedded in one pass.
        run, watch: progress kept, and stop signal.
    """
    room = (options.size[0] - scale, options.size[1] - scale)
    rows = []
    for pictures in torch.split(torch.arange(len(store)), together):
        watch.check_stop(run)
        corners = sampler.anywhere(options.patches * len(pictures), room, generator)
        pixels = store.batch(pictures)
        owners = torch.arange(len(pictures), device=pixels.device).repeat_interleave(options.patches)
        rows.append(embed(crop(pixels, owners, corners.to(pixels.device), scale)).float().cpu())
    return torch.cat(rows)


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
