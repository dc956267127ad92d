"""Spark on this machine, with two Python workers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.corpora import MNN, corpus

from minnow import Reranker
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle
    from minnow.cluster import Job

pytestmark = [
    pytest.mark.extra("spark", "convert"),
    pytest.mark.tool("java"),
    pytest.mark.filterwarnings("ignore"),  # of Spark's own
]
ROWS = 300


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ.update(SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=sys.executable)
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "40")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def frame(spark: Any) -> Any:
    rows = corpus(ROWS).to_pylist()
    rows[100]["text"] = None
    return spark.createDataFrame(rows, "id string, text string, lang string").repartition(7)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_each_row_has_the_vector_of_its_text(frame: Any, made: Tiny, job: Job, dtype: Any) -> None:
    from minnow.cluster import BlockRunner
    from minnow.cluster.spark import embed_dataframe

    found = embed_dataframe(frame, made.bundle.folder, dtype=dtype, options=MNN)
    rows = found.filter("error IS NULL").select("id", "text", "embedding", *(
        ["embedding_scale"] if dtype == "int8" else []
    )).collect()  # fmt: skip
    assert len(rows) == ROWS - 1
    assert len({row["id"] for row in rows}) == ROWS - 1
    with BlockRunner(job) as runner:
        expected, _, _ = runner.run([(row["text"],) for row in rows])
    scales = [row["embedding_scale"] if dtype == "int8" else 1.0 for row in rows]
    vectors = np.array([row["embedding"] for row in rows]) * np.array(scales)[:, None]
    np.testing.assert_allclose(vectors, expected, atol=1e-5 if dtype == "float32" else 0.01)
    assert [row["id"] for row in found.filter("error IS NOT NULL").collect()] == ["d100"]


def test_two_workers_take_part(frame: Any, job: Job) -> None:
    from minnow.cluster.spark import _function

    run = _function(job)

    def with_process(batches: Any) -> Any:
        import pyarrow as pa

        for batch in run(batches):
            yield pa.record_batch({"process": [os.getpid()] * len(batch)})

    rows = frame.mapInArrow(with_process, "process long").collect()
    assert len(rows) == ROWS
    assert len({row["process"] for row in rows}) == 2


def test_pairs(spark: Any, ranker: Bundle) -> None:
    from minnow.cluster.spark import rerank_dataframe

    texts = [f"ship {'sea ' * n}" for n in range(6)]
    frame = spark.createDataFrame([("fish", text) for text in texts], "query string, text string")
    rows = rerank_dataframe(frame, ranker.folder, options=MNN).collect()
    with Reranker.open(ranker, MNN) as reranker:
        scores = reranker.predict([("fish", row["text"]) for row in rows])
    np.testing.assert_allclose([row["score"] for row in rows], scores, atol=1e-5)


def test_a_machine_with_other_vectors_fails_its_tasks(frame: Any, job: Job) -> None:
    from dataclasses import replace

    from minnow.cluster.spark import _function

    wrong = replace(job, expected=np.random.default_rng(1).bytes(len(job.expected)))
    with pytest.raises(Exception, match="may not take part"):
        frame.mapInArrow(_function(wrong), frame.schema).collect()


def test_half_precision_is_refused(frame: Any, made: Tiny) -> None:
    from minnow.cluster.spark import embed_dataframe

    with pytest.raises(InputError, match="Spark has no float16"):
        embed_dataframe(frame, made.bundle.folder, dtype="float16")
