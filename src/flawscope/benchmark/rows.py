"""Rows of a benchmark: what each changes, what the paper prints for it, and charts beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flawscope.benchmark.measures import Measure
from flawscope.runtime.frozen import Frozen


class Published(Frozen):
    """What the paper prints for one row, in percent; AU-PRO up to a false positive rate of 0.3."""

    image_auroc: float | None = Field(default=None, ge=0, le=100)
    fpr_at_95_tpr: float | None = Field(default=None, ge=0, le=100)
    image_auroc_seen: float | None = Field(default=None, ge=0, le=100)
    fpr_at_95_tpr_seen: float | None = Field(default=None, ge=0, le=100)
    image_auroc_unseen: float | None = Field(default=None, ge=0, le=100)
    fpr_at_95_tpr_unseen: float | None = Field(default=None, ge=0, le=100)
    image_auroc_logical: float | None = Field(default=None, ge=0, le=100)
    image_auroc_structural: float | None = Field(default=None, ge=0, le=100)
    image_auroc_mean: float | None = Field(default=None, ge=0, le=100)
    aupro_30: float | None = Field(default=None, ge=0, le=100)
    au_spro_05: float | None = Field(default=None, ge=0, le=100)
    au_spro_10: float | None = Field(default=None, ge=0, le=100)
    au_spro_30: float | None = Field(default=None, ge=0, le=100)
    au_spro_30_logical: float | None = Field(default=None, ge=0, le=100)
    au_spro_30_structural: float | None = Field(default=None, ge=0, le=100)
    pixel_auroc: float | None = Field(default=None, ge=0, le=100)
    std: dict[Measure, float] = Field(
        default_factory=dict, description="standard deviations over seeds, where the paper prints them"
    )

    @model_validator(mode="after")
    def _of_printed(self) -> Self:
        for measure in self.std:
            if getattr(self, measure) is None:
                raise ValueError(f"a standard deviation only of what is printed, unlike {measure}")
        return self

    def text(self, measure: Measure) -> str | None:
        """One figure as the table prints it; None where the paper prints none.

        >>> Published(image_auroc=79.1, std={"image_auroc": 1.7}).text("image_auroc")
        '79.10 ± 1.70'
        """
        value = getattr(self, measure)
        if value is None:
            return None
        return f"{value:.2f} ± {self.std[measure]:.2f}" if measure in self.std else f"{value:.2f}"


class RowData(Frozen):
    """Where a row's pictures differ from the base's; `folder` lies inside the benchmark's data folder."""

    folder: str | None = None
    layout: str | None = None
    product: str | None = None


class Row(Frozen):
    """One row: what it changes in the base, and what the paper prints for it.

    A row with `products` stands for one row each and their mean; a row with `mean_of` runs nothing itself.
    """

    label: str = Field(min_length=1, max_length=80)
    method: str | None = Field(
        default=None,
        description="one of `methods` here or of `flawscope methods`; then without the base's options",
    )
    preset: str | None = Field(default=None, description="of the method, in place of the base's")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="options of the method, over the base's; `detectors` and `classifier` may name `methods`",
    )
    split: dict[str, Any] = Field(default_factory=dict, description="keys of `split`, over the base's")
    tiling: Any = Field(default=None, description="the recipe's `tiling`, in place of the base's")
    data: RowData = RowData()
    products: dict[str, Published] = Field(
        default_factory=dict, description="one row for each product, with what the paper prints for it"
    )
    mean_of: tuple[str, ...] = Field(default=(), description="labels of rows whose mean this one is")
    training_pictures: int | None = Field(default=None, ge=1, description="learn from only so many")
    natural: bool = Field(default=False, description="needs a folder of natural pictures")
    paper: Published = Published()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The label as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-") or "row"

    def spread_out(self) -> Iterator[Row]:
        """The row itself, or the rows that it stands for, their mean last."""
        labels = [f"{self.label}, {product}" for product in self.products]
        for label, (product, paper) in zip(labels, self.products.items(), strict=True):
            data = self.data.model_copy(update={"product": product})
            yield self.model_copy(
                update={"label": label, "data": data, "products": {}, "paper": paper, "notes": ()}
            )
        yield self.model_copy(update={"products": {}, "mean_of": tuple(labels)}) if labels else self


class Chart(Frozen):
    """A chart beside the table.

    `losses` draws one loss of each row's training over the steps; `shares` draws its percentage of the total
    loss, times its coefficient, which is the number under `key` (such as options.penalty_weight) in the
    row's recipe; `sweep` draws the measures over the number under `key`; `histograms` draws the scores of
    good and defective test pictures side by side for `rows`, of the first seed.
    """

    kind: Literal["losses", "shares", "sweep", "histograms"]
    title: str
    loss: str = "total"
    key: str = ""
    label: str = ""
    rows: tuple[str, ...] = ()
