from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import (
    CONFIGS,
    edit_json,
    embedding_of,
    encoder_of,
    write_json,
    write_model,
)

from minnow.errors import (
    SourceError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from minnow.model.config import read_json
from minnow.model.families import FAMILIES, network_of
from minnow.model.spec import Activation

if TYPE_CHECKING:
    from pathlib import Path


PROMPTS_FILE = "config_sentence_transformers.json"
LIMITS_FILE = "sentence_bert_config.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


# --- JSON files --------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"{", b"", b"\xff{}", b"\xef\xbb\xbf{}"])
@pytest.mark.parametrize(
    "name",
    ["config.json", "modules.json", "1_Pooling/config.json", LIMITS_FILE, PROMPTS_FILE],
)
def test_broken_json_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)

    with pytest.raises(SourceError, match=re.escape(f"{folder / name} is not valid JSON")):
        embedding_of(folder)


def test_broken_json_is_located(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{\n "a": 1,\n"b"}')

    with pytest.raises(SourceError, match="line 3 column 4"):
        read_json(tmp_path / "config.json")


def test_json_that_cannot_be_read_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"Cannot read .*: Is a directory"):
        read_json(tmp_path)


@pytest.mark.parametrize("content", [[], "text", None, 3])
@pytest.mark.parametrize("name", ["config.json", "1_Pooling/config.json", LIMITS_FILE])
def test_json_of_another_kind_is_refused(folder: Path, name: str, content: object) -> None:
    write_json(folder / name, content)

    with pytest.raises(SourceError, match=r"should hold a JSON object, not \w+"):
        embedding_of(folder)


# --- the network -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "offset", "token_types", "pad", "epsilon"),
    [("bert", 0, 2, 0, 1e-12), ("roberta", 2, 1, 1, 1e-5), ("distilbert", 0, 0, 0, 1e-12)],
)
def test_a_config_is_read_in_the_spelling_of_its_family(
    tmp_path: Path, family: str, offset: int, token_types: int, pad: int, epsilon: float
) -> None:
    write_json(tmp_path / "config.json", {**CONFIGS[family], "vocab_size": 50})

    spec = encoder_of(tmp_path)

    assert (spec.family, spec.vocab_size, spec.width) == (family, 50, 32)
    assert (spec.layers, spec.heads, spec.inner_width) == (2, 4, 64)
    assert (spec.position_offset, spec.max_positions) == (offset, 40)
    assert (spec.token_types, spec.pad_token_id) == (token_types, pad)
    assert (spec.activation, spec.layer_norm_eps) == (Activation.GELU, epsilon)


@pytest.mark.parametrize(
    ("family", "inputs"), [("bert", 3), ("roberta", 3), ("distilbert", 2)], ids=str
)
def test_the_graph_takes_token_types_where_the_model_has_them(
    tmp_path: Path, family: str, inputs: int
) -> None:
    write_json(tmp_path / "config.json", {**CONFIGS[family], "vocab_size": 50})

    names = ("input_ids", "attention_mask", "token_type_ids")
    assert encoder_of(tmp_path).inputs == names[:inputs]


def test_positions_of_roberta_start_after_its_padding_id(tmp_path: Path) -> None:
    write_json(
        tmp_path / "config.json", {**CONFIGS["roberta"], "vocab_size": 50, "pad_token_id": 4}
    )

    spec = encoder_of(tmp_path)

    assert (spec.position_offset, spec.positions, spec.max_positions) == (5, 42, 37)


def test_keys_that_distilbert_has_no_use_for_are_ignored(tmp_path: Path) -> None:
    config = {**CONFIGS["distilbert"], "vocab_size": 50}
    write_json(tmp_path / "config.json", config)
    plain = encoder_of(tmp_path)
    edit_json(tmp_path / "config.json", type_vocab_size=2, layer_norm_eps=1e-5, hidden_act="mish")

    assert encoder_of(tmp_path) == plain


@pytest.mark.parametrize("value", ["x", None, 0])
@pytest.mark.parametrize("family", CONFIGS)
def test_a_key_that_no_table_has_is_refused(tmp_path: Path, family: str, value: object) -> None:
    config = {**CONFIGS[family], "vocab_size": 50, "extra_theta": value, "extra_norm": True}
    write_json(tmp_path / "config.json", config)

    with pytest.raises(UnsupportedModelError) as caught:
        encoder_of(tmp_path)

    stated = f"what extra_theta: {json.dumps(value)}, extra_norm: true would change (delete each"
    assert stated in str(caught.value)


@pytest.mark.transformers_5
@pytest.mark.extra("sentence-transformers")
@pytest.mark.parametrize(
    "model_type", sorted({name for row in FAMILIES for name in row.model_types} - {"new"})
)
def test_every_key_that_transformers_writes_is_in_a_table(model_type: str, tmp_path: Path) -> None:
    from transformers import AutoConfig

    AutoConfig.for_model(model_type).save_pretrained(tmp_path)

    encoder_of(tmp_path)


OLD_KEYS: dict[str, Any] = {
    "_name_or_path": "x", "finetuning_task": None, "torchscript": False, "use_bfloat16": False,
    "pruned_heads": {}, "do_sample": False, "num_beams": 1, "top_k": 50, "output_past": True,
    "pooler_fc_size": 768, "pooler_type": "first_token_transform", "directionality": "bidi",
    "gradient_checkpointing": False, "torch_dtype": "float16", "use_cache": True, "emb_size": 32,
}  # fmt: skip


TRANSFORMERS_4: dict[str, Any] = {
    "add_cross_attention": False, "bad_words_ids": None, "begin_suppress_tokens": None,
    "chunk_size_feed_forward": 0, "cross_attention_hidden_size": None, "diversity_penalty": 0.0,
    "decoder_start_token_id": None, "do_sample": False, "dtype": None, "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0, "exponential_decay_length_penalty": None, "num_beams": 1,
    "finetuning_task": None, "forced_bos_token_id": None, "forced_eos_token_id": None,
    "is_decoder": False, "is_encoder_decoder": False, "length_penalty": 1.0, "max_length": 20,
    "min_length": 0, "no_repeat_ngram_size": 0, "num_beam_groups": 1, "num_return_sequences": 1,
    "output_attentions": False, "output_hidden_states": False, "output_scores": False,
    "prefix": None, "problem_type": None, "pruned_heads": {}, "remove_invalid_values": False,
    "repetition_penalty": 1.0, "return_dict": True, "return_dict_in_generate": False,
    "sep_token_id": None, "suppress_tokens": None, "task_specific_params": None, "top_k": 50,
    "temperature": 1.0, "tf_legacy_loss": False, "tie_encoder_decoder": False, "top_p": 1.0,
    "tie_word_embeddings": True, "tokenizer_class": None, "torchscript": False, "typical_p": 1.0,
    "use_bfloat16": False, "xla_device": None,
}  # fmt: skip
"""All that a configuration of transformers 4.57.6 has in common, at its defaults."""


@pytest.mark.parametrize("family", CONFIGS)
def test_keys_that_transformers_4_wrote_are_in_a_table(tmp_path: Path, family: str) -> None:
    config = {**CONFIGS[family], "vocab_size": 50}
    write_json(tmp_path / "config.json", config)
    plain = encoder_of(tmp_path)
    write_json(tmp_path / "config.json", {**config, **TRANSFORMERS_4})

    assert encoder_of(tmp_path) == plain


def test_keys_that_older_versions_wrote_are_in_a_table(folder: Path) -> None:
    plain = encoder_of(folder)
    edit_json(folder / "config.json", **OLD_KEYS)

    assert encoder_of(folder) == plain


def test_a_model_without_an_id_for_padding_is_padded_with_another(folder: Path) -> None:
    edit_json(folder / "config.json", pad_token_id=None)

    assert encoder_of(folder).pad_token_id == 0


def test_positions_after_padding_need_its_id(tmp_path: Path) -> None:
    config = {**CONFIGS["roberta"], "vocab_size": 50, "pad_token_id": None}
    write_json(tmp_path / "config.json", config)

    with pytest.raises(UnsupportedModelError, match="pad_token_id should be an integer of at le"):
        encoder_of(tmp_path)


def test_without_config_json_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"has no config\.json"):
        encoder_of(tmp_path)


@pytest.mark.parametrize("model_type", ["xlnet", "BERT", "", 3, [], {"bert": 1}])
def test_another_model_type_is_refused_with_those_that_are_known(
    folder: Path, model_type: object
) -> None:
    edit_json(folder / "config.json", model_type=model_type)

    with pytest.raises(UnsupportedModelError) as caught:
        encoder_of(folder)

    assert f"config.json has model_type {model_type!r}; " in str(caught.value)
    assert "converts bert, " in str(caught.value)
    assert ", distilbert, " in str(caught.value)


def test_a_config_without_model_type_is_refused(folder: Path) -> None:
    edit_json(folder / "config.json", without=("model_type",))

    with pytest.raises(UnsupportedModelError, match=r"config\.json states no model_type; minnow"):
        encoder_of(folder)


SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings")


@pytest.mark.parametrize("value", [0, -1, 1.5, 32.0, "32", None, True, [32]])
@pytest.mark.parametrize("key", SIZES)
def test_a_size_is_a_positive_integer(folder: Path, key: str, value: Any) -> None:
    edit_json(folder / "config.json", **{key: value})

    with pytest.raises(UnsupportedModelError, match=f"{key} should be a positive integer, not "):
        encoder_of(folder)


@pytest.mark.parametrize("value", [-1, 0.5, "0", False])
@pytest.mark.parametrize("key", ["type_vocab_size", "pad_token_id"])
def test_an_id_or_count_is_an_integer_of_at_least_zero(folder: Path, key: str, value: Any) -> None:
    edit_json(folder / "config.json", **{key: value})

    with pytest.raises(UnsupportedModelError, match=f"{key} should be an integer of at least 0"):
        encoder_of(folder)


@pytest.mark.parametrize("value", [0, -1e-5, 1, True, "1e-12", None, float("nan")])
def test_the_epsilon_is_a_small_positive_number(folder: Path, value: object) -> None:
    edit_json(folder / "config.json", layer_norm_eps=value)

    with pytest.raises(UnsupportedModelError, match="layer_norm_eps should be a small positive"):
        encoder_of(folder)


@pytest.mark.parametrize("value", ["mish", "GELU", "quick_gelu", None, ["gelu"]])
def test_another_activation_is_refused(folder: Path, value: object) -> None:
    edit_json(folder / "config.json", hidden_act=value)

    with pytest.raises(UnsupportedModelError) as caught:
        encoder_of(folder)

    assert f"hidden_act is {value!r}, but minnow supports gelu, " in str(caught.value)


def test_heads_share_the_width_evenly(folder: Path) -> None:
    edit_json(folder / "config.json", num_attention_heads=5)

    with pytest.raises(UnsupportedModelError, match="hidden_size is not a multiple of num_att"):
        encoder_of(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("position_embedding_type", None),  # transformers 4 adds no positions then, 5 adds them
        ("is_encoder_decoder", True),
        ("pruned_heads", {"0": [1]}),
        ("quantization_config", {"bits": 4}),
        ("auto_map", {"AutoModel": "modeling_x.XModel"}),
        ("directionality", "uni"),
    ],
)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_variant_of_the_network_is_refused(
    tmp_path: Path, family: str, key: str, value: Any
) -> None:
    write_json(tmp_path / "config.json", {**CONFIGS[family], "vocab_size": 50, key: value})

    with pytest.raises(UnsupportedModelError, match=re.escape(f"{key} is {value!r}, but minn")):
        encoder_of(tmp_path)


def test_missing_and_foreign_keys_are_named_together(folder: Path) -> None:
    edit_json(
        folder / "config.json",
        without=("hidden_size", "vocab_size"),
        is_decoder=True,
        position_embedding_type="rotary",
    )

    with pytest.raises(UnsupportedModelError) as caught:
        encoder_of(folder)

    for fault in (
        "hidden_size is missing",
        "vocab_size is missing",
        "is_decoder is True",
        "position_embedding_type is 'rotary'",
    ):
        assert fault in str(caught.value)


def test_wrong_values_are_named_together(folder: Path) -> None:
    edit_json(
        folder / "config.json",
        hidden_size=-32,
        pad_token_id=-1,
        layer_norm_eps=0,
        hidden_act="mish",
    )

    with pytest.raises(UnsupportedModelError) as caught:
        encoder_of(folder)

    for key in ("hidden_size", "pad_token_id", "layer_norm_eps", "hidden_act"):
        assert f"{key} " in str(caught.value)


def test_files_that_json_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in (b'{"a": ' + b"1" * 5000 + b"}", b"[" * 100_000, b"\xff"):
        path.write_bytes(content)
        with pytest.raises(SourceError, match="is not valid JSON"):
            read_json(path)
    with path.open("ab") as file:
        file.truncate(1 << 40)
    with pytest.raises(SourceError, match="larger than 256 MB"):
        read_json(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceError, match="it is a named pipe"):
        read_json(path)


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [("qwen3_moe", "mixtures of experts"), ("gemma3", "a tower for images")],
)
def test_a_near_model_type_is_refused_with_the_reason(
    model_type: str, reason: str, tmp_path: Path
) -> None:
    write_json(tmp_path / "config.json", {"model_type": model_type, "vocab_size": 50})
    with pytest.raises(UnsupportedModelError, match=f"{model_type}' \\({reason}.*minnow converts"):
        encoder_of(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["Lfm2BidirectionalModel"]},
        {"auto_map": {"AutoModelForMaskedLM": "modeling_lfm2_bidirectional.Lfm2Bidirectional"}},
    ],
)
def test_an_lfm2_says_plainly_that_it_sees_both_directions(
    change: dict[str, Any], tmp_path: Path
) -> None:
    """transformers would take such a file for a decoder's."""
    write_json(tmp_path / "config.json", {**CONFIGS["lfm2"], "vocab_size": 50, **change})
    with pytest.raises(UnsupportedModelError, match="names a class for both directions"):
        encoder_of(tmp_path)


def test_the_file_of_a_model_with_towers_is_read_as_strictly(tmp_path: Path) -> None:
    text = {**CONFIGS["embedding_gemma2"], "vocab_size": 50}
    path, towers = tmp_path / "config.json", {"vision_config": {"depth": 1}, "audio_config": None}
    whole = {"model_type": "embedding_gemma2", "text_config": text, **towers, "audio_token_id": 7}
    write_json(path, whole)
    read = encoder_of(tmp_path)
    assert read.settings["placeholders"] == [7, 258_880, 258_884]
    assert network_of(read).words.placeholders == (7,)
    for change, fault in (
        ({"text_config": 3}, "text_config is not of a network with model_type"),
        ({"text_config": {**text, "model_type": "qwen3"}}, "text_config is not of a network"),
        ({"text_config": {**text, "depth": 3}}, "does not know what depth: 3 would change"),
        ({"depth": 3}, "does not know what depth: 3 would change"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is"),
        ({"image_token_id": "x"}, "image_token_id should be an integer of at least 0"),
        ({"video_token_id": None}, "video_token_id should be an integer"),
    ):
        write_json(path, whole | change)
        with pytest.raises(UnsupportedModelError, match=fault):
            encoder_of(tmp_path)
