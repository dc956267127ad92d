"""Tokenizer of a source's tokenizer.json, which truncates texts at the model's limit."""

from __future__ import annotations

import re
import warnings
from copy import deepcopy
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct, field

from minnow.characters import replace_halves
from minnow.errors import InputError, SourceError
from minnow.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Encoding, Tokenizer

_CHARACTERS_PER_TOKEN = 64
_WORDS_TO_SPARE = 16
_LONGEST_RUN = 1000
_ENDLESS_RUN = re.compile(
    "|".join(f"(?<!{one})({one}{{{_LONGEST_RUN}}}){one}+" for one in ("[a-zA-Z0-9]", r"[ \t\r\n]"))
)


class TokenizedText(Struct, frozen=True):
    """One text as ids.

    Attributes:
        ids: Token ids, special tokens included, without padding.
        truncated: Whether the text was longer than the limit.
        count: Tokens of the text before truncation, special tokens included.
        counted_all: Whether `count` covers the whole text: only the start of a huge one is read.
        left_out: How many of the first tokens pooling leaves out, as those of a prompt.
        types: The token types of a pair; empty where all are 0.
    """

    ids: list[int]
    truncated: bool
    count: int
    counted_all: bool = True
    left_out: int = 0
    types: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


class TextTokenizer:
    """A Hugging Face tokenizer with a fixed limit and no padding of its own."""

    def __init__(
        self, file: Path | bytes, *, max_tokens: int, lowercase: bool = False, alone: bool = True
    ) -> None:
        """Load a tokenizer.json.

        Padding and truncation that the file itself asks for are leftovers of a training run;
        they are replaced, as sentence-transformers replaces them.

        Args:
            file: The tokenizer.json, or its content.
            max_tokens: The longest result, special tokens included.
            lowercase: Lowercase the text first, where the tokenizer does not.
            alone: Put the special tokens of a text that stands alone around it.

        Raises:
            SourceError: The file is not one that the `tokenizers` library reads.
        """
        self.max_tokens = max_tokens
        self._alone = alone
        self._tokenizer = load_whole_tokenizer(file, lowercase=lowercase)
        self._tokenizer.enable_truncation(max_tokens)
        self._shortens_runs = _knows_no_long_runs(self._tokenizer)

    def tokenize(
        self, texts: Sequence[str], *, first: int = 0, prompt: str = ""
    ) -> list[TokenizedText]:
        """Tokenise texts in parallel.

        Args:
            texts: Any strings; halves of surrogate pairs are read as `check_texts` says.
            first: Number of the first text in messages.
            prompt: Prefix of each text.

        Raises:
            InputError: A text is not a string; the message names it.
        """
        if prompt:  # str.__str__, because a subclass may override +
            texts = [prompt + str.__str__(t) if isinstance(t, str) else t for t in texts]
        texts = check_texts(texts, first=first)
        head = _CHARACTERS_PER_TOKEN * self.max_tokens
        small = [text for text in texts if len(text) <= head]
        short = iter(self._tokenizer.encode_batch(small, add_special_tokens=self._alone))
        return [
            _tokenized(next(short)) if len(text) <= head else self._encode_huge(text, head)
            for text in texts
        ]

    def prompt_tokens(self, prompt: str) -> int:
        """Count the tokens of a prompt as sentence-transformers does to leave them out of pooling.

        Special tokens before it count, one behind it does not.

        Source: `Transformer._get_prompt_length` of sentence-transformers 6.2.
        """
        ids = self.tokenize([prompt])[0].ids
        added = self._tokenizer.get_added_tokens_decoder()
        closes = bool(ids) and ids[-1] in added and added[ids[-1]].special
        return len(ids) - closes

    def limit(self, max_tokens: int) -> None:
        """Change the longest result, in tokens with special ones."""
        self._tokenizer.enable_truncation(max_tokens)
        self.max_tokens = max_tokens

    @cached_property
    def whole(self) -> Tokenizer:
        """A copy without a limit."""
        copy: Tokenizer = deepcopy(self._tokenizer)
        copy.no_truncation()
        return copy

    def count(self, text: str) -> int:
        """Count the tokens of a whole text, however long."""
        return _tokenized(self._encode(text)).count

    def special_ids(self) -> tuple[list[int], list[int]]:
        """Return the ids that the tokenizer puts before and after every text; both may be empty."""
        marked = self._tokenizer.encode("a").special_tokens_mask
        ids = self._tokenizer.encode("a").ids
        before = marked.index(0) if 0 in marked else len(marked)
        behind = marked[::-1].index(0) if 0 in marked else 0
        return ids[:before], ids[len(ids) - behind :]

    def token(self, token_id: int) -> str | None:
        """Return the token of an id, as the vocabulary spells it; None for an unknown id."""
        token: str | None = self._tokenizer.id_to_token(token_id)
        return token

    def _encode_huge(self, text: str, head: int) -> TokenizedText:
        """Tokenise no more of a huge text than its first tokens need.

        Cutting a text changes only the last words: it can split a special token, or a run of
        white space. The first tokens are final where enough words follow them.
        """
        while head < len(text):
            encoding = self._encode(text[:head])
            rest = _last_word(encoding.overflowing[-1]) if encoding.overflowing else 0
            if rest - _last_word(encoding) > _WORDS_TO_SPARE:
                return _tokenized(encoding, counted_all=False)
            head *= 4
        return _tokenized(self._encode(text))

    def _encode(self, text: str) -> Encoding:
        shorter = _ENDLESS_RUN.sub(r"\1\2", text) if self._shortens_runs else text
        return self._tokenizer.encode(shorter, add_special_tokens=self._alone)


def load_tokenizer(file: Path | bytes) -> Tokenizer:
    """Load a tokenizer.json unchanged.

    Args:
        file: The tokenizer.json, or its content.

    Raises:
        SourceError: The file is missing or not one that the `tokenizers` library reads.
    """
    from tokenizers import Tokenizer

    try:
        content = file if isinstance(file, bytes) else read_regular(file)
        tokenizer: Tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # tokenizers raises bare Exception
        name = "tokenizer.json" if isinstance(file, bytes) else file
        raise SourceError(f"{name} is not a tokenizer that can be read: {error}.") from error
    return tokenizer


def load_whole_tokenizer(file: Path | bytes, *, lowercase: bool = False) -> Tokenizer:
    """Load a tokenizer.json without the padding and truncation that the file asks for.

    Args:
        file: The tokenizer.json, or its content.
        lowercase: Lowercase the text first, where the tokenizer does not.

    Raises:
        SourceError: The file is missing or not one that the `tokenizers` library reads.
    """
    tokenizer = load_tokenizer(file)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if lowercase:
        lowercase_first(tokenizer)
    return tokenizer


def lowercase_first(tokenizer: Tokenizer) -> None:
    """Put Lowercase before the normaliser, as sentence-transformers does for do_lower_case."""
    from tokenizers.normalizers import Lowercase, Sequence

    normalizer = tokenizer.normalizer
    tokenizer.normalizer = Sequence(
        [Lowercase()] if normalizer is None else [Lowercase(), normalizer]
    )


def _knows_no_long_runs(tokenizer: Tokenizer) -> bool:
    """Return whether, as in BERT, a long word is one unknown token and white space gives none."""
    from tokenizers.pre_tokenizers import BertPreTokenizer

    limit = getattr(tokenizer.model, "max_input_chars_per_word", _LONGEST_RUN)
    added = [str(token.content) for token in tokenizer.get_added_tokens_decoder().values()]
    return (
        limit < _LONGEST_RUN
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and not any(content.isalnum() for content in added)
    )


def _tokenized(encoding: Encoding, *, counted_all: bool = True) -> TokenizedText:
    """Count the truncated pieces too, each of which has special tokens of its own."""
    rest = encoding.overflowing
    more = sum(len(piece) - sum(piece.special_tokens_mask) for piece in rest)
    return TokenizedText(encoding.ids, bool(rest), len(encoding.ids) + more, counted_all)


def _last_word(encoding: Encoding) -> int:
    """Return the number of its last word, counted from the start of the text."""
    return max((word for word in encoding.word_ids if word is not None), default=0)


def check_texts(texts: Sequence[object], *, first: int = 0) -> list[str]:
    """Return the texts as a tokenizer can read them: exact strings of valid Unicode.

    Halves of surrogate pairs become U+FFFD, with a warning that names the first text; see
    `minnow.characters`.

    Args:
        texts: Objects that should be strings.
        first: Number of the first text in messages.

    Raises:
        InputError: A text is not a string; the message names it.
    """
    checked, changed = [], []
    for index, text in enumerate(texts, start=first):
        if not isinstance(text, str):
            raise InputError(f"Text {index} is {type(text).__name__}, not a string: {text!r:.60}.")
        exact = str.__str__(text)  # subclasses may override + and encode()
        checked.append(replace_halves(exact))
        if checked[-1] is not exact:
            changed.append(index)
    if changed:
        others = f" and {len(changed) - 1} others hold" if len(changed) > 1 else " holds"
        warnings.warn(
            f"Text {changed[0]}{others} half of a surrogate pair, which is not a character; it is "
            "read as U+FFFD.",
            stacklevel=2,
        )
    return checked
