"""Index files made of finished vectors: nothing is embedded, and no model is opened."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from minnow.cluster.columns import ERROR, SCALE, TRUNCATED, VECTOR, read_vectors
from minnow.cluster.finished import FinishedFile, finished_files
from minnow.cluster.parts import ID
from minnow.errors import IndexFileError, InputError, OutputError
from minnow.indexfile.fingerprint import Fingerprint, check_fingerprint
from minnow.indexfile.generations import check_model
from minnow.indexfile.models import open_model
from minnow.indexfile.opening import make_store
from minnow.indexfile.settings import DEFAULT_TOKENS, IndexSettings
from minnow.indexfile.truncated import check_dimension, truncate, truncated
from minnow.model_cache import open_bundle
from minnow.search.records import DEFAULT_COLLECTION, Record, collection_path, put_records
from minnow.search.shards import SUFFIX
from minnow.search.writer import Writer
from minnow.vectors import VectorEncoding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from minnow.indexfile.store import Store

SHARD_ROWS = 1_000_000
"""Rows of an index file, whose vectors a search holds in memory: 768 MB of 384 float16."""
_FACT = "vector_files"
"""The fact of an index file that names the files of vectors that are in it."""


@dataclass
class VectorIndexReport:
    """The result of a run.

    Attributes:
        files: The index files.
        rows: Rows that are in them.
        added: Rows that this run has put in.
        removed: Rows that were dropped, because no file of vectors has them any more.
        errors: Rows without a vector, which are left out.
        model: The model, as messages show it.
    """

    files: list[Path]
    rows: int = 0
    added: int = 0
    removed: int = 0
    errors: int = 0
    model: str = ""


def index_vectors(
    source: str | Path,
    output: Path,
    *,
    bundle: str | Path | None = None,
    encoding: VectorEncoding | None = None,
    dim: int | None = None,
    shard_rows: int = SHARD_ROWS,
    source_filesystem: Any = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> VectorIndexReport:
    """Put the vectors that `embed_folder` made into an index file, or into several.

    Rows become records (`Record`), whose metadata are the other columns. A run that was stopped is
    resumed by the same call; files of vectors that are in the index already are not read again.

    Args:
        source: The folder of finished files.
        output: The index file; a folder of several where there are more than `shard_rows` rows.
        bundle: The model that the vectors have to be of; by default they only have to agree.
        encoding: How to store vectors; by default the index file's, else float16.
        dim: How many numbers of each vector to keep, the first; by default all that it has. Where
            these are not all that the model makes, a new index file needs the bundle, with which
            it is measured that they suffice; see `minnow.indexfile.truncated`.
        shard_rows: The most rows of an index file; a file of vectors stays in one piece.
        source_filesystem: The file system of a path, of `pyarrow.fs` or fsspec.
        progress: Receives the number of rows that are done, and of all.

    Raises:
        InputError: There are no such files, an id is repeated or null, or `dim` is not possible.
        IndexFileError: The vectors are of several models or of another one, or are not those that
            an index compares: of documents, behind the model's own prompt.
        OutputError: An index file cannot be written, or a file is where a folder has to be.
    """
    files = finished_files(source, source_filesystem)
    whole = _check(files, None if bundle is None else Fingerprint.of(open_bundle(bundle).manifest))
    shards = list(_shards(files, shard_rows))
    paths = _paths(output, len(shards))
    is_new = not all(path.exists() for path in paths)
    model = _choose_width(whole, files, dim, bundle, is_new=is_new)
    report = VectorIndexReport(paths, model=model.shown)
    total = sum(file.record.rows for file in files)
    ids: set[str] = set()
    for path, shard in zip(paths, shards, strict=True):
        settings = IndexSettings(
            min(DEFAULT_TOKENS, model.max_tokens), 0, encoding or VectorEncoding.FLOAT16
        )
        with closing(make_store(path, model, settings)) as store:
            check_model(store, model)
            if encoding is not None and store.settings.encoding is not encoding:
                raise IndexFileError(
                    f"{path} has {store.settings.encoding.value} vectors. Name another file."
                )
            for file in _update(store, shard, ids, report):
                report.rows += file.record.rows - file.record.errors
                report.errors += file.record.errors
                progress(report.rows + report.errors, total)
    return report


def _check(files: Sequence[FinishedFile], wanted: Fingerprint | None) -> Fingerprint:
    """Check that all vectors are of one model, and made as an index compares them."""
    model = files[0].record.fingerprint
    for file in files:
        check_fingerprint(wanted or model, file.record.fingerprint, str(file.place))
        if (file.job["role"], file.job["prompt"]) != ("document", None):
            raise IndexFileError(
                f"{file.place} has vectors that an index cannot compare with questions: it takes "
                "those of documents, behind the model's own prompt."
            )
    return model


def _choose_width(
    whole: Fingerprint,
    files: Sequence[FinishedFile],
    dim: int | None,
    bundle: str | Path | None,
    *,
    is_new: bool,
) -> Fingerprint:
    """Return the fingerprint of the vectors in the index, truncated if they are.

    For a new index of truncated vectors, measure with the bundle whether they suffice.

    Raises:
        InputError: The vectors are shorter than `dim`, the bundle is needed and not given, or the
            truncated vectors do not suffice.
    """
    there = min(file.job["truncate_dim"] or whole.width for file in files)
    size = dim or there
    if size > there:
        raise InputError(f"`dim=` should be at most {there}, which the vectors have, not {size}.")
    if size == whole.width:
        return whole
    if is_new:
        if bundle is None:
            raise InputError(
                f"Name the model with `bundle=`: minnow measures with it whether the first {size} "
                f"of {whole.width} numbers suffice."
            )
        with open_model(bundle) as model:
            check_dimension(model, size)
    return truncated(whole, size)


def _shards(files: Sequence[FinishedFile], most: int) -> Iterator[list[FinishedFile]]:
    """Divide files into lists that have at most so many rows, or one file."""
    shard: list[FinishedFile] = []
    for file in files:
        if shard and sum(each.record.rows for each in shard) + file.record.rows > most:
            yield shard
            shard = []
        shard.append(file)
    yield shard


def _paths(output: Path, count: int) -> list[Path]:
    """Return the paths of index files: one, or those of a folder."""
    if count == 1 and not output.is_dir():
        return [output]
    if output.is_file():
        raise OutputError(f"{output} is a file, and {count} index files need a folder. Name one.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {output}: {error.strerror}.") from error
    wanted = [output / f"{number:05d}{SUFFIX}" for number in range(count)]
    others = sorted(set(output.glob(f"*{SUFFIX}")) - set(wanted))
    if others:
        raise OutputError(
            f"{output} has {others[0].name}, of which these {count} files are no part. Remove it, "
            "or name another folder."
        )
    return wanted


def _update(
    store: Store, files: Sequence[FinishedFile], ids: set[str], report: VectorIndexReport
) -> Iterator[FinishedFile]:
    """Bring an index file up to date with files of vectors, and yield them one by one."""
    writer, path = Writer(store), collection_path(DEFAULT_COLLECTION)
    inside = set(msgspec.json.decode(store.fact(_FACT) or "[]"))
    wanted: set[str] = set()
    for file in files:
        is_new = file.place.name not in inside
        table = file.read(None if is_new else [ID, ERROR])
        sound = [error is None for error in table.column(ERROR).to_pylist()]
        names = _ids(table, sound, ids, file)
        wanted.update(names)
        if is_new:
            text = file.job["columns"][0]
            put_records(store, None, _records(table, sound, text, store.fingerprint))
            inside.add(file.place.name)
            store.put_fact(_FACT, msgspec.json.encode(sorted(inside)).decode())
            report.added += len(names)
        yield file
    gone = writer.documents(path).keys() - wanted
    report.removed += writer.remove(path, gone)
    current = {file.place.name for file in files}
    if inside != current:
        store.put_fact(_FACT, msgspec.json.encode(sorted(current)).decode())
    if report.added or gone:
        store.compact()


def _ids(table: pa.Table, sound: Sequence[bool], taken: set[str], file: FinishedFile) -> list[str]:
    """Return the ids of the rows that have a vector, and add them to those that are taken."""
    column = table.column(ID).to_pylist()
    given = [name for name, there in zip(column, sound, strict=True) if there]
    for name in given:
        if name is None or str(name) in taken:
            problem = "a row without an id" if name is None else f"the id {name!r} once more"
            raise InputError(f"{file.place} has {problem}. An index needs an id for each row.")
        taken.add(str(name))
    return [str(name) for name in given]


def _records(table: pa.Table, sound: Sequence[bool], text: str, model: Fingerprint) -> list[Record]:
    """Return the rows that have a vector as records, with the texts of a column."""
    vectors = read_vectors(table)
    if model.truncated_from is not None:
        vectors = truncate(vectors, model.width)
    others = table.drop_columns(
        [n for n in (ID, text, VECTOR, SCALE, TRUNCATED, ERROR) if n in table.column_names]
    ).to_pylist() or [{}] * len(table)
    columns = table.column(ID).to_pylist(), table.column(text).to_pylist()
    rows = zip(*columns, others, vectors, sound, strict=True)
    return [
        Record(str(name), words, _metadata(row), vector)
        for name, words, row, vector, there in rows
        if there
    ]


def _metadata(row: dict[str, Any]) -> dict[str, object]:
    """Return the values of other columns as JSON has them; what it does not have, as text."""
    plain = msgspec.to_builtins({k: v for k, v in row.items() if v is not None}, enc_hook=str)
    found: dict[str, object] = plain
    return found
