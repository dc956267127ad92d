"""The commands that measure, one system or several side by side, and what to measure against."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer

from minnow.cli.app import (
    DocumentPromptChoice,
    Json,
    MaxTokensChoice,
    NormalizeChoice,
    Offline,
    PoolingChoice,
    QueryPromptChoice,
    Revision,
    Source,
    answer,
    app,
    steps,
)
from minnow.files import check_file
from minnow.model.spec import Choices
from minnow.progress import show_progress
from minnow.terminal import EPILOG, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minnow.datasets import Dataset
    from minnow.evaluate import RunOptions
    from minnow.export.gguf import GgufProof

Result = TypeVar("Result")

BUILT_IN = "builtin"
FORMS = (
    "A bundle, gguf:FILE, or one of onnx, openvino, openvino-bf16, fastembed, st, st-onnx and "
    "st-openvino with :SOURCE behind it."
)

Systems = Annotated[
    list[str], typer.Argument(metavar="SYSTEM...", help=f"The baseline first. {FORMS}")
]
DatasetName = Annotated[
    str, typer.Option(help="A folder in BEIR's layout; by default docstrings of Python's own.")
]
Report = Annotated[Path | None, typer.Option(help="Write an HTML page with plots too.")]
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
Margin = Annotated[
    float, typer.Option(min=0, help="The largest difference of a measure that does not matter.")
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
    systems: Systems,
    dataset: DatasetName = BUILT_IN,
    split: Split = None,
    docs: Docs = None,
    queries: Queries = None,
    chunk_tokens: ChunkTokens = 256,
    margin: Margin = 0.01,
    across_models: Annotated[
        bool, typer.Option("--across-models", help="Allow systems of different models.")
    ] = False,
    threads: Threads = None,
    query_prompt: QueryPrompt = None,
    document_prompt: DocumentPrompt = None,
    cache: Cache = None,
    fresh: Fresh = False,
    offline: Offline = False,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Put systems side by side, and say whether they differ.

    It prints what each system finds and what it takes. Each runs in a process of its own. Its
    vectors are kept, so that a second comparison is quick, and one that was stopped goes on.
    Every difference has a 95 % interval (paired bootstrap) and a verdict: better, worse,
    equivalent within the margin, or too few queries to tell.

    Example: minnow compare bge-small.minnow gguf:bge-small-q8_0.gguf

    Example: minnow compare old.minnow new.minnow --dataset scifact --report report.html

    Example: minnow compare old.minnow new.minnow --docs handbook --queries questions.jsonl
    """
    from minnow.cli.tables import print_comparison
    from minnow.evaluate import compare
    from minnow.evaluate.report import render_report
    from minnow.evaluate.results import comparison_facts

    if report is not None:
        check_file(report)
    chosen = _read(dataset, split, docs, queries, chunk_tokens, systems, offline=offline)
    options = run_options(
        threads, cache, query_prompt, document_prompt, fresh=fresh, offline=offline
    )
    comparison = compare(systems, chosen, options, margin=margin, across_models=across_models)
    write_report(report, comparison, render_report)
    print_result(comparison, comparison_facts, print_comparison, as_json=as_json)


@app.command("evaluate", epilog=EPILOG)
def evaluate_command(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help=FORMS)],
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
    from minnow.evaluate.results import DatasetFacts, system_facts

    chosen = _read(dataset, split, docs, queries, chunk_tokens, [system], offline=offline)
    options = run_options(
        threads, cache, query_prompt, document_prompt, fresh=fresh, offline=offline
    )
    result = evaluate(system, chosen, options)
    facts = DatasetFacts.of(chosen)
    if as_json:
        answer = {"dataset": asdict(facts), **system_facts(result)}
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print_evaluation(result, facts, sys.stdout)


@app.command("gguf", epilog=EPILOG)
def gguf_command(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    kind: Annotated[
        str, typer.Option("--type", help="f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, ...")
    ] = "f16",
    revision: Revision = None,
    offline: Offline = False,
    pooling: PoolingChoice = None,
    normalize: NormalizeChoice = None,
    max_tokens: MaxTokensChoice = None,
    query_prompt: QueryPromptChoice = None,
    document_prompt: DocumentPromptChoice = None,
    as_json: Json = False,
) -> None:
    """Write a model as a GGUF for llama.cpp, to compare with.

    It is made of the same weights as a bundle, run by llama.cpp, and proven like one: what does
    not give the model's vectors is not written.

    Example: minnow gguf BAAI/bge-small-en-v1.5 --type q8_0 --output bge-small-q8_0.gguf
    """
    from minnow.export.gguf import write_gguf

    choices = Choices(pooling, normalize, max_tokens, query_prompt, document_prompt)
    proof = write_gguf(
        source,
        output,
        kind=kind,
        choices=choices,
        revision=revision,
        offline=offline,
        progress=steps(),
    )
    answer({"output": str(output), **gguf_facts(proof)}, as_json)


def gguf_facts(proof: GgufProof) -> dict[str, Any]:
    """What was proven of a GGUF, as plain values."""
    return {
        "type": proof.type,
        "file_bytes": proof.size,
        "run_by": proof.engine,
        "reference": proof.reference,
        "probe_texts": proof.texts,
        "tokenized_otherwise": list(proof.other_ids),
        "bar": proof.bar,
        "worst_cosine": proof.worst,
        "worst_text": proof.worst_text,
        "p5_cosine": proof.p5,
        "mean_cosine": proof.mean,
    }


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
    from minnow.chunks import find_documents
    from minnow.datasets import read_docs
    from minnow.systems import first_tokenizer

    if (docs is None) != (queries is None):
        raise UsageError("--docs and --queries go together.")
    if docs is not None and queries is not None:
        if dataset != BUILT_IN:
            raise UsageError("Give a data set, or --docs with --queries, and not both.")
        tokenizer = first_tokenizer(systems, offline=offline)
        chosen = read_docs(docs, queries, tokenizer, max_tokens=chunk_tokens)
        for name, reason in find_documents(docs).skipped.items():
            print(f"skipped {name}: {reason}", file=sys.stderr)
        return chosen
    return read_dataset(dataset, split)


def write_report(path: Path | None, result: Result, render: Callable[[Result], str]) -> None:
    """Write the HTML page of a result, if a path is given."""
    from minnow.reporting.pages import write_page

    if path is not None:
        write_page(render(result), path)
        print(f"The report is {path}.", file=sys.stderr)


def print_result(
    result: Result,
    facts: Callable[[Result], dict[str, Any]],
    tables: Callable[[Result, TextIO], None],
    *,
    as_json: bool,
) -> None:
    """Print a result as one JSON object, or as tables."""
    if as_json:
        print(json.dumps(facts(result), ensure_ascii=False))
    else:
        tables(result, sys.stdout)


def read_dataset(dataset: str, split: str | None) -> Dataset:
    """A data set in BEIR's layout, or the built-in one."""
    from minnow.datasets import builtin_dataset, read_beir

    if dataset == BUILT_IN and not Path(dataset).is_dir():
        return builtin_dataset()
    return read_beir(Path(dataset), split)


def run_options(
    threads: int | None,
    cache: Path | None,
    query_prompt: str | None,
    document_prompt: str | None,
    *,
    fresh: bool,
    offline: bool,
) -> RunOptions:
    """The options of a run, which tells on stderr how far it is."""
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
