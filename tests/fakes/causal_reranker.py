"""A tiny causal language model that reranks behind a chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer, processors

from fakes.checkpoint import CONFIGS, change_tokenizer, random_tensors, write_json, write_weights
from fakes.tokenizers import write_tokenizer_of

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = """<|im_start|>system
yes?<|im_end|>
<|im_start|>user
<I>: {{ messages | selectattr("role", "eq", "system") | map(attribute="content") | first
  | default("find") }}
<Q>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
<D>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first
  }}<|im_end|>
{% if add_generation_prompt %}
<|im_start|>assistant
<think>

</think>

{% endif %}"""
LOGITS = {"method": "forward", "method_output_name": "logits"}
LIMIT = 100


def write_causal(
    folder: Path, *, tied: bool = True, limit: int = LIMIT, **score: int | None
) -> Path:
    """Write a tiny Qwen3 that reranks, in the files that sentence-transformers saves."""
    write_tokenizer_of(folder, "qwen3", model_max_length=limit)
    added = ["<|im_start|>", "<think>", "</think>"]

    def change(tokenizer: Any) -> None:
        tokenizer.add_special_tokens(added)
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)

    change_tokenizer(folder / "tokenizer.json", change)
    rows = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    stated = {
        "architectures": ["Qwen3ForCausalLM"],
        "vocab_size": rows,
        "max_position_embeddings": 4 * limit,
        "tie_word_embeddings": tied,
    }
    write_json(folder / "config.json", CONFIGS["qwen3"] | stated)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    types = {
        "Transformer": "base.modules.transformer",
        "LogitScore": "cross_encoder.modules.logit_score",
    }
    write_json(
        folder / "modules.json",
        [
            {
                "idx": i,
                "name": str(i),
                "path": path,
                "type": f"sentence_transformers.{types[name]}.{name}",
            }
            for i, (name, path) in enumerate((("Transformer", ""), ("LogitScore", "1_LogitScore")))
        ],
    )
    write_json(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "text-generation",
            "modality_config": {"text": LOGITS, "message": {**LOGITS, "format": "flat"}},
            "module_output_name": "causal_logits",
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
    )
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "CrossEncoder",
            "prompts": {"ask": "is it a  fish?"},
            "default_prompt_name": None,
            "activation_fn": "torch.nn.modules.linear.Identity",
        },
    )
    (folder / "1_LogitScore").mkdir()
    write_json(
        folder / "1_LogitScore" / "config.json",
        {"true_token_id": rows - 20, "false_token_id": rows - 30, **score},
    )
    tensors = {f"model.{name}": value for name, value in random_tensors(folder).items()}
    if not tied:
        noise = np.random.default_rng(7).normal(0, 0.5, (rows, 32))
        tensors["lm_head.weight"] = noise.astype(np.float32)
    write_weights(folder, tensors)
    return folder
