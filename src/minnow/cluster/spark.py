"""Corpora on Spark: data frames through `mapInArrow`, with the bundle open in each Python worker.

```python
from minnow.cluster.spark import embed_dataframe

passages = spark.read.parquet("s3a://corpus/")
embed_dataframe(passages, "/models/bge-small.minnow").write.parquet("s3a://vectors/")
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from minnow.cluster.columns import ERROR, SCALE, SCORE, TRUNCATED, VECTOR, as_table, table_batch
from minnow.cluster.job import Job
from minnow.cluster.runner import runner_of
from minnow.engines import EngineOptions
from minnow.errors import InputError, MissingExtraError
from minnow.model_cache import open_bundle

try:
    from pyspark import TaskContext
    from pyspark.sql import types
except ImportError as error:
    raise MissingExtraError("Running on Spark", "spark") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typing_extensions import Unpack

    from minnow.cluster.job import EmbeddingOptions


def embed_dataframe(
    frame: Any,
    bundle: str | Path,
    column: str = "text",
    **job: Unpack[EmbeddingOptions],
) -> Any:
    """Embed a column of texts of a Spark data frame.

    Rows keep their columns. A batch of Arrow goes in, and one of as many rows comes out: Spark
    joins results with rows by nothing but their order.

    Args:
        frame: A `pyspark.sql.DataFrame`.
        bundle: The bundle's folder, the same path on every machine, or `hf:USER/NAME`.
        column: The column of texts.
        **job: The other arguments of `Job.embedding`; Spark has no float16. By default the engine
            has as many threads as a task has CPUs (`spark.task.cpus`).

    Returns:
        A data frame with the columns that `BlockRunner` adds, vectors as arrays.

    Raises:
        BundleError, InputError: As `Job.embedding`; or the numbers are float16. A machine that does
            not give the bundle's vectors fails its tasks with a ParityError.
    """
    dtype = job.get("dtype", "float32")
    if dtype == "float16":
        raise InputError("Spark has no float16: choose float32 or int8.")
    number = types.ByteType() if dtype == "int8" else types.FloatType()
    results = [types.StructField(VECTOR, types.ArrayType(number, containsNull=False))]
    if dtype == "int8":
        results.append(types.StructField(SCALE, types.FloatType()))
    return _mapped(frame, Job.embedding(bundle, column, **job), results)


def rerank_dataframe(
    frame: Any,
    bundle: str | Path,
    query: str = "query",
    document: str = "text",
    *,
    options: EngineOptions = EngineOptions(),
) -> Any:
    """Score the pairs of two columns of a Spark data frame; see `embed_dataframe`.

    Args:
        frame: A `pyspark.sql.DataFrame`.
        bundle: The bundle of a reranker.
        query: The column of queries.
        document: The column of documents.
        options: The engine, and its threads: by default the CPUs of a task.

    Returns:
        A data frame with `score`, `truncated` and `error`.

    Raises:
        BundleError, InputError: As `Job.reranking`.
    """
    job = Job.reranking(bundle, query, document, options=options)
    manifest = open_bundle(bundle).manifest
    score = types.FloatType() if manifest.width == 1 else types.ArrayType(types.FloatType())
    return _mapped(frame, job, [types.StructField(SCORE, score)])


def _mapped(frame: Any, job: Job, results: list[Any]) -> Any:
    more = (
        types.StructField(TRUNCATED, types.BooleanType()),
        types.StructField(ERROR, types.StringType()),
    )
    schema = types.StructType([*frame.schema.fields, *results, *more])
    return frame.mapInArrow(_function(job), schema)


def _function(
    job: Job,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that Spark calls with the batches of a partition."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        for batch in batches:  # an empty partition opens no bundle
            runner = runner_of(job, context.cpus() if context else None)
            yield table_batch(_without_sizes(runner(as_table(batch))))

    return run


def _without_sizes(table: pa.Table) -> pa.Table:
    """Convert lists of a fixed size to lists of any size, the only ones that Spark reads."""
    for place, field in enumerate(table.schema):
        if pa.types.is_fixed_size_list(field.type):
            kind = pa.list_(field.type.value_type)
            table = table.set_column(place, field.name, table.column(place).cast(kind))
    return table
