"""The commands around an index: put documents into it, and search it."""

from __future__ import annotations

import sys
import warnings
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minnow.cli.app import app, print_facts
from minnow.cli.corpora import row_progress
from minnow.cli.fields import options_from_fields
from minnow.cli.options import (
    BundleOption,
    EngineChoice,
    Json,
    RerankChoice,
    ScopeChoice,
    not_empty,
)
from minnow.options import Fusion, SearchMode, SidecarUse
from minnow.progress import show_progress
from minnow.terminal import UsageError
from minnow.vectors import VectorEncoding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minnow.search import IndexingReport, IndexingState

_SKIPPED = 8

IndexFile = Annotated[Path, typer.Argument(metavar="FILE", help="What `minnow index` wrote.")]
ModeOption = Annotated[
    SearchMode | None,
    typer.Option(
        help="Search by meaning, by words, or both: as stored, else with a bundle by both."
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        metavar="SQL",
        help="Search such documents only: file, name, source, metadata->>'...', heading, text.",
    ),
]


@app.command("index")
@options_from_fields
def index_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Write the index to this file.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...", help="Files and folders of Markdown, text, HTML, PDF, code, JSONL."
        ),
    ] = None,
    bundle: BundleOption = None,
    vectors: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FOLDER", help="Take vectors that `minnow embed` made of Parquet."
        ),
    ] = None,
    shard_rows: Annotated[
        int, typer.Option(min=1, help="With --from: begin a file after this many rows.")
    ] = 1_000_000,
    chunk_tokens: Annotated[
        int | None, typer.Option(min=16, help="Cut chunks of at most this; 256 for a new index.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Repeat these tokens of the chunk before; 0 if new.")
    ] = None,
    encoding: Annotated[
        VectorEncoding | None,
        typer.Option("--vectors", help="Store vectors like this; float16 for a new index."),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Keep this many numbers of each vector (Matryoshka), where that loses nothing.",
        ),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Drop all that came from files first.")
    ] = False,
    remove_paths: Annotated[
        bool, typer.Option("--remove", help="Drop what was indexed from these paths; no bundle.")
    ] = False,
    sidecar: Annotated[
        SidecarUse,
        typer.Option(
            help="Make FILE.usearch, a graph for search: auto only keeps one that is there current."
        ),
    ] = "auto",
    *,
    engine: EngineChoice,
    as_json: Json = False,
) -> None:
    """Put documents into an index, or bring it up to date.

    What has not changed is not embedded again; documents no longer under these paths are
    removed. The command can be stopped at any moment, and run again. Documents that cannot be read
    are listed at the end, the rest is indexed, and the exit code is 8.

    A line of JSONL is a document: {"id": ..., "text": ..., "title": ..., "metadata": {...}}.

    With --from nothing is embedded, and no bundle is needed. More rows than --shard-rows go into
    several files of a folder, which `minnow search` takes as one index.

    Example: minnow index --from vectors --output corpus.index

    Example: minnow index handbook notes.md --bundle bge-small.minnow --output docs.index
    """
    from minnow.search import index_paths, open_index, open_model
    from minnow.search.paths import find_files

    if bool(paths) == bool(vectors):
        raise UsageError("Give paths of documents, or a folder of vectors with --from.")
    if vectors is not None:
        if chunk_tokens or overlap or rebuild or remove_paths:
            raise UsageError(
                "--from takes rows as they are, into an index that follows the folder: leave "
                "--chunk-tokens, --overlap, --rebuild and --remove out."
            )
        choice = {"bundle": bundle, "encoding": encoding, "dim": dim, "shard_rows": shard_rows}
        _index_vectors(vectors, output, choice, sidecar, as_json=as_json)
        return
    paths = paths or []
    if remove_paths and rebuild:
        raise UsageError("--remove drops documents and indexes none: leave --rebuild out.")
    if remove_paths:
        _remove(paths, output, as_json=as_json)
        return
    if bundle is None:
        raise UsageError("Give the model with --bundle.")
    find_files(paths)  # a wrong path is an error before anything is made or dropped
    with open_model(bundle, engine.options()) as model, engine.reporting(model.embedder):
        store = open_index(
            output,
            model,
            max_tokens=chunk_tokens,
            overlap=overlap,
            encoding=encoding,
            dim=dim,
            rebuild=rebuild,
        )
        with closing(store), _progress() as progress:
            report = index_paths(paths, store, model, progress=progress)
            if report.added or report.changed or report.removed or report.repaired:
                store.compact()
    make_sidecar(output, sidecar)
    _print_report(report, output, as_json=as_json)


def _index_vectors(
    source: str, output: Path, choice: dict[str, Any], sidecar: SidecarUse, *, as_json: bool
) -> None:
    from minnow.cluster.indexing import index_vectors

    with row_progress("indexing") as progress:
        report = index_vectors(source, output, **choice, progress=progress)
    for file in report.files:
        make_sidecar(file, sidecar)
    files = [str(file) for file in report.files]
    print_facts({"index": str(output), **vars(report), "files": files}, as_json)


def _remove(paths: list[Path], output: Path, *, as_json: bool) -> None:
    from minnow.search import open_store, remove_paths

    store = open_store(output, writable=True)
    with closing(store):
        count = remove_paths(paths, store)
        if count:
            store.compact()
    print_facts({"index": str(output), "removed": count}, as_json)


@contextmanager
def _progress() -> Iterator[Callable[[IndexingState], None]]:
    """Show a bar on a terminal, else a line on stderr now and then."""
    is_terminal = sys.stderr.isatty()
    done = printed = 0
    with show_progress("indexing", None, "chunks", show=is_terminal) as advance:

        def show(state: IndexingState) -> None:
            nonlocal done, printed
            advance(state.report.embedded - done)
            done = state.report.embedded
            if not is_terminal and done - printed >= 1000:
                printed = done
                print(
                    f"{done} chunks embedded, {state.done} of {state.files} files",
                    file=sys.stderr,
                    flush=True,
                )

        yield show


def make_sidecar(output: Path, sidecar: SidecarUse) -> None:
    """Write an index's sidecar if it is asked for, exists already, or alone makes search fast."""
    from minnow.indexfile.codes import has_codes
    from minnow.search import Index
    from minnow.search.sidecar import LARGE, is_installed, sidecar_path

    if sidecar in ("never", "codes"):
        return
    with Index.open(output, sidecar="never") as index:
        count = len(index)
        helps = count >= LARGE and not has_codes(index.store.fingerprint)
        wanted = is_installed() and (helps or sidecar_path(output).exists())
        if sidecar == "auto" and not wanted:
            return
        show = sys.stderr.isatty()
        with show_progress("sidecar", count, "vectors", show=show) as advance:
            index.build_sidecar(progress=advance)


def _print_report(report: IndexingReport, output: Path, *, as_json: bool) -> None:
    """Print what was done; exit with an error code where a document could not be read."""
    from minnow.search import Index
    from minnow.search.results import one_line

    for line in report.notes:
        print(f"note: {one_line(line)}", file=sys.stderr)
    for line in report.skipped:
        print(f"skipped {one_line(line)}", file=sys.stderr)
    with Index.open(output, sidecar="never") as index:
        chunks, model = len(index), index.fingerprint.shown
    facts = {
        "index": str(output),
        "model": model,
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "skipped": len(report.skipped),
        "other_files": len(report.ignored),
        "chunks": chunks,
        "embedded": report.embedded,
        "file_bytes": output.stat().st_size,
    }
    if report.repaired:
        facts["repaired"] = report.repaired
    print_facts(facts | ({"reasons": report.skipped} if as_json else {}), as_json)
    if report.skipped:
        raise typer.Exit(_SKIPPED)


@app.command("search")
@options_from_fields
def search_command(
    file: IndexFile,
    query: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What to look for.", callback=not_empty)
    ],
    bundle: BundleOption = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Print this many hits.")] = 5,
    mode: ModeOption = None,
    fusion: Annotated[
        Fusion, typer.Option(help="For hybrid: add scores, or fuse ranks (RRF).")
    ] = Fusion.SCORES,
    where: WhereOption = None,
    context: Annotated[
        int, typer.Option(min=0, max=100, help="Print this many chunks before and after each hit.")
    ] = 0,
    sidecar: Annotated[
        SidecarUse,
        typer.Option(
            help="How to find vectors. auto: exactly up to 100 000 chunks, then in FILE.usearch, "
            "else by binary codes; always: FILE.usearch; codes: codes; never: exactly."
        ),
    ] = "auto",
    *,
    scope: ScopeChoice,
    rerank: RerankChoice,
    engine: EngineChoice,
    as_json: Json = False,
) -> None:
    """Search an index for what answers a question.

    Where words count, those in "double quotation marks" have to follow each other.

    Example: minnow search docs.index "how do fish sleep?" --bundle bge-small.minnow

    Example: minnow search docs.index kettle --where "source LIKE 'kitchen/%'" --json

    Example: minnow search docs.index "how do fish sleep?" -b bge-small.minnow --rerank ms.minnow

    Example: minnow search notes.index kettle --path "kitchen/*.md" --since 2024-05 --context 1
    """
    from minnow.search import Index
    from minnow.search.results import json_of, print_hits
    from minnow.search.shards import index_files

    files = index_files(file)
    chosen = chosen_mode(files[0], mode, bundle, rerank)
    model = bundle if chosen != "keyword" else None
    with (
        rerank.open(engine.threads) as reranker,
        Index.open(
            files[0] if len(files) == 1 else files, model, engine.options(), sidecar=sidecar
        ) as index,
    ):
        options = scope.options(
            mode=chosen, where=where, fusion=fusion, reranker=reranker,
            candidates=rerank.candidates, context=context,
        )  # fmt: skip
        hits = index.search(query, k, **options)
    if as_json:
        print(json_of(query, chosen, hits))
    elif hits:
        print_hits(hits, sys.stdout)
    else:
        warnings.warn("nothing was found.", stacklevel=1)


def chosen_mode(
    file: Path, mode: SearchMode | None, bundle: Path | None, rerank: RerankChoice
) -> SearchMode:
    """Choose how to search: as the file stores, else both ways with a bundle, else by words.

    What the file stores is said on stderr.
    """
    if mode is not None:
        if mode != "keyword" and bundle is None:
            raise UsageError(f"--mode {mode} needs the model: give it with --bundle.")
        return mode
    from minnow.search import open_store
    from minnow.search.choice import read_choice

    with closing(open_store(file)) as store:
        choice = read_choice(store)
    if choice is None:
        return "keyword" if bundle is None else "hybrid"
    needs = []
    if choice.mode != "keyword" and bundle is None:
        needs.append("--bundle")
    if choice.reranker and rerank.reranker is None:
        needs.append("--rerank")
    chosen = "keyword" if "--bundle" in needs else choice.mode
    hint = f"; give {' and '.join(needs)} for that" if needs else ""
    print(
        f"searching by {chosen}: {file} stores {choice} as best for its questions{hint}",
        file=sys.stderr,
    )
    return chosen
