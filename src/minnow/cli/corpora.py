"""Corpora in Parquet files, for `minnow embed` and `minnow verify`."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from minnow.cli.app import print_facts
from minnow.cli.fields import option
from minnow.progress import show_progress
from minnow.terminal import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minnow.engines import EngineOptions
    from minnow.options import OnTruncate, Role

_ROWS_WITH_ERRORS = 8


@dataclass(frozen=True)
class CorpusChoice:
    """Options for embedding Parquet files."""

    cluster: Literal["local", "ray"] | None = option(
        None, "Embed Parquet files here, or on the Ray cluster of RAY_ADDRESS, else one of its own."
    )
    column: str = option("text", "Embed this column of Parquet files.")
    keeps: tuple[str, ...] = option(
        (), "Keep this column, besides id and the texts; by default all; may be given again.",
        metavar="COLUMN",
    )  # fmt: skip
    vectors: Literal["float32", "float16", "int8"] = option(
        "float32", "Store vectors of Parquet files like this."
    )
    rows: int = option(16_384, "Write this many rows to a Parquet file.", min=1)

    def is_meant(self, given: str | None) -> bool:
        """Return whether an input is Parquet, a folder or a URI, or --cluster is given."""
        if self.cluster is not None:
            return True
        if given is None:
            return False
        return given.endswith(".parquet") or "://" in given or Path(given).is_dir()

    def embed(
        self,
        bundle: Path,
        source: str | None,
        output: str | None,
        *,
        role: Role | None,
        prompt: str | None,
        truncate_dim: int | None,
        batch_size: int,
        on_truncate: OnTruncate,
        engine: EngineOptions,
        as_json: bool,
    ) -> None:
        """Embed a corpus, and print what was done; exit with an error code where rows failed."""
        from minnow.cluster import Job, embed_folder

        if not source or not output:
            raise UsageError("Parquet files need --input and --output, a folder.")
        if on_truncate == "error":
            raise UsageError("Parquet files have a column `truncated`: leave --on-truncate out.")
        job = Job.embedding(
            bundle, self.column, role=role or "document", prompt=prompt,
            truncate_dim=truncate_dim, dtype=self.vectors, batch_size=batch_size, options=engine,
        )  # fmt: skip
        started = time.monotonic()
        with row_progress("embedding") as progress:
            report = embed_folder(
                source, output, job, cluster=self.cluster or "local", rows=self.rows,
                keep=self.keeps or None, progress=progress,
            )  # fmt: skip
        facts: dict[str, Any] = {"output": output, **vars(report)}
        for reason in facts.pop("refused"):
            print(f"note: a process of the cluster was refused: {reason}", file=sys.stderr)
        print_facts({**facts, "seconds": round(time.monotonic() - started, 2)}, as_json)
        if report.errors:
            raise typer.Exit(_ROWS_WITH_ERRORS)


def verify_vectors(folder: str, bundle: Path, sample: int, *, as_json: bool) -> None:
    """Check a folder of vectors, and print what was found; exit with an error code at faults."""
    from minnow.cluster.checking import verify_folder
    from minnow.errors import ParityError

    with row_progress("checking") as progress:
        found = verify_folder(folder, bundle, sample=sample, progress=progress)
    for fault in found.faults:
        print(f"fault: {fault}", file=sys.stderr)
    print_facts({"vectors": folder, **vars(found), "faults": len(found.faults)}, as_json)
    if found.faults:
        raise typer.Exit(ParityError.exit_code)


@contextmanager
def row_progress(task: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, else a line on stderr for each part."""
    is_terminal, shown = sys.stderr.isatty(), 0
    with show_progress(task, None, "rows", show=is_terminal) as advance:

        def show(done: int, total: int) -> None:
            nonlocal shown
            advance(done - shown)
            shown = done
            if not is_terminal:
                print(f"{done} of {total} rows", file=sys.stderr, flush=True)

        yield show
