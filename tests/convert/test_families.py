"""Families beside BERT's: their vectors, the settings that matter, other spellings, and traps."""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import (
    edit_json,
    ids_of,
    random_tensors,
    source_of,
    write_model,
    write_pooling,
    write_weights,
)

from minnow import processes
from minnow.convert import convert, mnn
from minnow.convert.calibration import calibration_rows
from minnow.convert.quantize import quantize
from minnow.errors import ParityError, UnsupportedModelError
from minnow.export.gguf import write_gguf
from minnow.export.gguf.file import gguf_metadata
from minnow.export.mnn_llm import export_mnn_llm
from minnow.graph.disentangled import rows_of_distances
from minnow.graph.encoder import GraphWriter
from minnow.graph.positions import PositionNodes
from minnow.model.config import read_encoder_spec
from minnow.model.families import network_of
from minnow.model.network import Disentangled, Norm, RmsNorm
from minnow.model.original import Original, read_original
from minnow.model.reference import ReferenceModel
from minnow.model.spec import Interface
from minnow.recipe import RECIPES
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.bundles import BundleStore
    from numpy.typing import NDArray

    from minnow.model.network import Rotary

pytestmark = [
    pytest.mark.extra("convert", "sentence-transformers"),
    pytest.mark.filterwarnings("ignore"),
]

FAMILIES = (
    "megatron-bert",
    "xlm-roberta-xl",
    "mpnet",
    "modernbert",
    "nomic_bert",
    "gte",
    "eurobert",
    "qwen3",
    "gemma3",
    "embedding_gemma2",
    "lfm2",
    "electra",
    "albert",
    "t5",
    "t5-gated",
    "jina_embeddings_v3",
    "deberta-v2",
)
IDS = ids_of("the small red fish run in the blue water of the river and sleep not at the big one")


@pytest.mark.transformers_5
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("precision", "interface", "pooling"),
    [
        pytest.param(
            "fp32", Interface.SENTENCE_EMBEDDING, "cls", id="fp32", marks=pytest.mark.whole_proof
        ),
        pytest.param("fp16", Interface.LAST_HIDDEN_STATE, "mean", id="fp16"),
    ],
)
def test_the_vectors_are_those_of_sentence_transformers(
    family: str, precision: str, interface: Interface, pooling: str, tmp_path: Path
) -> None:
    """One by one and in padded batches, with any shape and with a fixed one.

    The whole proof is that of the graph that pools, which holds the other one.
    """
    bundle = convert(
        str(write_model(tmp_path / "model", family=family, pooling=pooling)),
        tmp_path / "bundle",
        recipe=replace(RECIPES[precision], interface=interface),
        reference="sentence-transformers",
        shapes=[(2, 12)],
    )
    bar = {"fp32": 0.999999, "fp16": 0.9999}[precision]
    worst = [bundle.manifest.parity.worst, *(f.parity.worst for f in bundle.manifest.fixed_shapes)]
    assert min(run.worst for run in worst) >= bar


@pytest.mark.parametrize(("family", "other"), [("bert", "ernie"), ("roberta", "data2vec-text")])
def test_other_names_of_a_network(family: str, other: str, tmp_path: Path) -> None:
    bundle = convert(
        str(write_model(tmp_path / "model", family=family, pooling="mean", model_type=other)),
        tmp_path / "bundle",
        recipe=RECIPES["fp32"],
        reference="sentence-transformers",
    )
    assert bundle.manifest.parity.worst.worst >= 0.999999


@pytest.mark.parametrize(
    "family",
    [
        "modernbert",
        "gte",
        "qwen3",
        "gemma3",
        "embedding_gemma2",
        "lfm2",
        "electra",
        "t5-gated",
        "jina_bert",
        "deberta-v2",
    ],
)
def test_weights_of_a_few_bits_are_the_ones_that_run(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibrated, with gates and new biases; the proof compares with the stored numbers too."""
    module = sys.modules[quantize.__module__]
    monkeypatch.setattr(module, "calibration_rows", lambda *given: calibration_rows(*given)[::3])
    # Gemma's norms make the errors of each part larger, and LFM2's two gates multiply them;
    # words of 32 random numbers cost T5 .002
    bar = {"gemma3": 0.99, "lfm2": 0.99, "t5-gated": 0.995}.get(family, 0.998)
    recipe = replace(RECIPES["int8"], max_ndcg_drop=None, bar=bar)
    bundle = convert(
        str(write_model(tmp_path / "model", family=family, pooling="lasttoken")),
        tmp_path / "bundle",
        recipe=replace(recipe, interface=Interface.SENTENCE_EMBEDDING),
    )
    assert bundle.manifest.parity.worst.worst >= bar


# --- settings ----------------------------------------------------------------------------


def vector(original: Original) -> NDArray[np.float64]:
    model = ReferenceModel(original.network, original.head, original.tensors)
    return model.vector(IDS)


def rope(theta: float, **more: object) -> dict[str, object]:
    return {"rope_theta": theta, "rope_type": "default", **more}


LFM2_CODE = {"AutoModel": "modeling_lfm2_bidirectional.Lfm2BidirectionalModel"}

MATTERS: dict[str, list[dict[str, Any]]] = {
    "modernbert": [
        {"local_attention": 6},
        {"global_attn_every_n_layers": 3},
        {"layer_types": ["sliding_attention"] * 3},
        {"global_rope_theta": 100.0},
        {"local_rope_theta": 160_000.0},
        {"rope_parameters": {"sliding_attention": rope(100.0, rope_type="linear", factor=2.0)}},
    ],
    "nomic_bert": [{"rope_parameters": rope(20.0)}, {"rope_parameters": None, "rope_theta": 9.0}],
    "gte": [
        {"rope_parameters": rope(20_000.0)},
        {"rope_scaling": {"type": "ntk", "factor": 8.0}, "rope_theta": 20_000},
    ],
    "eurobert": [{"rope_parameters": rope(100.0)}, {"rms_norm_eps": 0.1}],
    "qwen3": [
        {"rope_theta": 100.0},
        {"rms_norm_eps": 0.1},
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
        {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 0},
    ],
    "gemma3": [
        {"use_bidirectional_attention": False},
        {"sliding_window": 6},
        {"layer_types": ["full_attention"] * 3},
        {"layer_types": None, "sliding_window_pattern": 3},
        {"rope_theta": 100.0},
        {"rope_local_base_freq": 20.0},
        {"rope_scaling": {"rope_type": "linear", "factor": 8.0}},
        {"query_pre_attn_scalar": 16},
        {"rms_norm_eps": 0.1},
    ],
    "embedding_gemma2": [
        {"sliding_window": 6},
        {"layer_types": ["full_attention"] * 3},
        {"layer_types": None, "sliding_window_pattern": 1},
        {"rope_parameters": {"sliding_attention": rope(20.0), "full_attention": rope(1e6)}},
        {"rope_parameters": {"sliding_attention": rope(100.0), "full_attention": rope(50.0)}},
        {"rms_norm_eps": 0.1},
        {"hidden_activation": "silu"},
    ],
    "lfm2": [
        {"rope_parameters": rope(100.0)},
        {"norm_eps": 0.1},
        {"auto_map": LFM2_CODE},
    ],
    "t5": [
        {"relative_attention_max_distance": 20},
        {"layer_norm_epsilon": 0.1},
        {"feed_forward_proj": "gelu"},
    ],
    "t5-gated": [{"feed_forward_proj": "gated-relu"}],
    "deberta-v2": [
        {"max_relative_positions": 20},
        {"pos_att_type": ["c2p"]},
        {"pos_att_type": ["p2c"]},
    ],
    "jina_bert": [{"feed_forward_type": "reglu"}],
    "jina_embeddings_v3": [{"rope_parameters": rope(20.0)}, {"rope_parameters": None}],
    "albert": [{"num_hidden_layers": 2}, {"hidden_act": "relu"}],
}


@pytest.mark.parametrize(
    ("family", "change"), [(f, change) for f, changes in MATTERS.items() for change in changes]
)
def test_every_setting_matters(family: str, change: dict[str, Any], tmp_path: Path) -> None:
    """With another value the same weights give another vector, in a text of 21 tokens."""
    folder = write_model(tmp_path / "model", family=family, pooling="mean")
    before = vector(read_original(source_of(folder)))
    edit_json(folder / "config.json", **change)
    assert before @ vector(read_original(source_of(folder))) < 1 - 1e-5


def test_the_numbers_of_distances_matter(tmp_path: Path) -> None:
    original = read_original(source_of(write_model(tmp_path / "model", family="mpnet")))
    without = dict(original.tensors) | {
        "relative_bias": np.zeros_like(original.tensors["relative_bias"])
    }
    assert vector(original) @ vector(replace(original, tensors=without)) < 0.999


def test_distances_share_the_rows_that_transformers_gives_them() -> None:
    import torch
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    for span, distance in ((256, 512), (6, 40), (4, 9), (32, 1024)):
        given = Disentangled(span, distance, keys=True, queries=True, shared=True, norm=None)
        behind = torch.arange(600, -601, -1)
        rows = make_log_bucket_position(behind, span, distance).long() + span
        expected = rows.clamp(0, 2 * span - 1).numpy()
        np.testing.assert_array_equal(rows_of_distances(given, 601), expected)


@pytest.mark.parametrize("change", [{"share_att_key": False}, {"position_biased_input": True}])
def test_other_debertas_give_the_states_of_transformers(
    change: dict[str, Any], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModel

    folder = write_model(tmp_path / "model", family="deberta-v2", type_vocab_size=2, **change)
    original = read_original(source_of(folder))
    model = AutoModel.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([IDS])).last_hidden_state[0].numpy()
    found = ReferenceModel(original.network, original.head, original.tensors).hidden_states(IDS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def states_of_jina(folder: Path, ids: list[int]) -> NDArray[np.float64]:
    """Compute JinaBERT's states in torch, as its paper describes them."""
    import torch
    from torch.nn import functional
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    config = json.loads((folder / "config.json").read_text())
    heads, size = config["num_attention_heads"], config["hidden_size"]
    t = {n: torch.tensor(x, dtype=torch.float64) for n, x in random_tensors(folder).items()}

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, t[f"{name}.weight"], t.get(f"{name}.bias"))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, (size,), t[f"{name}.weight"], t[f"{name}.bias"], 1e-12)

    slopes = build_alibi_tensor(torch.ones(1, 2), heads, torch.float64)[:, 0, 1]
    places = torch.arange(len(ids))
    bias = -slopes[:, None, None] * (places[:, None] - places[None, :]).abs()
    x = t["embeddings.word_embeddings.weight"][ids]
    x = norm(x + t["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{i}"
        parts = (linear(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
        q, k, v = (part.reshape(len(ids), heads, -1).transpose(0, 1) for part in parts)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        mixed = linear(mixed.transpose(0, 1).flatten(1), f"{at}.attention.output.dense")
        x = norm(mixed + x, f"{at}.attention.output.LayerNorm")
        gate, inner = linear(x, f"{at}.mlp.gated_layers").chunk(2, dim=-1)
        x = norm(linear(functional.gelu(gate) * inner, f"{at}.mlp.wo") + x, f"{at}.mlp.layernorm")
    found: NDArray[np.float64] = x.numpy()
    return found


def states_of_lfm2(folder: Path, ids: list[int]) -> NDArray[np.float64]:
    """Compute the states of LFM2's embedding models in torch: `Lfm2Model` in both directions.

    All tokens see all others, and the convolutions have the token in their middle.
    """
    import torch
    from transformers import AutoModel
    from transformers.models.lfm2 import modeling_lfm2

    def convolve(
        hidden_states: torch.Tensor, weight: torch.Tensor, bias: None, **_: object
    ) -> torch.Tensor:
        width, taps = weight.shape
        return torch.nn.functional.conv1d(
            hidden_states, weight[:, None], bias, padding=taps // 2, groups=width
        )[..., : hidden_states.shape[-1]]

    model = AutoModel.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager", trust_remote_code=False
    )
    seen = {"full_attention": torch.zeros(1, 1, 1, len(ids)), "conv": None}
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(modeling_lfm2, "causal_conv1d_fn", convolve)
        for layer in model.layers:
            if not layer.is_attention_layer:
                patch.setattr(layer.conv, "causal_conv1d_fn", convolve, raising=False)
        states = model(input_ids=torch.tensor([ids]), attention_mask=seen).last_hidden_state
    found: NDArray[np.float64] = states[0].numpy()
    return found


@pytest.mark.transformers_5
@pytest.mark.parametrize("taps", [3, 4])
def test_an_lfm2_of_both_directions_has_the_token_in_the_middle(taps: int, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", family="lfm2", pooling="cls", conv_L_cache=taps)
    expected = states_of_lfm2(folder, IDS)
    before = read_original(source_of(folder))
    edit_json(folder / "config.json", auto_map=LFM2_CODE)
    original = read_original(source_of(folder))
    found, causal = (
        ReferenceModel(each.network, each.head, each.tensors).hidden_states(IDS)
        for each in (original, before)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - causal).max() > 0.1
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp32"], offline=True)
    assert bundle.manifest.parity.worst.worst >= 0.999999


@pytest.mark.parametrize("heads", [4, 12])
def test_jina_s_states_are_those_of_its_paper(heads: int, tmp_path: Path) -> None:
    """No library has this network, so torch computes it here; Bloom has the same slopes."""
    folder = write_model(
        tmp_path / "m", family="jina_bert", num_attention_heads=heads, hidden_size=48
    )
    edit_json(folder / "1_Pooling/config.json", without=("word_embedding_dimension",))
    original = read_original(source_of(folder))
    found = ReferenceModel(original.network, original.head, original.tensors).hidden_states(IDS)
    np.testing.assert_allclose(found, states_of_jina(folder, IDS), atol=1e-6)


@pytest.mark.whole_proof
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_jina_s_vectors_are_those_of_the_reference(precision: str, tmp_path: Path) -> None:
    bundle = convert(
        str(write_model(tmp_path / "model", family="jina_bert", pooling="mean")),
        tmp_path / "bundle",
        recipe=RECIPES[precision],
        shapes=[(2, 12)],
    )
    worst = [bundle.manifest.parity.worst, *(f.parity.worst for f in bundle.manifest.fixed_shapes)]
    assert min(run.worst for run in worst) >= {"fp32": 0.999999, "fp16": 0.9999}[precision]


def test_heads_that_share_keys_are_neighbours(tmp_path: Path) -> None:
    """Two heads of queries read one of keys: as many of their own, repeated, are the same."""
    original = read_original(source_of(write_model(tmp_path / "model", family="eurobert")))
    block = original.network.blocks[0]
    assert (block.attention.heads, block.attention.group, block.attention.key_heads) == (4, 2, 2)
    alone = replace(block, attention=replace(block.attention, group=1))
    network = replace(original.network, blocks=(alone, alone))
    repeated = dict(original.tensors)
    for name in ("layer.0.key", "layer.0.value", "layer.1.key", "layer.1.value"):
        heads = original.tensors[f"{name}.weight"].reshape(2, 8, 32)
        repeated[f"{name}.weight"] = heads.repeat(2, axis=0).reshape(32, 32)
    found = ReferenceModel(network, original.head, repeated).vector(IDS)
    np.testing.assert_allclose(found, vector(original), atol=1e-12)


# --- other spellings ---------------------------------------------------------------------

PUBLISHED_NOMIC: dict[str, object] = {
    "model_type": "nomic_bert",
    "architectures": ["NomicBertModel"],
    "auto_map": {
        "AutoConfig": "nomic-ai/nomic-bert-2048--configuration_hf_nomic_bert.NomicBertConfig",
        "AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel",
    },
    "activation_function": "swiglu",
    "causal": False,
    "fused_bias_fc": True,
    "layer_norm_epsilon": 1e-12,
    "max_trained_positions": 2048,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "n_embd": 32,
    "n_head": 4,
    "n_inner": 256,
    "n_layer": 2,
    "n_positions": 40,
    "pad_vocab_size_multiple": 1,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "type_vocab_size": 2,
    "use_rms_norm": False,
}
PUBLISHED_GTE: dict[str, object] = {
    "model_type": "new",
    "architectures": ["NewModel"],
    "auto_map": {
        "AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig",
        "AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel",
    },
    "hidden_act": "gelu",
    "hidden_size": 32,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-12,
    "layer_norm_type": "layer_norm",
    "logn_attention_clip1": False,
    "logn_attention_scale": False,
    "max_position_embeddings": 40,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pack_qkv": True,
    "pad_token_id": 0,
    "position_embedding_type": "rope",
    "rope_scaling": {"factor": 8.0, "type": "ntk"},
    "rope_theta": 20_000,
    "type_vocab_size": 0,
    "unpad_inputs": False,
    "use_memory_efficient_attention": False,
}


def save_as_published(folder: Path) -> None:
    """Have transformers write the weights under the author's names, of which it knows them."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    config = (folder / "config.json").read_bytes()
    model.save_pretrained(folder)
    (folder / "config.json").write_bytes(config)


def publish(folder: Path, config: dict[str, object]) -> Path:
    """Copy a model with another config.json."""
    other = shutil.copytree(folder, folder.with_name("published"))
    words = json.loads((folder / "config.json").read_text())["vocab_size"]
    (other / "config.json").write_text(json.dumps({**config, "vocab_size": words}))
    return other


@pytest.mark.transformers_5
def test_nomic_s_own_config_describes_the_same_network(tmp_path: Path) -> None:
    """The truth is transformers' NomicBERT, whose names of tensors are the published ones."""
    folder = write_model(tmp_path / "model", family="nomic_bert", intermediate_size=256)
    ours = read_original(source_of(folder))
    save_as_published(folder)
    theirs = read_original(source_of(publish(folder, PUBLISHED_NOMIC)))

    assert theirs.encoder.family == ours.encoder.family
    assert theirs.network == ours.network
    for name, tensor in ours.tensors.items():
        np.testing.assert_array_equal(theirs.tensors[name], tensor)


@pytest.mark.transformers_5
def test_alibaba_s_own_config_describes_the_same_network(tmp_path: Path) -> None:
    """Its NTK scaling is a larger base, and angles that are divided by a constant."""
    stretched = {"rope_theta": 160_000.0, "rope_type": "linear", "factor": 8.0 ** (2 / 8)}
    folder = write_model(tmp_path / "model", family="gte", rope_parameters=stretched)
    ours = read_original(source_of(folder))
    save_as_published(folder)
    theirs = read_original(source_of(publish(folder, PUBLISHED_GTE)))

    assert theirs.network == ours.network
    for name, tensor in ours.tensors.items():
        np.testing.assert_array_equal(theirs.tensors[name], tensor)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (PUBLISHED_NOMIC, {"prenorm": True}, "prenorm is True"),
        (PUBLISHED_NOMIC, {"rotary_scaling_factor": 2}, "rotary_scaling_factor is 2"),
        (PUBLISHED_NOMIC, {"rotary_emb_fraction": 0.5}, "rotary_emb_fraction is 0.5"),
        (PUBLISHED_NOMIC, {"num_experts": 8}, "num_experts is 8"),
        (PUBLISHED_NOMIC, {"activation_function": "glu"}, "activation_function is 'glu'"),
        (PUBLISHED_NOMIC, {"auto_map": {"AutoModel": "mine.Net"}}, "code of its own, mine.Net"),
        (PUBLISHED_GTE, {"logn_attention_scale": True}, "logn_attention_scale is True"),
        (PUBLISHED_GTE, {"layer_norm_type": "rms_norm"}, "layer_norm_type is 'rms_norm'"),
        (PUBLISHED_GTE, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type 'dynam"),
        (
            PUBLISHED_GTE,
            {"rope_scaling": {"type": "ntk", "factor": 2.0, "mixed_b": 0.5}},
            "does not compute mixed_b",
        ),
    ],
)
def test_what_a_row_does_not_describe_is_refused(
    config: dict[str, object], change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**config, **change, "vocab_size": 50}))
    with pytest.raises(UnsupportedModelError, match=message):
        read_encoder_spec(source_of(tmp_path))


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("mpnet", {"relative_attention_num_buckets": 16}, "relative_attention_num_buckets is 16"),
        ("modernbert", {"layer_types": ["full_attention"]}, "layer_types should be 3 of"),
        ("modernbert", {"local_attention": 0}, "local_attention should be a positive integer"),
        ("modernbert", {"local_rope_theta": None}, "rope_theta should be a positive number"),
        ("modernbert", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_type 'yarn'"),
        ("nomic_bert", {"rope_parameters": rope(1e3, partial_rotary_factor=0.5)}, "part of a head"),
        ("eurobert", {"num_key_value_heads": 3}, "num_key_value_heads, 3, does not divide 4"),
        ("eurobert", {"head_dim": 7}, "a head of 7 numbers"),
        ("qwen3", {"layer_types": ["sliding_attention"] * 2}, "use_sliding_window is not set"),
        ("qwen3", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_type 'yarn'"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0"),
        ("gemma3", {"rope_parameters": rope(1e6)}, "rope_parameters should hold full_attention"),
        ("gemma3", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar should be a positive"),
        ("t5", {"relative_attention_num_buckets": 6}, "should be a multiple of 4"),
        ("jina_bert", {"feed_forward_type": "original"}, "feed_forward_type is 'original'"),
        ("jina_bert", {"auto_map": {"AutoModel": "mine.Net"}}, "code of its own, mine.Net"),
        ("jina_bert", {"position_embedding_type": "absolute"}, "position_embedding_type is 'abs"),
        ("deberta-v2", {"conv_kernel_size": 3}, "does not compute conv_kernel_size 3"),
        ("deberta-v2", {"embedding_size": 16}, "does not compute embedding_size 16"),
        ("deberta-v2", {"pos_att_type": "p2p"}, "does not compute pos_att_type 'p2p'"),
        ("albert", {"num_hidden_groups": 2}, "num_hidden_groups is 2"),
        ("bert", {"model_type": "ernie", "use_task_id": True}, "use_task_id is True"),
        ("bert", {"model_type": "convbert"}, "convolutions beside attention"),
    ],
)
def test_settings_that_no_network_here_has_are_refused(
    family: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", family=family)
    edit_json(folder / "config.json", **change)
    with pytest.raises(UnsupportedModelError, match=message):
        read_encoder_spec(source_of(folder))


def test_a_manifest_with_other_settings_is_refused(tmp_path: Path) -> None:
    spec = read_encoder_spec(source_of(write_model(tmp_path / "model", family="modernbert")))
    with pytest.raises(UnsupportedModelError, match="not settings of the family modernbert"):
        network_of(replace(spec, settings={}))


# --- traps of MNN's converter ------------------------------------------------------------


def bare_norm(self: GraphWriter, states: str, norm: Norm | None, name: str, tail: str = "") -> str:
    """Write an RMS norm without a weight, and its weight as two factors: the same numbers."""
    assert isinstance(norm, RmsNorm)
    full, weight = f"{name}{tail}", self._tensors[f"{name}.weight"]
    square = self.node("Mul", [states, states], f"{full}.square")
    mean = self.node("ReduceMean", [square], f"{full}.mean", axes=[-1], keepdims=1)
    root = self.node("Sqrt", [self.with_number("Add", mean, norm.eps, f"{full}.eps")], full + "r")
    scaled = self.node("Div", [states, root], f"{full}.scaled")
    doubled = self.with_number("Mul", scaled, 2.0, f"{full}.doubled")
    return self.node("Mul", [doubled, self.table(f"{name}.half", weight / 2)], full)


@pytest.mark.parametrize("family", ["eurobert", "qwen3"])
def test_a_norm_without_a_weight_is_never_sealed(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converter takes the next number for its weight, whatever its size."""

    def norm(
        self: GraphWriter,
        states: str,
        norm: Norm | None,
        name: str,
        tail: str = "",
        _multipliers: object = None,
    ) -> str:
        return states if norm is None else bare_norm(self, states, norm, name, tail)

    monkeypatch.setattr(GraphWriter, "_norm", norm)
    with pytest.raises(ParityError, match=r"NaN|cosine"):
        convert(
            str(write_model(tmp_path / "model", family=family, pooling="mean")),
            tmp_path / "bundle",
            recipe=RECIPES["fp32"],
        )
    assert not (tmp_path / "bundle").exists()


def computed_rotations(self: PositionNodes, rotary: Rotary) -> tuple[str, str]:
    """Compute cosines and sines in the graph, from frequencies that are constants of it."""
    if rotary not in self._rotary:
        name, size = f"computed{len(self._rotary)}", rotary.size
        half = rotary.theta ** (-np.arange(0, size, 2, dtype=np.float32) / size)
        places = self.cast(self._once("places", self._places), f"{name}.places")
        column = self.reshape(places, [1, 1, -1, 1], f"{name}.column")
        frequencies = self.table(f"{name}.frequencies", np.tile(half, 2)[None, None, None])
        angles = self.node("Mul", [column, frequencies], f"{name}.angles")
        signs = np.repeat([-1.0, 1.0], size // 2).astype(np.float32)
        sines = self.node("Sin", [angles], f"{name}.sin")
        self._rotary[rotary] = (
            self.node("Cos", [angles], f"{name}.cos"),
            self.node("Mul", [sines, self.table(f"{name}.signs", signs)], f"{name}.signed"),
        )
    return self._rotary[rotary]


def test_angles_that_are_computed_in_half_precision_are_never_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frequencies become float16, and the error of an angle grows with the position."""
    folder = write_model(
        tmp_path / "model",
        family="nomic_bert",
        max_tokens=500,
        max_position_embeddings=500,
        rope_parameters=rope(3.0),
    )
    tensors = random_tensors(folder)
    sharp = {n: 3 * t if "q_proj" in n or "k_proj" in n else t for n, t in tensors.items()}
    write_weights(folder, sharp)
    made = partial(convert, str(folder), tmp_path / "bundle")
    assert made(recipe=RECIPES["fp16"]).manifest.parity.worst.worst >= 0.9999
    monkeypatch.setattr(PositionNodes, "_rotations", computed_rotations)
    assert made(recipe=RECIPES["fp32"]).manifest.parity.worst.worst >= 0.999999
    with pytest.raises(ParityError, match="cosine"):
        made(recipe=RECIPES["fp16"])


def test_conversions_at_once_do_not_share_a_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converter's scratch file has a fixed name: in one directory both come out wrong."""
    folders: list[Path] = []
    run_child: Callable[..., str] = processes.run_child

    def watched(*args: Any, folder: Path, **more: Any) -> str:
        folders.append(folder)
        assert list(folder.iterdir()) == []
        return run_child(*args, folder=folder, **more)

    monkeypatch.setattr(mnn, "run_child", watched)
    sources = [
        write_model(tmp_path / f"model{seed}", pooling="mean", seed=seed, intermediate_size=2048)
        for seed in (1, 2)
    ]
    with ThreadPoolExecutor(2) as pool:
        bundles = pool.map(
            lambda source: convert(
                str(source), source.with_suffix(".minnow"), recipe=RECIPES["fp32"]
            ),
            sources,
        )
        assert [bundle.manifest.parity.worst.worst >= 0.999999 for bundle in bundles] == [True] * 2
    assert len(set(folders)) == 2


# --- other loaders -----------------------------------------------------------------------


@pytest.mark.whole_proof
@pytest.mark.extra("llama-cpp")
@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("nomic_bert", {}),
        ("modernbert", {"global_attn_every_n_layers": 3}),
        ("eurobert", {}),
        ("qwen3", {}),
        ("gemma3", {"num_hidden_layers": 6, "layer_types": None, "query_pre_attn_scalar": 16}),
    ],
    ids=["nomic_bert", "modernbert", "eurobert", "qwen3", "gemma3"],
)
def test_llama_cpp_gives_the_vectors(family: str, change: dict[str, Any], tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", family=family, pooling="mean", **change)
    write_pooling(folder, "lasttoken" if family == "qwen3" else "mean")
    proof = write_gguf(str(folder), tmp_path / "model.gguf", kind="f32")
    assert proof.worst >= 0.9999


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("mpnet", {}, "positions by a table that is added"),
        ("electra", {}, "its tables are narrower"),
        ("albert", {}, "its tables are narrower"),
        ("t5", {}, "its activation is relu"),
        ("jina_bert", {}, "positions by a table that is added"),
        ("deberta-v2", {}, "positions by a table that is added"),
        ("gte", {}, "layer 0 is not that of llama"),
        ("modernbert", {}, "layer 1 is not that of llama|layer 2 is not that of llama"),
        ("nomic_bert", {"hidden_act": "gelu"}, "layer 0 is not that of llama"),
        ("nomic_bert", {"head_dim": 6}, "its heads are 24 wide"),
        ("eurobert", {"mlp_bias": True}, "layer 0 is not that of llama"),
        ("qwen3", {"attention_bias": True}, "layer 0 is not that of llama"),
        ("lfm2", {}, "has layers that convolve, and minnow writes no GGUF"),
        ("gemma3", {}, "layer 0 is not that of llama"),
        ("gemma3", {"use_bidirectional_attention": False}, "layer 0 is not that of llama"),
    ],
)
def test_what_llama_cpp_does_not_compute_is_refused(
    family: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    original = read_original(source_of(write_model(tmp_path / "model", family=family, **change)))
    with pytest.raises(UnsupportedModelError, match=message):
        gguf_metadata(original)


def test_mnn_s_own_engine_gives_the_vectors(bundle_store: BundleStore, tmp_path: Path) -> None:
    """Rotations and windows count the positions that the engine gives, not the batch's shape."""
    bundle = bundle_store.bundle(RECIPES["fp32"], family="modernbert", pooling="mean")
    export = export_mnn_llm(bundle, tmp_path / "export")
    assert export.record.parity.worst.worst >= 0.999999
