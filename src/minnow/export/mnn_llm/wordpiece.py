"""A WordPiece tokenizer.json in the form of an mtok, so that MNN's engine gives the same ids.

The engine's own BERT steps differ from those of the `tokenizers` library: it keeps format and
private-use characters, drops vowel signs as if they were accents, has other white space and
punctuation, and counts a word's length in bytes. So its steps are left out where they differ, and
the file gets a table of what the library's normaliser does to each character of Unicode. That is
exact: the library's steps look at single characters (but for the order of marks, which it drops).
A letter of the vocabulary becomes a character of four bytes, both in the text and in the
vocabulary, so that a word of n letters has 4 n bytes.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from minnow.export.mnn_llm.mtok import (
    AddedToken,
    BertSteps,
    BertWords,
    CharacterTable,
    Replace,
    TokenizerFile,
    WordPiece,
    require_expressible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tokenizers import Tokenizer

LETTER_BYTES = 4
_MOST_BYTES = 2**31 - 1
"""The engine counts in an int32."""
_LETTERS = 0x100000
"""Private-use characters of four bytes each; those of the text itself are dropped earlier."""
_UNKNOWN_LETTER = "\ufdd0"
"""A letter that no vocabulary has: a noncharacter, which Unicode never assigns."""
_SURROGATES = range(0xD800, 0xE000)
_BLOCK = 64
"""Characters of one block have all their bytes but the last in common."""
SPACED = {
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x206A),
    *range(0xFFF0, 0xFFF9),
    0xFEFF,
}
"""What the engine's table step turns into spaces, beside control characters."""
_IDEOGRAPHS = frozenset(chain(
    range(0x4E00, 0xA000), range(0x3400, 0x4DC0), range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2B740), range(0x2B740, 0x2B820), range(0x2B820, 0x2CEB0),
    range(0xF900, 0xFB00), range(0x2F800, 0x2FA20),
))  # fmt: skip
"""What the engine puts spaces around."""
_LATER_PUNCTUATION = {
    0x61D, 0x1B7D, 0x1B7E, *range(0x2E53, 0x2E5E), *range(0x10F86, 0x10F8A), 0x116B9,
    *range(0x11B00, 0x11B0A), *range(0x11F43, 0x11F50), 0x12FF1, 0x12FF2,
}  # fmt: skip
"""Punctuation to the engine (Unicode 15), and maybe not to this Python (3.10 has Unicode 13)."""


def wordpiece_file(tokenizer: Tokenizer, template: str) -> TokenizerFile:
    """Express a tokenizer as an mtok.

    Args:
        tokenizer: The tokenizer, without truncation and padding; `lowercase_first` is supported.
        template: The chat template, which puts special tokens around a text.

    Raises:
        InputError: The format cannot express the tokenizer; all reasons are named.
    """
    stated = json.loads(tokenizer.to_str())
    require_expressible(_faults(stated))
    model = stated["model"]
    vocabulary: dict[str, int] = model["vocab"]
    tokens = [token for token, _ in sorted(vocabulary.items(), key=lambda row: row[1])]
    survey = _survey(json.dumps({key: stated[key] for key in ("normalizer", "pre_tokenizer")}))
    characters = _Characters(tokenizer, set("".join(tokens)), survey)
    steps = characters.steps()
    prefix, unknown = model["continuing_subword_prefix"], model["unk_token"]
    spelled = tuple(
        token if token == unknown else _spelled(token, prefix, characters.letters)
        for token in tokens
    )
    longest_word = min(LETTER_BYTES * model["max_input_chars_per_word"], _MOST_BYTES)
    return TokenizerFile(
        normalizers=(*steps.drops, BertSteps(clean=True), steps.table, BertSteps(chinese=True)),
        pre_tokenizers=(BertWords(),),
        model=WordPiece(spelled, unknown, prefix, longest_word),
        added=tuple(
            AddedToken(row["id"], row["content"], row["special"]) for row in stated["added_tokens"]
        ),
        template=template,
    )


def _spelled(token: str, prefix: str, letters: Mapping[int, str]) -> str:
    begins = prefix if token.startswith(prefix) else ""
    return begins + token.removeprefix(prefix).translate(letters)


def _faults(stated: dict[str, Any]) -> list[str]:
    faults = [
        *_normalizer_faults(stated["normalizer"]),
        *(_added_fault(token) for token in stated["added_tokens"]),
    ]
    pre = (stated["pre_tokenizer"] or {}).get("type", "none")
    if pre != "BertPreTokenizer":
        faults.append(f"its pre-tokenizer is {pre}, not BertPreTokenizer")
    model = stated["model"]
    vocabulary = model["vocab"]
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        faults.append("the ids of its vocabulary have gaps")
    if model["unk_token"] not in vocabulary:
        faults.append(f"its unknown token {model['unk_token']!r} is not in its vocabulary")
    return [fault for fault in faults if fault]


def _normalizer_faults(normalizer: dict[str, Any] | None) -> list[str]:
    steps = [normalizer or {}]
    if steps[0].get("type") == "Sequence":
        steps = steps[0]["normalizers"] or [{}]
    *before, last = steps
    kinds = [step.get("type", "none") for step in steps]
    if last.get("type") != "BertNormalizer" or any(s.get("type") != "Lowercase" for s in before):
        return [f"its normalizer is {' + '.join(kinds)}, not BertNormalizer"]
    return [] if last["clean_text"] else ["its normalizer does not clean text"]


def _added_fault(token: dict[str, Any]) -> str:
    name = repr(token["content"])
    if token["single_word"]:
        return f"its token {name} is a word of its own only"
    if token["normalized"]:
        return f"its token {name} is looked for in normalised text"
    return ""


@dataclass(frozen=True)
class _Survey:
    """What a normaliser and a pre-tokenizer do to all of Unicode, block by block.

    Attributes:
        dropped: The first code points of blocks of which nothing is left.
        plain: Those of blocks of letters and the like, which stay as they are, also in the engine.
        normalized: The characters of all other blocks, normalised.
    """

    dropped: frozenset[int]
    plain: frozenset[int]
    normalized: dict[str, str]


@lru_cache(maxsize=1)
def _survey(steps: str) -> _Survey:
    """Survey all of Unicode, which takes a second, once for tokenizers of the same steps.

    Args:
        steps: The normaliser and the pre-tokenizer, in JSON.
    """
    from tokenizers import Tokenizer, models

    bare = json.loads(Tokenizer(models.WordPiece()).to_str())
    tokenizer = Tokenizer.from_str(json.dumps(bare | json.loads(steps)))
    normalize = tokenizer.normalizer.normalize_str
    dropped, plain = set[int](), set[int]()
    normalized: dict[str, str] = {}
    for first in range(0, 0x110000, _BLOCK):
        if first in _SURROGATES:
            continue
        text = "".join(map(chr, range(first, first + _BLOCK)))
        whole = normalize(text)
        if first >= 0x800 and not whole:
            dropped.add(first)
        elif whole == text and not _splits(tokenizer, text) and not any(map(_looks_split, text)):
            plain.add(first)
        else:
            normalized |= {c: normalize(c) for c in text}
    return _Survey(frozenset(dropped), frozenset(plain), normalized)


@dataclass(frozen=True)
class _Steps:
    """Characters to drop, and the table that replaces others."""

    drops: tuple[Replace, ...]
    table: CharacterTable


class _Characters:
    """The effect of a tokenizer on each character.

    Attributes:
        letters: Code point of a letter of the vocabulary -> the character that replaces it.
    """

    def __init__(self, tokenizer: Tokenizer, alphabet: set[str], survey: _Survey) -> None:
        """Find the letters.

        Args:
            tokenizer: The tokenizer.
            alphabet: The characters of its vocabulary.
            survey: What its steps do to all of Unicode.
        """
        self._tokenizer, self._survey = tokenizer, survey
        self._written: dict[str, str] = {}
        joined = (c for c in sorted(alphabet) if self._is_joined(c))
        self.letters = {ord(c): chr(_LETTERS + i) for i, c in enumerate(joined)}
        self._special = {*self.letters, *_IDEOGRAPHS, *SPACED, *_LATER_PUNCTUATION}

    def steps(self) -> _Steps:
        """Build the steps from all of Unicode, block by block."""
        rows: dict[int, str] = {}
        survey = self._survey
        for first in range(0, 0x110000, _BLOCK):
            block = range(first, first + _BLOCK)
            if first in _SURROGATES or first in survey.dropped:
                continue
            if first not in survey.plain or not self._special.isdisjoint(block):
                rows |= {c: new for c in block if (new := self._becomes(chr(c))) is not None}
        replaces = [Replace(prefix, b"") for prefix in _prefixes(sorted(survey.dropped))]
        replaces += [
            Replace(chr(c).encode(), rows.pop(c).encode()) for c in sorted(SPACED & set(rows))
        ]
        return _Steps(tuple(replaces), CharacterTable(rows))

    def _normalized(self, text: str) -> str:
        known = self._survey.normalized.get(text)
        return self._tokenizer.normalizer.normalize_str(text) if known is None else known

    def _becomes(self, character: str) -> str | None:
        """Return what replaces a character; None if the engine gives that without the table."""
        normalized = self._normalized(character)
        if normalized == f" {character} " and _is_ideograph(character):
            return None
        new = "".join(map(self._write, normalized))
        if new == character and ord(character) in SPACED:
            return _UNKNOWN_LETTER
        return None if new == _cleaned(character) else new

    def _write(self, character: str) -> str:
        """Return a normalised character in the form that the engine has to see."""
        if character not in self._written:
            self._written[character] = self._spell(character)
        return self._written[character]

    def _spell(self, character: str) -> str:
        letter = self.letters.get(ord(character))
        if letter is not None:
            return letter
        if character.isspace():
            return " "
        if _splits(self._tokenizer, character):
            return character if character.isascii() else f" {character} "
        if _looks_split(character) or (_is_ideograph(character) and self._is_joined(character)):
            return _UNKNOWN_LETTER
        return character

    def _is_joined(self, character: str) -> bool:
        """Return whether a character can be in a word with others."""
        alone = self._normalized(character) == f" {character} "
        return not (alone or character.isspace() or _splits(self._tokenizer, character))


def _splits(tokenizer: Tokenizer, text: str) -> bool:
    """Return whether a word ends at any of the text's characters."""
    return len(tokenizer.pre_tokenizer.pre_tokenize_str(f"a{text}a")) != 1


def _looks_split(character: str) -> bool:
    """Return whether the engine may end a word at a character."""
    category = unicodedata.category(character)
    return category[0] in "PZ" or ord(character) in _LATER_PUNCTUATION


def _is_ideograph(character: str) -> bool:
    return ord(character) in _IDEOGRAPHS


def _cleaned(character: str) -> str:
    """Return what the engine's cleaning makes of a character."""
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    return "" if character == "\ufffd" or unicodedata.category(character) == "Cc" else character


def _prefixes(blocks: list[int]) -> Iterator[bytes]:
    """Yield the first bytes of the characters of whole blocks, in as few prefixes as possible.

    The rest of such a character is not valid UTF-8, so the engine's cleaning drops it.
    """
    whole = {chr(first).encode()[:-1] for first in blocks}
    for _ in range(2):
        longer = [prefix for prefix in whole if len(prefix) > 1]
        for parent in {prefix[:-1] for prefix in longer}:
            children = {parent + bytes([last]) for last in _continuations(parent)}
            if children <= whole:
                whole = whole - children | {parent}
    yield from sorted(whole)


def _continuations(parent: bytes) -> range:
    """Return the bytes that can follow the first ones of a character of three or four bytes."""
    least = {b"\xe0": 0xA0, b"\xf0": 0x90}.get(parent, 0x80)
    most = {b"\xed": 0xA0, b"\xf4": 0x90}.get(parent, 0xC0)
    return range(least, most)
