"""The words of a text: what the keyword index reads in its place, and what is looked for.

SQLite's tokenizer divides a text at spaces and punctuation, and folds case and Latin accents. This
module does the rest beforehand, on texts and queries alike: characters that look the same become
the same, and scripts without spaces are divided into overlapping pairs of characters.
docs/index-format.md has the rule in full.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOKENIZE = "porter unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
"""How FTS5 reads words: letters with their marks and digits, without case, Latin accents and
English endings."""

_HAN_AND_KANA = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3041-\u3096\u3099-\u309f"
    "\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9d\uff9e\uff9f\U00016fe0-\U00018cff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
_SOUTH_EAST_ASIAN = (  # https://www.unicode.org/reports/tr14/#SA
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9fe\uaa60-\uaadf"
    "\U00011700-\U0001174f"
)
_HANGUL = "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7fb"
_NO_SPACES = _HAN_AND_KANA + _SOUTH_EAST_ASIAN
PAIRED = _NO_SPACES + _HANGUL
"""The scripts whose words are found by pairs, for a regular expression; Korean has spaces, but also
endings that no dictionary is needed to ignore this way."""

_RUN = re.compile(f"[{PAIRED}]+|[^{PAIRED}]+")
_WRAPPED = re.compile(f"(?<=[{_NO_SPACES}])[ \t]*\r?\n[ \t]*(?=[{_NO_SPACES}])")
_LEADING = "เแโใไເແໂໃໄ\u17d2\u1039"  # vowels before their consonant, and signs that stack two
_FOLLOWING = "ะาๅະາ\u0e33\u0eb3\uff9e\uff9f"  # letters that belong to the consonant before

_DROPPED = re.compile(  # https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
    "[\u00ad\u034f\u061c\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_DECOMPOSED = re.compile("[\u0370-\u03ff\u0600-\u06ff\u1f00-\u1fff]+")
_JOINER = "\u200c"
_POLYTONIC = re.compile("[\u1f80-\u1fff\u0345]+")
_ARABIC = "\u0610-\u06d3\u06d5-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc"
_COMPOUND = re.compile(f"(?<![{_ARABIC}])[{_ARABIC}]+(?:{_JOINER}+[{_ARABIC}]+)+")
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a"
    "\u0897-\u089f\u08ca-\u08e1\u08e3-\u08ff\u0951-\u0954\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0"
    "\ufe20-\ufe2f]"
)
_TONE_FIRST = re.compile("([\u0e48-\u0e4b\u0ec8-\u0ecb]+)([\u0e4d\u0ecd])")
_BEFORE = {ord(sign): " " for sign in "™℠🅪🅫🅬"}
_ALIKE = str.maketrans(
    {
        "ı": "i", "ё": "е", "ٱ": "ا", "ى": "ي", "ی": "ي", "ک": "ك", "ہ": "ه", "ە": "ه", "ة": "ه",
        "ۃ": "ه", "đ": "d", "ħ": "h", "ł": "l", "ø": "o", "ŧ": "t", "æ": "ae", "œ": "oe",
        "ൺ": "ണ്", "ൻ": "ന്", "ർ": "ര്", "ൽ": "ല്", "ൾ": "ള്", "ൿ": "ക്",
        **dict.fromkeys("ʹʻʼʽ\ua78b\ua78c", " "),
    }
)  # fmt: skip
"""Letters that look like others or are written for them; apostrophes that Unicode has as letters
divide, as the others do."""


class _Separators(dict[int, int]):
    """A table for `str.translate`: digits as ASCII, and spaces for what divides words."""

    def __missing__(self, number: int) -> int:
        character = chr(number)
        digit = unicodedata.decimal(character, None)
        kind = unicodedata.category(character)
        found = number if kind[0] in "LNM" or kind == "Co" else ord(" ")
        self[number] = found if digit is None else ord("0") + int(digit)
        return self[number]


_SEPARATORS = _Separators()

REPLACED: tuple[Mapping[str, str], ...] = (
    {
        "ß": "ss", "ẞ": "ss", "ı": "i", "İ": "i", "ё": "е", "Ё": "е", "ﬀ": "ff", "ﬁ": "fi",
        "ﬂ": "fl", "\u00ad": "", "¹": "1", "²": "2", "³": "3", "µ": "μ", "ª": "a", "º": "o",
        "½": "1 2", "\u200b": "", "\ufeff": "",
    },
    dict(zip("άέήίόύώϊϋΐΰΆΈΉΊΌΎΏΪΫς", "αεηιουωιυιυαεηιουωιυσ", strict=True)),
    {
        **dict(zip("ٱآأإؤئىیکہەة", "ااااويييكههه", strict=True)),
        **dict.fromkeys("\u0640\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0670", ""),
    },
    {
        "đ": "d", "Đ": "d", "ł": "l", "Ł": "l", "ø": "o", "Ø": "o", "æ": "ae", "Æ": "ae", "œ": "oe",
        "Œ": "oe", "\u00ad": "", "\u200b": "", "\ufeff": "",
    },
)  # fmt: skip
"""Characters to replace one by one, for texts that need nothing else: SQL can do that when it reads
the text, so that nothing is stored. The tables are numbered from 1. SQLite's parser nests no more
than 25 calls."""


def words_of(text: str) -> str | int | None:
    """Return the value of the column `words` for a text.

    Returns:
        None if FTS5 reads the words of the text itself; the number of a table in `REPLACED` if it
        does so after these replacements; else the words, with spaces between.
    """
    if text.isascii() or _is_plain(text):
        return None
    for table in range(len(REPLACED)):
        if _is_plain(text.translate(_translation(table))):
            return table + 1
    return divide(text)


def divide(text: str) -> str:
    """Return the words of a text with spaces between, as FTS5 should read them.

    Of a script without spaces every character, or consonant with its signs, begins a word of two;
    the last of a run is one alone. So a pair is found as a word, and a single one as the beginning
    of words.
    """
    found = (pairs(run) if is_paired(run) else [run] for run in runs(fold(text)))
    return " ".join(word for words in found for word in words)


def fold(text: str) -> str:
    """Make characters that look the same the same, and divide words by spaces."""
    text = _COMPOUND.sub(lambda some: _with_parts(some[0]), text.translate(_BEFORE))
    text = unicodedata.normalize("NFKC", _DROPPED.sub("", text))
    text = _POLYTONIC.sub(lambda some: _without_iota(some[0]), text).casefold()
    text = _DROPPED.sub("", unicodedata.normalize("NFKC", text))
    text = _DECOMPOSED.sub(lambda some: unicodedata.normalize("NFD", some[0]), text)
    text = _MARKS.sub("", text).translate(_ALIKE)
    text = _TONE_FIRST.sub(r"\2\1", text.replace("เเ", "แ").replace("ເເ", "ແ"))
    return _WRAPPED.sub("", text).translate(_SEPARATORS)


def _with_parts(compound: str) -> str:
    """Return the parts of a Persian compound, and the whole: people write it in three ways."""
    return f"{compound.replace(_JOINER, ' ')} {compound.replace(_JOINER, '')}"


def _without_iota(letters: str) -> str:
    """Take off the iota below Greek letters, which folding the case would make a letter."""
    return unicodedata.normalize("NFD", letters).replace("\u0345", "")


def runs(folded: str) -> Iterator[str]:
    """Yield the words of a folded text, divided where a script that needs pairs begins or ends."""
    for word in folded.split():
        yield from _RUN.findall(word)


def is_paired(run: str) -> bool:
    """Return whether the words of a run are found by pairs."""
    return _is_paired_character(run[0])


@cache
def _is_paired_character(character: str) -> bool:
    return re.match(f"[{PAIRED}]", character) is not None


def units(run: str) -> list[str]:
    """Divide a run into characters; a consonant keeps its vowels, tones and stacked consonants."""
    found: list[str] = []
    open_ = False
    for character in run:
        if found and (
            open_ or character in _FOLLOWING or unicodedata.category(character)[0] == "M"
        ):
            found[-1] += character
        else:
            found.append(character)
        open_ = character in _LEADING
    return found


def pairs(run: str) -> list[str]:
    """Return the word that begins at each unit of a run: two units, and at the end one."""
    parts = units(run)
    return [first + second for first, second in zip(parts, [*parts[1:], ""], strict=True)]


@cache
def _translation(table: int) -> dict[int, str]:
    return {ord(character): to for character, to in REPLACED[table].items()}


@cache
def _plain() -> re.Pattern[str]:
    """Return a pattern of texts that FTS5 reads as this module does.

    It has the characters that Unicode 3.2 had, so that every SQLite knows them.
    """
    old = unicodedata.ucd_3_2_0
    numbers = (*range(0x80, 0x2E80), 0xFFFD)
    some = [chr(number) for number in numbers if old.category(chr(number)) != "Cn"]
    characters = "".join(character for character in some if _is_read_alike(character))
    return re.compile(f"[\\0-\\x7f{re.escape(characters)}]*")


def _is_read_alike(character: str) -> bool:
    kind = unicodedata.category(character)
    if kind[0] in "LNM":
        return divide(character) == character.lower() and not is_paired(character)
    return kind[0] in "ZPS" and not divide(character)


def _is_plain(text: str) -> bool:
    return _plain().fullmatch(text) is not None and unicodedata.is_normalized("NFC", text)


def reading(row: str) -> str:
    """Return the SQL of what FTS5 reads of a row of chunks, which is named."""
    cases = "".join(
        f"WHEN {number} THEN {_replacing(f'{row}.text', table)} "
        for number, table in enumerate(REPLACED, start=1)
    )
    return f"CASE {row}.words {cases}ELSE coalesce({row}.words, {row}.text) END"


def _replacing(sql: str, table: Mapping[str, str]) -> str:
    for character, to in table.items():
        sql = f"replace({sql}, char({ord(character)}), '{to}')"
    return sql
