"""Forests of XGBoost: grown there, packed into tensors here, so that one graph runs on every engine.

A tree of depth D is stored as a complete binary tree: feature and threshold of its 2^D - 1 inner places, and
the mean of the leaves below each of its 2^(D + 1) - 1 places, weighted by the training weight (hessian) that
reached them. Below an early leaf every place repeats its value, so the way down always takes D turns.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import torch
import xgboost
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from flawscope.errors import BundleError
from flawscope.runtime.frozen import Frozen

AGREEMENT = 1e-4  # largest difference from XGBoost, as a share of the margins' spread
_SEED_LIMIT = 2**31 - 1

Features = NDArray[np.float32]


class ForestOptions(Frozen):
    """Settings of the final classifier; defaults are the boosted random forest of appendix A.1."""

    kind: Literal["boosted random forest", "random forest", "boosted trees"] = Field(
        "boosted random forest",
        description="10 rounds of 200 trees; 1 round of 2000; 2000 rounds of 1 (appendix A.1, section 5.6)",
    )
    depth: int = Field(5, ge=1, le=8, description="most levels of a tree (appendix A.1: 5)")
    learning_rate: float = Field(
        0.3, gt=0, le=1, description="of boosting (appendix A.1: 0.3); a random forest has 1"
    )
    columns: float = Field(
        0.6, gt=0, le=1, description="share of features for a tree and again for a node (appendix A.1: 0.6)"
    )
    rows: float = Field(0.6, gt=0, le=1, description="share of pictures for a tree (appendix A.1: 0.6)")
    l1: float = Field(1.0, ge=0, description="L1 penalty on leaves (appendix A.1: 1)")
    weighted: bool = Field(
        True,
        description="weight defective pictures by good / defective ones, so that both weigh alike (authors' "
        "code, as its tables of training pictures are read; the paper names no weight)",
    )

    @property
    def rounds(self) -> int:
        """Rounds of boosting."""
        return {"boosted random forest": 10, "random forest": 1, "boosted trees": 2000}[self.kind]

    @property
    def trees(self) -> int:
        """Trees a round."""
        return {"boosted random forest": 200, "random forest": 2000, "boosted trees": 1}[self.kind]


def grow(
    features: Features, defective: NDArray[np.bool_], options: ForestOptions, seed: int
) -> xgboost.Booster:
    """Train XGBoost's forest on `features` (N, F) and truth (N,); seeded.

    Every training value has a bin of its own. Thresholds are then moved from the upper of the two training
    values that they part to midway between both, so that rounding in another order of summation seldom
    carries a value across; the training pictures keep their leaves.
    """
    boosted = options.kind != "random forest"
    parameters = {
        "objective": "binary:logitraw",
        "tree_method": "hist",
        "max_bin": max(256, len(features) + 1),
        "num_parallel_tree": options.trees,
        "eta": options.learning_rate if boosted else 1.0,
        "max_depth": options.depth,
        "subsample": options.rows,
        "colsample_bytree": options.columns if options.kind != "boosted trees" else 1.0,
        "colsample_bynode": options.columns,
        "alpha": options.l1,
        "scale_pos_weight": (~defective).sum() / defective.sum() if options.weighted else 1.0,
        "seed": seed % _SEED_LIMIT,
        "nthread": 1,  # a few hundred rows: threads spend more on waiting for each other than they save
        "verbosity": 0,
    }
    table = xgboost.DMatrix(features, label=defective.astype(np.float32))
    return _midway(xgboost.train(parameters, table, num_boost_round=options.rounds), features)


class Forest(nn.Module):
    """A packed forest: margins and contributions of features, as XGBoost computes them.

    Attributes:
        feature: (T, 2^D - 1) int64, the feature that decides at each inner place.
        threshold: (T, 2^D - 1) float32; values below it go left.
        value: (T, 2^(D + 1) - 1) float32, mean leaf below each place.
        bias: () what the margin is before any tree has spoken.
    """

    feature: Tensor
    threshold: Tensor
    value: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("feature", torch.zeros(1, 1, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(1, 1))
        self.register_buffer("value", torch.zeros(1, 3))
        self.register_buffer("bias", torch.zeros(()))

    def pack(self, booster: xgboost.Booster, features: Features) -> None:
        """Take over a forest, and prove on `features` (N, F) that both answer alike.

        Raises:
            BundleError: they differ by more than a ten-thousandth of the margins' spread.
        """
        trees = _trees(booster)
        depth = max(1, *(_depth(tree) for tree in trees))
        packed = [_complete(tree, depth) for tree in trees]
        for name, dtype in (("feature", torch.int64), ("threshold", torch.float32), ("value", torch.float32)):
            rows = np.stack([tree[name] for tree in packed])
            self.register_buffer(name, torch.from_numpy(rows).to(dtype))
        self.bias = torch.zeros(())  # where the tables lie now, whatever device the module was on
        probe = features[:1]
        leaves = float(self(torch.from_numpy(probe))[0].double() - self.bias.double())
        self.bias = torch.tensor(float(margins(booster, probe)[0]) - leaves)
        require_agreement(booster, features, self(torch.from_numpy(features))[0].numpy(), "packed forest")

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Margin (N,) and what each feature contributed to it (N, F), of features (N, F).

        On the way down a tree, each turn's change of the mean leaf is its feature's: XGBoost's approximate
        contributions. The margin is `bias`, the trees' means at their roots, and all contributions.
        """
        shape = (features.shape[0], self.feature.shape[0])  # (N, T); len() would fix N in the exported graph
        place = torch.zeros(shape, dtype=torch.int64, device=features.device)
        contributions = torch.zeros_like(features)
        value = self.value[:, 0].expand_as(place)
        width = self.feature.shape[1]
        while width:
            feature = self._at(self.feature, place)
            right = features.gather(1, feature) >= self._at(self.threshold, place)
            place = 2 * place + 1 + right.long()
            reached = self._at(self.value, place)
            contributions = contributions.scatter_add(1, feature, reached - value)
            value, width = reached, width // 2
        return self.bias + value.sum(1), contributions

    @staticmethod
    def _at(table: Tensor, place: Tensor) -> Tensor:
        """For each picture and tree the entry (N, T) of table (T, M) at `place` (N, T)."""
        return table.T.gather(0, place)


def margins(booster: xgboost.Booster, features: Features) -> NDArray[np.float32]:
    """XGBoost's own margins (N,) of features (N, F)."""
    found: NDArray[np.float32] = booster.predict(xgboost.DMatrix(features), output_margin=True)
    return found


def load(ubj: bytes) -> xgboost.Booster:
    """A forest from XGBoost's own binary JSON."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(ubj))
    return booster


def require_agreement(
    booster: xgboost.Booster, features: Features, found: NDArray[np.float32], what: str
) -> None:
    """Refuse margins `found` (N,) that differ from XGBoost's on `features` (N, F).

    Raises:
        BundleError: by more than a ten-thousandth of the margins' spread.
    """
    expected = margins(booster, features).astype(np.float64)
    spread = max(float(np.ptp(expected)), 0.01 * float(np.abs(expected).max()), 1e-6)
    difference = float(np.abs(expected - found).max()) / spread
    if not difference <= AGREEMENT:
        raise BundleError(
            f"margins of the {what}",
            expected=f"XGBoost's to {AGREEMENT:g} of their spread",
            got=f"a difference of {difference:.3g}",
            fix="Report the forest's options and the versions of xgboost and the engine as a bug.",
        )


def _midway(booster: xgboost.Booster, features: Features) -> xgboost.Booster:
    """The same trees with every threshold midway between the two values of `features` that it parts."""
    model = json.loads(bytes(booster.save_raw("json")))
    known = [np.unique(column) for column in features.T]
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        thresholds = tree["split_conditions"]
        for node, left in enumerate(tree["left_children"]):
            if left < 0:
                continue
            values = known[tree["split_indices"][node]]
            above = int(np.searchsorted(values, np.float32(thresholds[node])))
            if 0 < above < len(values):
                thresholds[node] = float(_between(values[above - 1], values[above]))
    return load(json.dumps(model).encode())


def _between(low: np.float32, high: np.float32) -> np.float32:
    """A float32 above `low`, up to `high`, as near to their middle as there is."""
    middle = np.float32((float(low) + float(high)) / 2)
    return middle if middle > low else high


def _trees(booster: xgboost.Booster) -> list[dict[str, Any]]:
    model = json.loads(bytes(booster.save_raw("json")))
    trees: list[dict[str, Any]] = model["learner"]["gradient_booster"]["model"]["trees"]
    return trees


def _depth(tree: dict[str, Any], node: int = 0) -> int:
    left = tree["left_children"][node]
    if left < 0:
        return 0
    return 1 + max(_depth(tree, left), _depth(tree, tree["right_children"][node]))


def _means(tree: dict[str, Any]) -> NDArray[np.float64]:
    """Mean leaf below each node; children always have higher numbers than their parent."""
    left, right = tree["left_children"], tree["right_children"]
    weight = tree["sum_hessian"]
    means = np.asarray(tree["split_conditions"], np.float64)  # of leaves: their value
    for node in reversed(range(len(left))):
        if left[node] >= 0:
            below = (left[node], right[node])
            means[node] = sum(weight[child] * means[child] for child in below) / weight[node]
    return means


def _complete(tree: dict[str, Any], depth: int) -> dict[str, NDArray[Any]]:
    """The tree as arrays over the places of a complete one."""
    inner = 2**depth - 1
    feature = np.zeros(inner, np.int64)
    threshold = np.full(inner, np.inf, np.float32)
    value = np.zeros(2 * inner + 1, np.float32)
    means = _means(tree)
    nodes = {0: 0}  # node of each place
    for place in range(2 * inner + 1):
        node = nodes.pop(place)
        value[place] = means[node]
        if place >= inner:
            continue
        left = tree["left_children"][node]
        if left < 0:
            nodes |= {2 * place + 1: node, 2 * place + 2: node}
            continue
        feature[place], threshold[place] = tree["split_indices"][node], tree["split_conditions"][node]
        nodes |= {2 * place + 1: left, 2 * place + 2: tree["right_children"][node]}
    return {"feature": feature, "threshold": threshold, "value": value}
