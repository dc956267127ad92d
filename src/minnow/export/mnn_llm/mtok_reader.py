"""Reader of MNN-LLM's tokenizer file, which names damage that the engine would not notice."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

from minnow.errors import InputError
from minnow.export.mnn_llm import mtok as form
from minnow.export.mnn_llm.mtok import (
    AddedToken,
    BertSteps,
    BertWords,
    Bpe,
    CharacterTable,
    PrefixSpace,
    Replace,
    ReplaceSpaces,
    Split,
    TokenizerFile,
    VisibleBytes,
    WordPiece,
)

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.export.mnn_llm.mtok import Normalizer, PreTokenizer


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
    if not content.startswith(form.HEADER):
        raise InputError("it does not begin as an mtok file without special ids does.")
    return _Reader(content, len(form.HEADER)).tokenizer()


class _Reader:
    """Reader of a file's parts, one after the other."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content = content
        self._at = start

    def tokenizer(self) -> TokenizerFile:
        self._expect(form.SEQUENCE, "normaliser")
        normalizers = tuple(self._normalizer() for _ in range(self._count()))
        steps = self._pre_tokenizers()
        model = self._bpe() if self._peek() == form.BPE else self._wordpiece()
        added = tuple(self._added() for _ in range(self._count()))
        template = self._decode(self._take(self._count()))
        for part in ("end of sequence", "flags", "beginning of sequence"):
            if self._number("<B" if part == "flags" else "<H"):
                raise InputError(f"it states {part}, which minnow leaves empty.")
        if self._at != len(self._content):
            raise InputError(f"{len(self._content) - self._at} bytes follow its end.")
        return TokenizerFile(normalizers, steps, model, added, template)

    def _wordpiece(self) -> WordPiece:
        self._expect(form.WORDPIECE, "model")
        count = self._count()
        unknown, prefix, longest = self._text(), self._text(), self._number("<I")
        model = WordPiece(self._tokens(count), unknown, prefix, longest)
        self._expect(form.WORDPIECE_DECODER, "decoder")
        self._text()
        self._number("<B")
        return model

    def _bpe(self) -> Bpe:
        self._expect(form.BPE, "model")
        count = self._count()
        if self._flag() or self._flag():
            raise InputError("its BPE takes bytes by itself; minnow writes none that does.")
        many = self._count()
        tokens = self._tokens(count)
        merges = [(self._number("<I"), self._number("<I"), self._number("<I")) for _ in range(many)]
        if any(a[:2] >= b[:2] for a, b in pairwise(merges)):
            raise InputError("its merges are not in order.")
        self._expect(form.BYTES_DECODER, "decoder")
        return Bpe(tokens, {(first, second): rank for first, second, rank in merges})

    def _take(self, size: int) -> bytes:
        part = self._content[self._at : self._at + size]
        if len(part) < size:
            raise InputError(f"it ends after {len(self._content)} bytes, in the middle of a part.")
        self._at += size
        return part

    def _peek(self) -> int:
        """Return the next byte without taking it."""
        kind = self._number("<B")
        self._at -= 1
        return kind

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
        if kind == form.REPLACE:
            return Replace(self._string(), self._string())
        if kind == form.TABLE:
            rows = [(self._number("<I"), self._text()) for _ in range(self._count())]
            if any(a >= b for (a, _), (b, _) in pairwise(rows)):
                raise InputError("the rows of its character table are not in order.")
            return CharacterTable(dict(rows))
        if kind == form.BERT_NORMALIZER:
            clean, chinese, strip, lower = (self._flag() for _ in range(4))
            if not strip:
                return BertSteps(clean, chinese, lower)
        raise InputError(f"it holds a normaliser of kind {kind} that minnow does not write.")

    def _pre_tokenizers(self) -> tuple[PreTokenizer, ...]:
        if self._peek() != form.SEVERAL:
            return (self._pre_tokenizer(),)
        self._number("<B")
        steps = tuple(self._pre_tokenizer() for _ in range(self._count()))
        if len(steps) < 2:
            raise InputError(f"it lists {len(steps)} pre-tokenisers; minnow lists several.")
        return steps

    def _pre_tokenizer(self) -> PreTokenizer:
        kind = self._number("<B")
        if kind == form.BERT_PRE_TOKENIZER:
            return BertWords()
        if kind == form.BYTES and not self._flag():
            return VisibleBytes()
        if kind == form.METASPACE:
            new, begins = self._text(), self._flag()
            if (new == " ") == begins:
                return PrefixSpace() if begins else ReplaceSpaces(new)
        if kind == form.SPLIT:
            pattern, inverted, behaviour = self._text(), self._flag(), self._number("<B")
            if not inverted and behaviour in (form.ISOLATED, form.REMOVED):
                return Split(pattern, behaviour == form.REMOVED)
        raise InputError(f"it holds a pre-tokeniser of kind {kind} that minnow does not write.")

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
