"""What an LLM is to whoever asks it: messages in, pieces of text out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: Whose it is.
        content: What is said, as plain text.
    """

    role: Literal["system", "user"]
    content: str


@dataclass(frozen=True)
class Piece:
    """A part of an answer.

    Attributes:
        text: Whole characters; empty where a token holds a part of one.
        tokens: How many were made so far.
        end: Why nothing follows: the LLM stopped, or it came to the limit. None if more follows.
    """

    text: str
    tokens: int
    end: Literal["stop", "limit"] | None = None


class LanguageModel(Protocol):
    """An LLM that is loaded.

    Attributes:
        window: Tokens that it reads and writes at most, in all.
        markers: What its chat template puts around turns, such as "<|im_end|>": within a message
            they would end it.
    """

    window: int
    markers: frozenset[str]

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of messages as it reads them, with all that its chat template adds."""
        ...

    def generate(self, messages: Sequence[Message], max_new_tokens: int) -> Iterator[Piece]:
        """Answer, piece by piece, the last with its `end`; whoever stops reading stops it.

        Raises:
            InputError: Messages and answer do not fit the window.
            EngineError: It failed.
        """
        ...
