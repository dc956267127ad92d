"""Tiny decoders that embed texts, in the form of their published repositories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fakes.checkpoint import write_json, write_model
from fakes.tokenizers import write_tokenizer_of

if TYPE_CHECKING:
    from pathlib import Path

QWEN_QUERY = "Instruct: Given a question, find the river\nQuery:"
GEMMA_PROMPTS = {
    "query": "task: search result | query: ",
    "document": "title: none | text: ",
    "Clustering": "task: clustering | query: ",
    "Retrieval-query": "task: search result | query: ",
    "Retrieval-document": "title: none | text: ",
}
LONGEST = 160
"""Tokens; the tiny tokenizers spell a prompt letter by letter."""


def write_published(folder: Path, family: str) -> Path:
    """Write a tiny model as the repository of Qwen3-Embedding or EmbeddingGemma has it."""
    is_qwen = family == "qwen3"
    kind, pad = ("qwen3", 1) if is_qwen else ("gemma3_text", 0)
    more = {"padding_side": "left", "model_max_length": 131072} if is_qwen else {}
    rows = write_tokenizer_of(folder, kind, **more) and read(folder / "config.json")["vocab_size"]
    kept = {
        name: (folder / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")
    }
    write_model(
        folder,
        family=family,
        pooling="lasttoken" if is_qwen else "mean",
        prompts={"query": QWEN_QUERY, "document": ""} if is_qwen else GEMMA_PROMPTS,
        max_tokens=None if is_qwen else LONGEST,
        vocab_size=rows,
        pad_token_id=pad,
        max_position_embeddings=LONGEST,
        sliding_window=None if is_qwen else 32,
    )
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    for name in ("vocab.txt", "special_tokens_map.json"):
        (folder / name).unlink()
    if not is_qwen:
        add_dense(folder)
    return folder


def add_dense(folder: Path) -> None:
    """Put two Dense modules, without biases and activations, between Pooling and Normalize."""
    import torch
    from sentence_transformers.base.modules import Dense

    torch.manual_seed(0)
    for i, (width_in, width) in enumerate([(32, 128), (128, 32)], 2):
        dense = Dense(width_in, width, bias=False, activation_function=torch.nn.Identity())
        (folder / f"{i}_Dense").mkdir()
        dense.save(str(folder / f"{i}_Dense"))
    modules = ("Transformer", "Pooling", "Dense", "Dense", "Normalize")
    rows = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(modules)
    ]
    write_json(folder / "modules.json", rows)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
