"""Text to token ids, cut off where the model's limit is, with the source's own tokenizer.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.errors import InputError, SourceError
from minnow.model.config import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Encoding, Tokenizer

    from minnow.model.source import ModelSource
    from minnow.model.spec import EncoderSpec

_CHARACTERS_PER_TOKEN = 64


@dataclass(frozen=True)
class TokenizedText:
    """One text as ids.

    Attributes:
        ids: Token ids, special tokens included, without padding.
        truncated: Whether the text was longer than the limit.
    """

    ids: list[int]
    truncated: bool


class TextTokenizer:
    """A Hugging Face tokenizer with a fixed limit and no padding of its own."""

    def __init__(self, path: Path, *, max_tokens: int, lowercase: bool = False) -> None:
        """Load a tokenizer.json.

        Padding and truncation that the file itself asks for are replaced: they are leftovers of
        whoever saved it, and sentence-transformers ignores them too.

        Args:
            path: The tokenizer.json.
            max_tokens: The longest result, special tokens included.
            lowercase: Lowercase the text first, where the tokenizer does not.

        Raises:
            SourceError: The file is not one that the `tokenizers` library reads.
        """
        self.max_tokens = max_tokens
        self._tokenizer = load_tokenizer(path)
        if lowercase:
            _lowercase_first(self._tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def tokenize(self, texts: Sequence[str], *, first: int = 0) -> list[TokenizedText]:
        """Tokenise texts in parallel.

        Args:
            texts: Any strings; a lone surrogate cannot be encoded.
            first: The number of the first text in messages.

        Raises:
            InputError: A text is not a string or holds a lone surrogate; the message names it.
        """
        for index, text in enumerate(texts, start=first):
            _check_text(text, index)
        if all(len(text) <= self._head_size for text in texts):
            return [_tokenized(encoding) for encoding in self._tokenizer.encode_batch(list(texts))]
        return [self._tokenize_one(text) for text in texts]

    @property
    def _head_size(self) -> int:
        return _CHARACTERS_PER_TOKEN * self.max_tokens

    def _tokenize_one(self, text: str) -> TokenizedText:
        """Tokenise no more of a huge text than its first tokens need.

        A head that ends before white space and gives at least twice the limit has the same first
        tokens as the whole text, since words do not reach across white space.
        """
        size = self._head_size
        while size < len(text):
            end = max(text.rfind(" ", 0, size), text.rfind("\n", 0, size))
            encoding = self._tokenizer.encode(text[:end]) if end > 0 else None
            if encoding is not None and encoding.overflowing:
                return _tokenized(encoding)
            size *= 4
        return _tokenized(self._tokenizer.encode(text))


def load_tokenizer(path: Path) -> Tokenizer:
    """Load a tokenizer.json just as it is.

    Raises:
        SourceError: The file is missing or not one that the `tokenizers` library reads.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise SourceError(f"{path} is not a tokenizer that can be read: {error}.") from error
    return tokenizer


def check_tokenizer(source: ModelSource, encoder: EncoderSpec) -> None:
    """Check that a source's tokenizer files agree with each other and with the network.

    Raises:
        SourceError: Ids exceed the word table, vocab.txt or tokenizer_config.json contradicts
            tokenizer.json, or the tokenizer cannot be read; all faults are named together.
        SourceNotFoundError: There is no tokenizer.json.
    """
    path = source.file("tokenizer.json")
    tokenizer = load_tokenizer(path)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    faults = []
    token, highest = max(vocabulary.items(), key=lambda row: row[1], default=("", -1))
    if highest >= encoder.vocab_size:
        faults.append(
            f"{token!r} has id {highest}, but the word table has {encoder.vocab_size} rows"
        )
    if any(tokenizer.encode("two words").type_ids):
        faults.append("it gives a single text token type ids other than 0")
    faults += _vocabulary_faults(source, vocabulary) + _casing_faults(source, tokenizer)
    if faults:
        raise SourceError(f"{path} does not fit its model: {'; '.join(faults)}.")


def _vocabulary_faults(source: ModelSource, vocabulary: dict[str, int]) -> list[str]:
    """vocab.txt, where a source has one, is the same vocabulary told by another file."""
    path = source.optional_file("vocab.txt")
    if path is None:
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    unlike = [i for i, line in enumerate(lines) if line and vocabulary.get(line.rstrip("\r")) != i]
    if not unlike:
        return []
    first = lines[unlike[0]]
    return [
        f"{len(unlike)} lines of vocab.txt have another id in it (line {unlike[0]}, {first!r}, has "
        f"{vocabulary.get(first)})"
    ]


_CASING = {
    "do_lower_case": "lowercase",
    "tokenize_chinese_chars": "handle_chinese_chars",
    "strip_accents": "strip_accents",
}


def _casing_faults(source: ModelSource, tokenizer: Tokenizer) -> list[str]:
    """Transformers lets tokenizer_config.json win where the two differ; minnow lets neither."""
    path = source.optional_file("tokenizer_config.json")
    stated = json.loads(tokenizer.to_str()).get("normalizer") or {}
    config = read_json(path) if path else {}
    if stated.get("type") != "BertNormalizer" or not isinstance(config, dict):
        return []
    return [
        f"its normalizer has {theirs} {stated.get(theirs)!r}, but tokenizer_config.json has {key} "
        f"{config[key]!r}"
        for key, theirs in _CASING.items()
        if key in config and config[key] != stated.get(theirs)
    ]


def _lowercase_first(tokenizer: Tokenizer) -> None:
    """What sentence-transformers does for do_lower_case: put Lowercase before the normaliser."""
    from tokenizers.normalizers import Lowercase, Sequence

    normalizer = tokenizer.normalizer
    tokenizer.normalizer = Sequence(
        [Lowercase()] if normalizer is None else [Lowercase(), normalizer]
    )


def _tokenized(encoding: Encoding) -> TokenizedText:
    return TokenizedText(ids=encoding.ids, truncated=bool(encoding.overflowing))


def _check_text(text: object, index: int) -> None:
    if not isinstance(text, str):
        raise InputError(f"Text {index} is {type(text).__name__}, not a string: {text!r:.60}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"Text {index} holds a lone surrogate (character {error.start}, "
            f"{text[error.start]!a}), which is not valid Unicode. Decode its source with "
            "errors='replace'."
        ) from error
