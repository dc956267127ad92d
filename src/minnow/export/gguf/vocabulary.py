"""A model's tokenizer.json as GGUF metadata for llama.cpp's own tokenizers.

llama.cpp has three tokenizers that sentence models use: `bert` (WordPiece), `gpt2` (byte-level
BPE) and `t5` (Unigram). Each has a few switches only. A tokenizer.json that needs more is refused,
since it would give other token ids.
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
    Values = Callable[["TokenTable"], dict[str, Any]]

WORD_START = "\u2581"
CONTINUES = "##"


class TokenKind(IntEnum):
    """The kind of a token; values are those of the GGUF format."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True)
class TokenTable:
    """A source's tokens.

    Attributes:
        content: tokenizer.json, as `tokenizers` writes it.
        texts: The text of every id below the word table's rows; None where there is none.
        kinds: The kind of each of them.
        around: The ids before and after every text.
        lowercase: Whether text is lowercased first.
    """

    content: Mapping[str, Any]
    texts: list[str | None]
    kinds: list[TokenKind]
    around: tuple[int, int]
    lowercase: bool

    @property
    def model(self) -> Mapping[str, Any]:
        """The section of tokenizer.json that splits words into tokens."""
        part: Mapping[str, Any] = self.content["model"]
        return part


def read_vocabulary(
    source: ModelSource,
    encoder: EncoderSpec,
    embedding: EmbeddingSpec,
    tokenizer_json: bytes | None = None,
) -> dict[str, Any]:
    """Read a source's tokenizer into GGUF metadata.

    Args:
        source: The model's files.
        encoder: Its hyperparameters: the vocabulary is as long as the word table.
        embedding: Says whether text is lowercased first.
        tokenizer_json: Its tokenizer; by default the source's tokenizer.json.

    Returns:
        Key -> str, bool, int, bytes or list, as GGUF's `tokenizer.ggml.*` keys require.

    Raises:
        UnsupportedModelError: llama.cpp cannot tokenise as this tokenizer.json does; the message
            names everything that it lacks.
    """
    tokenizer = load_whole_tokenizer(tokenizer_json or source.file("tokenizer.json"))
    content = json.loads(tokenizer.to_str())
    kind = (content.get("model") or {}).get("type")
    if kind not in _TOKENIZERS:
        raise UnsupportedModelError(
            f"{source.name} has a tokenizer of type {kind!r}; llama.cpp has "
            f"{', '.join(_TOKENIZERS)}."
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
    tokens = TokenTable(content, texts, kinds, (first, last), embedding.lowercase)
    found = {**values(tokens), **common}
    _check_unique(source, found["tokenizer.ggml.tokens"])
    return found


def _check_unique(source: ModelSource, texts: list[str]) -> None:
    """Check that no two tokens have one text: llama.cpp would abort the process."""
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise UnsupportedModelError(
            f"{source.name} has two tokens that llama.cpp cannot tell apart: {twice!r}."
        )


def _around_faults(tokenizer: Tokenizer) -> list[str]:
    ids = tokenizer.encode("").ids
    around = tokenizer.encode("a").ids
    if len(ids) == 2 and len(around) > 2 and [around[0], around[-1]] == ids:
        return []
    tokens = " ".join(tokenizer.encode("").tokens) or "nothing"
    return [f"it puts {tokens} around a text, where llama.cpp puts one token on either side"]


def _added_faults(tokenizer: Tokenizer) -> list[str]:
    """Check that added tokens are matched in the plain text, as llama.cpp matches them."""
    return [
        f"its added token {token.content!r} is not matched in the plain text"
        for token in tokenizer.get_added_tokens_decoder().values()
        if not token.special
        and (token.normalized or token.single_word or token.lstrip or token.rstrip)
    ]


def _texts(tokenizer: Tokenizer, rows: int) -> tuple[list[str | None], list[TokenKind]]:
    texts = [tokenizer.id_to_token(i) for i in range(rows)]
    kinds = [TokenKind.UNUSED if text is None else TokenKind.NORMAL for text in texts]
    for i, token in tokenizer.get_added_tokens_decoder().items():
        kinds[i] = TokenKind.CONTROL if token.special else TokenKind.USER_DEFINED
    return texts, kinds


def _spellings(tokens: TokenTable, spell: Callable[[str], str] = str) -> list[str]:
    """Spell every token; special tokens stay as they are, and ids without a token get a name."""
    return [
        f"[PAD{i}]" if text is None else spell(text) if kind is TokenKind.NORMAL else text
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


def _wordpiece(tokens: TokenTable) -> dict[str, Any]:
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
    """Mark the piece that starts a word, as llama.cpp does, where WordPiece marks all others."""
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
    """Return the steps of a normalizer or pre-tokenizer, which may be a sequence."""
    step = content.get(part) or {"normalizers": []}
    steps: list[dict[str, Any]] = step.get("normalizers", step.get("pretokenizers", [step]))
    return steps


def _lowercase_faults(embedding: EmbeddingSpec) -> list[str]:
    return ["it lowercases the text first"] if embedding.lowercase else []


def _bpe(tokens: TokenTable) -> dict[str, Any]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "roberta-bpe",
        "tokenizer.ggml.tokens": _spellings(tokens),
        "tokenizer.ggml.token_type": list(map(int, tokens.kinds)),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokens.model["merges"]],
        **_bos_and_eos(tokens),
    }


def _bos_and_eos(tokens: TokenTable) -> dict[str, Any]:
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
    """Return whether a step is the charsmap, or merges and strips spaces as llama.cpp does."""
    if step["type"] == "Replace":
        runs = step["pattern"] in ({"Regex": " {2,}"}, {"String": " "})
        return runs and step["content"] in (" ", WORD_START)
    return step["type"] in ("Precompiled", "Strip")


def _unigram(tokens: TokenTable) -> dict[str, Any]:
    unknown = tokens.model["unk_id"]
    kinds = [TokenKind.UNKNOWN if i == unknown else kind for i, kind in enumerate(tokens.kinds)]
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
"""Type of tokenizer -> what llama.cpp's own lacks of a tokenizer.json, and its metadata."""


# --- reading back, for the proof ---------------------------------------------------------


def other_tokens(
    source: ModelSource, texts: list[str], tokenizer_json: bytes | None = None
) -> list[str]:
    """Return the source's tokens that a GGUF file lacks under the same id.

    It undoes llama.cpp's spelling, and shares no code with the writing.

    Args:
        source: The model's files.
        texts: The text of every token in the GGUF file, in the order of their ids.
        tokenizer_json: Its tokenizer; by default the source's tokenizer.json.
    """
    tokenizer = load_whole_tokenizer(tokenizer_json or source.file("tokenizer.json"))
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
