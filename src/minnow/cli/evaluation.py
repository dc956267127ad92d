"""The commands that measure: one system, or several side by side."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minnow.cli.app import Json, Offline, app
from minnow.files import check_file
from minnow.progress import show_progress
from minnow.terminal import EPILOG, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minnow.evaluate import Dataset, RunOptions

BUILT_IN = "builtin"
_FORMS = "A bundle, gguf:FILE, onnx:SOURCE, openvino:SOURCE, openvino-bf16:SOURCE or st:SOURCE."

Split = Annotated[
    str | None, typer.Option(help="Which file of the data set's qrels/, where there are several.")
]
Docs = Annotated[
    Path | None, typer.Option(help="A folder of Markdown, text and HTML, in place of a data set.")
]
Queries = Annotated[
    Path | None, typer.Option(help="With --docs: questions and where their answers are (.jsonl).")
]
ChunkTokens = Annotated[int, typer.Option(min=16, help="With --docs: most tokens of a chunk.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of each system.")]
Cache = Annotated[
    Path | None,
    typer.Option(help="Keep vectors in this folder; by default $MINNOW_CACHE or ~/.cache/minnow."),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Make all vectors, and measure, again.")]
QueryPrompt = Annotated[
    str | None, typer.Option(help="Put this before queries, where a GGUF states no prompt.")
]
DocumentPrompt = Annotated[
    str | None, typer.Option(help="Put this before documents, where a GGUF states no prompt.")
]


@app.command("compare", epilog=EPILOG)
def compare_command(
    systems: Annotated[
        list[str], typer.Argument(metavar="SYSTEM...", help=f"The baseline first. {_FORMS}")
    ],
    dataset: Annotated[
        str, typer.Option(help="A folder in BEIR's layout; by default docstrings of Python's own.")
    ] = BUILT_IN,
    split: Split = None,
    docs: Docs = None,
    queries: Queries = None,
    chunk_tokens: ChunkTokens = 256,
    margin: Annotated[
        float, typer.Option(min=0, help="The largest difference of a measure that does not matter.")
    ] = 0.01,
    across_models: Annotated[
        bool, typer.Option("--across-models", help="Allow systems of different models.")
    ] = False,
    threads: Threads = None,
    query_prompt: QueryPrompt = None,
    document_prompt: DocumentPrompt = None,
    cache: Cache = None,
    fresh: Fresh = False,
    offline: Offline = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with plots too.")] = None,
    as_json: Json = False,
) -> None:
    """Put systems side by side: what they find, what they take, and whether they differ.

    Each system runs in a process of its own. Its vectors are kept, so that a second comparison is
    quick, and one that was stopped goes on. Every difference has a 95 % interval (paired
    bootstrap) and a verdict: better, worse, equivalent within the margin, or too few queries to
    tell.

    Example: minnow compare bge-small.minnow gguf:bge-small-q8_0.gguf

    Example: minnow compare old.minnow new.minnow --dataset scifact --report report.html

    Example: minnow compare old.minnow new.minnow --docs handbook --queries questions.jsonl
    """
    from minnow.cli.tables import print_comparison
    from minnow.evaluate import compare
    from minnow.evaluate.report import write_report
    from minnow.evaluate.results import comparison_facts

    if report is not None:
        check_file(report)
    chosen = _read(dataset, split, docs, queries, chunk_tokens, systems, offline=offline)
    options = _options(threads, cache, query_prompt, document_prompt, fresh=fresh, offline=offline)
    comparison = compare(systems, chosen, options, margin=margin, across_models=across_models)
    if report is not None:
        write_report(comparison, report)
        print(f"The report is {report}.", file=sys.stderr)
    if as_json:
        print(json.dumps(comparison_facts(comparison), ensure_ascii=False))
    else:
        print_comparison(comparison, sys.stdout)


@app.command("evaluate", epilog=EPILOG)
def evaluate_command(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help=_FORMS)],
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="A folder in BEIR's layout, or builtin: Python's docstrings."
        ),
    ] = BUILT_IN,
    split: Split = None,
    docs: Docs = None,
    queries: Queries = None,
    chunk_tokens: ChunkTokens = 256,
    threads: Threads = None,
    query_prompt: QueryPrompt = None,
    document_prompt: DocumentPrompt = None,
    cache: Cache = None,
    fresh: Fresh = False,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Measure one system: what it finds, and what it takes.

    Example: minnow evaluate bge-small.minnow scifact --json
    """
    from minnow.cli.tables import print_evaluation
    from minnow.evaluate import evaluate
    from minnow.evaluate.results import DatasetFacts, dataset_facts, system_facts

    chosen = _read(dataset, split, docs, queries, chunk_tokens, [system], offline=offline)
    options = _options(threads, cache, query_prompt, document_prompt, fresh=fresh, offline=offline)
    result = evaluate(system, chosen, options)
    facts = DatasetFacts.of(chosen)
    if as_json:
        answer = {"dataset": dataset_facts(facts), **system_facts(result)}
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print_evaluation(result, facts, sys.stdout)


def _read(
    dataset: str,
    split: str | None,
    docs: Path | None,
    queries: Path | None,
    chunk_tokens: int,
    systems: Sequence[str],
    *,
    offline: bool,
) -> Dataset:
    """The data set that the options name."""
    from minnow.evaluate import builtin_dataset, first_tokenizer, read_beir, read_docs

    if (docs is None) != (queries is None):
        raise UsageError("--docs and --queries go together.")
    if docs is not None and queries is not None:
        if dataset != BUILT_IN:
            raise UsageError("Give a data set, or --docs with --queries, and not both.")
        return read_docs(
            docs, queries, first_tokenizer(systems, offline=offline), max_tokens=chunk_tokens
        )
    if dataset == BUILT_IN and not Path(dataset).is_dir():
        return builtin_dataset()
    return read_beir(Path(dataset), split)


def _options(
    threads: int | None,
    cache: Path | None,
    query_prompt: str | None,
    document_prompt: str | None,
    *,
    fresh: bool,
    offline: bool,
) -> RunOptions:
    from minnow.evaluate import RunOptions
    from minnow.model.spec import RolePrompts

    prompts = None
    if query_prompt is not None or document_prompt is not None:
        prompts = RolePrompts(query_prompt or "", document_prompt or "")
    return RunOptions(
        threads=threads,
        cache=cache,
        fresh=fresh,
        offline=offline,
        prompts=prompts,
        progress=_progress,
    )


@contextmanager
def _progress(label: str, texts: int) -> Iterator[Callable[[int], None]]:
    """A line on stderr for each system that is run, and a bar where somebody looks."""
    print(f"running {label}: {texts} texts to embed", file=sys.stderr, flush=True)
    with show_progress(label, texts, "texts", show=sys.stderr.isatty()) as advance:
        yield advance
