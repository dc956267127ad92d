"""Write src/unicode_tables.inc: the effect of a BERT tokenizer on each character of Unicode.

    python native/tools/write_unicode_tables.py

The tables are read from the `tokenizers` library, character by character, because the C++ tokenizer
must give its ids: the library uses other versions of Unicode than Python's `unicodedata`, more than
one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TABLES = Path(__file__).parents[1] / "src/unicode_tables.inc"

DROPPED, WHITE, IDEOGRAPH, PUNCTUATION = 1, 2, 4, 8
_SURROGATES = range(0xD800, 0xE000)
_HANGUL = range(0xAC00, 0xD7A4)
_DOTTED_I = 0x130
_LONGEST = 3
_BLOCK = 64


def _normalizer(step: str) -> BertNormalizer:
    steps = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return BertNormalizer(**{name: name == step for name in steps})


_CLEAN, _SPACE_OUT = _normalizer("clean_text"), _normalizer("handle_chinese_chars")
_STRIP, _LOWER = _normalizer("strip_accents"), _normalizer("lowercase")


@dataclass(frozen=True)
class Tables:
    """Differences to an ordinary letter, which stays as it is.

    Attributes:
        classes: Code point -> DROPPED, WHITE, IDEOGRAPH and PUNCTUATION, added up.
        lower: Code point -> what lower-casing makes of it; İ, the only one of two letters, apart.
        stripped: Code point -> what decomposing it and dropping marks leaves; without Hangul,
            which is decomposed by arithmetic.
    """

    classes: Mapping[int, int]
    lower: Mapping[int, int]
    stripped: Mapping[int, str]


def read_tables() -> Tables:
    """Ask the library about every character."""
    classes: dict[int, int] = {}
    lower: dict[int, int] = {}
    stripped: dict[int, str] = {}
    for point in _noticed():
        character = chr(point)
        if found := _class(character):
            classes[point] = found
        if (small := _LOWER.normalize_str(character)) != character and point != _DOTTED_I:
            lower[point] = ord(small)
        bare = _STRIP.normalize_str(character)
        if bare != character and point not in _HANGUL:
            stripped[point] = bare
    return Tables(classes, lower, stripped)


def _noticed() -> Iterator[int]:
    """Yield the characters of blocks that are not all ordinary letters."""
    for first in range(0, 0x110000, _BLOCK):
        if first in _SURROGATES:
            continue
        block = range(first, first + _BLOCK)
        text = "".join(map(chr, block))
        steps = (_CLEAN, _SPACE_OUT, _STRIP, _LOWER)
        if any(step.normalize_str(text) != text for step in steps) or _words(text) != [text]:
            yield from block


def _class(character: str) -> int:
    between = f"a{character}b"
    cleaned, words = _CLEAN.normalize_str(between), _words(between)
    return (
        DROPPED * (cleaned == "ab")
        + WHITE * (words == ["a", "b"])
        + IDEOGRAPH * (_SPACE_OUT.normalize_str(between) != between)
        + PUNCTUATION * (words == ["a", character, "b"])
    )


def _words(text: str) -> list[str]:
    return [word for word, _ in BertPreTokenizer().pre_tokenize_str(text)]


def class_rows(classes: Mapping[int, int]) -> Iterator[str]:
    """Yield first and last code point of neighbours of one class, and the class."""
    start = last = -2
    for point in sorted(classes):
        if point != last + 1 or classes[point] != classes[start]:
            if start >= 0:
                yield f"{{{start:#x},{last:#x},{classes[start]}}}"
            start = point
        last = point
    yield f"{{{start:#x},{last:#x},{classes[start]}}}"


def lower_rows(lower: Mapping[int, int]) -> Iterator[str]:
    """Yield first, last, step and distance of capitals at even steps, as far from their letters."""
    points = sorted(lower)
    while points:
        first, *points = points
        away, last, step = lower[first] - first, first, 1
        if points and points[0] - first <= 2 and lower[points[0]] - points[0] == away:
            step = points[0] - first
        while points and points[0] == last + step and lower[points[0]] - points[0] == away:
            last, *points = points
        yield f"{{{first:#x},{last:#x},{step},{away}}}"


def stripped_rows(stripped: Mapping[int, str]) -> Iterator[str]:
    """Yield first and last code point, and up to three that stand for each between them."""
    start = last = -2
    for point in sorted(stripped):
        if point != last + 1 or stripped[point] != stripped[start]:
            if start >= 0:
                yield _stripped_row(start, last, stripped[start])
            start = point
        last = point
    yield _stripped_row(start, last, stripped[start])


def _stripped_row(first: int, last: int, text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"U+{first:04X} becomes {len(text)} characters; there is room for three")
    points = ",".join(f"{ord(character):#x}" for character in text)
    return f"{{{first:#x},{last:#x},{{{points}}}}}"


def table_text() -> str:
    """Return the content of the file."""
    tables = read_tables()
    parts = (
        ("ClassRow kClasses[]", class_rows(tables.classes)),
        ("LowerRow kLower[]", lower_rows(tables.lower)),
        ("StrippedRow kStripped[]", stripped_rows(tables.stripped)),
    )
    head = "// Written by write_unicode_tables.py from the tokenizers library. Do not edit.\n"
    return head + "".join(f"const {name} = {{\n{_lines(rows)}\n}};\n" for name, rows in parts)


def _lines(rows: Iterable[str]) -> str:
    lines = [""]
    for row in rows:
        if len(lines[-1]) + len(row) > 98:
            lines.append("")
        lines[-1] += row + ","
    return "\n".join(lines)


if __name__ == "__main__":
    TABLES.write_text(table_text(), encoding="ascii")
    print(
        f"{TABLES}: tokenizers {tokenizers.__version__}, Python's Unicode "
        f"{unicodedata.unidata_version}"
    )
