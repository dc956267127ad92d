"""All characters of Unicode."""

from __future__ import annotations

from functools import cache


@cache
def all_characters() -> str:
    """Return each character once, in order, without halves of surrogate pairs."""
    return "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
