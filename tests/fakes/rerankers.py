"""A reranker that is written by hand: no model, and a record of what it read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.reranker import RankedDocument


class FakeReranker:
    """A document's score is the number of query words in it; equal ones keep their order.

    Attributes:
        asked: Every query with the documents that were ranked by it.
    """

    def __init__(self, change: Callable[[list[Any]], Any] = lambda rows: rows) -> None:
        """Change the rows of every ranking by a function, such as one that spoils them."""
        self.asked: list[tuple[str, list[str]]] = []
        self._change = change

    def rank(self, query: str, documents: list[str]) -> list[RankedDocument]:
        self.asked.append((query, documents))
        words = query.lower().split()
        scores = [float(sum(text.lower().count(word) for word in words)) for text in documents]
        order = sorted(range(len(documents)), key=lambda i: -scores[i])
        rows: list[RankedDocument] = self._change(
            [{"corpus_id": i, "score": scores[i]} for i in order]
        )
        return rows
