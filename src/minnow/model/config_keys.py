"""Tables of the keys in a model's configuration files that change no vector, with the reasons.

A key that minnow neither reads nor finds here is refused: it may belong to a network or a pipeline
that the other tables do not describe. Sources: the config classes of transformers 4 and 5, and what
sentence-transformers 2 to 6 write.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def _table(reasons: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({key: why for why, keys in reasons.items() for key in keys.split()})


NETWORK_KEYS = _table(
    {
        "records who wrote the file, and from what": """
            _name_or_path _commit_hash transformers_version model_type architectures name
            finetuning_task language unsloth_version unsloth_fixed task_specific_params
            transformers.js_config""",
        "repeats a number under a name that transformers does not read": "emb_size",
        "is a setting of training": """
            hidden_dropout_prob attention_probs_dropout_prob dropout attention_dropout
            hidden_dropout embedding_dropout embd_pdrop attn_pdrop resid_pdrop mlp_dropout
            classifier_dropout classifier_dropout_prob qa_dropout seq_classif_dropout layerdrop
            initializer_range initializer_factor initializer_cutoff_factor gradient_checkpointing
            sparse_pred_ignore_index sparse_prediction reset_params tie_weights_
            sinusoidal_pos_embds matryoshka_dimensions repad_logits_with_grad""",
        "belongs to a task's head, which a vector does not pass through": """
            id2label label2id num_labels _num_labels problem_type tie_word_embeddings
            pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head
            pooler_type summary_activation summary_last_dropout summary_type summary_use_proj
            summary_first_dropout summary_proj_to_labels tie_encoder_decoder classifier_activation
            classifier_bias classifier_pooling decoder_bias cross_attention_hidden_size
            sentence_transformers sbert_ce_default_activation_function""",
        "chooses what a call returns": """
            output_attentions output_hidden_states output_past return_dict use_return_dict""",
        "changes speed or memory, not the result": """
            use_cache torchscript chunk_size_feed_forward use_bfloat16 attn_implementation
            _attn_implementation _attn_implementation_autoset _attn_implementation_internal
            deterministic_flash_attn reference_compile xla_device""",
        "is the type in which weights are stored or computed; minnow computes in float32": """
            torch_dtype dtype""",
        "is read from the tokenizer's own files": """
            bos_token_id eos_token_id sep_token_id cls_token_id mask_token_id unk_token_id
            tokenizer_class vocab_file do_lower_case model_max_length prefix""",
        "is a setting of text generation": """
            max_length min_length do_sample early_stopping num_beams num_beam_groups
            diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty
            no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences
            output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id
            remove_invalid_values exponential_decay_length_penalty suppress_tokens
            begin_suppress_tokens decoder_start_token_id tf_legacy_loss eos_token_ids""",
    }
)
"""Keys of config.json, of any family; a family's own are in its row of `minnow.model.families`."""

NETWORK_MUST_BE: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "is_encoder_decoder": (False, None),
        "is_decoder": (False, None),
        "add_cross_attention": (False, None),
        "pruned_heads": ({}, None),
        "quantization_config": (None,),
        "auto_map": ({}, None),
        "directionality": ("bidi", None),
    }
)
"""Keys of config.json that change the network of any family -> the only supported values."""

PIPELINE_KEYS = _table(
    {
        "records the versions that wrote the file, or that its author asks for": """
            __version__ requirements""",
    }
)
"""Keys of config_sentence_transformers.json."""

TRANSFORMER_KEYS = _table({"changes speed, not the result": "unpad_inputs"})
"""Keys of sentence_bert_config.json."""

LOADING_KEYS = _table(
    {
        "is the type in which weights are stored or computed; minnow computes in float32": """
            torch_dtype dtype""",
        "changes speed or memory, not the result": """
            attn_implementation device_map low_cpu_mem_usage use_cache""",
        "builds a layer of the network that no vector passes through": "add_pooling_layer",
        "is a decision of the user, whom no file can speak for": "trust_remote_code",
    }
)
"""Keys of `model_args` and `config_args` in sentence_bert_config.json."""

MODULE_ROW_KEYS = _table({"numbers and names the rows": "idx name"})
"""Keys of a row of modules.json."""


def unknown_keys(config: Mapping[str, Any], *known: Iterable[str]) -> list[str]:
    """List the keys of a configuration that are in none of the tables, each with its value."""
    names = {key for table in known for key in table}
    return [shown(key, value) for key, value in config.items() if key not in names]


def shown(key: str, value: object) -> str:
    """Return a key and its value as a message names them, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False)
    return f"{key}: {text if len(text) <= 60 else text[:57] + '...'}"
