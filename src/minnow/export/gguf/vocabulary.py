"""A model's tokenizer.json as llama.cpp's own tokenizers read it from GGUF metadata.

llama.cpp knows three tokenizers that sentence models use, and calls them `bert` (WordPiece),
`gpt2` (byte-level BPE) and `t5` (Unigram). Each is fixed but for a few switches: what a
tokenizer.json asks for beyond them is refused, since it would give other token ids.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from minnow.errors import UnsupportedModelError
from minnow.model.tokenizer import load_whole_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer

    from minnow.model.source import ModelSource
    from minnow.model.spec import EmbeddingSpec, EncoderSpec

    Lacks = Callable[[Mapping[str, Any], EmbeddingSpec], list[str]]
    Values = Callable[["Tokens"], dict[str, Any]]

WORD_START = "\u2581"
CONTINUES = "##"


class Kind(IntEnum):
    """What a token is to llama.cpp; values are those of the format."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True)
class Tokens:
    """The source's tokenizer, read.

    Attributes:
        content: tokenizer.json, as `tokenizers` writes it again.
        texts: The text of every id below the word table's rows; None where there is none.
        kinds: What each of them is.
        around: The two ids that go around every text.
        lowercase: Whether text is lowercased before all else.
    """

    content: Mapping[str, Any]
    texts: list[str | None]
    kinds: list[Kind]
    around: tuple[int, int]
    lowercase: bool

    @property
    def model(self) -> Mapping[str, Any]:
        """The part of tokenizer.json that splits words into tokens."""
        part: Mapping[str, Any] = self.content["model"]
        return part


def read_vocabulary(
    source: ModelSource, encoder: EncoderSpec, embedding: EmbeddingSpec
) -> dict[str, Any]:
    """Read a source's tokenizer into GGUF metadata.

    Args:
        source: The model's files.
        encoder: Its network: the vocabulary is as long as the word table.
        embedding: Whether text is lowercased first.

    Returns:
        Key -> str, bool, int, bytes or list, as GGUF's `tokenizer.ggml.*` keys want them.

    Raises:
        UnsupportedModelError: llama.cpp cannot tokenise as this tokenizer.json does; all that it
            lacks is named together.
    """
    tokenizer = load_whole_tokenizer(source.file("tokenizer.json"))
    content = json.loads(tokenizer.to_str())
    kind = (content.get("model") or {}).get("type")
    if kind not in _TOKENIZERS:
        raise UnsupportedModelError(
            f"{source.name} has a tokenizer of type {kind!r}; llama.cpp has its like of "
            f"{', '.join(_TOKENIZERS)} only."
        )
    lacks, values = _TOKENIZERS[kind]
    faults = [*_around_faults(tokenizer), *_added_faults(tokenizer), *lacks(content, embedding)]
    if faults:
        raise UnsupportedModelError(
            f"llama.cpp cannot tokenise as {source.name} does: {'; '.join(faults)}."
        )
    texts, kinds = _texts(tokenizer, encoder.vocab_size)
    first, last = tokenizer.encode("").ids
    common = {
        "tokenizer.ggml.token_type_count": max(1, encoder.token_types),
        "tokenizer.ggml.padding_token_id": encoder.pad_token_id,
    }
    tokens = Tokens(content, texts, kinds, (first, last), embedding.lowercase)
    found = {**values(tokens), **common}
    _check_unique(source, found["tokenizer.ggml.tokens"])
    return found


def _check_unique(source: ModelSource, texts: list[str]) -> None:
    """llama.cpp ends the whole process on two tokens of one text."""
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise UnsupportedModelError(
            f"{source.name} has two tokens that llama.cpp could not tell apart: {twice!r}."
        )


def _around_faults(tokenizer: Tokenizer) -> list[str]:
    ids = tokenizer.encode("").ids
    around = tokenizer.encode("a").ids
    if len(ids) == 2 and len(around) > 2 and [around[0], around[-1]] == ids:
        return []
    tokens = " ".join(tokenizer.encode("").tokens) or "nothing"
    return [f"it puts {tokens} around a text, where llama.cpp puts one token on either side"]


def _added_faults(tokenizer: Tokenizer) -> list[str]:
    """An added token that is no special one is searched for in the text as it stands."""
    return [
        f"its added token {token.content!r} is not searched for in the plain text"
        for token in tokenizer.get_added_tokens_decoder().values()
        if not token.special
        and (token.normalized or token.single_word or token.lstrip or token.rstrip)
    ]


def _texts(tokenizer: Tokenizer, rows: int) -> tuple[list[str | None], list[Kind]]:
    texts = [tokenizer.id_to_token(i) for i in range(rows)]
    kinds = [Kind.UNUSED if text is None else Kind.NORMAL for text in texts]
    for i, token in tokenizer.get_added_tokens_decoder().items():
        kinds[i] = Kind.CONTROL if token.special else Kind.USER_DEFINED
    return texts, kinds


def _spellings(tokens: Tokens, spell: Callable[[str], str] = str) -> list[str]:
    """Every token's text; special tokens as they are, and a name for ids without one."""
    return [
        f"[PAD{i}]" if text is None else spell(text) if kind is Kind.NORMAL else text
        for i, (text, kind) in enumerate(zip(tokens.texts, tokens.kinds, strict=True))
    ]


# --- WordPiece ---------------------------------------------------------------------------

_BERT_NORMALIZER = {"clean_text": True, "handle_chinese_chars": True}


def _wordpiece_faults(content: Mapping[str, Any], _: EmbeddingSpec) -> list[str]:
    normalizer, model = content.get("normalizer") or {}, content["model"]
    if normalizer.get("type") != "BertNormalizer":
        return [f"its normalizer is {normalizer.get('type')}, not BertNormalizer"]
    faults = [
        f"its normalizer has {key} {normalizer.get(key)!r}, and llama.cpp's is always {value}"
        for key, value in _BERT_NORMALIZER.items()
        if normalizer.get(key) is not value
    ]
    if (content.get("pre_tokenizer") or {}).get("type") != "BertPreTokenizer":
        faults.append("it does not split words as BertPreTokenizer does")
    if model["continuing_subword_prefix"] != CONTINUES:
        faults.append(f"its word pieces begin with {model['continuing_subword_prefix']!r}")
    if model["unk_token"] not in model["vocab"]:
        faults.append(f"its vocabulary lacks its unknown token, {model['unk_token']!r}")
    return faults


def _wordpiece(tokens: Tokens) -> dict[str, Any]:
    normalizer = tokens.content["normalizer"]
    strips = normalizer["strip_accents"]
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": _spellings(tokens, to_word_start),
        "tokenizer.ggml.token_type": list(map(int, tokens.kinds)),
        "tokenizer.ggml.bos_token_id": tokens.around[0],
        "tokenizer.ggml.seperator_token_id": tokens.around[1],
        "tokenizer.ggml.unknown_token_id": tokens.texts.index(tokens.model["unk_token"]),
        "tokenizer.ggml.normalizer.lowercase": normalizer["lowercase"] or tokens.lowercase,
        "tokenizer.ggml.normalizer.strip_accents": (
            normalizer["lowercase"] if strips is None else strips
        ),
    }


def to_word_start(token: str) -> str:
    """llama.cpp marks the piece that starts a word, where WordPiece marks all others."""
    continues = token.startswith(CONTINUES) and token != CONTINUES
    return token[len(CONTINUES) :] if continues else WORD_START + token


# --- byte-level BPE ----------------------------------------------------------------------

_PLAIN_BPE = {
    "dropout": (None, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
    "ignore_merges": (None, False),
}
_GPT2_SPLIT = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


def _bpe_faults(content: Mapping[str, Any], embedding: EmbeddingSpec) -> list[str]:
    model, splitter = content["model"], content.get("pre_tokenizer") or {}
    faults = [
        f"its BPE has {key} {model.get(key)!r}"
        for key, plain in _PLAIN_BPE.items()
        if model.get(key) not in plain
    ]
    faults += [
        f"its pre-tokenizer has {key} {splitter.get(key)!r}, and llama.cpp's {value!r}"
        for key, value in _GPT2_SPLIT.items()
        if splitter.get(key) != value
    ]
    faults += [f"its normalizer has {step['type']}" for step in _steps(content, "normalizer")]
    return faults + _lowercase_faults(embedding)


def _steps(content: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, one or a sequence."""
    step = content.get(part) or {"normalizers": []}
    steps: list[dict[str, Any]] = step.get("normalizers", step.get("pretokenizers", [step]))
    return steps


def _lowercase_faults(embedding: EmbeddingSpec) -> list[str]:
    return ["it lowercases the text first"] if embedding.lowercase else []


def _bpe(tokens: Tokens) -> dict[str, Any]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "roberta-bpe",
        "tokenizer.ggml.tokens": _spellings(tokens),
        "tokenizer.ggml.token_type": list(map(int, tokens.kinds)),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokens.model["merges"]],
        **_bos_and_eos(tokens),
    }


def _bos_and_eos(tokens: Tokens) -> dict[str, Any]:
    return {
        "tokenizer.ggml.bos_token_id": tokens.around[0],
        "tokenizer.ggml.eos_token_id": tokens.around[1],
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
    }


# --- Unigram -----------------------------------------------------------------------------


def _unigram_faults(content: Mapping[str, Any], embedding: EmbeddingSpec) -> list[str]:
    model = content["model"]
    faults = ["its Unigram falls back on bytes"] if model.get("byte_fallback") else []
    if model["unk_id"] is None:
        faults.append("its Unigram has no unknown token")
    faults += [
        f"its normalizer has {step['type']}"
        for step in _steps(content, "normalizer")
        if not _is_spacing(step)
    ]
    splitters = [s for s in _steps(content, "pre_tokenizer") if s["type"] != "WhitespaceSplit"]
    if [step.get("prepend_scheme") for step in splitters] != ["always"]:
        faults.append("it does not put a space before every word as Metaspace does")
    return faults + _lowercase_faults(embedding)


def _is_spacing(step: Mapping[str, Any]) -> bool:
    """The charsmap, or what llama.cpp does to spaces anyway: runs become one, the ends go."""
    if step["type"] == "Replace":
        runs = step["pattern"] in ({"Regex": " {2,}"}, {"String": " "})
        return runs and step["content"] in (" ", WORD_START)
    return step["type"] in ("Precompiled", "Strip")


def _unigram(tokens: Tokens) -> dict[str, Any]:
    unknown = tokens.model["unk_id"]
    kinds = [Kind.UNKNOWN if i == unknown else kind for i, kind in enumerate(tokens.kinds)]
    scores = [float(score) for _, score in tokens.model["vocab"]]
    steps = _steps(tokens.content, "normalizer")
    charsmaps = [step["precompiled_charsmap"] for step in steps if step["type"] == "Precompiled"]
    values = {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": _spellings(tokens),
        "tokenizer.ggml.token_type": list(map(int, kinds)),
        "tokenizer.ggml.scores": [*scores, *[0.0] * (len(kinds) - len(scores))],
        "tokenizer.ggml.unknown_token_id": unknown,
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
        **_bos_and_eos(tokens),
    }
    if charsmaps:
        values["tokenizer.ggml.precompiled_charsmap"] = base64.b64decode(charsmaps[0])
    return values


_TOKENIZERS: dict[str, tuple[Lacks, Values]] = {
    "WordPiece": (_wordpiece_faults, _wordpiece),
    "BPE": (_bpe_faults, _bpe),
    "Unigram": (_unigram_faults, _unigram),
}
"""Type -> what of a tokenizer.json llama.cpp's like of it lacks, and its metadata."""


# --- the proof's own reading -------------------------------------------------------------


def other_tokens(source: ModelSource, texts: list[str]) -> list[str]:
    """Tokens of the source that a GGUF file has not under the same id.

    It undoes llama.cpp's spelling instead of comparing with what was meant to be written.

    Args:
        source: The model's files.
        texts: The text of every token in the GGUF file, in the order of their ids.
    """
    tokenizer = load_whole_tokenizer(source.file("tokenizer.json"))
    special = tokenizer.get_added_tokens_decoder()
    pieces = type(tokenizer.model).__name__ == "WordPiece"
    found = dict(enumerate(texts))
    if pieces:
        found |= {
            i: text[1:] if text.startswith(WORD_START) else CONTINUES + text
            for i, text in found.items()
            if i not in special
        }
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    return [token for token, i in vocabulary.items() if found.get(i) != token]
