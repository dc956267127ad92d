"""An answer, and what of its citations is true: that there is such a passage."""

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
    """What an LLM said to a question, and what it was given.

    Attributes:
        question: The question.
        text: What it said; empty if nothing was found, and so nothing was asked.
        passages: What it was given; the first is number 1.
        left_out: What was found too, and had no room in its window.
        cut: Whether the first passage is a part of what was found.
        prompt_tokens: What it read, in tokens.
        tokens: What it wrote.
        complete: Whether it stopped by itself; False where it came to the limit.
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
        """The numbers that it cites, each once, as they come; what it thought before is no part."""
        return tuple(dict.fromkeys(_cited_in(said_in(self.text), len(self.passages))))

    @property
    def cited(self) -> Mapping[int, Hit]:
        """The passages that it cites, by number."""
        return {n: self.passages[n - 1] for n in sorted(self.citations) if self._is_there(n)}

    @property
    def unknown(self) -> tuple[int, ...]:
        """The numbers that it cites and no passage has."""
        return tuple(n for n in self.citations if not self._is_there(n))

    def _is_there(self, number: int) -> bool:
        return 1 <= number <= len(self.passages)

    def warnings(self) -> Iterator[str]:
        """What whoever reads it should know."""
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
        """As JSON has it."""
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
        """As one JSON object."""
        return json.dumps(self.facts(), ensure_ascii=False)


def said_in(text: str) -> str:
    """What is behind the thoughts that some models write first."""
    return text.rpartition(_THOUGHT)[2]


def _cited_in(text: str, count: int) -> Iterator[int]:
    """Numbers in square brackets, as in [1], [1, 3] and [1-3]."""
    for citation in _CITATION.finditer(text):
        for first, last in _PART.findall(citation[1]):
            low, high = int(first), int(last or first)
            yield from range(low, high + 1) if low <= high <= count else dict.fromkeys((low, high))


def print_sources(answer: Answer, stream: IO[str]) -> None:
    """The passages that are cited, a line or two for each: number, document, headings."""
    if answer.cited:
        stream.write("\nSources\n")
    for number, hit in answer.cited.items():
        stream.write(f"  [{number}] {hit.source}, part {hit.number}\n")
        if hit.headings:
            stream.write(f"      {' > '.join(hit.headings)}\n")
