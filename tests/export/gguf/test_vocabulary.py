"""Tokenizers that llama.cpp supports, proven through it, and those that it does not."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import (
    change_tokenizer,
    edit_json,
    embedding_of,
    encoder_of,
    random_tensors,
    source_of,
    write_json,
    write_model,
    write_weights,
)
from fakes.gguf_files import charsmap
from tokenizers import (
    AddedToken,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from minnow.errors import UnsupportedModelError
from minnow.export.gguf import write_gguf
from minnow.export.gguf.vocabulary import TokenKind, other_tokens, read_vocabulary, to_word_start
from minnow.proof.probes import probe_texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.extra("llama-cpp"), pytest.mark.extra("convert")]

FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]

LONG = {"long-word", "long-word-inside", "long-number", "punctuation-run"}
"""Too long a word for WordPiece; many ways of one score to cut it up for Unigram."""
ROBERTA = {"roberta-tokens", "named-tokens", "named-tokens-inside"}
XLM_ROBERTA = {
    *LONG, *ROBERTA, "japanese-halfwidth", "control-characters", "no-break-space",
    "line-separators", "word-pieces",
}  # fmt: skip


def corpus() -> list[str]:
    return [probe.text.replace("\0", "") for probe in probe_texts(24, lambda t: len(t.split()) + 2)]


def bpe() -> Tokenizer:
    """Return a byte-level BPE such as RoBERTa's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=FAIRSEQ,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def unigram() -> Tokenizer:
    """A Unigram such as XLM-RoBERTa's, with a charsmap that makes tabs and newlines spaces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Precompiled(charsmap({"\t": " ", "\n": " ", "\r": " "}))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=700, special_tokens=FAIRSEQ, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def fairseq_model(folder: Path, tokenizer: Tokenizer) -> Path:
    """A tiny RoBERTa with a tokenizer of this kind."""
    write_model(folder, family="roberta", pooling="mean")
    for name in ("vocab.txt", "special_tokens_map.json"):
        (folder / name).unlink()
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    edit_json(folder / "config.json", vocab_size=tokenizer.get_vocab_size())
    write_weights(folder, random_tensors(folder))
    return folder


def edit_tokenizer(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def read(folder: Path, **choices: Any) -> dict[str, Any]:
    return read_vocabulary(source_of(folder), encoder_of(folder), embedding_of(folder, **choices))


# --- like llama.cpp's --------------------------------------------------------------------


def cased(folder: Path) -> Path:
    edit_json(folder / "tokenizer_config.json", do_lower_case=False)
    return edit_tokenizer(folder, lambda c: c["normalizer"].update(lowercase=False))


def cased_but_lowercased_first(folder: Path) -> Path:
    edit_json(folder / "sentence_bert_config.json", do_lower_case=True)
    return cased(folder)


def accents_kept(folder: Path) -> Path:
    edit_json(folder / "tokenizer_config.json", strip_accents=False)
    return edit_tokenizer(folder, lambda c: c["normalizer"].update(strip_accents=False))


def an_added_token(folder: Path) -> Path:
    token = AddedToken("[river]", normalized=False, special=False)
    change_tokenizer(folder / "tokenizer.json", lambda t: t.add_tokens([token]))
    return rows_to_spare(folder)


def rows_to_spare(folder: Path) -> Path:
    rows = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size() + 7
    edit_json(folder / "config.json", vocab_size=rows)
    write_weights(folder, random_tensors(folder))
    return folder


@pytest.mark.parametrize(
    "change",
    [cased, cased_but_lowercased_first, accents_kept, an_added_token, rows_to_spare],
)
def test_a_wordpiece_of_this_kind_is_proven(tmp_path: Path, change: Callable[..., Path]) -> None:
    model = change(write_model(tmp_path / "model", pooling="mean"))
    proof = write_gguf(str(model), tmp_path / "model.gguf")
    assert proof.worst > 0.9999
    assert set(proof.other_ids) <= {*LONG, "emoji-variation", "line-separators", "turkish-i"}


@pytest.mark.parametrize(("make", "unlike"), [(bpe, ROBERTA), (unigram, XLM_ROBERTA)])
def test_a_tokenizer_of_the_robertas_is_proven(
    tmp_path: Path, make: Callable[[], Tokenizer], unlike: set[str]
) -> None:
    model = fairseq_model(tmp_path / "model", make())
    proof = write_gguf(str(model), tmp_path / "model.gguf")
    assert proof.worst > 0.9999
    assert set(proof.other_ids) <= unlike


def test_the_metadata_of_a_wordpiece(tiny: Path) -> None:
    values = read(tiny)
    tokens, kinds = (values[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    assert tokens[:3] == ["[PAD]", "[UNK]", "[CLS]"]
    assert kinds[:3] == [TokenKind.CONTROL] * 3
    assert tokens[5] == "\u2581a"
    assert kinds[5] == TokenKind.NORMAL
    assert {k: v for k, v in values.items() if not isinstance(v, list)} == {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.normalizer.lowercase": True,
        "tokenizer.ggml.normalizer.strip_accents": True,
    }


def test_rows_without_a_token_get_a_name(tmp_path: Path) -> None:
    values = read(rows_to_spare(write_model(tmp_path / "model")))
    assert values["tokenizer.ggml.token_type"][-1] == TokenKind.UNUSED
    assert len(set(values["tokenizer.ggml.tokens"])) == encoder_of(tmp_path / "model").vocab_size


def test_the_charsmap_is_written(tmp_path: Path) -> None:
    model = fairseq_model(tmp_path / "model", unigram())
    stated = json.loads((model / "tokenizer.json").read_text())["normalizer"]
    values = read(model)
    assert values["tokenizer.ggml.precompiled_charsmap"] == base64.b64decode(
        stated["precompiled_charsmap"]
    )
    assert len(values["tokenizer.ggml.scores"]) == len(values["tokenizer.ggml.tokens"])
    assert values["tokenizer.ggml.token_type"][3] == TokenKind.UNKNOWN
    assert np.isfinite(values["tokenizer.ggml.scores"]).all()


@pytest.mark.parametrize(
    ("token", "spelled"), [("fish", "▁fish"), ("##ing", "ing"), ("##", "▁##"), ("#", "▁#")]
)
def test_the_start_of_a_word_is_marked(token: str, spelled: str) -> None:
    assert to_word_start(token) == spelled


def test_the_proof_reads_a_vocabulary_back(tiny: Path) -> None:
    tokens = read(tiny)["tokenizer.ggml.tokens"]
    source, fish = source_of(tiny), tokens.index("▁fish")
    assert other_tokens(source, tokens) == []
    tokens[fish], tokens[-1] = tokens[-1], tokens[fish]
    assert sorted(other_tokens(source, tokens)) == ["##9", "fish"]
    assert other_tokens(source, [*tokens[:-1], "9", "x"]) == ["fish"]
    assert "##9" in other_tokens(source, tokens[:fish])


# --- unlike llama.cpp's ------------------------------------------------------------------


def normal(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["normalizer"].update(change)


def part(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.update({name: value})


def model(**change: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["model"].update(change)


def added(**change: Any) -> Callable[[dict[str, Any]], object]:
    token = {"id": 5, "content": "a", "special": False, "single_word": False, "lstrip": False}
    row = {**token, "rstrip": False, "normalized": False, **change}
    return lambda content: content["added_tokens"].append(row)


def sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(parts)}


SPLIT = {"type": "WhitespaceSplit"}
NEVER = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True}

WORDPIECE = {
    "Chinese is not split": (normal(handle_chinese_chars=False), "handle_chinese_chars False"),
    "control characters stay": (normal(clean_text=False), "clean_text False"),
    "another normaliser": (part("normalizer", sequence({"type": "NFC"})), "is Sequence"),
    "no normaliser": (part("normalizer", None), "normalizer is None"),
    "split at spaces": (part("pre_tokenizer", SPLIT), "as BertPreTokenizer"),
    "another prefix": (model(continuing_subword_prefix="@@"), "begin with '@@'"),
    "no closing token": (part("post_processor", None), "puts nothing around"),
    "whole words only": (added(single_word=True), "added token 'a'"),
    "after the normaliser": (added(normalized=True), "added token 'a'"),
    "words only": (model(type="WordLevel"), "type 'WordLevel'"),
}

BPE = {
    "a space first": (
        lambda c: c["pre_tokenizer"].update(add_prefix_space=True), "add_prefix_space True"
    ),
    "split at spaces": (part("pre_tokenizer", SPLIT), "type 'WhitespaceSplit'"),
    "composed first": (part("normalizer", {"type": "NFC"}), "normalizer has NFC"),
    "bytes": (model(byte_fallback=True), "byte_fallback True"),
    "whole words": (model(ignore_merges=True), "ignore_merges True"),
}  # fmt: skip

UNIGRAM = {
    "no space first": (part("pre_tokenizer", NEVER), "a space before every word"),
    "not split at spaces": (part("pre_tokenizer", None), "a space before every word"),
    "composed first": (part("normalizer", sequence({"type": "NFC"})), "normalizer has NFC"),
    "bytes": (model(byte_fallback=True), "falls back on bytes"),
    "nothing is unknown": (model(unk_id=None), "no unknown token"),
}


@pytest.mark.parametrize("fault", WORDPIECE)
def test_a_wordpiece_of_another_kind_is_refused(tmp_path: Path, fault: str) -> None:
    change, says = WORDPIECE[fault]
    folder = edit_tokenizer(write_model(tmp_path / "model"), change)
    with pytest.raises(UnsupportedModelError, match=says):
        read(folder)


@pytest.mark.parametrize("fault", BPE)
def test_a_bpe_of_another_kind_is_refused(tmp_path: Path, fault: str) -> None:
    change, says = BPE[fault]
    folder = edit_tokenizer(fairseq_model(tmp_path / "model", bpe()), change)
    with pytest.raises(UnsupportedModelError, match=says):
        read(folder)


@pytest.mark.parametrize("fault", UNIGRAM)
def test_a_unigram_of_another_kind_is_refused(tmp_path: Path, fault: str) -> None:
    change, says = UNIGRAM[fault]
    folder = edit_tokenizer(fairseq_model(tmp_path / "model", unigram()), change)
    with pytest.raises(UnsupportedModelError, match=says):
        read(folder)


@pytest.mark.parametrize("make", [bpe, unigram])
def test_lowercasing_is_for_wordpiece_only(tmp_path: Path, make: Callable[[], Tokenizer]) -> None:
    folder = fairseq_model(tmp_path / "model", make())
    edit_json(folder / "sentence_bert_config.json", do_lower_case=True)
    with pytest.raises(UnsupportedModelError, match="lowercases the text first"):
        read(folder)


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    change = normal(handle_chinese_chars=False, clean_text=False)
    folder = edit_tokenizer(write_model(tmp_path / "model"), change)
    with pytest.raises(UnsupportedModelError, match=r"clean_text.*handle_chinese_chars"):
        read(folder)


def test_two_tokens_of_one_spelling_are_refused(tmp_path: Path) -> None:
    """llama.cpp would end the process."""

    def twins(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        vocabulary["##▁of"] = vocabulary.pop("river")

    folder = edit_tokenizer(write_model(tmp_path / "model"), twins)
    with pytest.raises(UnsupportedModelError, match="not tell apart: '▁of'"):
        read(folder)
