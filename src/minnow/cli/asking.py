"""The command that answers: search, then an LLM on MNN's own engine."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minnow.cli.app import app, print_json, steps
from minnow.cli.fields import options_from_fields
from minnow.cli.options import (
    BundleOption,
    Json,
    RerankChoice,
    ScopeChoice,
    Timeout,
    Window,
    not_empty,
)
from minnow.cli.searching import IndexFile, ModeOption, WhereOption, chosen_mode

if TYPE_CHECKING:
    from minnow.ask import Answer, MnnLlm, Prompt


@app.command("ask")
@options_from_fields
def ask_command(
    file: IndexFile,
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What to answer.", callback=not_empty)
    ],
    llm: Annotated[
        Path, typer.Option("--llm", help="Ask this LLM: a folder of MNN-LLM, with config.json.")
    ],
    bundle: BundleOption = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Find this many passages.")] = 5,
    mode: ModeOption = None,
    where: WhereOption = None,
    *,
    scope: ScopeChoice,
    rerank: RerankChoice,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="End the answer after these tokens.")
    ] = 512,
    window: Window = None,
    temperature: Annotated[
        float,
        typer.Option(min=0, max=100, help="Sample at this temperature; 0 does not."),
    ] = 0.0,
    timeout: Timeout = 600,
    prompt_only: Annotated[
        bool, typer.Option("--prompt-only", help="Print what the LLM would read, and end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Answer a question from an index, with an LLM on MNN.

    The LLM reads the passages that fit its window, and cites them by number. The cited passages are
    listed after the answer; a number that no passage has gives a warning. What the answer says is
    the LLM's own: check it where it matters.

    Example: minnow ask docs.index "how do fish sleep?" --llm qwen3-mnn --bundle bge-small.minnow
    """
    from minnow.ask import Answer, MnnLlm, answer_from, prompt_for
    from minnow.search import Index

    chosen = chosen_mode(file, mode, bundle, rerank)
    model = bundle if chosen != "keyword" else None
    with rerank.open() as reranker, Index.open(file, model) as index:
        options = scope.options(
            mode=chosen, where=where, reranker=reranker, candidates=rerank.candidates
        )
        hits = index.search(question, k, **options)
    if not hits:
        _print_answer(Answer(question), as_json=as_json)
        return
    progress = steps() if sys.stderr.isatty() else _ignore
    progress("loading the LLM")
    with MnnLlm.open(llm, window=window, temperature=temperature, timeout=timeout) as opened:
        if not opened.has_template:
            warnings.warn(f"{llm} has no chat template: it reads plain text.", stacklevel=1)
        prompt = prompt_for(hits, question, opened, max_new_tokens=max_tokens)
        if prompt_only:
            _print_prompt(prompt, opened, as_json=as_json)
            return
        progress(f"reading {prompt.tokens} tokens")
        show = _ignore if as_json else _show
        answer = answer_from(prompt, opened, max_new_tokens=max_tokens, on_text=show)
    _print_answer(answer, as_json=as_json)


def _print_answer(answer: Answer, *, as_json: bool) -> None:
    """Print the sources of an answer that was printed while it was made, and its warnings."""
    from minnow.ask.answer import print_sources

    if as_json:
        print_json(answer.facts())
        return
    if answer.passages:
        print()
        print_sources(answer, sys.stdout)
    sys.stdout.flush()
    for warning in answer.warnings():
        warnings.warn(warning, stacklevel=1)


def _show(text: str) -> None:
    print(text, end="", flush=True)


def _ignore(_: str) -> None:
    pass


def _print_prompt(prompt: Prompt, llm: MnnLlm, *, as_json: bool) -> None:
    text = llm.render(prompt.messages)
    if not as_json:
        print(text)
        return
    facts = {
        "question": prompt.question,
        "prompt": text,
        "prompt_tokens": prompt.tokens,
        "window": llm.window,
        "passages": [hit.facts() for hit in prompt.passages],
        "left_out": len(prompt.left_out),
        "cut": prompt.cut,
    }
    print_json(facts)
