"""An LLM with scripted answers, and hits to ask it about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minnow.ask import Message, Piece
from minnow.errors import EngineError
from minnow.search import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator


def words_of(messages: Sequence[Message]) -> int:
    """Count a token for every word, and four around every message."""
    return sum(4 + len(message.content.split()) for message in messages)


@dataclass
class FakeLlm:
    """An LLM that counts words as tokens and answers with given pieces.

    Attributes:
        says: The pieces; EngineError where it fails.
        asked: What it was asked, and how long the answer might be.
    """

    says: Sequence[str | EngineError] = ("Fish sleep", " with open eyes [1].")
    window: int = 2000
    markers: frozenset[str] = frozenset({"<|end|>"})
    asked: list[tuple[tuple[Message, ...], int]] = field(default_factory=list)

    def count(self, messages: Sequence[Message]) -> int:
        return words_of(messages)

    def generate(self, messages: Sequence[Message], max_new_tokens: int) -> Iterator[Piece]:
        self.asked.append((tuple(messages), max_new_tokens))
        for made, text in enumerate(self.says[:max_new_tokens], 1):
            if isinstance(text, EngineError):
                raise text
            yield Piece(text, made, "limit" if made == max_new_tokens else None)
        if len(self.says) < max_new_tokens:
            yield Piece("", len(self.says), "stop")


def make_hit(
    text: str, source: str = "fish.md", headings: tuple[str, ...] = (), rank: int = 1
) -> Hit:
    """Return a hit of a search."""
    head = f"{' > '.join(headings)}\n" if headings else ""
    return Hit(
        rank=rank, id=rank, score=1.0, vector_score=None, keyword_score=1.0, source=source,
        number=rank, headings=headings, text=head + text, body=len(head), start=0, passage=text,
        metadata={},
    )  # fmt: skip
