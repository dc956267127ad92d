"""Tiny decoders that embed texts, in the form of their published repositories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fakes.checkpoint import CONFIGS, write_json, write_model
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


_TEMPLATE = (
    "{%- for m in messages if m['role'] == 'system' -%}{{ m['content'][0]['text'] }}{%- endfor -%}"
    "{%- for m in messages if m['role'] != 'system' -%}{%- for part in m['content'] -%}"
    "{{ part['text'] if part['type'] == 'text' else '<|' + part['type'] + '|>' }}"
    "{%- endfor -%}{%- endfor -%}"
)
PLACEHOLDERS = {"image_token": "<|image|>", "video_token": "<|video|>", "audio_token": "<|audio|>"}


def write_with_towers(folder: Path) -> Path:
    """Write a tiny model as the repository of EmbeddingGemma 2 has it, with towers of transformers.

    Its processor is named in its file, which is not that of a whole processor.
    """
    import torch
    import transformers

    write_tokenizer_of(folder, "gemma3_text")
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, extra_special_tokens=PLACEHOLDERS, chat_template=_TEMPLATE
    )
    text: dict[str, Any] = {key: CONFIGS["embedding_gemma2"][key] for key in _TEXT_KEYS}
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": LONGEST}
    tower: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sight = tower | {"intermediate_size": 24, "num_key_value_heads": 2, "head_dim": 8}
    sight |= {"global_head_dim": 8, "position_embedding_size": 16}
    sound = tower | {"output_proj_dims": 24, "subsampling_conv_channels": (4, 4)}
    ids: dict[str, Any] = {
        f"{key}_id": tokenizer.convert_tokens_to_ids(token) for key, token in PLACEHOLDERS.items()
    }
    config = transformers.EmbeddingGemma2Config(
        text_config=transformers.EmbeddingGemma2TextConfig(**text),
        vision_config=transformers.Gemma4VisionConfig(**sight),
        audio_config=transformers.Gemma4AudioConfig(**sound),
        **ids,
    )
    torch.manual_seed(0)
    model = transformers.EmbeddingGemma2Model(config)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "processor_config.json", {"processor_class": "EmbeddingGemma2Processor"})
    states = {"method": "forward", "method_output_name": "last_hidden_state"}
    modalities = dict.fromkeys(("text", "image", "audio", "video"), states)
    modalities["message"] = {**states, "format": "structured"}
    write_json(folder / "sentence_bert_config.json", {"modality_config": modalities})
    write_json(folder / "config_sentence_transformers.json", {"prompts": GEMMA_PROMPTS})
    pooling = {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True}
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_modules(folder, "Transformer", "Pooling", "Normalize")
    return folder


_TEXT_KEYS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "per_layer_config",
    "intermediate_size",
    "layer_types",
    "sliding_window",
    "hidden_size_per_layer_input",
    "embedding_dim",
)


def add_dense(folder: Path) -> None:
    """Put two Dense modules, without biases and activations, between Pooling and Normalize."""
    import torch
    from sentence_transformers.base.modules import Dense

    torch.manual_seed(0)
    for i, (width_in, width) in enumerate([(32, 128), (128, 32)], 2):
        dense = Dense(width_in, width, bias=False, activation_function=torch.nn.Identity())
        (folder / f"{i}_Dense").mkdir()
        dense.save(str(folder / f"{i}_Dense"))
    write_modules(folder, "Transformer", "Pooling", "Dense", "Dense", "Normalize")


def write_modules(folder: Path, *modules: str) -> None:
    """Write modules.json, with a folder for each module but the first."""
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
