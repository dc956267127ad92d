"""Rerankers as GGUF files: scores in llama.cpp are those of Python, and the rest is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import change_tokenizer, edit_json, write_json, write_model, write_reranker
from tokenizers import processors

from minnow import Reranker
from minnow.convert import convert
from minnow.engines.llama_cpp_model import GgufModel
from minnow.errors import EngineError, InputError, ParityError, UnsupportedModelError
from minnow.export.gguf import write_gguf
from minnow.export.gguf.ranking import head_tensors
from minnow.parity import Measure
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.extra("convert", "llama-cpp"), pytest.mark.whole_proof]

QUERY = "how do small fish sleep"
DOCUMENTS = ("the small fish sleep", "", "a big red river", "water " * 30, "one two three")
MODELS: dict[str, dict[str, Any]] = {
    "bert": {"type_vocab_size": 1},
    "roberta": {"labels": 2},
    "modernbert": {"classifier_pooling": "mean", "global_attn_every_n_layers": 3},
}


def write(folder: Path, family: str = "bert", **changes: Any) -> Path:
    """Write a tiny reranker that reads up to 200 tokens, by default one that llama.cpp ranks with.

    The limit leaves most of the probe pairs whole.
    """
    given = MODELS[family] | changes if family in MODELS else changes
    model = write_reranker(folder, family=family, max_position_embeddings=300, **given)
    edit_json(model / "tokenizer_config.json", model_max_length=200)
    return model


def between_twice(tokenizer: Any) -> None:
    """Put the separator between both texts twice, as RoBERTa does."""
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]", [("[CLS]", 2), ("[SEP]", 3)]
    )


@pytest.mark.parametrize(
    ("family", "kind", "twice"),
    [("bert", "f16", False), ("roberta", "q8_0", True), ("modernbert", "f32", False)],
)
def test_the_logits_are_those_of_python(
    family: str, kind: str, twice: bool, tmp_path: Path
) -> None:
    model = write(tmp_path / "model", family)
    if twice:
        change_tokenizer(model / "tokenizer.json", between_twice)
        edit_json(model / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    proof = write_gguf(str(model), tmp_path / "model.gguf", kind=kind)
    assert proof.measure is Measure.DIFFERENCE
    assert proof.worst <= proof.bar
    assert proof.texts > 130
    pairs = [(QUERY, text) for text in DOCUMENTS]
    bundle = convert(str(model), tmp_path / "bundle", recipe=RECIPES["fp32"])
    with Reranker.open(bundle) as reranker:
        expected = reranker.predict(pairs, activation_fn="identity").reshape(len(pairs), -1)
        ids = [row.ids for row in reranker.tokenize(pairs)]
        labels = reranker.labels
    opened = GgufModel(tmp_path / "model.gguf", 1, ranks=True)
    rows = [opened.pair(*pair) for pair in pairs]
    logits = opened.run(rows)
    assert tuple(opened.labels) == labels
    opened.free()
    assert rows == ids
    assert np.std(expected) > 10 * proof.worst
    assert np.abs(logits - expected).max() <= proof.bar


def test_another_classifier_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = head_tensors

    def swapped(*given: Any) -> Any:
        tensors = whole(*given)
        return tensors | {"cls.bias": tensors["cls.bias"] + np.float32(0.05)}

    monkeypatch.setattr("minnow.export.gguf.file.head_tensors", swapped)
    with pytest.raises(ParityError, match="does not give the logits of the checkpoint's forward"):
        write_gguf(str(write(tmp_path / "model")), tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


@pytest.mark.parametrize(
    ("family", "changes", "says"),
    [
        ("bert", {"type_vocab_size": 2}, "second text has a token type of its own"),
        ("qwen3", {}, "makes probabilities of a Qwen3's labels"),
        ("modernbert", {"classifier_pooling": "cls"}, "its head is cls, dense to 32, gelu"),
        ("mpnet", {}, "positions"),
        ("distilbert", {}, "its head is cls, dense to 32, relu"),
    ],
)
def test_what_llama_cpp_does_not_compute_is_refused_by_name(
    family: str, changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    model = write(tmp_path / "model", family, **changes)
    with pytest.raises(UnsupportedModelError, match=says):
        write_gguf(str(model), tmp_path / "model.gguf")


def test_pairs_and_types_that_its_server_does_not_write_are_refused(tmp_path: Path) -> None:
    model = write(tmp_path / "model")
    with pytest.raises(InputError, match="and not as q3_k_m"):
        write_gguf(str(model), tmp_path / "model.gguf", kind="q3_k_m")
    cut = {"processing_kwargs": {"text": {"truncation": "only_second", "max_length": 30}}}
    write_json(model / "sentence_bert_config.json", cut)
    with pytest.raises(UnsupportedModelError, match="it cuts the second text only"):
        write_gguf(str(model), tmp_path / "model.gguf")
    (model / "sentence_bert_config.json").unlink()
    other = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "$A [SEP] $B", [("[CLS]", 2), ("[SEP]", 3)]
    )
    edit_json(model / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    change_tokenizer(
        model / "tokenizer.json", lambda tokenizer: setattr(tokenizer, "post_processor", other)
    )
    with pytest.raises(UnsupportedModelError, match="cannot write the pairs"):
        write_gguf(str(model), tmp_path / "model.gguf")


def test_an_embedding_model_is_no_reranker(tmp_path: Path) -> None:
    write_gguf(str(write_model(tmp_path / "model")), tmp_path / "model.gguf")
    with pytest.raises(EngineError, match="is no reranker"):
        GgufModel(tmp_path / "model.gguf", 1, ranks=True)
