"""config.json and llm_config.json, as MNN-LLM reads them.

An app may change the first (threads, backend, precision); the second says what the model is.
The source is transformers/llm/engine/src/llmconfig.hpp of MNN 3.6.1.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tokenizers import Tokenizer

CONFIG, LLM_CONFIG = "config.json", "llm_config.json"
MODEL, TOKENIZER, WORDS = "llm.mnn", "tokenizer.mtok", "embeddings.bin"
THREADS = 4


def chat_template(tokenizer: Tokenizer) -> str:
    """Build the engine's chat template, which puts the special tokens around a text.

    Raises:
        InputError: The special tokens cannot be written so, or several follow a text.
    """
    encoding = tokenizer.encode("")
    contents = {i: token.content for i, token in tokenizer.get_added_tokens_decoder().items()}
    around = list(tokenizer.encode("a").special_tokens_mask)
    opening = around.index(0) if 0 in around else 0
    outside = [contents.get(i) for i in encoding.ids]
    braces = [t for t in outside if t is None or any(sign in t for sign in ("{{", "{%", "{#"))]
    if braces:
        raise InputError("MNN's engine cannot put this tokenizer's special tokens around a text.")
    if len(outside) != opening + 1:
        raise InputError(
            f"The tokenizer puts {len(outside) - opening} special tokens behind a text. An app "
            "that uses MNN's engine cuts a text by its ids, and keeps one at the end."
        )
    named = [str(token) for token in outside]
    begins, ends = "".join(named[:opening]), "".join(named[opening:])
    return f"{begins}{{{{ messages[0]['content'] }}}}{ends}"


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
