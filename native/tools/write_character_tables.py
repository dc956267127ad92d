"""Write src/character_tables.inc: the characters of BPE and Unigram tokenizers.

    python native/tools/write_character_tables.py

Like write_unicode_tables.py, it asks the `tokenizers` library about every character, because each
of the library's steps has a version of Unicode of its own.
"""

from __future__ import annotations

import base64
import json
import struct
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import tokenizers
from tokenizers import Regex, Tokenizer, models
from tokenizers.normalizers import NFC, NFD, NFKD, Normalizer, StripAccents
from tokenizers.pre_tokenizers import Split, Whitespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

TABLES = Path(__file__).parents[1] / "src/character_tables.inc"

LETTER, NUMBER, MARK, WORD, ACCENT = 1, 2, 4, 8, 16
EXTENDS, SPACING, PREPENDED, CONTROL, PICTURE, CONSONANT, LINKER = 1, 2, 4, 8, 16, 32, 64
_ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
_HANGUL = range(0xAC00, 0xD7A4)
_ACUTE, _JOINER = "\u0301", "\u200d"
_LOWEST, _HIGHEST = "\u0334", "\u0345"
"""Marks whose canonical combining classes are the lowest and the highest: 1 and 240."""


def character_classes() -> dict[int, int]:
    """Return code point -> LETTER, NUMBER, MARK, WORD and ACCENT, added up."""
    classes: dict[int, int] = {}
    for bit, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (MARK, r"\p{M}+")):
        for c in _matched(Split(Regex(pattern), "removed", invert=True)):
            classes[c] = classes.get(c, 0) + bit
    for block in _blocks():
        for c in _word_characters(list(map(chr, block))):
            classes[c] = classes.get(c, 0) + WORD
    strip = StripAccents()
    for c in _ALL:
        if not strip.normalize_str(chr(c)):
            classes[c] = classes.get(c, 0) + ACCENT
    return classes


def _blocks() -> Iterator[range]:
    """Yield all code points, 64 at a time, without those of surrogates."""
    yield from (range(n, n + 64) for n in range(0, 0x110000, 64) if not 0xD800 <= n < 0xE000)


def _matched(split: Split) -> Iterator[int]:
    for block in _blocks():
        for _, (start, stop) in split.pre_tokenize_str("".join(map(chr, block))):
            yield from block[start:stop]


def _word_characters(block: list[str]) -> list[int]:
    """Return those that are joined with letters on both sides."""
    rule = Whitespace()
    text = " ".join(f"a{c}a" for c in block)
    words = [word for word, _ in rule.pre_tokenize_str(text)]
    if words == [f"a{c}a" for c in block]:
        return [ord(c) for c in block]
    return [ord(c) for c in block if len(rule.pre_tokenize_str(f"a{c}a")) == 1]


def decompositions(normal: Normalizer) -> dict[int, str]:
    """Return code point -> its full decomposition, without Hangul, which is arithmetic."""
    return {
        c: new for c in _ALL if c not in _HANGUL and (new := normal.normalize_str(chr(c))) != chr(c)
    }


def compositions(canonical: Mapping[int, str]) -> list[tuple[int, int, int]]:
    """Return the pairs of characters that NFC makes one of: first, second, composed."""
    normal = NFC()
    rows = []
    for c, parts in canonical.items():
        if len(parts) < 2 or normal.normalize_str(parts) != chr(c):
            continue
        rows += [
            (ord(head), ord(parts[n]), c)
            for n in range(len(parts) - 1, 0, -1)
            if len(head := normal.normalize_str(parts[:n] + parts[n + 1 :])) == 1
            and normal.normalize_str(head + parts[n]) == chr(c)
        ][:1]
    return sorted(rows)


def combining_classes() -> dict[int, int]:
    """Return code point -> the canonical combining class of each mark that the library knows.

    Two marks are put in the other order by NFD if the first one's class is the higher.

    Raises:
        ValueError: The library sorts marks in another order than Python's classes say.
    """
    swaps = NFD()

    def swapped(first: str, second: str) -> bool:
        return first != second and swaps.normalize_str(first + second) == second + first

    marks = [
        chr(c)
        for c in _ALL
        if swaps.normalize_str(chr(c)) == chr(c)
        and (swapped(chr(c), _LOWEST) or swapped(_HIGHEST, chr(c)))
    ]
    ordered: list[str] = []
    for mark in marks:
        at = _place(ordered, lambda other, mark=mark: swapped(mark, other))  # type: ignore[misc]
        known = at < len(ordered) and not swapped(ordered[at], mark)
        if not known:
            ordered.insert(at, mark)
    places = {m: _place(ordered, lambda other, m=m: swapped(m, other)) for m in marks}  # type: ignore[misc]
    classes = {m: unicodedata.combining(m) for m in marks}
    pairs = sorted({(places[m], classes[m]) for m in marks})
    if [number for number, _ in pairs] != list(range(len(ordered))) or pairs != sorted(
        pairs, key=lambda pair: pair[1]
    ):
        raise ValueError("the tokenizers library and Python disagree about combining classes")
    return {ord(m): number for m, number in classes.items()}


def _place(ordered: list[str], before: Callable[[str], bool]) -> int:
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if before(ordered[middle]):
            low = middle + 1
        else:
            high = middle
    return low


def _cluster_counter() -> Callable[[str], int]:
    """Return what counts clusters: the library's step of SentencePiece, with a table of its own.

    The table has every byte as a key, and gives "x" for it. The step looks up a cluster of fewer
    than six bytes as a whole, and any other one character by character, so each gives one "x".
    """
    units = [0] * 1024
    units[0] = 256 << 10
    for byte in range(1, 256):
        at = 256 ^ byte
        units[at] = ((512 ^ at) << 10) | 1 << 8 | byte
        units[512] = 1 << 31
    blob = struct.pack("<I1024I", 4096, *units) + b"x\0"
    stated = json.loads(Tokenizer(models.BPE()).to_str())
    stated["normalizer"] = {
        "type": "Precompiled",
        "precompiled_charsmap": base64.b64encode(blob).decode(),
    }
    step = Tokenizer.from_str(json.dumps(stated)).normalizer
    return lambda text: len(step.normalize_str(text))


_PROBES: tuple[tuple[int, str, int, int], ...] = (
    (EXTENDS, f"©{{}}{_JOINER}®{_ACUTE}", 4, 5),
    (SPACING, "a{}", 2, 1),
    (PREPENDED, "{}a", 2, 1),
    (CONTROL, f"{{}}{_ACUTE}{_ACUTE}", 3, 2),
    (PICTURE, f"©{_JOINER}{{}}", 2, 3),
    (CONSONANT, f"\u0915\u094d{{}}{_ACUTE}", 3, 4),
    (LINKER, f"\u0915{{}}\u0915{_ACUTE}", 3, 4),
)
"""Class, a text around a character, and its counts: around an ordinary one, one of the class."""


def cluster_classes() -> dict[int, int]:
    """Return code point -> how it takes part in clusters (Unicode Standard Annex 29)."""
    count = _cluster_counter()
    classes: dict[int, int] = {}
    for block in _blocks():
        text = ["\n".join(probe.format(chr(c)) for c in block) for _, probe, _, _ in _PROBES]
        if block[0] < 0x800 or any(
            count(text[n]) != 64 * ordinary + 63
            for n, (_, _, ordinary, _) in enumerate(_PROBES)
            if not (n == 5 and block[0] > 0xFFFF)
        ):
            classes |= {c: found for c in block if c and (found := _cluster_class(chr(c), count))}
    return classes


def _cluster_class(character: str, count: Callable[[str], int]) -> int:
    bits = sum(bit for bit, text, _, shows in _PROBES if count(text.format(character)) == shows)
    if bits & SPACING:  # it joins the character before it
        return bits & (EXTENDS | LINKER) if bits & EXTENDS else SPACING
    if not 0x800 <= ord(character) < 0x10000:
        bits &= ~CONSONANT  # too short or too long to be seen
    return bits & (PREPENDED | CONTROL | PICTURE | CONSONANT)


def class_rows(classes: Mapping[int, int]) -> Iterator[str]:
    """Yield first and last code point of neighbours of one class, and the class."""
    start = last = -2
    for point in [*sorted(classes), 0x110001]:
        if point != last + 1 or classes.get(point) != classes[start]:
            if start >= 0:
                yield f"{{{start:#x},{last:#x},{classes[start]}}}"
            start = point
        last = point


class Pool:
    """Texts one behind the other, each once."""

    def __init__(self) -> None:
        self.text = ""

    def place(self, text: str) -> int:
        """Return where a text begins, and add it if it is not there."""
        if text not in self.text:
            self.text += text
        return self.text.index(text)


def text_rows(texts: Mapping[int, str], pool: Pool) -> list[str]:
    """Return first and last code point, and where the text of the first lies in a pool.

    Of neighbours with one character each at the same distance there is one row.
    """
    points, rows = sorted(texts), []
    start = 0
    for at, (point, following) in enumerate(pairwise([*points, 0x110001])):
        one = len(texts[point]) == 1 == len(texts.get(following, ""))
        if one and following == point + 1 and ord(texts[following]) == ord(texts[point]) + 1:
            continue
        text = texts[points[start]]
        rows.append(f"{{{points[start]:#x},{point:#x},{pool.place(text)},{len(text)}}}")
        start = at + 1
    return rows


def table_text() -> str:
    """Return the content of the file."""
    canonical, compatible = decompositions(NFD()), decompositions(NFKD())
    compatible = {c: text for c, text in compatible.items() if canonical.get(c) != text}
    composed, pool = compositions(canonical), Pool()
    texts = text_rows(canonical, pool), text_rows(compatible, pool)
    parts = (
        ("ClassRow kCharacters[]", class_rows(character_classes())),
        ("ClassRow kClusters[]", class_rows(cluster_classes())),
        ("ClassRow kCombining[]", class_rows(combining_classes())),
        ("char32_t kTexts[]", (f"{ord(character):#x}" for character in pool.text)),
        ("TextRow kCanonical[]", texts[0]),
        ("TextRow kCompatible[]", texts[1]),
        ("ComposedRow kComposed[]", (f"{{{a:#x},{b:#x},{c:#x}}}" for a, b, c in composed)),
    )
    head = "// Written by write_character_tables.py from the tokenizers library. Do not edit.\n"
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
    print(f"{TABLES}: tokenizers {tokenizers.__version__}")
