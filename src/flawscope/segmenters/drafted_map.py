"""A static map that fit drafts from the good pictures itself, for products that lie alike in all of them."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field

from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import MOST_SEGMENTS, shares_of
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.segmenters.drafting import draft_by_features, mean_picture
from flawscope.segmenters.segmenter import SegmenterOptions
from flawscope.segmenters.static_map import LabelMap


class DraftedMapOptions(SegmenterOptions):
    """Options of `DraftedMap`."""

    placed: ClassVar = True

    kind: Literal["drafted"] = "drafted"
    count: int | None = Field(
        None, ge=2, le=MOST_SEGMENTS, description="how many clusters; by default what fits best, 2 to 8"
    )
    weights: Literal["pretrained", "random"] = Field(
        "pretrained",
        description="pretrained, as published; random draws them from a fixed seed, for tests only",
    )


class DraftedMap(LabelMap):
    """What `flawscope segments draft` proposes, taken as it is, the same for every picture."""

    Options: ClassVar = DraftedMapOptions
    options: DraftedMapOptions

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: draft the map (see `flawscope.segmenters.drafting`).

        Raises:
            WeightsError: the backbone's weights are not to be had.
            DataError: pictures too plain for segments.
        """
        del parts
        guide = mean_picture(pictures, run, watch)  # (3, H, W)
        count, weights = self.options.count, self.options.weights
        labels = draft_by_features(pictures, guide, run, watch, count=count, weights=weights)
        self.labels = torch.from_numpy(labels)  # (H, W)
        self.shares = torch.from_numpy(shares_of(labels)).float()
