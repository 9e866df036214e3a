"""Foundation models of a few thousand random weights, as folders that transformers has written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

SIDE = 64  # of SAM's input
VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
    "mlp_dim": 16,
    "output_channels": 16,
    "window_size": 4,
    "global_attn_indexes": [0],
    "num_pos_feats": 8,
    "initializer_range": 0.1,
}
PROMPTS = {"hidden_size": 16, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 4}
DECODER = {
    "hidden_size": 16,
    "mlp_dim": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "attention_downsample_rate": 2,
    "iou_head_hidden_dim": 16,
}


@pytest.fixture(scope="session")
def tiny_sam(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Folder of a tiny model of the type `sam` or `sam_hq`."""
    transformers = pytest.importorskip("transformers")
    made: dict[str, str] = {}

    def folder(kind: str) -> str:
        if kind not in made:
            torch.manual_seed(0)
            name = {"sam": "Sam", "sam_hq": "SamHQ"}[kind]
            decoder: dict[str, Any] = DECODER | ({"vit_dim": 16} if kind == "sam_hq" else {})
            config = getattr(transformers, f"{name}Config")(
                vision_config=VISION, prompt_encoder_config=PROMPTS, mask_decoder_config=decoder
            )
            model = getattr(transformers, f"{name}Model")(config)
            with torch.no_grad():
                for part in model.mask_decoder.output_hypernetworks_mlps:
                    part.proj_out.weight *= 1e6  # logits far from 0
            made[kind] = str(tmp_path_factory.mktemp(kind))
            model.save_pretrained(made[kind])
        return made[kind]

    return folder


@pytest.fixture
def noise() -> NDArray[np.uint8]:
    """A picture 80 wide and 48 high."""
    return np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)


@pytest.fixture(scope="session")
def tiny_dino(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny Grounding DINO, which reads letters."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("dino")
    words = [f"[unused{index}]" for index in range(1100)]
    # The model knows these four by number: the start, the end, full stop and question mark.
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    letters = "abcdefghijklmnopqrstuvwxyz"
    for index, word in (
        special.items() | dict(enumerate([*letters, *(f"##{c}" for c in letters)], 200)).items()
    ):
        words[index] = word
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = transformers.BertTokenizer.from_pretrained(str(folder))
    images = transformers.GroundingDinoImageProcessor(size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE})
    transformers.GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    shared = {"num_attention_heads": 2, "hidden_size": 32}
    config = transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(
            image_size=SIDE, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=2,
            out_indices=[2, 3, 4],
        ),
        text_config=transformers.BertConfig(
            vocab_size=len(words), num_hidden_layers=1, intermediate_size=16, **shared
        ),
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=12, max_text_len=24,
    )  # fmt: skip
    transformers.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny CLIP model, which reads letters."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(str(folder))
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    layers = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "initializer_range": 0.5,
    }  # fmt: skip
    config = transformers.CLIPConfig(
        text_config=layers
        | {"vocab_size": len(words), "bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1},
        vision_config=layers | {"image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    return str(folder)
