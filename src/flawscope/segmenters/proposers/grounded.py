"""Components found by name: boxes of Grounding DINO (Liu et al., ECCV 2024) that SAM masks (Grounded SAM)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.errors import OptionError
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.overlay import to_bytes
from flawscope.segmenters.proposers import loading
from flawscope.segmenters.proposers.proposal import Proposal, Proposer, ProposerOptions
from flawscope.segmenters.proposers.sam import LargeViews, SamOptions, SegmentAnything
from flawscope.segmenters.proposers.tags import ClipTagsOptions, TaggerOptions, found_tags
from flawscope.segmenters.segmenter import spread

_WHAT = "Grounding DINO model"
_SMALLEST = 0.001  # share of the picture below which a named mask is none; released settings

Picture = NDArray[np.uint8]
Tag = Annotated[str, Field(pattern=r"^[^.?]*\w[^.?]*$")]  # full stops part the tags in the prompt


class GroundedOptions(ProposerOptions):
    """Options of `Grounded`."""

    kind: Literal["grounded"] = "grounded"
    tags: tuple[Tag, ...] | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="what components are called; by default the tagger finds it",
    )
    tagger: TaggerOptions = Field(ClipTagsOptions(), description="what finds tags where none are given")
    model: str = Field(
        "IDEA-Research/grounding-dino-tiny",
        description="folder of a Grounding DINO model, or its name in the hub's cache; paper A.2: SwinT-OGC",
    )
    box: float = Field(0.3, ge=0, lt=1, description="least score of a box; released settings")
    text: float = Field(0.3, ge=0, lt=1, description="least score of a box's tag; released settings")
    sam: SamOptions = Field(
        SamOptions(), description="the model that masks boxes and proposes all other masks"
    )


class Grounded(Proposer):
    """Named masks (X_sem of the CSAD paper) beside all masks of SAM (X_seg)."""

    Options: ClassVar = GroundedOptions
    options: GroundedOptions

    def prepare(self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> None:
        """See `Proposer.prepare`: load the models, find tags where none are given.

        Raises:
            MissingExtraError: transformers is not installed.
            WeightsError: a model is not on this machine, or cannot be read.
            DataError: the tagger finds nothing.
            OptionError: more tags than the model reads.
        """
        self.sam = SegmentAnything(self.options.sam, run, watch)
        self.views = LargeViews(pictures, self.sam.side)
        self.device = run.torch_device()
        self.network = loading.network(
            self.options.model, _WHAT, {"grounding-dino": "GroundingDinoForObjectDetection"}, self.device
        )
        self.processor = loading.processor(self.options.model, _WHAT)
        self.tags = self.options.tags or self._found(run, watch)
        self.tokens = self._tokens()

    def propose(self, picture: Picture, sample: Sample) -> Proposal:
        """See `Proposer.propose`."""
        height, width = picture.shape[:2]
        large = self.views.of(picture, sample)
        boxes, tags = self._boxes(large)
        named = painted(self.sam.in_boxes(large, boxes, (height, width)), tags)
        return Proposal(self.sam.masks(large, (height, width)), named, self.tags)

    def _found(self, run: Run, watch: Watch) -> tuple[str, ...]:
        chosen = spread(self.views.pictures, self.options.tagger.pictures)
        tags = found_tags(self.options.tagger, [to_bytes(picture) for picture in chosen], run)
        watch.say(f"Components are looked for as: {', '.join(tags)}.")
        return tags

    def _tokens(self) -> Tensor:
        """The prompt's tokens as the tag that each belongs to, (T,); -1 for those between tags."""
        words = self.processor.tokenizer
        ids = torch.tensor(words(self._prompt())["input_ids"])
        most = int(self.network.config.max_text_len)
        if len(ids) > most:
            raise OptionError(
                "tags",
                expected=f"at most {most} tokens together, which Grounding DINO reads",
                got=f"{len(self.tags)} tags of {len(ids)} tokens",
                fix="Give fewer: tags: [screw, washer].",
            )
        stops = ids == words.convert_tokens_to_ids(".")
        edges = torch.isin(ids, torch.tensor([words.cls_token_id, words.sep_token_id]))
        return torch.where(stops | edges, -1, stops.cumsum(0))

    def _prompt(self) -> str:
        return ". ".join(tag.strip().lower() for tag in self.tags) + "."

    @torch.inference_mode()
    def _boxes(self, picture: Picture) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Boxes (B, 4) for `SegmentAnything.in_boxes`, and the tag of each (B,); the best last."""
        inputs = self.processor(images=Image.fromarray(picture), text=self._prompt(), return_tensors="pt")
        answer = self.network(**inputs.to(self.device))
        scores = answer.logits[0, :, : len(self.tokens)].sigmoid().cpu()  # (Q, T)
        of_tags = torch.stack(
            [scores[:, self.tokens == tag].amax(1) for tag in range(len(self.tags))], 1
        )  # (Q, tags)
        best, tags = of_tags.max(1)
        kept = (scores.amax(1) > self.options.box) & (best > self.options.text)
        order = best[kept].argsort(stable=True)
        centre, side = answer.pred_boxes[0].cpu()[kept][order].double().split(2, 1)  # (B, 2) each
        corners = torch.cat([centre - side / 2, centre + side / 2], 1).clamp(0, 1)
        return corners.numpy(), tags[kept][order].numpy()


def painted(masks: NDArray[np.bool_], tags: NDArray[np.int64]) -> NDArray[np.uint8]:
    """One map (H, W) of masks (B, H, W) and their tags (B,): 0 where there is none, else tag + 1.

    Smaller masks lie upon larger ones, of equal ones the last; those below a thousandth of the picture are
    left out.
    """
    areas = masks.sum((1, 2))
    named = np.zeros(masks.shape[1:], np.uint8)
    for index in np.argsort(-areas, kind="stable"):
        if areas[index] > _SMALLEST * named.size:
            named[masks[index]] = tags[index] + 1
    return named
