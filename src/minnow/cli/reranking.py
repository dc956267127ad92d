"""The command that ranks texts by a query: rerank."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from minnow.cli.app import app, print_json
from minnow.cli.fields import options_from_fields
from minnow.cli.options import (
    BundleFolder,
    EngineMemoryChoice,
    Json,
    TextFile,
    Texts,
    check_arguments,
    check_texts_or_file,
    not_empty,
)
from minnow.options import BATCH_SIZE, OnTruncate

if TYPE_CHECKING:
    from minnow.reranker import RankedDocument


@app.command("rerank")
@options_from_fields
def rerank_command(
    bundle: BundleFolder,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="Rank the texts by this.", callback=not_empty)
    ],
    texts: Texts = None,
    input_: TextFile = None,
    top: Annotated[int | None, typer.Option(min=1, help="Show this many texts at most.")] = None,
    *,
    engine: EngineMemoryChoice,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Run at most this many pairs at once.")
    ] = BATCH_SIZE,
    on_truncate: Annotated[
        OnTruncate, typer.Option(help="Do this where a pair is over the model's limit.")
    ] = "warn",
    as_json: Json = False,
) -> None:
    """Rank texts by a query with a reranker, the best first.

    Each line is a score, the number of the text from 0, and the text; with --json the ranking is
    one array of objects with `corpus_id`, `score` and `text`.

    Example: minnow rerank ms-marco.minnow "how do fish sleep?" "Fish rest." "Ships have keels."

    Example: minnow rerank ms-marco.minnow "how do fish sleep?" --input passages.txt --top 5
    """
    from minnow.reranker import Reranker
    from minnow.streams import read_texts

    check_texts_or_file(texts, input_)
    check_arguments([query, *(texts or ())])
    with Reranker.open(bundle, engine.options()) as reranker, engine.reporting(reranker):
        rows = reranker.rank(
            query,
            texts or read_texts(input_ or "-"),
            top_k=top,
            return_documents=True,
            batch_size=batch_size,
            show_progress_bar=bool(input_ and sys.stderr.isatty()),
            on_truncate=on_truncate,
        )
    if as_json:
        print_json(rows)
    else:
        _print_rows(rows)


def _print_rows(rows: list[RankedDocument]) -> None:
    width = max((len(str(row["corpus_id"])) for row in rows), default=0)
    for row in rows:
        text = " ".join(row["text"].split())
        print(f"{row['score']:9.5f}  {row['corpus_id']:>{width}}  {text}")
