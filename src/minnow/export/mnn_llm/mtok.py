"""MNN-LLM's tokenizer file, `.mtok`: what it holds, and the writer.

It begins with text lines: `430 4`, three counts of ids, and the ids. Then comes binary, little
endian: a normaliser, a pre-tokeniser, a model, a decoder, added tokens, and a chat template. The
source is `load_vocab_binary` in transformers/llm/engine/src/tokenizer/tokenizer.cpp of MNN 3.6.1,
which checks nothing that it reads. Only the parts that WordPiece and BPE need are supported here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minnow.errors import InputError

HEADER = b"430 4\n0 0 0\n\n"
REPLACE, SEQUENCE, TABLE, BERT_NORMALIZER = 3, 4, 6, 7
BYTES, METASPACE, SPLIT, BERT_PRE_TOKENIZER, SEVERAL = 1, 3, 4, 5, 6
ISOLATED, REMOVED = 0, 1
BPE, WORDPIECE = 0, 1
BYTES_DECODER, WORDPIECE_DECODER = 0, 3
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
class BertWords:
    """A step that divides text at white space, and makes a word of each punctuation mark."""


@dataclass(frozen=True)
class Split:
    """A step that divides text by a regular expression in the engine's dialect.

    The engine matches classes of characters, not characters: each character that is not ASCII
    stands for its class, of which `minnow.export.mnn_llm.byte_level` knows more.

    Attributes:
        pattern: The expression, in ASCII.
        removed: Whether what it matches is dropped; otherwise it is a word.
    """

    pattern: str
    removed: bool = False


@dataclass(frozen=True)
class PrefixSpace:
    """A step that begins each part with a space where it does not begin with one."""


@dataclass(frozen=True)
class ReplaceSpaces:
    """A step that writes each space as another character."""

    new: str


@dataclass(frozen=True)
class VisibleBytes:
    """A step that replaces each byte by a visible character, as GPT-2 does."""


PreTokenizer = BertWords | Split | PrefixSpace | ReplaceSpaces | VisibleBytes


@dataclass(frozen=True)
class WordPiece:
    """A model that takes the longest pieces from a word's beginning.

    Attributes:
        tokens: The vocabulary; a token's index is its id.
        unknown: The token of a word that has no pieces.
        prefix: The prefix of a piece within a word.
        longest_word: The most bytes of a word; a longer one is unknown.
    """

    tokens: tuple[str, ...]
    unknown: str
    prefix: str
    longest_word: int


@dataclass(frozen=True)
class Bpe:
    """A model that merges neighbouring tokens, beginning with characters.

    A character that is no token becomes tokens of its bytes, `<0xE9>`; those that are none vanish.

    Attributes:
        tokens: The vocabulary; a token's index is its id.
        merges: Two ids -> rank; the pair of the lowest rank is merged first.
    """

    tokens: tuple[str, ...]
    merges: Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class AddedToken:
    """A token that is searched for in the text before any other step, the longest first."""

    id: int
    content: str
    special: bool = True


@dataclass(frozen=True)
class TokenizerFile:
    """The content of an `.mtok`.

    Attributes:
        normalizers: The steps that normalise the text, in order.
        pre_tokenizers: The steps that divide it into words, in order; at least one.
        model: What divides a word into tokens.
        added: Tokens that are searched for in the text as they are.
        template: The chat template, in Jinja.
    """

    normalizers: tuple[Normalizer, ...]
    pre_tokenizers: tuple[PreTokenizer, ...]
    model: WordPiece | Bpe
    added: tuple[AddedToken, ...]
    template: str


def mtok_bytes(tokenizer: TokenizerFile) -> bytes:
    """Encode the file's content.

    Raises:
        InputError: A token is too long for the format, or there are two of the same name.
    """
    tokens, steps = tokenizer.model.tokens, tokenizer.pre_tokenizers
    if len(set(tokens)) != len(tokens):
        raise InputError("The tokenizer has two tokens of one name; the mtok format cannot.")
    parts = [HEADER, struct.pack("<BI", SEQUENCE, len(tokenizer.normalizers))]
    parts += [_normalizer(step) for step in tokenizer.normalizers]
    if len(steps) > 1:
        parts.append(struct.pack("<BI", SEVERAL, len(steps)))
    parts += [_pre_tokenizer(step) for step in steps]
    parts += [_model(tokenizer.model)]
    parts.append(struct.pack("<I", len(tokenizer.added)))
    for token in tokenizer.added:
        parts += [struct.pack("<IBBB", token.id, token.special, 0, 0), _string(token.content)]
    template = tokenizer.template.encode()
    parts += [struct.pack("<I", len(template)), template, _string(b""), b"\0", _string(b"")]
    return b"".join(parts)


def require_expressible(faults: Sequence[str]) -> None:
    """Refuse a tokenizer that the format cannot express.

    Args:
        faults: The reasons, as clauses about the tokenizer.

    Raises:
        InputError: There is a reason; all of them are named.
    """
    if faults:
        raise InputError(
            f"MNN's engine cannot tokenise as this model does: {'; '.join(faults)}. "
            "Use the bundle with minnow, or with MNN and a tokenizer of your own."
        )


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
        return bytes([REPLACE]) + _string(step.old) + _string(step.new)
    if isinstance(step, CharacterTable):
        rows = sorted(step.rows.items())  # the engine looks them up by bisection
        parts = [struct.pack("<I", code) + _string(new) for code, new in rows]
        return struct.pack("<BI", TABLE, len(rows)) + b"".join(parts)
    return struct.pack("<5B", BERT_NORMALIZER, step.clean, step.chinese, 0, step.lowercase)


def _pre_tokenizer(step: PreTokenizer) -> bytes:
    if isinstance(step, Split):
        behaviour = REMOVED if step.removed else ISOLATED
        return bytes([SPLIT]) + _string(step.pattern) + bytes([0, behaviour])
    if isinstance(step, PrefixSpace):
        return bytes([METASPACE]) + _string(" ") + b"\1"
    if isinstance(step, ReplaceSpaces):
        return bytes([METASPACE]) + _string(step.new) + b"\0"
    if isinstance(step, VisibleBytes):
        return bytes([BYTES, 0])
    return bytes([BERT_PRE_TOKENIZER])


def _model(model: WordPiece | Bpe) -> bytes:
    """Write a model and its decoder."""
    rows = sorted((token.encode(), i) for i, token in enumerate(model.tokens))
    vocabulary = b"".join(_string(token) + struct.pack("<I", i) for token, i in rows)
    if isinstance(model, Bpe):
        head = struct.pack("<BIBBI", BPE, len(rows), 0, 0, len(model.merges))
        merges = (struct.pack("<3I", *pair, rank) for pair, rank in sorted(model.merges.items()))
        return head + vocabulary + b"".join(merges) + bytes([BYTES_DECODER])
    head = struct.pack("<BI", WORDPIECE, len(rows)) + _string(model.unknown)
    head += _string(model.prefix) + struct.pack("<I", model.longest_word)
    return head + vocabulary + bytes([WORDPIECE_DECODER]) + _string(model.prefix) + b"\0"
