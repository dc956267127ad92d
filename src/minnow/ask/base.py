"""Interface of an LLM: messages in, pieces of text out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: The speaker.
        content: Plain text.
    """

    role: Literal["system", "user"]
    content: str


@dataclass(frozen=True)
class Piece:
    """Part of an answer.

    Attributes:
        text: Whole characters; empty where a token holds a part of one.
        tokens: The number of tokens so far.
        end: Why it is the last: the LLM stopped, or reached the limit. None if more follows.
    """

    text: str
    tokens: int
    end: Literal["stop", "limit"] | None = None


class LanguageModel(Protocol):
    """Loaded LLM.

    Attributes:
        window: Most tokens that it reads and writes, in all.
        markers: Marks that its chat template puts around turns, such as "<|im_end|>"; within a
            message they would end it.
    """

    window: int
    markers: frozenset[str]

    def count(self, messages: Sequence[Message]) -> int:
        """Count the tokens of messages, with all that the chat template adds."""
        ...

    def generate(self, messages: Sequence[Message], max_new_tokens: int) -> Iterator[Piece]:
        """Generate an answer in pieces, the last with its `end`; to stop reading stops the LLM.

        Raises:
            InputError: Messages and answer do not fit the window.
            EngineError: The LLM failed.
        """
        ...
