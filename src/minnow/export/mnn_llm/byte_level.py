"""A byte-level BPE tokenizer.json in the form of an mtok, so that MNN's engine gives the same ids.

The engine merges as the `tokenizers` library does, but it splits a text into words otherwise: its
patterns see classes of characters, by an older Unicode, in which U+0085, U+2028 and U+2029 are no
white space, and the control characters U+0001 to U+0007 stand for the classes themselves. So the
file replaces what the engine sees wrongly by bytes that UTF-8 text never has:

- A control character that stands for something else becomes a byte of 0xC0, 0xC1 and 0xF5 to 0xFF,
  and its token is called by that byte.
- A character of another class becomes its bytes, each behind a control character. The first says
  the class. The engine reads the bytes one by one, as symbols; the patterns here take them and the
  control characters for one character, and the model drops the latter, which have no token.

A token that takes the white space before it, as `<mask>` does, becomes a control character too, so
that patterns can remove all white space; the engine itself knows that of ASCII only. Tokens of
several spaces, which the library looks for in normalised text, are merged of single ones.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

from minnow.export.mnn_llm.classes import LETTER, NUMBER, SPACE, misjudged, visible_bytes
from minnow.export.mnn_llm.mtok import (
    AddedToken,
    Bpe,
    PrefixSpace,
    Replace,
    Split,
    TokenizerFile,
    VisibleBytes,
    require_expressible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tokenizers import Tokenizer

    from minnow.export.mnn_llm.mtok import PreTokenizer

_HEADS = {LETTER: "\x0e", NUMBER: "\x0f", SPACE: "\x10"}
_NEXT, _TOKEN = "\x11", "\x12"
_MOVED = (*range(1, 8), *map(ord, (*_HEADS.values(), _NEXT, _TOKEN)))
_FOREIGN = (0xC0, 0xC1, *range(0xF5, 0x100))
_LONG_S = "\u017f"
"""The letter that equals an ASCII letter of the patterns where case is ignored."""

_BYTES = r"\x07(?:\x11\x07)+"
_LETTERS = rf"(?:(?:\p{{L}}+|\x0e\x11?{_BYTES})+)+"
_NUMBER = rf"(?:\p{{N}}|\x0f{_BYTES})"
_SPACE = rf"(?:\s|\x10{_BYTES})"
_OTHERS = r"[^\s\p{L}\p{N}\x0e\x0f\x10]+"
_SPACES = rf"(?:(?:{_SPACE}(?![^\s\x10]))+)+|(?:{_SPACE}+)+"
"""`\\s+(?!\\S)|\\s+`; a group is repeated twice, since the engine stops after 10 000 times."""
_NEWLINES = rf"(?:(?:(?:[^\S\r\n]+|\x10{_BYTES})*[\r\n])+)+"
_WORD = rf"(?:[^\r\n\p{{L}}\p{{N}}\x0e\x0f\x10]|\x10{_BYTES})?{_LETTERS}"
_STRIPPED = rf"(?:{_SPACE}+)+(?!(?!\x12))"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA = _QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def _of_qwen(digits: str) -> str:
    return (
        rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|'\x0e\x11\x07\x11\x07|{_WORD}|{_NUMBER}{digits}"
        rf"| ?{_OTHERS}[\r\n]*|{_NEWLINES}|{_SPACES}"
    )


_PATTERNS = {
    _GPT2: rf"'s|'t|'re|'ve|'m|'ll|'d| ?{_LETTERS}| ?(?:{_NUMBER}+)+| ?{_OTHERS}|{_SPACES}",
    _QWEN: _of_qwen(""),
    _LLAMA: _of_qwen("{1,3}"),
}
"""Pattern of a tokenizer.json -> what finds the same words in the engine."""


def byte_level_file(tokenizer: Tokenizer, template: str) -> TokenizerFile:
    """Express a tokenizer as an mtok.

    Args:
        tokenizer: The tokenizer, without truncation and padding; its model is BPE. Where it
            normalises to Unicode's form C, the engine takes texts that are in it already.
        template: The chat template, which puts special tokens around a text.

    Raises:
        InputError: The format cannot express the tokenizer; all reasons are named.
        ConversionError: MNN's engine does not run.
    """
    stated = _Stated(tokenizer)
    require_expressible(list(filter(None, stated.faults())))
    moved = zip(_MOVED, _FOREIGN, strict=False)
    steps = [Replace(bytes([old]), bytes([new])) for old, new in moved]
    steps += [Replace(row["content"].encode(), _TOKEN.encode()) for row in stated.stripping]
    others = [row for row in stated.added if row not in (*stated.stripping, *stated.runs)]
    return TokenizerFile(
        normalizers=(*steps, *_escapes(misjudged())),
        pre_tokenizers=tuple(_pre_tokenizers(stated)),
        model=_model(stated),
        added=tuple(AddedToken(row["id"], row["content"], row["special"]) for row in others),
        template=template,
    )


def takes_form_c(tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer normalises to form C, which the engine leaves to the app."""
    steps = _steps(json.loads(tokenizer.to_str())["normalizer"], "normalizers")
    return [step["type"] for step in steps] == ["NFC"]


class _Stated:
    """The parts of a tokenizer.json.

    Attributes:
        model: The BPE model.
        added: The added tokens.
        normalizers: The kinds of the steps that normalise.
        prefix: Whether each part of a text begins with a space.
        pattern: What divides text into words; None where that is not one pattern and bytes.
        stripping: Tokens that take the white space before them.
        runs: Tokens of several spaces, the longest first.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        stated = json.loads(tokenizer.to_str())
        self.model: dict[str, Any] = stated["model"]
        self.added: list[dict[str, Any]] = stated["added_tokens"]
        self.normalizers = [step["type"] for step in _steps(stated["normalizer"], "normalizers")]
        steps = _steps(stated["pre_tokenizer"], "pretokenizers")
        self.kinds = [step["type"] for step in steps]
        self.prefix = bool(steps) and steps[-1].get("add_prefix_space", False)
        self.pattern = _pattern(steps)
        self.stripping = [row for row in self.added if row["lstrip"]]
        spaces = [row for row in self.added if set(row["content"]) == {" "}]
        runs = [row for row in spaces if len(row["content"]) > 1]
        self.runs = sorted(runs, key=lambda row: -len(row["content"]))

    def faults(self) -> Iterator[str]:
        """Yield why the format cannot express the tokenizer; empty strings are no reason."""
        if self.normalizers not in ([], ["NFC"]):
            yield f"its normalizer is {' + '.join(self.normalizers)}, not NFC"
        if self.pattern not in _PATTERNS:
            kinds = " + ".join(self.kinds) or "none"
            yield f"its pre-tokenizer ({kinds}) splits by no known pattern"
        yield from _model_faults(self.model, {row["content"] for row in self.added})
        if len(self.stripping) > 1:
            yield "several of its tokens take the white space before them"
        if [len(row["content"]) for row in self.runs] != [*range(len(self.runs) + 1, 1, -1)]:
            yield "its tokens of spaces have not all lengths from 2 on"
        yield from map(self._added_fault, self.added)

    def _added_fault(self, token: dict[str, Any]) -> str:
        content, name = token["content"], repr(token["content"])
        if token["single_word"] or token["rstrip"]:
            return f"its token {name} is a word of its own only, or takes the white space behind it"
        if token in self.runs:
            raw = self.stripping and not token["normalized"]
            return f"its token {name} is looked for before text is normalised" if raw else ""
        if token["normalized"] and (token["lstrip"] or not content.isascii() or " " in content):
            return f"its token {name} is looked for in normalised text"
        for other in self.added:
            one_step = token["normalized"] == other["normalized"] and not other["lstrip"]
            if other is not token and not one_step and _overlap(content, other["content"]):
                return f"its tokens {name} and {other['content']!r} may overlap"
        return ""


def _steps(stated: dict[str, Any] | None, within: str) -> list[dict[str, Any]]:
    """Return a step, or those of a sequence."""
    if stated is None:
        return []
    if stated["type"] != "Sequence":
        return [stated]
    return list(chain.from_iterable(_steps(step, within) for step in stated[within]))


def _pattern(steps: list[dict[str, Any]]) -> str | None:
    match steps:
        case [{"type": "ByteLevel", "use_regex": True}]:
            return _GPT2
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "invert": False} as split,
            {"type": "ByteLevel", "use_regex": False, "add_prefix_space": False},
        ] if split["behavior"] == "Isolated":
            return str(pattern)
    return None


def _overlap(first: str, second: str) -> bool:
    """Return whether some text holds both so that they share characters."""
    sizes = range(1, min(len(first), len(second)))
    return (
        first in second
        or second in first
        or any(first[-n:] == second[:n] or second[-n:] == first[:n] for n in sizes)
    )


def _model_faults(model: dict[str, Any], added: set[str]) -> Iterator[str]:
    vocabulary: dict[str, int] = model["vocab"]
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        yield "the ids of its vocabulary have gaps"
    if not vocabulary.keys() >= set(visible_bytes()):
        yield "its vocabulary lacks some of the 256 bytes"
    if model["dropout"]:
        yield "its BPE drops merges at random"
    if model["continuing_subword_prefix"] or model["end_of_word_suffix"]:
        yield "its BPE marks where a word begins or ends"
    unmerged = _unmerged(model, added) if model["ignore_merges"] else []
    if unmerged:
        yield f"its merges do not make {len(unmerged)} of its words, {unmerged[0]!r} among them"


def _unmerged(model: dict[str, Any], added: set[str]) -> list[str]:
    """List the words that the library takes whole, but that merges do not make.

    Added tokens are none of them: they are taken out of a text before.
    """
    from tokenizers import models

    vocabulary, merges = model["vocab"], [tuple(merge) for merge in model["merges"]]
    bpe = models.BPE(vocabulary, merges)
    made = ((word, bpe.tokenize(word)) for word in vocabulary if word not in added)
    return [word for word, tokens in made if len(tokens) != 1]


def _escapes(classes: Mapping[str, str]) -> Iterator[Replace]:
    """Yield steps for characters of other classes: one for all that share their first bytes."""
    left = dict(classes)
    for prefix in sorted({c.encode()[:-1] for c in left}):
        block = [(prefix + bytes([last])).decode(errors="ignore") for last in range(0x80, 0xC0)]
        names = {left.get(c) for c in block}
        if len(names) == 1:
            for c in block:
                del left[c]
            yield Replace(prefix, _escaped(prefix, classes[block[0]]) + _NEXT.encode())
    yield from (Replace(c.encode(), _escaped(c.encode(), name)) for c, name in left.items())
    escaped = _escaped(_LONG_S.encode(), LETTER)
    yield Replace(_LONG_S.encode(), escaped[:1] + _NEXT.encode() + escaped[1:])


def _escaped(content: bytes, name: str) -> bytes:
    """Put a control character before each byte; the first says the class."""
    bytes_ = (bytes([byte]) for byte in content)
    return _HEADS[name].encode() + _NEXT.encode().join(bytes_)


def _pre_tokenizers(stated: _Stated) -> Iterator[PreTokenizer]:
    strip = [Split(_STRIPPED, removed=True)] if stated.stripping else []
    yield from strip
    if stated.stripping:
        yield Split(_TOKEN)
    if stated.runs:
        yield Split("|".join(f" {{{len(row['content'])}}}" for row in stated.runs))
    if stated.prefix:
        yield PrefixSpace()
        yield from strip
    yield Split(_PATTERNS[stated.pattern or ""])
    yield VisibleBytes()


def _model(stated: _Stated) -> Bpe:
    """Spell the tokens as the engine meets them, and number the merges."""
    visible, vocabulary = visible_bytes(), stated.model["vocab"]
    space = visible[ord(" ")]
    moved = {visible[old]: visible[new] for old, new in zip(_MOVED, _FOREIGN, strict=False)}
    spelling = {ord(c): moved.get(c, c) for c in visible if c not in moved.values()}
    runs = {1: vocabulary[space], **{len(row["content"]): row["id"] for row in stated.runs}}
    tokens = dict.fromkeys(range(len(vocabulary)), "")
    for token, number in vocabulary.items():
        known = spelling.keys() >= set(map(ord, token))
        run = len(token) in runs and not token.strip(space)
        tokens[number] = token.translate(spelling) if known and not run else f"??{token}"
    tokens |= {number: space * size for size, number in runs.items()}
    tokens |= {row["id"]: visible[ord(_TOKEN)] for row in stated.stripping}
    merges = {(runs[a], runs[b]): 0 for a in runs for b in runs if a + b in runs}
    for rank, (first, second) in enumerate(stated.model["merges"], 1):
        pair = vocabulary[first], vocabulary[second]
        if merges.get(pair, 1):
            merges[pair] = rank
    return Bpe(tuple(tokens.get(n, f"??{n}") for n in range(max(tokens) + 1)), merges)
