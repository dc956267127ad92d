"""Answers to questions from documents, by an LLM on MNN's own engine, with citations.

`ask` searches an index, gives the LLM the passages that fit its window, and checks the numbers that
it cites. `docs/ask.md` says what of an answer is proven, and what is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.ask.answer import Answer
from minnow.ask.base import LanguageModel, Message, Piece
from minnow.ask.conclusion import conclude_with
from minnow.ask.mnn import MnnLlm
from minnow.ask.prompt import Prompt, build_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Unpack

    from minnow.search import Hit, Index
    from minnow.search.options import SearchOptions

__all__ = [
    "Answer",
    "LanguageModel",
    "Message",
    "MnnLlm",
    "Piece",
    "Prompt",
    "answer_from",
    "ask",
    "build_prompt",
    "conclude_with",
    "prompt_for",
]

MAX_NEW_TOKENS = 512


def ask(
    index: Index,
    question: str,
    llm: LanguageModel,
    *,
    k: int = 5,
    max_new_tokens: int = MAX_NEW_TOKENS,
    on_text: Callable[[str], None] = lambda _: None,
    **options: Unpack[SearchOptions],
) -> Answer:
    """Find passages that answer a question, and have an LLM answer from them.

    Args:
        index: The index to search.
        question: The question.
        llm: The LLM; not asked where nothing is found.
        k: Most passages to find.
        max_new_tokens: The longest answer; the window keeps room for it.
        on_text: Called with pieces of the answer while it is made, each of whole characters.
        **options: Those of `Index.search`: `mode`, `where`, `reranker`, ...

    Raises:
        InputError: The question does not fit the LLM's window, or an argument is out of range.
        EngineError: The LLM failed, or the reranker.
        IndexFileError, OutputError: The index is damaged, or cannot be read.
    """
    hits = index.search(question, k, **options)
    if not hits:
        return Answer(question)
    prompt = prompt_for(hits, question, llm, max_new_tokens=max_new_tokens)
    return answer_from(prompt, llm, max_new_tokens=max_new_tokens, on_text=on_text)


def prompt_for(
    hits: Sequence[Hit],
    question: str,
    llm: LanguageModel,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> Prompt:
    """Write the prompt for what was found, at least one hit; see `ask`."""
    return build_prompt(
        question,
        hits,
        llm.count,
        window=llm.window,
        reserve=max_new_tokens,
        markers=llm.markers,
    )


def answer_from(
    prompt: Prompt,
    llm: LanguageModel,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    on_text: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Have an LLM answer a prompt; see `ask`."""
    said: list[str] = []
    last = Piece("", 0)
    for last in llm.generate(prompt.messages, max_new_tokens):
        said.append(last.text)
        if last.text:
            on_text(last.text)
    return Answer(
        prompt.question,
        "".join(said),
        passages=prompt.passages,
        left_out=prompt.left_out,
        cut=prompt.cut,
        prompt_tokens=prompt.tokens,
        tokens=last.tokens,
        complete=last.end == "stop",
    )
