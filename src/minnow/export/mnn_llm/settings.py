"""config.json and llm_config.json, as MNN-LLM reads them.

An app may change the first (threads, backend, precision); the second says what the model is.
The source is transformers/llm/engine/src/llmconfig.hpp of MNN 3.6.1.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG, LLM_CONFIG = "config.json", "llm_config.json"
MODEL, TOKENIZER, WORDS = "llm.mnn", "tokenizer.mtok", "embeddings.bin"
THREADS = 4


def write_settings(
    folder: Path, width: int, template: str, words: Mapping[str, int | str] | None
) -> None:
    """Write both files.

    Args:
        folder: The folder to write to.
        width: The length of a vector, in numbers.
        template: The chat template, which puts special tokens around a text.
        words: The `tie_embeddings` of the word table, if it has any.
    """
    config = {
        "llm_model": MODEL,
        "tokenizer_file": TOKENIZER,
        "embedding_file": WORDS,
        "llm_config": LLM_CONFIG,
        "backend_type": "cpu",
        "thread_num": THREADS,
        "precision": "normal",
        "memory": "normal",
    }
    model: dict[str, Any] = {
        "model_type": "bert",
        "hidden_size": width,
        "attention_mask": "int",
        "attention_type": "full",
        "is_visual": False,
        "is_audio": False,
        "jinja": {"chat_template": template, "eos": ""},
    }
    if words is not None:
        model["tie_embeddings"] = dict(words)
    for name, content in ((CONFIG, config), (LLM_CONFIG, model)):
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
