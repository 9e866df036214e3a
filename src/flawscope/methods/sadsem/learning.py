"""What SADSeM reads of good pictures: label maps, how components vary, and the features of their banks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.files import writable_folder
from flawscope.methods.sadsem.layers import ComponentFacts, Layer, areas, drawn, resampled_wss
from flawscope.methods.sadsem.network import FeatureNetwork
from flawscope.methods.sadsem.options import SADSeMOptions
from flawscope.methods.sadsem.projection import Projection
from flawscope.methods.sadsem.surfaces import Surfaces
from flawscope.nn.banks.coreset import coreset_size
from flawscope.nn.banks.features import patch_rows
from flawscope.nn.banks.patchbank import most_members
from flawscope.nn.banks.store import patch_store
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch, batches

_BATCH = 8
_POINTS = 4000  # features, drawn at random, whose spread tells a component's
_DRAW = 81
_EVERYTHING = -1  # in place of a label: all cells of a picture


@dataclass(frozen=True, slots=True)
class Seen:
    """What a first look at good pictures gives.

    Attributes:
        labels: (n, H, W) uint8.
        rows: features (m, D) of layers 2 and 3 by label, at most 4000 each; those of all cells at -1.
        cells: how many cells of each layer a label has, by label and layer, where it has any.
    """

    labels: Tensor
    rows: dict[int, Tensor]
    cells: dict[tuple[int, int], int]


@torch.no_grad()
def look(
    network: FeatureNetwork,
    projection: Projection,
    judged: Sequence[int],
    *,
    pictures: Pictures,
    run: Run,
    watch: Watch,
) -> Seen:
    """Divide good pictures into components, and draw features of each."""
    grid = network.described().to(run.torch_device())
    random, each = run.generator(_DRAW), max(1, _POINTS // len(pictures))
    found, cells = [], dict[tuple[int, int], int]()
    rows: dict[int, list[Tensor]] = {label: [] for label in (_EVERYTHING, *judged)}
    for pixels in batches(pictures, run, watch, "finding components", _BATCH):
        labels, maps = network(pixels)
        found.append(labels.to(torch.uint8).cpu())
        placed = projection(labels)
        for label in judged:
            for layer, places in placed.items():
                count = int((places == label).sum())
                if count:
                    cells[label, layer] = cells.get((label, layer), 0) + count
        joined = grid({network.names[layer]: maps[layer] for layer in (2, 3)})
        for features, places in zip(joined.flatten(2).transpose(1, 2), placed[2].flatten(1), strict=True):
            for label, kept in rows.items():
                own = features if label == _EVERYTHING else features[places == label]  # (P', D)
                kept.append(drawn(own.cpu(), each, random))
    return Seen(torch.cat(found), {label: torch.cat(kept) for label, kept in rows.items()}, cells)


def describe(
    seen: Seen, judged: Sequence[int], names: Sequence[str], options: SADSeMOptions, seed: int
) -> tuple[ComponentFacts, ...]:
    """Area, spread and layers of each judged component (section 2.3, figure 2)."""
    whole = resampled_wss(seen.rows[_EVERYTHING], options.coreset, seed)
    found = []
    for label in judged:
        pictures, area = areas(seen.labels, label)
        own = resampled_wss(seen.rows[label], options.coreset, seed)
        spread = own / whole if whole else 0.0
        layers = _with_cells(options.choice.chosen(area, spread), label, seen, joined=options.joined)
        found.append(ComponentFacts(label, names[label], pictures, area, own, spread, layers))
    return tuple(found)


def _with_cells(wanted: tuple[Layer, ...], label: int, seen: Seen, *, joined: bool) -> tuple[Layer, ...]:
    """The wanted layers that have cells of the component; where none has, the finest layer that has.

    Joined ones are compared in the finest one's cells.
    """
    if joined and (label, min(wanted)) in seen.cells:
        return tuple(sorted(wanted))
    there = tuple(layer for layer in wanted if (label, layer) in seen.cells)
    finest: tuple[Layer, ...] = tuple(layer for layer in (1, 2, 3) if (label, layer) in seen.cells)
    return tuple(sorted(there)) or finest[:1]


@torch.no_grad()
def fill_banks(
    surfaces: Surfaces,
    network: FeatureNetwork,
    projection: Projection,
    seen: Seen,
    *,
    pictures: Pictures,
    options: SADSeMOptions,
    run: Run,
    watch: Watch,
) -> None:
    """Collect the features of each component and layer, and keep their coresets (section 2.3)."""
    folder = writable_folder(run.checkpoints.folder) if run.checkpoints else None
    budget, device = run.memory // max(1, len(surfaces.plan)), run.torch_device()
    stores = [
        patch_store(
            seen.cells[label, layers[0]],
            sum(network.channels[layer] for layer in layers),
            budget_bytes=budget,
            folder=folder,
        )
        for label, layers in surfaces.plan
    ]
    filled, start = [0] * len(stores), 0
    for pixels in batches(pictures, run, watch, "reading features", _BATCH):
        labels = seen.labels[start : start + len(pixels)].to(device).long()
        start += len(pixels)
        places, pooled = projection(labels), surfaces.pooled(network.maps(pixels))
        for index, (label, layers) in enumerate(surfaces.plan):
            rows = patch_rows(pooled[layers])[places[layers[0]].flatten() == label].cpu()  # (m, D)
            stores[index][filled[index] : filled[index] + len(rows)] = rows
            filled[index] += len(rows)
    surfaces.balance(stores)
    for (label, layers), bank, rows in zip(surfaces.plan, surfaces.each(), stores, strict=True):
        count = coreset_size(len(rows), options.coreset)
        name = "-".join(map(str, ("coreset", label, *layers)))
        bank.keep(
            rows,
            min(count, options.bank_limit or count),
            projection=options.projection,
            run=run,
            watch=watch,
            name=name,
        )


@torch.no_grad()
def grow_banks(
    surfaces: Surfaces | None,
    network: FeatureNetwork,
    projection: Projection,
    *,
    pictures: Pictures,
    options: SADSeMOptions,
    run: Run,
    watch: Watch,
) -> Tensor:
    """Add to the banks what further good pictures show; hands back their label maps (n, H, W) uint8."""
    plan = surfaces.plan if surfaces is not None else ()
    rows: list[list[Tensor]] = [[] for _ in plan]
    found = []
    for pixels in batches(pictures, run, watch, "reading features", _BATCH):
        labels, maps = network(pixels)
        found.append(labels.to(torch.uint8).cpu())
        if surfaces is None:
            continue
        places, pooled = projection(labels), surfaces.pooled(maps)
        for own, (label, layers) in zip(rows, plan, strict=True):
            own.append(patch_rows(pooled[layers])[places[layers[0]].flatten() == label].cpu())  # (m, D)
    for parts, bank in zip(rows, surfaces.each() if surfaces is not None else (), strict=True):
        further = torch.cat(parts)
        if len(further):
            share = coreset_size(len(further), options.coreset)
            most = most_members(len(bank.memory.bank), options.bank_limit, share, run.growth)
            bank.grow(further, most, projection=options.projection, run=run, watch=watch)
    return torch.cat(found)
