"""The command that embeds texts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minnow.cli.app import app, print_facts
from minnow.cli.corpora import CorpusChoice
from minnow.cli.fields import options_from_fields
from minnow.cli.options import (
    BundleFolder,
    EngineMemoryChoice,
    Json,
    TextFile,
    Texts,
    check_arguments,
    check_texts_or_file,
)
from minnow.options import BATCH_SIZE, OnTruncate, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from minnow.embedder import EncodeOptions
    from minnow.streams import VectorWriter

    Floats = NDArray[np.float32]


@app.command("embed")
@options_from_fields
def embed_command(
    bundle: BundleFolder,
    texts: Texts = None,
    input_: TextFile = None,
    role: Annotated[
        Role | None, typer.Option(help="Put the model's prompt for this role first.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Put this text first, in place of a role's.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Write a .npy or .jsonl file, of Parquet a folder."),
    ] = None,
    *,
    engine: EngineMemoryChoice,
    corpus: CorpusChoice,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Run at most this many texts at once.")
    ] = BATCH_SIZE,
    truncate_dim: Annotated[
        int | None, typer.Option(min=1, help="Keep only the first dimensions.")
    ] = None,
    on_truncate: Annotated[
        OnTruncate, typer.Option(help="Do this where a text is over the model's limit.")
    ] = "warn",
    as_json: Json = False,
) -> None:
    """Embed texts: arguments, or a file's lines, streamed.

    Without --output each vector is a JSON array on a line of its own, or with --json an object
    with `text` and `embedding`. With --output a summary is printed.

    Parquet files, a folder of them or a quoted pattern, here or in an object store, become a folder
    of such files with vectors, as documents unless --role says otherwise. The command can be
    stopped at any moment, and run again. Rows that cannot be embedded have an `error`, and the exit
    code is 8.

    Example: minnow embed bge-small.minnow --role query "how do fish sleep?"

    Example: minnow embed bge-small.minnow --input passages.txt --output passages.npy

    Example: minnow embed bge-small.minnow --input corpus --output vectors --cluster ray
    """
    from minnow.embedder import Embedder
    from minnow.streams import JsonlWriter, LineWriter, read_texts, vector_file

    check_texts_or_file(texts, input_)
    if corpus.is_meant(input_):
        corpus.embed(
            bundle, input_, output, role=role, prompt=prompt, truncate_dim=truncate_dim,
            batch_size=batch_size, on_truncate=on_truncate, engine=engine.options(),
            as_json=as_json,
        )  # fmt: skip
        return
    check_arguments(texts or ())
    with Embedder.open(bundle, engine.options()) as embedder, engine.reporting(embedder):
        options: EncodeOptions = {
            "prompt": prompt,
            "batch_size": batch_size,
            "truncate_dim": truncate_dim,
            "on_truncate": on_truncate,
            "show_progress_bar": bool(input_ and output and sys.stderr.isatty()),
        }
        if role is not None:
            options = embedder.role_options(role, options)
        stream = embedder.encode_stream(texts or read_texts(input_ or "-"), **options)
        width = truncate_dim or embedder.width
        started = time.monotonic()
        if output is None:
            writer = (JsonlWriter if as_json else LineWriter)(sys.stdout.buffer, width)
            _write_all(writer, stream)
            return
        with vector_file(Path(output), width) as file:
            count = _write_all(file, stream)
    seconds = round(time.monotonic() - started, 2)
    facts = {"output": output, "texts": count, "width": width, "seconds": seconds}
    print_facts(facts, as_json)


def _write_all(writer: VectorWriter, stream: Iterator[tuple[list[str], Floats]]) -> int:
    """Write every block; after the first, print on stderr how many texts were embedded."""
    count = 0
    for texts, vectors in stream:
        if count:
            print(f"{count} texts embedded", file=sys.stderr, flush=True)
        writer.write(texts, vectors)
        count += len(texts)
    return count
