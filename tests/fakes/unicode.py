"""All characters of Unicode."""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import pairwise


@cache
def all_characters() -> str:
    """Return each character once, in order, without halves of surrogate pairs."""
    return "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))


def sample(characters: str, every: int = 31) -> list[str]:
    """Return each character that is of another category than one beside it, and some others."""
    kinds = list(map(unicodedata.category, characters))
    ends = {i for n, (a, b) in enumerate(pairwise(kinds)) if a != b for i in (n, n + 1)}
    return [c for n, c in enumerate(characters) if n in ends or n % every == 0]
