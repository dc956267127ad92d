"""Every row of the table against the network that `transformers` builds from the same files.

A new model type is a new row of CASES.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import source_of

from minnow.errors import UnsupportedModelError
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.families import FAMILIES, family_named, family_of, network_of
from minnow.model.head import Head
from minnow.model.reference import ReferenceModel
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path

BERT_SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "layer_norm_eps": 1e-3,
}
MPNET_SIZES = BERT_SIZES | {"max_position_embeddings": 202}
"""Two distances share a bucket from 9 on; all of 128 and more do."""
DISTILBERT_SIZES = {
    "vocab_size": 50,
    "dim": 24,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 40,
    "max_position_embeddings": 20,
}


MODERNBERT_SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "local_attention": 9,
    "norm_eps": 1e-3,
    "pad_token_id": 0,
}
NOMIC_SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "layer_norm_eps": 1e-3,
    "head_dim": 10,
}
GTE_SIZES = BERT_SIZES | {"max_position_embeddings": 40}
EUROBERT_SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "rms_norm_eps": 1e-3,
    "pad_token_id": 0,
}
QWEN3_SIZES = {
    **EUROBERT_SIZES,
    "head_dim": 10,
    "use_sliding_window": True,
    "sliding_window": 7,
    "max_window_layers": 1,
}
GEMMA3_SIZES = {
    **EUROBERT_SIZES,
    "num_hidden_layers": 3,
    "head_dim": 10,
    "query_pre_attn_scalar": 20,
    "use_bidirectional_attention": True,
    "sliding_window": 11,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
        "full_attention": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0},
    },
}
EMBEDDING_GEMMA2_SIZES = {
    **EUROBERT_SIZES,
    "num_hidden_layers": 3,
    "head_dim": 10,
    "per_layer_config": {i: {"head_dim": 6, "num_key_value_heads": 1} for i in (1, 2)},
    "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"],
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
        "full_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    },
    "hidden_size_per_layer_input": 14,
    "embedding_dim": 20,
}
LFM2_SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
    "num_hidden_layers": 4,
    "layer_types": ["conv", "full_attention", "conv", "conv"],
    "conv_L_cache": 4,
    "norm_eps": 1e-3,
    "block_multiple_of": 8,
    "block_ffn_dim_multiplier": 1.7,
}
DEBERTA_SIZES = BERT_SIZES | {
    "max_position_embeddings": 40,
    "type_vocab_size": 0,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 6,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
}
T5_SIZES = {
    "vocab_size": 50,
    "d_model": 24,
    "d_kv": 10,
    "d_ff": 40,
    "num_layers": 2,
    "num_heads": 5,
    "n_positions": 40,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "layer_norm_epsilon": 1e-3,
}


@dataclass(frozen=True)
class Case:
    """A model type: the start of its class names in `transformers`, and a tiny config.

    `transformers` computes rotations, and parts of an RMS norm, in float32; `tolerance` is what
    that leaves. `head`, `task` and `config` end the names of the encoder, of a model with a task's
    head, and of the configuration.
    """

    classes: str
    sizes: Mapping[str, Any]
    activation: str = "hidden_act"
    tolerance: float = 1e-9
    head: str = "Model"
    task: str = "ForMaskedLM"
    config: str = "Config"


CASES = {
    "bert": Case("Bert", BERT_SIZES),
    "roberta": Case("Roberta", BERT_SIZES | {"type_vocab_size": 1}),
    "xlm-roberta": Case("XLMRoberta", BERT_SIZES | {"pad_token_id": 3}),
    "camembert": Case("Camembert", BERT_SIZES),
    "distilbert": Case("DistilBert", DISTILBERT_SIZES, "activation"),
    "mpnet": Case("MPNet", MPNET_SIZES),
    "modernbert": Case("ModernBert", MODERNBERT_SIZES, "hidden_activation", 1e-5),
    "nomic_bert": Case("NomicBert", NOMIC_SIZES, tolerance=1e-5),
    "gte": Case("Gte", GTE_SIZES, tolerance=1e-5),
    "eurobert": Case("EuroBert", EUROBERT_SIZES, tolerance=1e-5),
}
CASES |= {
    "qwen3": Case("Qwen3", QWEN3_SIZES, tolerance=1e-5, task="ForCausalLM"),
    "gemma3_text": Case(
        "Gemma3",
        GEMMA3_SIZES,
        "hidden_activation",
        3e-5,
        head="TextModel",
        task="ForCausalLM",
        config="TextConfig",
    ),
    "embedding_gemma2_text": Case(
        "EmbeddingGemma2",
        EMBEDDING_GEMMA2_SIZES,
        "hidden_activation",
        3e-5,
        head="TextModel",
        task="",
        config="TextConfig",
    ),
    "lfm2": Case("Lfm2", LFM2_SIZES, tolerance=1e-5, task="ForCausalLM"),
    "electra": Case("Electra", BERT_SIZES | {"embedding_size": 16}),
    "t5": Case(
        "T5", T5_SIZES, "feed_forward_proj", 1e-5, "EncoderModel", "ForConditionalGeneration"
    ),
    "jina_embeddings_v3": Case("JinaEmbeddingsV3", GTE_SIZES, tolerance=1e-5),
    "deberta-v2": Case("DebertaV2", DEBERTA_SIZES, tolerance=1e-5),
    "albert": Case("Albert", BERT_SIZES | {"embedding_size": 16}),
    "ernie": Case("Ernie", BERT_SIZES),
    "data2vec-text": Case("Data2VecText", BERT_SIZES | {"type_vocab_size": 1}),
    "megatron-bert": Case("MegatronBert", BERT_SIZES),
    "xlm-roberta-xl": Case("XLMRobertaXL", BERT_SIZES | {"type_vocab_size": 1}),
}
OWN_CODE = {"new"}
"""Model types that `transformers` does not have."""
WITH_TOWERS = {"embedding_gemma2"}
"""Model types of which minnow takes a part, a case above; tests/convert/test_decoders.py."""

needs_transformers = pytest.mark.extra("convert", "sentence-transformers")


def save_random_model(folder: Path, case: Case, head: str = "", **config: Any) -> Any:
    """Save a network in which no two parameters are alike, and return it in float64."""
    import torch
    import transformers

    settings = getattr(transformers, f"{case.classes}{case.config}")(**case.sizes, **config)
    model = getattr(transformers, f"{case.classes}{head or case.head}")(settings).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_scale = name.endswith("weight") and parameter.ndim == 1
            parameter.normal_(1.0 if is_scale else 0.0, 0.3, generator=generator)
        for name, buffer in model.named_buffers():
            if name.endswith("layer_scalar"):
                buffer.normal_(1.0, 0.3, generator=generator)
    model.save_pretrained(folder)
    return model.double()


def check_same_states(folder: Path, model: Any, tolerance: float = 1e-9) -> None:
    """Read the folder as minnow does, and compare the token states of a text."""
    import torch

    source = source_of(folder)
    spec = read_encoder_spec(source)
    ids = np.random.default_rng(1).integers(5, spec.vocab_size, spec.max_positions).tolist()
    reference = ReferenceModel(network_of(spec), Head(Pooling.CLS), read_tensors(source, spec))
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()

    assert expected.std() > 0.1
    np.testing.assert_allclose(reference.hidden_states(ids), expected, rtol=0, atol=tolerance)


def test_every_model_type_of_the_table_has_a_case() -> None:
    types = {name for family in FAMILIES for name in family.model_types}
    assert set(CASES) | OWN_CODE | WITH_TOWERS == types


@pytest.mark.transformers_5
@needs_transformers
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_token_states_are_those_of_transformers(
    case: Case, activation: str, tmp_path: Path
) -> None:
    model = save_random_model(tmp_path, case, **{case.activation: activation})

    check_same_states(tmp_path, model, case.tolerance)


@needs_transformers
@pytest.mark.parametrize("activation", ["gelu_python", "gelu_fast", "gelu_pytorch_tanh"])
def test_an_activation_has_several_names(activation: str, tmp_path: Path) -> None:
    model = save_random_model(tmp_path, CASES["bert"], hidden_act=activation)

    check_same_states(tmp_path, model)


@pytest.mark.transformers_5
@needs_transformers
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_encoder_of_a_model_with_a_task_head_is_found(case: Case, tmp_path: Path) -> None:
    model = save_random_model(tmp_path, case, case.task)

    encoder = model.encoder if case.classes == "T5" else model.base_model
    check_same_states(tmp_path, encoder, case.tolerance)


@pytest.mark.transformers_5
@needs_transformers
@pytest.mark.parametrize(("model_type", "case"), CASES.items(), ids=CASES)
def test_defaults_are_those_of_transformers(model_type: str, case: Case) -> None:
    import transformers

    config = getattr(transformers, f"{case.classes}{case.config}")()
    config.allow_global_per_layer_attribute_access = True
    family = family_of(model_type)

    assert family is not None
    assert config.model_type == model_type
    assert {key: getattr(config, key) for key in family.defaults} == dict(family.defaults)
    assert [key for key in family.fixed if hasattr(config, key)] == []


@pytest.mark.transformers_5
@needs_transformers
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_prefix_is_that_of_transformers(case: Case) -> None:
    import transformers

    config = getattr(transformers, f"{case.classes}{case.config}")
    model = getattr(transformers, f"{case.classes}{case.head}")
    family = family_of(config.model_type)

    assert family is not None
    naming = family.namings[0]
    assert f"{model.base_model_prefix}." in (naming.prefix, *naming.also)


def test_a_family_is_found_by_name_and_by_model_type() -> None:
    assert family_of("camembert") is family_named("roberta")
    assert family_of("xlnet") is None
    with pytest.raises(UnsupportedModelError, match="no family 'camembert'"):
        family_named("camembert")


def test_no_model_type_belongs_to_two_families() -> None:
    """Rows of one family may share one, if a key of config.json tells their spellings apart."""
    found = [(name, row.marks) for row in FAMILIES for name in row.model_types]
    assert len(set(found)) == len(found)
    unmarked = {(name, row.name) for row in FAMILIES if not row.marks for name in row.model_types}
    assert len(unmarked) == len({name for name, _ in unmarked})
