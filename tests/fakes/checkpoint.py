"""Tiny Hugging Face models on disk: real files of every kind, random weights."""

from __future__ import annotations

import json
import string
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from minnow.model.classifiers import read_classifier
from minnow.model.config import read_encoder_spec
from minnow.model.embedding import read_embedding_spec
from minnow.model.families import family_named, network_of
from minnow.model.head import Head, layer_shapes
from minnow.model.parameters import tensor_names, tensor_shapes
from minnow.model.source import ModelSource
from minnow.model.spec import Choices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.spec import EmbeddingSpec, EncoderSpec

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = """
a the of and to in is it fish sleep water river how do what where small big not no
one two three red blue green with for on at from by as query passage run runs time
"""
WORDS = tuple(_WORDS.split())
VOCABULARY = (
    *SPECIALS,
    *WORDS,
    *(c for c in string.ascii_lowercase + string.digits + string.punctuation if c not in WORDS),
    *("##" + c for c in string.ascii_lowercase + string.digits),
)

CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    },
    "roberta": {
        "model_type": "roberta",
        "architectures": ["RobertaModel"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 42,
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
    },
    "distilbert": {
        "model_type": "distilbert",
        "architectures": ["DistilBertModel"],
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 64,
        "max_position_embeddings": 40,
        "activation": "gelu",
        "pad_token_id": 0,
    },
    "mpnet": {
        "model_type": "mpnet",
        "architectures": ["MPNetModel"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 42,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
        "relative_attention_num_buckets": 32,
    },
    "modernbert": {
        "model_type": "modernbert",
        "architectures": ["ModernBertModel"],
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "hidden_activation": "gelu",
        "norm_eps": 1e-5,
        "global_attn_every_n_layers": 2,
        "local_attention": 8,
        "global_rope_theta": 160000.0,
        "local_rope_theta": 100.0,
        "pad_token_id": 0,
    },
    "nomic_bert": {
        "model_type": "nomic_bert",
        "architectures": ["NomicBertModel"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "type_vocab_size": 2,
        "hidden_act": "silu",
        "layer_norm_eps": 1e-12,
        "rope_parameters": {"rope_theta": 1000.0, "rope_type": "default"},
        "pad_token_id": 0,
    },
    "gte": {
        "model_type": "gte",
        "architectures": ["GteModel"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "type_vocab_size": 0,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "rope_parameters": {"rope_theta": 20000.0, "rope_type": "linear", "factor": 2.0},
        "pad_token_id": 0,
    },
    "eurobert": {
        "model_type": "eurobert",
        "architectures": ["EuroBertModel"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 250000.0, "rope_type": "default"},
        "attention_bias": False,
        "mlp_bias": False,
        "pad_token_id": 0,
    },
    "qwen3": {
        "model_type": "qwen3",
        "architectures": ["Qwen3Model"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000,
        "rope_scaling": None,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": 2,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
    },
    "gemma3": {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3TextModel"],
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "query_pre_attn_scalar": 24,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 100.0,
        "rope_scaling": None,
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "use_bidirectional_attention": True,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "_sliding_window_pattern": 6,
        "sliding_window": 8,
        "pad_token_id": 0,
    },
    "embedding_gemma2": {
        "model_type": "embedding_gemma2_text",
        "architectures": ["EmbeddingGemma2TextModel"],
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "per_layer_config": {
            "1": {"head_dim": 16, "num_key_value_heads": 1},
            "2": {"head_dim": 16, "num_key_value_heads": 1},
        },
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "full_attention": {"rope_theta": 1000000.0, "rope_type": "default"},
            "sliding_attention": {"rope_theta": 100.0, "rope_type": "default"},
        },
        "attention_bias": False,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        "sliding_window": 4,
        "hidden_size_per_layer_input": 16,
        "embedding_dim": 32,
        "pad_token_id": 0,
    },
    "lfm2": {
        "model_type": "lfm2",
        "architectures": ["Lfm2Model"],
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "layer_types": ["conv", "full_attention", "conv", "conv"],
        "conv_L_cache": 3,
        "conv_bias": False,
        "intermediate_size": 66,
        "block_auto_adjust_ff_dim": True,
        "block_ffn_dim_multiplier": 1.0,
        "block_multiple_of": 8,
        "max_position_embeddings": 40,
        "norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
        "tie_embedding": True,
        "pad_token_id": 0,
    },
    "electra": {
        "model_type": "electra",
        "architectures": ["ElectraModel"],
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    },
    "albert": {
        "model_type": "albert",
        "architectures": ["AlbertModel"],
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_hidden_groups": 1,
        "inner_group_num": 1,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
        "type_vocab_size": 2,
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    },
    "t5": {
        "model_type": "t5",
        "architectures": ["T5EncoderModel"],
        "d_model": 32,
        "d_kv": 6,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "n_positions": 40,
        "feed_forward_proj": "relu",
        "layer_norm_epsilon": 1e-6,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16,
        "is_encoder_decoder": True,
        "pad_token_id": 0,
    },
    "t5-gated": {
        "model_type": "t5",
        "architectures": ["T5EncoderModel"],
        "d_model": 32,
        "d_kv": 10,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "n_positions": 40,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6,
        "relative_attention_num_buckets": 16,
        "relative_attention_max_distance": 20,
        "is_encoder_decoder": True,
        "pad_token_id": 0,
    },
    "jina_bert": {
        "model_type": "bert",
        "architectures": ["JinaBertForMaskedLM"],
        "auto_map": {
            "AutoConfig": "jinaai/jina-bert-implementation--configuration_bert.JinaBertConfig",
            "AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel",
        },
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "position_embedding_type": "alibi",
        "feed_forward_type": "geglu",
        "emb_pooler": "mean",
        "attn_implementation": "torch",
    },
    "jina_embeddings_v3": {
        "model_type": "jina_embeddings_v3",
        "architectures": ["JinaEmbeddingsV3Model"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 2000.0, "rope_type": "default"},
        "pad_token_id": 0,
    },
    "deberta-v2": {
        "model_type": "deberta-v2",
        "architectures": ["DebertaV2Model"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
        "type_vocab_size": 0,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-7,
        "pad_token_id": 0,
        "relative_attention": True,
        "pos_att_type": "p2c|c2p",
        "position_buckets": 6,
        "max_relative_positions": -1,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
    },
}
"""Settings that only some families have are small enough to matter in texts of 24 tokens."""
CONFIGS |= {
    "megatron-bert": CONFIGS["bert"]
    | {"model_type": "megatron-bert", "architectures": ["MegatronBertModel"]},
    "xlm-roberta-xl": CONFIGS["roberta"]
    | {"model_type": "xlm-roberta-xl", "architectures": ["XLMRobertaXLModel"]},
}
VOCABULARIES = {"mpnet": ("[UNK]", "[FILL]", *VOCABULARY[2:])}
"""Of families whose code says that 1 pads."""


def write_json(path: Path, content: object) -> None:
    """Write JSON, making the folder first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def edit_json(path: Path, *, without: tuple[str, ...] = (), **changes: object) -> None:
    """Change keys of a JSON object; a file that is not there yet is empty."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {k: v for k, v in {**content, **changes}.items() if k not in without})


def write_model(
    folder: Path,
    *,
    family: str = "bert",
    pooling: str = "cls",
    normalize: bool = True,
    prompts: Mapping[str, str] | None = None,
    max_tokens: int | None = 24,
    seed: int = 0,
    **config: object,
) -> Path:
    """Write a tiny model with all its files.

    Args:
        folder: Where; made if need be.
        family: A key of CONFIGS.
        pooling: A sentence-transformers pooling mode, written in the boolean schema.
        normalize: Whether modules.json ends with Normalize.
        prompts: For config_sentence_transformers.json.
        max_tokens: max_seq_length of sentence_bert_config.json; None leaves the file out.
        seed: Of the random weights.
        **config: Replaces keys of config.json.

    Returns:
        The folder.
    """
    write_json(folder / "config.json", {**CONFIGS[family], "vocab_size": len(VOCABULARY), **config})
    write_tokenizer(folder, VOCABULARIES.get(family, VOCABULARY))
    write_weights(folder, random_tensors(folder, seed))
    modules = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    paths = ["", "1_Pooling", "2_Normalize"]
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(zip(modules, paths, strict=False))
        ],
    )
    write_pooling(folder, pooling)
    if max_tokens is not None:
        write_json(
            folder / "sentence_bert_config.json",
            {"max_seq_length": max_tokens, "do_lower_case": False},
        )
    write_json(folder / "config_sentence_transformers.json", {"prompts": dict(prompts or {})})
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# Tiny\n", encoding="utf-8")
    return folder


def write_reranker(
    folder: Path,
    *,
    family: str = "bert",
    labels: int = 1,
    activation: str | None = "torch.nn.modules.linear.Identity",
    seed: int = 0,
    **config: object,
) -> Path:
    """Write a tiny cross-encoder as transformers saves one, whose logits of documents differ.

    Args:
        folder: Where; made if need be.
        family: A key of CONFIGS.
        labels: How many logits it gives.
        activation: The class in config.json that makes scores of them; None names none.
        seed: Of the random weights.
        **config: Replaces keys of config.json.

    Returns:
        The folder.
    """
    stated = {"sentence_transformers": {"activation_fn": activation}} if activation else {}
    name = CONFIGS[family]["architectures"][0].removesuffix("Model") + "ForSequenceClassification"
    named = {"id2label": {str(i): f"label {i}" for i in range(labels)}, "architectures": [name]}
    plain = {**CONFIGS[family], "vocab_size": len(VOCABULARY)}
    write_json(folder / "config.json", plain | named | stated | config)
    write_tokenizer(folder, VOCABULARIES.get(family, VOCABULARY))
    encoder = encoder_of(folder)
    types = ["token_type_ids"] if encoder.token_types != 1 else []
    inputs = ["input_ids", *types, "attention_mask"]
    edit_json(folder / "tokenizer_config.json", model_input_names=inputs)
    prefix = family_named(encoder.family).namings[0].prefix
    tensors = {f"{prefix}{key}": value for key, value in random_tensors(folder, seed).items()}
    write_weights(folder, tensors | random_classifier(folder, labels, seed))
    return folder


def random_classifier(folder: Path, labels: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return random tensors of a classifier, under the checkpoint's own names."""
    config = json.loads((folder / "config.json").read_text())
    spec = encoder_of(folder)
    classifier = read_classifier(spec, config, labels)
    head = Head(classifier.pooling, layers=tuple(row.layer for row in classifier.layers))
    shapes = layer_shapes(head, spec.width)
    generator = np.random.default_rng(seed + 1)
    tensors = {}
    for our, their in classifier.tensor_names(shapes).items():
        gain = 1 if spec.family == "distilbert" else 2  # ReLU bounds nothing, unlike tanh
        values = generator.normal(0, gain * shapes[our][-1] ** -0.5, shapes[our])
        tensors[their] = (1 + values if their.endswith("norm.weight") else values).astype("f4")
    return tensors


_FLAGS = {
    "cls": "cls_token",
    "mean": "mean_tokens",
    "max": "max_tokens",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens",
    "lasttoken": "lasttoken",
}


def write_router(folder: Path, prompts: Mapping[str, str]) -> Path:
    """Write a model with a tiny RoBERTa for queries and a tiny BERT for documents."""
    types: dict[str, str] = {}
    structure: dict[str, list[str]] = {}
    for role, family, pooling in (("query", "roberta", "mean"), ("document", "bert", "cls")):
        network = write_model(folder / f"{role}_0_Transformer", family=family, pooling=pooling)
        (network / "1_Pooling").rename(folder / f"{role}_1_Pooling")
        for name in ("modules.json", "config_sentence_transformers.json"):
            (network / name).unlink(missing_ok=True)
        structure[role] = [f"{role}_0_Transformer", f"{role}_1_Pooling"]
        types |= {name: f"{_TYPES}{name.rpartition('_')[2]}" for name in structure[role]}
    write_json(folder / "config_sentence_transformers.json", {"prompts": dict(prompts)})
    rows = (
        {"idx": i, "name": str(i), "path": path, "type": _TYPES + kind}
        for i, (kind, path) in enumerate((("Router", ""), ("Normalize", "1_Normalize")))
    )
    write_json(folder / "modules.json", list(rows))
    content = {"types": types, "structure": structure, "parameters": {"default_route": "document"}}
    write_json(folder / "router_config.json", content)
    return folder


_TYPES = "sentence_transformers.models."


def write_pooling(folder: Path, pooling: str) -> None:
    """Write 1_Pooling/config.json in the schema of boolean flags."""
    flags = {f"pooling_mode_{flag}": mode == pooling for mode, flag in _FLAGS.items()}
    write_json(folder / "1_Pooling/config.json", {"word_embedding_dimension": 32, **flags})


def write_tokenizer(folder: Path, vocabulary: tuple[str, ...] = VOCABULARY) -> None:
    """Write an uncased WordPiece tokenizer, with the padding and truncation of a careless saver.

    A vocabulary without [PAD] pads with [FILL].
    """
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([t for t in (*SPECIALS, "[FILL]") if t in ids])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.enable_truncation(10)
    tokenizer.enable_padding(length=10)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    names = ("pad", "unk", "cls", "sep", "mask")
    special = {f"{name}_token": token for name, token in zip(names, SPECIALS, strict=True)}
    if "[PAD]" not in ids:
        special["pad_token"] = "[FILL]"
    write_json(folder / "special_tokens_map.json", special)
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 40}
        | special,
    )


def change_tokenizer(path: Path, change: Callable[[Tokenizer], object]) -> Path:
    """Change a tokenizer.json in place."""
    tokenizer = Tokenizer.from_file(str(path))
    change(tokenizer)
    tokenizer.save(str(path))
    return path


def ids_of(words: str) -> list[int]:
    """Return the ids of words and tokens of VOCABULARY, between [CLS] and [SEP]."""
    return [VOCABULARY.index(token) for token in ("[CLS]", *words.split(), "[SEP]")]


def source_of(folder: Path, model_id: str | None = None) -> ModelSource:
    """Return the folder as a source, with a Hub id if one is given."""
    return ModelSource(str(folder), "folder", folder, None, model_id)


def encoder_of(folder: Path) -> EncoderSpec:
    """Return the encoder spec that minnow reads from a folder."""
    return read_encoder_spec(source_of(folder))


def embedding_of(folder: Path, model_id: str | None = None, **choices: Any) -> EmbeddingSpec:
    """Return the embedding spec that minnow reads from a folder, with the user's choices."""
    source = source_of(folder, model_id)
    return read_embedding_spec(source, read_encoder_spec(source), Choices(**choices))


def random_tensors(folder: Path, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return random tensors for a folder's config.json, under the checkpoint's own names."""
    spec = encoder_of(folder)
    network = network_of(spec)
    gated = network.blocks[0].feed_forward.gated
    namings = [naming.tensors for naming in family_named(spec.family).namings]
    fitting = next((n for n in namings if ("layer.{i}.gate" in n) == gated), namings[0])
    theirs = tensor_names(fitting, network)
    generator = np.random.default_rng(seed)
    pieces: dict[str, dict[int, NDArray[np.float32]]] = {}
    for name, shape in tensor_shapes(network).items():
        scale = 0.5 if name.startswith("embeddings.") or len(shape) == 1 else shape[-1] ** -0.5
        values = generator.normal(0, scale, shape)
        if name.endswith(("norm.weight", ".scale")):
            values = 1 + 0.2 * values
        found = pieces.setdefault(theirs[name].name, {})  # ALBERT's layers have one together
        found.setdefault(theirs[name].index, values.astype(np.float32))
    return {name: np.concatenate([rows[i] for i in sorted(rows)]) for name, rows in pieces.items()}


def write_weights(folder: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write model.safetensors."""
    write_safetensors(folder / "model.safetensors", tensors)


DTYPES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i1": "I8", "u1": "U8"}


def write_safetensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], *, bfloat16: bool = False
) -> None:
    """Write a safetensors file by hand: a length, a JSON header, the bytes of every tensor.

    Args:
        path: Where.
        tensors: Name -> array.
        bfloat16: Keep only the upper half of each float32, and call it BF16.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in tensors.items():
        kind = "BF16" if bfloat16 else DTYPES[tensor.dtype.str[1:]]
        halves = np.ascontiguousarray(tensor).view("<u2").reshape(-1)
        content = halves[1::2].tobytes() if bfloat16 else tensor.tobytes()
        offsets = [len(body), len(body) + len(content)]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": offsets}
        body += content
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)
