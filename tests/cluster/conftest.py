"""A folder of Parquet files, and the folder of vectors that a tiny model made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.corpora import MNN, corpus

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.cluster import Job


@pytest.fixture(scope="session")
def job(made: Tiny) -> Job:
    """The embedding of a column `text` on MNN."""
    from minnow.cluster import Job

    return Job.embedding(made.bundle.folder, options=MNN)


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory, job: Job) -> Path:
    """Finished files of 40 rows, of which row d3 has no vector; for reading only."""
    import pyarrow as pa
    from pyarrow import parquet

    from minnow.cluster import embed_folder

    folder = tmp_path_factory.mktemp("vectors")
    table = corpus(40)
    texts = table["text"].to_pylist()
    table = table.set_column(1, "text", pa.array([*texts[:3], None, *texts[4:]]))
    parquet.write_table(table, folder / "corpus.parquet")
    embed_folder(folder / "corpus.parquet", folder / "out", job, rows=10)
    return folder / "out"
