"""Folding of hits that say nothing which a better hit does not say."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

from minnow.search.results import Repeat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.search.results import Hit

_LEAST_SHARE = 0.8
"""The least share of the better hit's words that a repeat has. A hit with fewer answers other
questions too."""

_BEFORE = re.compile(r"(?<!\S)[\"'“”„‘’«(\[]+(?=\w)")
_BEHIND = re.compile(r"(?<=[\w%])[\"'“”‘’»)\].,;:!?…]+(?!\S)")
"""Punctuation around words. All else is kept: "-5", "x < 3", "3.5", "C++", "!ok"."""


def fold(hits: Sequence[Hit]) -> list[Hit]:
    """Return hits without those that repeat a better one, which names them in `folded`.

    A hit repeats another if all its words, headings included, stand in the other's text in one
    piece, and are most of them. Case, white space and punctuation around words do not count. So
    nothing is folded that has a number, a name or a "not" of its own.
    """
    kept: list[tuple[str, list[Hit]]] = []
    for hit in hits:
        words = f" {_plain(hit.text)} "
        for said, group in kept:
            if words in said and len(words) >= _LEAST_SHARE * len(said):
                group.append(hit)
                break
        else:
            kept.append((words, [hit]))
    return [
        replace(
            first, rank=rank, folded=tuple(Repeat(h.id, h.source, h.number, h.score) for h in rest)
        )
        for rank, (_, (first, *rest)) in enumerate(kept, start=1)
    ]


def _plain(text: str) -> str:
    """Return the words of a text with single spaces between."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_BEHIND.sub("", _BEFORE.sub("", text)).split())
