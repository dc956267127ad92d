"""The share of words cut at line ends that are made whole rightly.

Run `python benchmarks/line_ends.py DATASET`. It sets the corpus of a BEIR folder in lines of 45, 70
and 90 characters. Words are cut where the hyphenation patterns of TeX allow it (pip install
pyphen), and compounds at their own hyphen. What `minnow.chunks.line_ends` makes of each is compared
with the text. The words that a document spells elsewhere are known, as they are to a reader of it.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyphen

from minnow.chunks.line_ends import join_words
from minnow.text_files import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTHS = (45, 70, 90)
_WORD = re.compile(r"\W*([A-Za-z]{5,})\W*")


def cut_lines(text: str, width: int, patterns: pyphen.Pyphen) -> Iterator[tuple[str, str, bool]]:
    """Yield both parts of each word at a line's end, and whether a typesetter cut it."""
    column = 0
    for word in text.split():
        room = width - column
        column += len(word) + 1
        if len(word) <= room:
            continue
        column = len(word) + 1
        at, is_cut = 0, False
        if "-" in word:
            ends = [found.end() for found in re.finditer(r"(?<=\w)-(?=\w)", word)]
            at = max((end for end in ends if end <= room), default=0)
        elif found := _WORD.fullmatch(word):
            places = (found.start(1) + place for place in patterns.positions(found[1]))
            last = found.end(1) - 3
            allowed = (place for place in places if place < room and place <= last)
            at, is_cut = max(allowed, default=0), True
        if at:
            column = len(word) - at + 1
            yield word[:at].removesuffix("-"), word[at:], is_cut


def main(folder: str) -> None:
    """Print how many hyphens of each kind there are, and the share that is treated rightly."""
    patterns = pyphen.Pyphen(lang="en_US")
    counts: Counter[tuple[bool, bool]] = Counter()
    for line in read_lines(Path(folder) / "corpus.jsonl"):
        row = json.loads(line)
        text = f"{row.get('title') or ''} {row['text']}"
        for width in WIDTHS:
            for left, right, is_cut in cut_lines(text, width, patterns):
                whole = left + ("" if is_cut else "-") + right
                others = text.replace(whole, " ", 1)
                joined = join_words(f"{left}-\n{right} {others}")
                counts[is_cut, joined.startswith(whole)] += 1
    for is_cut, name in ((True, "typesetter's hyphens removed"), (False, "author's hyphens kept")):
        good, bad = counts[is_cut, True], counts[is_cut, False]
        print(f"{name}: {good} of {good + bad} ({100 * good / (good + bad):.1f} %)")


if __name__ == "__main__":
    main(sys.argv[1])
