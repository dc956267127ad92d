"""The pairs of texts that the conversion of a reranker is proven on.

Every probe text stands once as a document beside a query, and now and then as the query. The sized
pairs are built for the model at hand: too long by the query, by the document, or by both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.model.spec import LONG
from minnow.proof.probes import GROUPS, Probe, probes_of_tokens, text_of_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SMALLEST_ROOM = 6
"""Below this many tokens for both texts the sized pairs are no longer different ones."""

_EVERY = 8
"""One probe text in so many stands as a query too."""


def probe_pairs(
    room: int,
    count_tokens: Callable[[str], int],
    tokens: Sequence[str] = (),
    *,
    first_fits: bool = False,
) -> list[Probe]:
    """List the pairs for one model, the same ones in the same order every time.

    Args:
        room: The tokens of both texts together that the model reads, special tokens not included.
        count_tokens: Counts the tokens of a text that stands alone, its special tokens included.
        tokens: Added and special tokens that the files of the tokenizer name.
        first_fits: Leave out pairs whose first text alone is too long, which some models refuse.

    Returns:
        About 150 probes, with unique names and unique pairs.

    Raises:
        ValueError: There is hardly any room, or no text of an exact size was found.
    """
    if room < SMALLEST_ROOM:
        raise ValueError(f"A limit of {room} tokens for both texts is too small.")
    named = {name: text for group in GROUPS for name, text in group.items()}
    named |= {probe.name: probe.text for probe in probes_of_tokens(tokens, room)}
    queries = [text for name, text in named.items() if name.startswith("query-")]
    probes = [
        Probe(name, queries[i % len(queries)], second=text)
        for i, (name, text) in enumerate(named.items())
    ]
    probes += [
        Probe(f"{name}-as-query", text, second=queries[i % len(queries)])
        for i, (name, text) in enumerate(named.items())
        if i % _EVERY == 0
    ]
    probes += [Probe("both-empty", "", second=""), Probe("twice", queries[0], second=queries[0])]
    around, half = count_tokens(""), room // 2

    def text(size: int, first_word: int) -> str:
        return text_of_size(size + around, count_tokens, first_word=first_word)

    beyond = room + half if room < LONG else room + 1
    sized = {
        "at-limit": (half, room - half),
        "one-over": (half, room - half + 1),
        "one-over-by-query": (half + 1, room - half),
        "document-long": (max(half // 4, 1), beyond),
        "query-long": (beyond, max(half // 4, 1)),
        "both-long": (room, beyond),
        "both-long-by-query": (beyond, room),
        "both-alike": (room - 1, room - 1),
        "query-over-half": (half + 2, room),
        "query-alone": (room - 1, 0),
        "document-alone": (0, room + 1),
    }
    if room >= LONG:
        for name in ("one-over-by-query", "both-long-by-query", "both-alike", "query-over-half"):
            del sized[name]
    probes += [
        Probe(name, text(one, 11 * i), second=text(two, 11 * i + 5))
        for i, (name, (one, two)) in enumerate(sized.items())
    ]
    if not first_fits:
        return probes
    return [p for p in probes if count_tokens(p.text) - around < room]
