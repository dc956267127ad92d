"""Answer of an LLM, and a check of its citations: whether there is such a passage."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from minnow.search.results import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_CITATION = re.compile(r"\[\s*([0-9]{1,9}(?:\s*[-–,;]\s*[0-9]{1,9})*)\s*\]")
_PART = re.compile(r"([0-9]+)(?:\s*[-–]\s*([0-9]+))?")
_THOUGHT = "</think>"


@dataclass(frozen=True)
class Answer:
    """Answer of an LLM to a question, and the passages that it read.

    Attributes:
        question: The question.
        text: The answer; empty if nothing was found, so that the LLM was not asked.
        passages: The passages that it read; the first is number 1.
        left_out: Hits that had no room in its window.
        cut: Whether the first passage was cut to fit.
        prompt_tokens: Tokens that it read.
        tokens: Tokens that it wrote.
        complete: Whether it stopped by itself; False where it reached the limit.
    """

    question: str
    text: str = ""
    passages: tuple[Hit, ...] = ()
    left_out: tuple[Hit, ...] = ()
    cut: bool = False
    prompt_tokens: int = 0
    tokens: int = 0
    complete: bool = True

    @property
    def citations(self) -> tuple[int, ...]:
        """Cited numbers, each once, in their order; thoughts before the answer are ignored."""
        return tuple(dict.fromkeys(_cited_in(said_in(self.text), len(self.passages))))

    @property
    def cited(self) -> Mapping[int, Hit]:
        """Cited passages, by number."""
        return {n: self.passages[n - 1] for n in sorted(self.citations) if self._is_there(n)}

    @property
    def unknown(self) -> tuple[int, ...]:
        """Cited numbers that no passage has."""
        return tuple(n for n in self.citations if not self._is_there(n))

    def _is_there(self, number: int) -> bool:
        return 1 <= number <= len(self.passages)

    def warnings(self) -> Iterator[str]:
        """Generate a warning for each thing that a reader should know."""
        if not self.passages:
            yield "nothing was found, so the LLM was not asked."
            return
        if self.cut:
            yield "the LLM's window has no room for the whole passage; it was given the beginning."
        if self.left_out:
            yield (
                f"{len(self.left_out)} of {len(self.passages) + len(self.left_out)} passages had "
                "no room in the LLM's window."
            )
        if not self.complete:
            yield f"the answer was stopped at {self.tokens} tokens; it may be unfinished."
        if self.unknown:
            shown = ", ".join(f"[{number}]" for number in self.unknown)
            yield f"the answer cites {shown}, which no passage has: do not trust that."
        if not self.citations:
            yield "the answer cites no passage: nothing shows where it comes from."

    def facts(self) -> dict[str, Any]:
        """Return all fields, citations and warnings as plain values."""
        passages = [
            {"citation": n, "cited": n in self.citations, **hit.facts()}
            for n, hit in enumerate(self.passages, 1)
        ]
        return {
            "question": self.question,
            "answer": self.text,
            "complete": self.complete,
            "passages": passages,
            "unknown_citations": list(self.unknown),
            "left_out": len(self.left_out),
            "cut": self.cut,
            "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.tokens,
            "warnings": list(self.warnings()),
        }

    def json(self) -> str:
        """Return the facts as JSON."""
        return json.dumps(self.facts(), ensure_ascii=False)


def said_in(text: str) -> str:
    """Return a text without the thoughts that some models write first."""
    return text.rpartition(_THOUGHT)[2]


def _cited_in(text: str, count: int) -> Iterator[int]:
    """Find numbers in square brackets, as in [1], [1, 3] and [1-3]."""
    for citation in _CITATION.finditer(text):
        for first, last in _PART.findall(citation[1]):
            low, high = int(first), int(last or first)
            yield from range(low, high + 1) if low <= high <= count else dict.fromkeys((low, high))


def print_sources(answer: Answer, stream: IO[str]) -> None:
    """Print the cited passages, a line or two for each: number, document, headings."""
    if answer.cited:
        stream.write("\nSources\n")
    for number, hit in answer.cited.items():
        stream.write(f"  [{number}] {hit.source}, part {hit.number}\n")
        if hit.headings:
            stream.write(f"      {' > '.join(hit.headings)}\n")
