"""The one function body of all engines: a block of rows in, the same rows with results out."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from minnow.cluster.columns import (
    ERROR,
    SCORE,
    TRUNCATED,
    as_table,
    convert_back,
    read_texts,
    require_free,
    score_column,
    vector_columns,
)
from minnow.pipeline import WINDOW
from minnow.reranker import Reranker
from minnow.scores import scores_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from minnow.cluster.job import Job

    Floats = NDArray[np.float32]


class BlockRunner:
    """Runner of a job in one process: it keeps the bundle open, and takes one block at a time.

    Attributes:
        job: The job.
        engine: The name of the engine that runs.
        width: Length of a vector, or the number of a reranker's labels.
    """

    def __init__(self, job: Job, threads: int | None = None) -> None:
        """Open the bundle, and check that this machine gives the answers that the job expects.

        Args:
            job: The job.
            threads: CPU threads, unless the job says how many.

        Raises:
            ParityError, BundleError, EngineError, MissingExtraError: As `Job.open_checked`.
        """
        opened = job.open_checked(threads)
        self.job, self._opened = job, opened
        self._options = job.options_of(opened)
        part = opened if isinstance(opened, Reranker) else opened.of_role(job.role)
        self._pipeline: Any = part.pipeline
        self.engine = self._pipeline.engine.name
        self.width = self._options.width

    def __call__(self, table: pa.Table) -> pa.Table:
        """Add the results of a block of rows as columns, in the order of the rows.

        Args:
            table: Any number of rows, with the job's columns; all columns are kept.

        Returns:
            The table with `embedding` (fixed-size lists; for int8 also `embedding_scale`) or
            `score`; `truncated`, whether a text was over the limit; and `error`, why a row has no
            result; its vector is zeros then, its score null.

        Raises:
            InputError: A column is missing, or is not of texts; or a result's name is taken.
            EngineError: The runtime failed on every row.
        """
        columns = [read_texts(table, name) for name in self.job.columns]
        require_free(table)
        found, truncated, errors = self.run(list(zip(*columns, strict=True)))
        if isinstance(self._opened, Reranker):
            scores = scores_of(found, self._opened.reranking.activation)
            absent = np.array([error is not None for error in errors], np.bool_)
            results = {SCORE: score_column(scores, absent)}
        else:
            results = vector_columns(found, self.job.dtype)
        results[TRUNCATED] = pa.array(truncated)
        results[ERROR] = pa.array(errors, pa.string())
        for name, column in results.items():
            table = table.append_column(name, column)
        return table

    def run(
        self, rows: Sequence[tuple[str | Exception, ...]]
    ) -> tuple[Floats, NDArray[np.bool_], list[str | None]]:
        """Compute the vectors or logits of rows, in windows that keep memory flat.

        Args:
            rows: A text or a pair each; an error in a place is why there is none.

        Returns:
            float32 of shape (rows, width), zeros where there is an error; whether texts were cut
            off, bool of shape (rows,); and the error of each row, or None.
        """
        vectors = np.zeros((len(rows), self._options.width), np.float32)
        truncated = np.zeros(len(rows), np.bool_)
        errors: list[str | None] = [
            next((str(part) for part in row if isinstance(part, Exception)), None) for row in rows
        ]
        sound = [i for i, error in enumerate(errors) if error is None]
        for start in range(0, len(sound), WINDOW):
            places = sound[start : start + WINDOW]
            texts = [rows[i] if len(rows[i]) > 1 else rows[i][0] for i in places]
            outcome = self._pipeline.embed_each(texts, self._options)
            vectors[places], truncated[places] = outcome.vectors, outcome.truncated
            for n, fault in outcome.faults.items():
                errors[places[n]] = fault
        return vectors, truncated, errors

    def close(self) -> None:
        """Free the runtime's memory."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@lru_cache(maxsize=1)
def runner_of(job: Job, threads: int | None = None) -> BlockRunner:
    """Return the runner of a job in this process; the first call opens it."""
    return BlockRunner(job, threads)


def embed_table(data: Any, job: Job) -> Any:
    """Embed a table in memory.

    Args:
        data: A Table or RecordBatch of Arrow, or a DataFrame of Polars.
        job: What to compute; see `Job.embedding` and `Job.reranking`.

    Returns:
        The same kind, with the columns that `BlockRunner` adds.

    Raises:
        InputError: It is something else, or as `BlockRunner`.
        ParityError, BundleError, EngineError, MissingExtraError: As `BlockRunner`.
    """
    return convert_back(runner_of(job)(as_table(data)), data)
