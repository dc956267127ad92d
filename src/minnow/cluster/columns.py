"""Columns of Arrow: texts out of them, vectors into them and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import InputError, MissingExtraError

try:
    import pyarrow as pa
except ImportError as error:
    raise MissingExtraError("Reading and writing Arrow tables", "parquet") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.cluster.job import VectorType

    Floats = NDArray[np.float32]

VECTOR, SCALE, SCORE = "embedding", "embedding_scale", "score"
TRUNCATED, ERROR = "truncated", "error"
RESULTS = (VECTOR, SCALE, SCORE, TRUNCATED, ERROR)
"""The columns that results take."""
_NUMBERS = (pa.float32(), pa.float16(), pa.int8())
_LARGEST = 127


def read_texts(table: pa.Table, name: str) -> list[str | Exception]:
    """Return the texts of a column, with an error in the place of each row that has none.

    Raises:
        InputError: There is no such column, or it is not of texts.
    """
    if name not in table.column_names:
        columns = ", ".join(table.column_names)
        raise InputError(f"There is no column {name!r}; there are {columns}.")
    column = table.column(name)
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if kind not in (pa.string(), pa.large_string(), pa.string_view(), pa.null()):
        raise InputError(f"The column {name!r} holds {column.type}, not texts. Cast it first.")
    found: list[str | Exception] = []
    for chunk in column.chunks:
        try:
            rows = chunk.to_pylist()
        except UnicodeDecodeError:
            rows = [_decode(value) for value in chunk]
        found += [InputError("The text is null.") if row is None else row for row in rows]
    return found


def _decode(value: Any) -> str | Exception | None:
    try:
        text: str | None = value.as_py()
    except UnicodeDecodeError as error:
        return InputError(f"The text is not UTF-8 (byte {error.start}).")
    return text


def vector_columns(vectors: Floats, dtype: VectorType) -> dict[str, Any]:
    """Return the columns of vectors by name: fixed-size lists, with scales beside int8.

    A row without a vector has zeros, not null: before version 26 pyarrow writes a null in a
    fixed-size list to Parquet, and cannot read the file again.

    Args:
        vectors: float32 of shape (rows, width).
        dtype: The numbers to store. A number of int8 is rounded to a 127th of the largest of its
            vector, and the scale is that 127th.
    """
    if dtype != "int8":
        return {VECTOR: _lists(vectors.astype(dtype))}
    scales = (np.abs(vectors).max(axis=1, initial=0.0) / _LARGEST).astype(np.float32)
    steps = np.where(scales > 0, scales, 1).astype(np.float64)
    whole = np.clip(np.rint(vectors / steps[:, None]), -_LARGEST, _LARGEST).astype(np.int8)
    return {VECTOR: _lists(whole), SCALE: pa.array(scales)}


def _lists(rows: NDArray[Any]) -> Any:
    values = pa.array(np.ascontiguousarray(rows).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])


def score_column(scores: Floats, absent: NDArray[np.bool_]) -> Any:
    """Return scores as a column: float32, null where absent; or lists of it for several labels."""
    return pa.array(scores[:, 0], mask=absent) if scores.shape[1] == 1 else _lists(scores)


def read_vectors(table: pa.Table) -> Floats:
    """Return the vectors of a table that `vector_columns` made: float32 of shape (rows, width).

    Raises:
        InputError: The table has no such column of vectors.
    """
    if VECTOR not in table.column_names:
        raise InputError(f"There is no column {VECTOR!r} of vectors.")
    array = _whole(table.column(VECTOR))
    kind = array.type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type not in _NUMBERS or array.null_count:
        raise InputError(
            f"The column {VECTOR!r} holds {kind} with {array.null_count} nulls, not fixed-size "
            "lists of numbers."
        )
    vectors: Floats = array.flatten().to_numpy().reshape(-1, kind.list_size).astype(np.float32)
    if SCALE in table.column_names:
        vectors *= table.column(SCALE).to_numpy().astype(np.float32)[:, None]
    return vectors


def as_table(data: Any) -> pa.Table:
    """Return a Table or RecordBatch of Arrow, or a DataFrame of Polars, as a Table.

    Raises:
        InputError: It is something else.
    """
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if hasattr(data, "to_arrow"):
        return pa.table(data.to_arrow())
    raise InputError(
        f"The data is {type(data).__name__}, not a Table or RecordBatch of Arrow or a DataFrame of "
        "Polars."
    )


def convert_back(table: pa.Table, data: Any) -> Any:
    """Convert a table back to the type of the data that `as_table` made a table of."""
    if isinstance(data, pa.Table):
        return table
    if isinstance(data, pa.RecordBatch):
        return table_batch(table)
    return type(data)(table)


def table_batch(table: pa.Table) -> pa.RecordBatch:
    """Return a table as one record batch."""
    columns = [_whole(column) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def require_free(table: pa.Table) -> None:
    """Refuse a table that has a column of a name that results take.

    Raises:
        InputError: It has one.
    """
    taken = [name for name in RESULTS if name in table.column_names]
    if taken:
        raise InputError(
            f"The table has a column {taken[0]!r} already, where the result goes. Rename or drop "
            "it, or choose columns with `keep=`."
        )
