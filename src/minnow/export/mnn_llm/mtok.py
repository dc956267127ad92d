"""MNN-LLM's tokenizer file, `.mtok`: writer and reader.

It begins with text lines: `430 4`, three counts of ids, and the ids. Then comes binary, little
endian: a normaliser, a pre-tokeniser, a model, a decoder, added tokens, and a chat template. The
source is `load_vocab_binary` in transformers/llm/engine/src/tokenizer/tokenizer.cpp of MNN 3.6.1,
which checks nothing that it reads. Only the parts that a WordPiece tokenizer needs are supported
here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from minnow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b"430 4\n"
_REPLACE, _SEQUENCE, _TABLE, _BERT_NORMALIZER = 3, 4, 6, 7
_BERT_PRE_TOKENIZER, _WORDPIECE, _WORDPIECE_DECODER = 5, 1, 3
_LONGEST = 2**16 - 1


@dataclass(frozen=True)
class Replace:
    """A step that replaces bytes by other bytes everywhere."""

    old: bytes
    new: bytes


@dataclass(frozen=True)
class CharacterTable:
    """A step that replaces characters by strings.

    The engine gives a space for control characters and the usual format characters, regardless of
    the table (see `minnow.export.mnn_llm.wordpiece.SPACED`).

    Attributes:
        rows: Code point -> string.
    """

    rows: Mapping[int, str]


@dataclass(frozen=True)
class BertSteps:
    """The engine's own BERT normaliser, without its stripping of accents.

    Attributes:
        clean: Drop U+0000, U+FFFD, bytes that are no UTF-8 and category Cc; a space for category
            Zs, tab and line ends.
        chinese: Spaces around ideographs.
        lowercase: Lower case, character by character.
    """

    clean: bool = False
    chinese: bool = False
    lowercase: bool = False


Normalizer = Replace | CharacterTable | BertSteps


@dataclass(frozen=True)
class AddedToken:
    """A token that is searched for in the text before any other step, the longest first."""

    id: int
    content: str
    special: bool = True


@dataclass(frozen=True)
class TokenizerFile:
    """The content of a WordPiece tokenizer's `.mtok`.

    Attributes:
        normalizers: The steps that normalise the text, in order.
        tokens: The vocabulary; a token's index is its id.
        added: Tokens that are searched for in the text as they are.
        unknown: The token of a word that has no pieces.
        prefix: The prefix of a piece within a word.
        longest_word: The most bytes of a word; a longer one is unknown.
        template: The chat template, in Jinja.
    """

    normalizers: tuple[Normalizer, ...]
    tokens: tuple[str, ...]
    added: tuple[AddedToken, ...]
    unknown: str
    prefix: str
    longest_word: int
    template: str


def mtok_bytes(tokenizer: TokenizerFile) -> bytes:
    """Encode the file's content.

    Raises:
        InputError: A token is too long for the format, or there are two of the same name.
    """
    if len(set(tokenizer.tokens)) != len(tokenizer.tokens):
        raise InputError("The tokenizer has two tokens of one name; the mtok format cannot.")
    parts = [HEADER, b"0 0 0\n\n", struct.pack("<BI", _SEQUENCE, len(tokenizer.normalizers))]
    parts += [_normalizer(step) for step in tokenizer.normalizers]
    parts += [bytes([_BERT_PRE_TOKENIZER]), struct.pack("<BI", _WORDPIECE, len(tokenizer.tokens))]
    parts += [_string(tokenizer.unknown), _string(tokenizer.prefix)]
    parts.append(struct.pack("<I", tokenizer.longest_word))
    rows = sorted((token.encode(), i) for i, token in enumerate(tokenizer.tokens))
    parts += [_string(token) + struct.pack("<I", i) for token, i in rows]
    parts += [bytes([_WORDPIECE_DECODER]), _string(tokenizer.prefix), b"\0"]
    parts.append(struct.pack("<I", len(tokenizer.added)))
    for token in tokenizer.added:
        parts += [struct.pack("<IBBB", token.id, token.special, 0, 0), _string(token.content)]
    template = tokenizer.template.encode()
    parts += [struct.pack("<I", len(template)), template, _string(b""), b"\0", _string(b"")]
    return b"".join(parts)


def _string(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    if len(content) > _LONGEST:
        raise InputError(
            f"The tokenizer holds a string of {len(content)} bytes ({content[:20]!r}...); the mtok "
            f"format has room for {_LONGEST}."
        )
    return struct.pack("<H", len(content)) + content


def _normalizer(step: Normalizer) -> bytes:
    if isinstance(step, Replace):
        return bytes([_REPLACE]) + _string(step.old) + _string(step.new)
    if isinstance(step, CharacterTable):
        rows = sorted(step.rows.items())  # the engine looks them up by bisection
        parts = [struct.pack("<I", code) + _string(new) for code, new in rows]
        return struct.pack("<BI", _TABLE, len(rows)) + b"".join(parts)
    return struct.pack("<5B", _BERT_NORMALIZER, step.clean, step.chinese, 0, step.lowercase)


def read_mtok(path: Path) -> TokenizerFile:
    """Read a file.

    Raises:
        InputError: The file is missing, damaged, or holds parts that minnow does not write.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return parse_mtok(content)
    except InputError as error:
        raise InputError(f"{path} is not a tokenizer that minnow wrote: {error}") from error


def parse_mtok(content: bytes) -> TokenizerFile:
    """Read a file's content.

    Raises:
        InputError: The content is damaged, or holds parts that minnow does not write.
    """
    if not content.startswith(HEADER + b"0 0 0\n\n"):
        raise InputError("it does not begin as an mtok file without special ids does.")
    return _Reader(content, len(HEADER) + len(b"0 0 0\n\n")).tokenizer()


class _Reader:
    """Reader of a file's parts, one after the other."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content = content
        self._at = start

    def tokenizer(self) -> TokenizerFile:
        self._expect(_SEQUENCE, "normaliser")
        normalizers = tuple(self._normalizer() for _ in range(self._count()))
        self._expect(_BERT_PRE_TOKENIZER, "pre-tokeniser")
        self._expect(_WORDPIECE, "model")
        count = self._count()
        unknown, prefix, longest = self._text(), self._text(), self._number("<I")
        tokens = self._tokens(count)
        self._expect(_WORDPIECE_DECODER, "decoder")
        self._text()
        self._number("<B")
        added = tuple(self._added() for _ in range(self._count()))
        template = self._decode(self._take(self._count()))
        for part in ("end of sequence", "flags", "beginning of sequence"):
            if self._number("<B" if part == "flags" else "<H"):
                raise InputError(f"it states {part}, which minnow leaves empty.")
        if self._at != len(self._content):
            raise InputError(f"{len(self._content) - self._at} bytes follow its end.")
        return TokenizerFile(normalizers, tokens, added, unknown, prefix, longest, template)

    def _take(self, size: int) -> bytes:
        part = self._content[self._at : self._at + size]
        if len(part) < size:
            raise InputError(f"it ends after {len(self._content)} bytes, in the middle of a part.")
        self._at += size
        return part

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def _count(self) -> int:
        """Read the number of parts that follow, each of at least one byte."""
        count = self._number("<I")
        if count > len(self._content) - self._at:
            raise InputError(f"it announces {count} parts at byte {self._at}; it is too short.")
        return count

    def _string(self) -> bytes:
        return self._take(self._number("<H"))

    def _text(self) -> str:
        return self._decode(self._string())

    def _decode(self, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"the text before byte {self._at} is not UTF-8.") from error

    def _expect(self, kind: int, what: str) -> None:
        found = self._number("<B")
        if found != kind:
            raise InputError(f"its {what} is of kind {found}; minnow writes {kind}.")

    def _flag(self) -> bool:
        value = self._number("<B")
        if value > 1:
            raise InputError(f"the switch before byte {self._at} is {value}, not 0 or 1.")
        return bool(value)

    def _normalizer(self) -> Normalizer:
        kind = self._number("<B")
        if kind == _REPLACE:
            return Replace(self._string(), self._string())
        if kind == _TABLE:
            rows = [(self._number("<I"), self._text()) for _ in range(self._count())]
            if any(a >= b for (a, _), (b, _) in pairwise(rows)):
                raise InputError("the rows of its character table are not in order.")
            return CharacterTable(dict(rows))
        if kind == _BERT_NORMALIZER:
            clean, chinese, strip, lower = (self._flag() for _ in range(4))
            if not strip:
                return BertSteps(clean, chinese, lower)
        raise InputError(f"it holds a normaliser of kind {kind} that minnow does not write.")

    def _tokens(self, count: int) -> tuple[str, ...]:
        rows = [(self._string(), self._number("<I")) for _ in range(count)]
        if any(a >= b for (a, _), (b, _) in pairwise(rows)):
            raise InputError("the tokens are not in order, or there are two of one name.")
        tokens = {i: token for token, i in rows}
        if sorted(tokens) != list(range(count)):
            raise InputError(f"the ids of its {count} tokens are not 0 to {count - 1}.")
        return tuple(self._decode(tokens[i]) for i in range(count))

    def _added(self) -> AddedToken:
        token_id, special = self._number("<I"), self._flag()
        if self._flag() or self._flag():
            raise InputError("an added token takes white space beside it; minnow writes none.")
        return AddedToken(token_id, self._text(), special)
