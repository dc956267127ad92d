"""Migration of an index to another model: searches go on while its texts are embedded again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.engines import EngineOptions
from minnow.errors import IndexFileError, InputError
from minnow.indexfile import generations
from minnow.indexfile.checksums import check_rows, read_checked
from minnow.indexfile.documents import COLLECTION, VECTORS
from minnow.indexfile.encodings import encode_rows
from minnow.indexfile.generations import (
    Alignment,
    Migration,
    find_migration,
    fits,
    missing_ids,
    put_migrated,
)
from minnow.indexfile.models import find_too_long, open_model
from minnow.indexfile.opening import open_store
from minnow.indexfile.schema import checked_tables, unknown_tables, vector_tables
from minnow.indexfile.settings import from_json, to_json
from minnow.migration.fitting import fit
from minnow.migration.loss import EmbeddedSample, Loss, choose_sentence, measure_losses
from minnow.records import replace
from minnow.search.binary import tidy_codes
from minnow.search.chunk_ids import vectors_of
from minnow.search.sidecar import sidecar_path
from minnow.search.writer import digest_of
from minnow.vectors import Similarity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from typing_extensions import Unpack

    from minnow.bundle import Bundle
    from minnow.engines import EngineArguments
    from minnow.indexfile.checksums import CheckedTable
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store

SAMPLE = 2048
"""Texts that the map is fitted on; their new vectors are kept, so they are embedded once."""

QUESTIONS = 200
LOSSES = "migration_losses"
"""The fact with what the first run measured."""

_AT_A_TIME = 256
_FEWEST = 5
_RECORDS = (
    "SELECT s.source, d.digest, c.text FROM documents AS d JOIN sources AS s ON s.id = d.id "  # noqa: S608
    f"JOIN chunks AS c ON c.id = d.first_chunk WHERE s.file LIKE '{COLLECTION}%'"
)


@dataclass(frozen=True)
class MigrationReport:
    """The result of a run.

    Attributes:
        old: The model that made the file's vectors before.
        new: The model that it is migrated to.
        texts: Number of texts in the file: chunks and memories.
        migrated: Number of those that have a vector of the new model now.
        embedded: Number of texts that this run embedded.
        method: How the missing vectors are predicted, and the mean cosine of predictions with
            vectors, where this run fitted the map; else empty.
        losses: What search loses until the end, where this run measured it.
        is_finished: Whether the file is one of the new model alone.
    """

    old: str
    new: str
    texts: int = 0
    migrated: int = 0
    embedded: int = 0
    is_finished: bool = False
    method: str = ""
    losses: tuple[Loss, ...] = ()


def migrate(
    file: str | Path,
    bundle: str | Path | Bundle,
    options: EngineOptions = EngineOptions(),
    *,
    questions: Sequence[str] = (),
    limit: int | None = None,
    progress: Callable[[MigrationReport], None] = lambda _: None,
    **changes: Unpack[EngineArguments],
) -> MigrationReport:
    """Migrate an index to another model, or go on with a migration; see `migrate_store`.

    Args:
        file: The index.
        bundle: The new model.
        options: Which engine runs it, and how.
        questions: As in `migrate_store`.
        limit: As in `migrate_store`.
        progress: As in `migrate_store`.
        **changes: Fields of the options, as in `Embedder.open`.

    Raises:
        InputError, IndexFileError, OutputError: As `open_store` and `migrate_store`.
        BundleError, EngineError, SourceError, MissingExtraError: As `Embedder.open`.
    """
    with open_model(bundle, replace(options, **changes)) as model:
        store = open_store(Path(file), writable=True)
        try:
            return migrate_store(store, model, questions=questions, limit=limit, progress=progress)
        finally:
            store.close()


def cancel_migration(file: str | Path) -> bool:
    """Drop the new vectors of a migration, and leave an index of the old model alone.

    Returns:
        Whether there was a migration.

    Raises:
        InputError, IndexFileError, OutputError: As `open_store`.
    """
    store = open_store(Path(file), writable=True)
    try:
        found = generations.cancel(store)
        if found:
            store.compact()
        return found
    finally:
        store.close()


def migrate_store(
    store: Store,
    model: SearchModel,
    *,
    questions: Sequence[str] = (),
    limit: int | None = None,
    progress: Callable[[MigrationReport], None] = lambda _: None,
) -> MigrationReport:
    """Migrate an open index to another model, or go on with a migration.

    The first run embeds a sample of the chunks, fits a map that predicts the other vectors, and
    measures what search loses by that. From then on `Index.open` takes the new model; the old one
    still searches, writes, remembers and recalls. Then all chunks and memories are embedded in
    small transactions; the run may be stopped at any moment, and the next one goes on. At the end
    the file is one of the new model alone.

    Args:
        store: The index, open for writing.
        model: The new model.
        questions: Questions to measure the loss with; by default sentences of the chunks.
        limit: The most texts to embed in this run after the sample; all by default.
        progress: Receives the report so far, after the sample and after each transaction.

    Raises:
        InputError: `limit` is negative, or the new model does not take a text as long as one of
            the file's; nothing is changed then.
        IndexFileError: The file is damaged, is being migrated to another model, holds vectors
            that came from a program, which no model can make again, or another process begins or
            cancels a migration meanwhile.
        OutputError: It cannot be written; what was done before is in it.
    """
    if limit is not None and limit < 0:
        raise InputError(f"limit is {limit}; it should be 0 or more.")
    migration = find_migration(store)
    report = MigrationReport(store.fingerprint.shown, model.fingerprint.shown)
    if migration is None and fits(store.fingerprint, model.fingerprint):
        count = _count(store)
        return replace(report, texts=count, migrated=count, is_finished=True)
    if migration is None:
        _check_can_be_migrated(store, model)
        report = _begin(store, model, report, questions)
    elif not fits(migration.model, model.fingerprint):
        raise IndexFileError(
            f"{store.path} is being migrated to {migration.model.shown}, not to "
            f"{model.fingerprint.shown}. Finish that, or cancel it with `cancel_migration()`."
        )
    report = replace(report, losses=_read_losses(store))
    return _embed_rest(store, model, report, limit, progress)


def _embed_rest(
    store: Store,
    model: SearchModel,
    report: MigrationReport,
    limit: int | None,
    progress: Callable[[MigrationReport], None],
) -> MigrationReport:
    """Embed what is missing in small transactions, and finish when nothing is."""
    left = limit
    while True:
        with store.reading() as database:
            missing = [(t, missing_ids(database, t)) for t in vector_tables(database)]
        total = _count(store)
        report = replace(report, texts=total, migrated=total - sum(len(i) for _, i in missing))
        progress(report)
        for table, ids in missing:
            for start in range(0, len(ids), _AT_A_TIME):
                some = ids[start : start + _AT_A_TIME][:left]
                if not some:
                    return report
                _embed(store, model, table, some)
                left = None if left is None else left - len(some)
                report = replace(
                    report,
                    migrated=report.migrated + len(some),
                    embedded=report.embedded + len(some),
                )
                progress(report)
        if generations.finish(store, _check_goes_on(store, model)):
            tidy_codes(store)
            store.compact()
            sidecar_path(store.path).unlink(missing_ok=True)
            return replace(report, is_finished=True)


def _embed(store: Store, model: SearchModel, table: CheckedTable, ids: list[int]) -> None:
    """Embed some texts, and write their vectors in one transaction."""
    with store.reading() as database:
        texts = _read_texts(database, table, ids)
    blobs = encode_rows(model.encode_documents(list(texts.values())), store.settings.encoding)
    with store.writing() as database:
        _check_goes_on(store, model)
        put_migrated(database, table, list(texts), blobs)


def _check_goes_on(store: Store, model: SearchModel) -> Migration:
    """Return the migration to a model, which other processes may have cancelled since the start.

    Raises:
        IndexFileError: There is none, or one to another model: vectors would be mixed.
    """
    migration = find_migration(store)
    if migration is None or not fits(migration.model, model.fingerprint):
        raise IndexFileError(f"The migration of {store.path} was cancelled meanwhile.")
    return migration


# --- the first run ---------------------------------------------------------------------------


def _begin(
    store: Store, model: SearchModel, report: MigrationReport, questions: Sequence[str]
) -> MigrationReport:
    """Embed a sample, fit the map, measure the loss, and write all that in one transaction."""
    old, new = store.fingerprint, model.fingerprint
    encoding, kind = store.settings.encoding, Similarity(new.similarity)
    with store.reading() as database:
        ids = _sample(missing_ids(database, VECTORS))
        texts = _read_texts(database, VECTORS, ids)
        before = vectors_of(
            database, ids, old.width, encoding, unit=old.similarity == Similarity.COSINE
        )
    made = np.empty((0, new.width), np.float32)
    if ids:
        made = model.encode_documents(list(texts.values()))
    blobs = encode_rows(made, encoding)
    losses: list[Loss] = []
    if len(ids) < _FEWEST:
        alignment = Alignment(np.zeros((1 + old.width, new.width)), unit=False)
    else:
        found = fit(before, made, kind)
        alignment = found.alignment
        method = f"{found.method}, mean cosine {found.cosine:.3f} with {len(ids)} new vectors"
        report = replace(report, method=method)
        sample = EmbeddedSample(np.array(ids), list(texts.values()), made, found.predicted)
        losses = _measure(store, model, sample, questions)
    with store.writing() as database:
        generations.begin(store, new, alignment)
        store.put_fact(LOSSES, to_json(losses))
        put_migrated(database, VECTORS, ids, blobs)
    return replace(report, embedded=len(ids))


def _sample(ids: list[int]) -> list[int]:
    """Return up to SAMPLE of the ids, spread at random, ascending."""
    chosen = np.random.default_rng(0).permutation(len(ids))[:SAMPLE]
    return [ids[i] for i in sorted(chosen.tolist())]


def _measure(
    store: Store, model: SearchModel, sample: EmbeddedSample, questions: Sequence[str]
) -> list[Loss]:
    """Measure the loss with a user's questions, or with sentences of the sample."""
    asked, sources = list(questions), None
    if not asked:
        found = [(i, choose_sentence(text)) for i, text in enumerate(sample.texts)]
        pairs = [(i, sentence) for i, sentence in found if sentence]
        pairs = pairs[:: max(1, len(pairs) // QUESTIONS)][:QUESTIONS]
        asked, sources = [sentence for _, sentence in pairs], [i for i, _ in pairs]
    if not asked:
        return []
    kind = Similarity(model.fingerprint.similarity)
    return measure_losses(store, sample, asked, model.encode_queries(asked), kind, sources)


def _read_losses(store: Store) -> tuple[Loss, ...]:
    return from_json(store.fact(LOSSES) or "[]", tuple[Loss, ...], LOSSES)


def _check_can_be_migrated(store: Store, model: SearchModel) -> None:
    """Check that a file is whole, and that the new model can make all of its vectors.

    Raises:
        IndexFileError: It is damaged, or holds vectors of another program.
        InputError: A text is too long for the model.
    """
    if faults := store.check():
        raise IndexFileError(
            f"{store.path} is damaged: {faults[0]}. Let `minnow index` repair it with the bundle "
            f"of {store.fingerprint.shown}, then migrate it."
        )
    with store.reading() as database:
        for name in unknown_tables(database):
            if database.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone():  # noqa: S608
                raise IndexFileError(
                    f"{store.path} holds rows in the table {name!r}, and minnow cannot tell "
                    "whether they are vectors. Index again into another file."
                )
        rows = database.execute(_RECORDS)
        given = [source for source, digest, text in rows if digest_of(text.encode()) != digest]
        if given:
            raise IndexFileError(
                f"The vector of the record {given[0]} in {store.path} came from a program, and no "
                "model can make it again. Remove such records, migrate, and put them again."
            )
        for table in vector_tables(database):
            ids = missing_ids(database, table)
            for start in range(0, len(ids), _AT_A_TIME):
                texts = _read_texts(database, table, ids[start : start + _AT_A_TIME])
                if found := find_too_long(model, list(texts.values())):
                    raise InputError(
                        f"A text in {store.path} has {found[1]} tokens, and "
                        f"{model.fingerprint.shown} takes {model.room}: "
                        f"{list(texts.values())[found[0]][:60]!r}. Index again into another file."
                    )


# --- rows ------------------------------------------------------------------------------------


def _count(store: Store) -> int:
    """Return the number of chunks and memories."""
    with store.reading() as database:
        counts = [
            database.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]  # noqa: S608
            for table in vector_tables(database)
        ]
    return sum(counts)


def _read_texts(
    database: sqlite3.Connection, table: CheckedTable, ids: list[int]
) -> dict[int, str]:
    """Return the texts that the vectors of a table were made of, by id, ascending."""
    texts = next(t for t in checked_tables(database) if t.name == table.texts)
    condition = "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    rows = read_checked(database, texts, condition, (json.dumps(ids),)).fetchall()
    check_rows(database, texts, rows)
    at = texts.columns.index("text")
    return {row[0]: row[at] for row in rows}
