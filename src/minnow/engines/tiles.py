"""Lengths of single texts that MNN runs quickly.

Its products of floats for AVX2 take TILE tokens at once. What is left over takes no longer than a
tile up to QUICK_REST tokens, and up to a third longer from there on, so a text with more left over
is padded to whole tiles. In long texts it does not show.
"""

from __future__ import annotations

import platform

TILE, QUICK_REST = 24, 16
MOST_TILES = 4
_AVX2 = platform.machine().lower() in ("x86_64", "amd64")


def quick_length(tokens: int, most: int) -> int:
    """Return the length to pad a single text of so many tokens to, at most `most`."""
    whole = -(-tokens // TILE) * TILE
    padded = _AVX2 and tokens % TILE > QUICK_REST and whole <= min(most, TILE * MOST_TILES)
    return whole if padded else tokens
