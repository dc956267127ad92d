"""The commands that measure, one system or several side by side, and what to measure against."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minnow.cli.app import app, print_facts, print_json, print_result, steps
from minnow.cli.fields import option, options_from_fields
from minnow.cli.options import (
    Json,
    MeasureChoice,
    ModelChoices,
    Offline,
    Output,
    PromptChoice,
    RerankChoice,
    Revision,
    Source,
    folder_of,
)
from minnow.files import check_file
from minnow.systems import FORMS
from minnow.terminal import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.datasets import Dataset
    from minnow.export.gguf import GgufProof

BUILT_IN = "builtin"
_FORMS = f"A bundle, {FORMS}"
_RERANKED = f"{_FORMS} Behind it +RERANKER: a reranker's bundle, or st:SOURCE."

Systems = Annotated[
    list[str], typer.Argument(metavar="SYSTEM...", help=f"The baseline first. {_FORMS}")
]
DatasetName = Annotated[
    str,
    typer.Option(help="Search this folder in BEIR's layout; by default docstrings of Python."),
]
Report = Annotated[Path | None, typer.Option(help="Write an HTML page with plots too.")]
Split = Annotated[
    str | None, typer.Option(help="Take this file of the data set's qrels/; by default test.")
]
Margin = Annotated[
    float, typer.Option(min=0, help="Call differences of a measure up to this equivalent.")
]


@dataclass(frozen=True)
class DocsChoice:
    """Documents and questions of the user's own, in place of a data set."""

    split: str | None = option(None, "Take this file of the data set's qrels/; by default test.")
    docs: Path | None = option(
        None, "Search a folder of Markdown, text and HTML in place of a data set."
    )
    queries: Path | None = option(
        None, "With --docs: ask the questions of this .jsonl, which says where the answers are."
    )
    chunk_tokens: int = option(256, "With --docs: cut chunks of at most this many tokens.", min=16)

    def read(self, dataset: str, systems: Sequence[str], *, offline: bool) -> Dataset:
        """Read the data set that the options name."""
        from minnow.chunks import find_documents
        from minnow.datasets import read_docs
        from minnow.systems import first_tokenizer

        if (self.docs is None) != (self.queries is None):
            raise UsageError("--docs and --queries go together.")
        if self.docs is None or self.queries is None:
            return read_dataset(dataset, self.split)
        if dataset != BUILT_IN:
            raise UsageError("Give a data set, or --docs with --queries, and not both.")
        tokenizer = first_tokenizer(systems, offline=offline)
        chosen = read_docs(self.docs, self.queries, tokenizer, max_tokens=self.chunk_tokens)
        for name, reason in find_documents(self.docs).skipped.items():
            print(f"skipped {name}: {reason}", file=sys.stderr)
        return chosen


@dataclass(frozen=True)
class IndexedChoice:
    """Options for an index, whose ways of searching are compared."""

    bundle: Path | None = option(
        None, "With an index: the model that it was made with.", "--bundle", "-b"
    )
    reranker: Path | None = option(
        None, "With an index: compare with hybrid search reranked by this.", "--rerank",
        metavar="BUNDLE", parser=folder_of,
    )  # fmt: skip
    margin: float = option(
        0.01, "With an index: call differences of nDCG@10 up to this equivalent.", min=0
    )
    store: bool = option(
        False, "With an index: have it searched in the best way from now on.", "--store"
    )


@app.command("compare")
@options_from_fields
def compare_command(
    systems: Annotated[
        list[str], typer.Argument(metavar="SYSTEM...", help=f"The baseline first. {_RERANKED}")
    ],
    dataset: DatasetName = BUILT_IN,
    *,
    docs: DocsChoice,
    margin: Margin = 0.01,
    across_models: Annotated[
        bool, typer.Option("--across-models", help="Allow systems of different models.")
    ] = False,
    run: MeasureChoice,
    prompts: PromptChoice,
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

    Example: minnow compare small.minnow small.minnow+reranker.minnow --dataset scifact
    """
    from minnow.cli.tables import print_comparison
    from minnow.evaluate import compare
    from minnow.evaluate.report import render_report
    from minnow.evaluate.results import comparison_facts

    if report is not None:
        check_file(report)
    chosen = docs.read(dataset, systems, offline=run.offline)
    options = run.options(prompts.prompts())
    print_result(
        compare(systems, chosen, options, margin=margin, across_models=across_models),
        as_json=as_json,
        facts=comparison_facts,
        tables=print_comparison,
        report=report,
        render=render_report,
    )


@app.command("evaluate")
@options_from_fields
def evaluate_command(
    system: Annotated[
        str, typer.Argument(metavar="SYSTEM", help=f"{_RERANKED} Or an index, with --queries.")
    ],
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="A folder in BEIR's layout, or builtin: Python's docstrings."
        ),
    ] = BUILT_IN,
    *,
    docs: DocsChoice,
    indexed: IndexedChoice,
    run: MeasureChoice,
    prompts: PromptChoice,
    as_json: Json = False,
) -> None:
    """Measure one system, or the ways of searching an index.

    Of an index that `minnow index` wrote, hybrid search is compared with search by vectors and by
    keywords, and with a reranker behind it, on questions of your own: a .jsonl as --docs takes it.
    The verdict names the best, or says that none is better.

    Example: minnow evaluate bge-small.minnow scifact --json

    Example: minnow evaluate docs.index --queries questions.jsonl --bundle bge-small.minnow --store
    """
    if docs.docs is None and Path(system).is_file():
        _evaluate_index(Path(system), docs.queries, indexed, run, as_json=as_json)
        return
    if indexed != IndexedChoice():
        raise UsageError(
            "--bundle, --rerank, --margin and --store go with an index that `minnow index` wrote."
        )
    from minnow.cli.tables import print_evaluation
    from minnow.evaluate import evaluate
    from minnow.evaluate.results import DatasetFacts, system_facts

    chosen = docs.read(dataset, [system], offline=run.offline)
    result = evaluate(system, chosen, run.options(prompts.prompts()))
    facts = DatasetFacts.of(chosen)
    if as_json:
        print_json({"dataset": facts.facts(), **system_facts(result)})
    else:
        print_evaluation(result, facts, sys.stdout)


def _evaluate_index(
    file: Path, queries: Path | None, indexed: IndexedChoice, run: MeasureChoice, *, as_json: bool
) -> None:
    from contextlib import ExitStack, closing

    from minnow.cli.tables import print_modes
    from minnow.progress import show_progress
    from minnow.search import Index, open_store
    from minnow.search.choice import write_choice
    from minnow.search_modes import compare_modes, read_index_questions

    if queries is None or indexed.bundle is None:
        raise UsageError("For an index, give your questions with --queries, and --bundle.")
    with ExitStack() as stack:
        index = stack.enter_context(Index.open(file, indexed.bundle, threads=run.threads))
        questions = read_index_questions(index, queries)
        reranker = stack.enter_context(
            RerankChoice(indexed.reranker).open(run.threads, on_truncate="ignore")
        )
        advance = stack.enter_context(
            show_progress("searching", None, "questions", show=sys.stderr.isatty())
        )
        found = compare_modes(
            index, questions, reranker=reranker, reranker_name=reranker.name if reranker else "",
            candidates=run.candidates, margin=indexed.margin, progress=advance,
        )  # fmt: skip
    if indexed.store:
        with closing(open_store(file, writable=True)) as store:
            write_choice(store, None if found.best is None else found.best.choice)
    if as_json:
        print_json({"index": str(file), "stored": indexed.store, **found.facts()})
    else:
        print_modes(found, str(file), sys.stdout, stored=indexed.store)


@app.command("gguf")
@options_from_fields
def gguf_command(
    source: Source,
    output: Output,
    kind: Annotated[
        str, typer.Option("--type", help="Store it as f32, f16, bf16, q8_0, q6_k, q4_k_m, ...")
    ] = "f16",
    revision: Revision = None,
    offline: Offline = False,
    *,
    chosen: ModelChoices,
    as_json: Json = False,
) -> None:
    """Write a model as a GGUF for llama.cpp, to compare with.

    It is made of the same weights as a bundle, run by llama.cpp, and proven like one: what does
    not give the model's vectors is not written.

    Example: minnow gguf BAAI/bge-small-en-v1.5 --type q8_0 --output bge-small-q8_0.gguf
    """
    from minnow.export.gguf import write_gguf

    proof = write_gguf(
        source,
        output,
        kind=kind,
        choices=chosen.choices(),
        revision=revision,
        offline=offline,
        progress=steps(),
    )
    print_facts({"output": str(output), **gguf_facts(proof)}, as_json)


def gguf_facts(proof: GgufProof) -> dict[str, Any]:
    """Return the figures of a GGUF's proof as plain values."""
    return {
        "type": proof.type,
        "file_bytes": proof.size,
        "run_by": proof.engine,
        "reference": proof.reference,
        "probe_texts": proof.texts,
        "tokenized_otherwise": list(proof.other_ids),
        "bar": proof.bar,
        f"worst_{proof.measure.value}": proof.worst,
        "worst_text": proof.worst_text,
        f"p{proof.measure.percentile}_{proof.measure.value}": proof.p5,
        f"mean_{proof.measure.value}": proof.mean,
    }


def read_dataset(dataset: str, split: str | None) -> Dataset:
    """Read a data set in BEIR's layout, or the built-in one."""
    from minnow.datasets import builtin_dataset, read_beir

    if dataset == BUILT_IN and not Path(dataset).is_dir():
        return builtin_dataset()
    read = read_beir(Path(dataset), split)
    for note in read.notes:
        print(f"warning: {note}", file=sys.stderr)
    return read
