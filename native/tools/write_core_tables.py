"""Write word_tables.inc, schema.inc and expressions.inc of src/: what minnow's Python says once.

    PYTHONPATH=src python native/tools/write_core_tables.py

The first has the characters that `minnow.indexfile.words` tells apart, the second the tables of the
index file, the third the expressions and words of `minnow.memory`, `minnow.search` and
`minnow.ask`.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import normalizers

from minnow.ask import prompt
from minnow.indexfile import checksums, schema, settings, words
from minnow.memory import closeness, dates, mentions, word_index, wording
from minnow.search import folding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SOURCES = Path(__file__).parents[1] / "src"
NAME = Path(__file__).name
EVERY = [*range(0xD800), *range(0xE000, 0x110000)]
NFKC, NFC, NFD = normalizers.NFKC(), normalizers.NFC(), normalizers.NFD()
COLUMNS = 100


def word_tables() -> str:
    """Return the tables of characters."""
    sets = {
        "kPaired": words.PAIRED,
        "kNoSpaces": words._NO_SPACES,
        "kArabic": words._ARABIC,
    }
    patterns = {
        "kIgnored": words._DROPPED,
        "kAccents": words._MARKS,
        "kDecomposed": words._DECOMPOSED,
        "kPolytonic": words._POLYTONIC,
        "kPlain": words._plain(),
    }
    matchers: dict[str, Callable[[str], object]] = {
        **{name: re.compile(f"[{text}]").match for name, text in sets.items()},
        **{name: pattern.match for name, pattern in patterns.items()},
    }
    matchers["kPlain"] = words._plain().fullmatch
    parts = [
        _rows(name, "Range", _ranges(c for c in EVERY if matches(chr(c))))
        for name, matches in matchers.items()
    ]
    digits = [c for c in EVERY if unicodedata.decimal(chr(c), None) == 0]
    parts.append(_rows("kZeros", "char32_t", map(hex, digits)))
    folded = {c: chr(c).casefold() for c in EVERY if chr(c).casefold() != chr(c)}
    parts.append(_rows("kFolded", "FoldedRow", (_folded(c, to) for c, to in folded.items())))
    newer = (c for c in EVERY if _nfkc(c) != NFKC.normalize_str(chr(c)))
    parts.append(_rows("kNewer", "FoldedRow", (_folded(c, _nfkc(c)) for c in newer)))
    marks = [c for c in EVERY if unicodedata.combining(chr(c)) and _is_newer_mark(chr(c))]
    parts.append(_rows("kNewerMarks", "MarkRow", _mark_rows(marks)))
    pairs = [(_decomposition(c), c) for c in EVERY if _composes_newly(c)]
    composed = (f"{{{a:#x},{b:#x},{c:#x}}}" for (a, b), c in pairs)
    parts.append(_rows("kNewerComposed", "ComposedRow", composed))
    alike = sorted(words._ALIKE.items())
    parts.append(_rows("kAlike", "FoldedRow", (_folded(c, to) for c, to in alike)))
    for name in ("_LEADING", "_FOLLOWING", "_BEFORE"):
        points = sorted(map(int if name == "_BEFORE" else ord, getattr(words, name)))
        parts.append(_rows(f"k{name[1:].title()}", "char32_t", map(hex, points)))
    return _file(parts)


def schema_tables() -> str:
    """Return the SQL that creates the tables of each owner, and what their checksums cover."""
    parts = [
        f"constexpr int kApplicationId = {schema.APPLICATION_ID}, kVersion = {schema.VERSION}, "
        f"kMigrating = {schema.MIGRATING}, kReaders = {settings.READERS};\n",
        f"const char kTokenize[] = {_text(words.TOKENIZE)};\n",
        _statements("kBaseSchema", (schema.META_SCHEMA, checksums.SUMS_SCHEMA)),
    ]
    owners = []
    for number, owner in enumerate(schema._owners()):
        parts.append(_statements(f"kSchema{number}", owner.schema))
        counted = " ".join(table.name for table in owner.checked if table.counted)
        size = f"std::size(kSchema{number})"
        owners.append(f'\n{{"{owner.tables[0]}",kSchema{number},{size},"{counted}"}}')
    parts.append(_rows("kOwners", "Owner", owners))
    readable = sorted(schema.readable_tables())
    parts.append(_rows("kReadable", "char* const", (f'"{name}"' for name in readable)))
    return _file(parts)


def expressions() -> str:
    """Return expressions, those of dates with the names of their readers, and words."""
    forms = (
        f"{{{_text(pattern.pattern)},{_text(read.__name__)}}}" for pattern, read in dates._FORMS
    )
    short = (f"{{{_text(p.pattern)},{_text(to)}}}" for p, to in wording._SHORT)
    return _file(
        [
            _rows("kDateForms", "Form", forms),
            _strings("kCalendar", (read.__name__ for read in dates._CALENDAR)),
            _rows("kShortForms", "Form", short),
            f"const char kSpeakerPrefix[] = {_text(mentions.PREFIX.pattern)};\n",
            f"const char kRules[] = {_text(prompt.RULES)};\n",
            f"const char kBefore[] = {_text(folding._BEFORE.pattern)};\n",
            f"const char kBehind[] = {_text(folding._BEHIND.pattern)};\n",
            _strings("kQuestionWords", word_index.QUESTION_WORDS),
            _strings("kRelative", wording._RELATIVE),
            _strings("kUnrelated", closeness.UNRELATED, in_order=True),
        ]
    )


def _nfkc(point: int) -> str:
    """Return the form of a character, which `normal_form` in C++ has of an older Unicode."""
    return unicodedata.normalize("NFKC", chr(point))


def _is_newer_mark(mark: str) -> bool:
    """Return whether `tokenizers` does not sort a mark, neither behind a low one nor before a high.

    Marks that it decomposes do not occur in what it sorts.
    """
    lowest, highest = "\u0334", "\u0345"  # of the classes 1 and 240
    sorts = NFD.normalize_str
    moves = sorts(mark + lowest) == lowest + mark or sorts(highest + mark) == mark + highest
    return mark not in (lowest, highest) and sorts(mark) == mark and not moves


def _composes_newly(point: int) -> bool:
    """Return whether Python composes a character of two, and `tokenizers` does not."""
    parts = unicodedata.normalize("NFD", chr(point))
    composed = unicodedata.normalize("NFC", parts)
    return parts != chr(point) == composed != NFC.normalize_str(parts)


def _decomposition(point: int) -> tuple[int, int]:
    first, second = (int(part, 16) for part in unicodedata.decomposition(chr(point)).split())
    return first, second


def _mark_rows(marks: Iterable[int]) -> list[str]:
    """Return first and last code point of neighbours of one combining class, and the class."""
    rows: list[list[int]] = []
    for mark in marks:
        number = unicodedata.combining(chr(mark))
        if rows and rows[-1][1:] == [mark - 1, number]:
            rows[-1][1] = mark
        else:
            rows.append([mark, mark, number])
    return [f"{{{first:#x},{last:#x},{number}}}" for first, last, number in rows]


def _file(parts: Iterable[str]) -> str:
    return f"// Written by {NAME}. Do not edit.\n" + "".join(parts)


def _rows(name: str, kind: str, rows: Iterable[str]) -> str:
    lines = [""]
    for row in rows:
        if len(lines[-1]) + len(row) >= COLUMNS:
            lines.append("")
        lines[-1] += f"{row},"
    return f"const {kind} {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def _strings(name: str, texts: Iterable[str], *, in_order: bool = False) -> str:
    return _rows(name, "char* const", map(_text, texts if in_order else sorted(texts)))


def _statements(name: str, statements: Iterable[str]) -> str:
    return _rows(name, "char* const", ("\n" + _text(s) for s in statements))


def _text(text: str) -> str:
    """Return a C++ string literal of a text, with what is not ASCII escaped as bytes."""
    escaped = text.encode().decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n")
    return '"' + "".join(c if ord(c) < 128 else f"\\{ord(c):03o}" for c in escaped) + '"'


def _folded(point: int, to: str) -> str:
    assert len(to) <= 3
    return f"{{{point:#x},{{{','.join(f'{ord(c):#x}' for c in to)}}}}}"


def _ranges(points: Iterable[int]) -> list[str]:
    found: list[list[int]] = []
    for point in points:
        if found and found[-1][1] in (point - 1, 0xD7FF if point == 0xE000 else -1):
            found[-1][1] = point
        else:
            found.append([point, point])
    return [f"{{{first:#x},{last:#x}}}" for first, last in found]


TABLES = {
    "word_tables.inc": word_tables,
    "schema.inc": schema_tables,
    "expressions.inc": expressions,
}

if __name__ == "__main__":
    for file, text_of in TABLES.items():
        (SOURCES / file).write_text(text_of(), encoding="ascii")
    print(f"{', '.join(TABLES)}: Python's Unicode {unicodedata.unidata_version}")
