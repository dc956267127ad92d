"""Quotations found in a text by their letters and digits alone."""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHORTEST_MATCH = 8


class LetterIndex:
    """The letters and digits of a text, without case and accents, and their positions in it.

    Attributes:
        letters: All of them, joined.
    """

    def __init__(self, text: str) -> None:
        parts = [_plain_letters(character) for character in text]
        self.letters = "".join(parts)
        self._positions = array("q", (i for i, part in enumerate(parts) for _ in part))

    def find(self, quotation: LetterIndex) -> Iterator[tuple[int, int]]:
        """Yield the start and end, in this text, of each place that has the same letters."""
        wanted = quotation.letters
        at = self.letters.find(wanted) if wanted else -1
        while at >= 0:
            after = at + len(wanted)
            yield self._positions[at], self.end_of(after)
            at = self.letters.find(wanted, after)

    def count(self, start: int, end: int) -> int:
        """Return how many letters stand between two positions in the text."""
        return bisect_left(self._positions, end) - bisect_left(self._positions, start)

    def end_of(self, count: int) -> int:
        """Return the position in the text where its first `count` letters end."""
        return self._positions[count - 1] + 1


@cache
def _plain_letters(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character).casefold()
    return "".join(letter for letter in decomposed if letter.isalnum())


def find_longest_match(quotation: LetterIndex, texts: Iterable[LetterIndex]) -> int:
    """Return where the longest beginning of a quotation that stands in some text ends.

    The position is in the quotation; 0 if fewer than 8 letters agree.
    """
    known = [text.letters for text in texts]
    low, high = 0, len(quotation.letters)
    while low < high:
        middle = (low + high + 1) // 2
        if any(quotation.letters[:middle] in text for text in known):
            low = middle
        else:
            high = middle - 1
    return quotation.end_of(low) if low >= _SHORTEST_MATCH else 0
