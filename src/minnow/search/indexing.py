"""Indexing of files: changed ones are embedded, deleted ones removed, broken ones reported.

A file's name in the index is its path as the caller gave it, or the directory's path joined with
its place there. Only its SHA-256 says whether it changed: to hash takes a thousandth of the time of
embedding, and modification times are unreliable (copies, checkouts, two writes within a tick).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.chunks import Chunk, Splitter
from minnow.chunks.split import StoredChunks
from minnow.engines.bulk import ENOUGH
from minnow.errors import InputError, MissingExtraError, OutputError
from minnow.files import open_regular
from minnow.indexfile.generations import check_model
from minnow.indexfile.opening import make_store
from minnow.indexfile.rebuild import rebuild as rebuild_store
from minnow.indexfile.settings import DEFAULT_TOKENS, READERS, IndexSettings, to_json
from minnow.indexfile.truncated import TruncatedModel, adapted, check_dimension
from minnow.options import BATCH_SIZE
from minnow.resources import require_memory
from minnow.search.binary import tidy_codes
from minnow.search.indexing_report import IndexingReport, IndexingState, Progress
from minnow.search.paths import find_files, find_lost, is_under
from minnow.search.reading import documents_of, work_ahead
from minnow.search.repair import check_repaired, repair
from minnow.search.sidecar import sidecar_path
from minnow.search.staging import LostVectorError, Staging, drop_abandoned
from minnow.search.writer import Entry, Writer, batches
from minnow.vectors import VectorEncoding
from minnow.workfolder import clear_leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minnow.chunks import Document
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store
    from minnow.search.reading import FoundDocument

_BATCH, _LARGEST_BATCH = ENOUGH * BATCH_SIZE, 2048
"""Chunks that are embedded together; documents with that many chunks are one transaction. The first
batch is as large as the engine for bulk work asks for. While a batch takes less than `_QUICK`
seconds, the next one has twice as many: few and large batches keep every core at work, and a
process that is killed still loses seconds only."""

_QUICK = 8.0

_MEMORY_PER_BYTE = 12
"""Bytes of memory for each byte of a file, at the peak: the bytes, and its text twice, of which one
character outside of Unicode's first plane makes Python take four bytes for each. Texts of one byte
a character take four in all (docs/benchmarks.md)."""

_LONG = 2048
"""A document with more chunks is embedded in parts, whose vectors are saved meanwhile."""

_ATTEMPTS = 3


def open_index(
    file: Path,
    model: SearchModel,
    *,
    max_tokens: int | None = None,
    overlap: int | None = None,
    encoding: VectorEncoding | None = None,
    dim: int | None = None,
    rebuild: bool = False,
) -> Store:
    """Open an index for adding documents, or make it.

    Args:
        file: The index file.
        model: The model that makes its vectors.
        max_tokens: The longest chunk, special tokens and headings included; by default that of
            the file, else 256, or what the model has room for.
        overlap: About how many tokens of the chunk before to repeat; by default the file's, else 0.
        encoding: How to store vectors; by default the file's, else float16.
        dim: How many numbers of each vector to keep, the first; by default as many as the file
            has, else all. For a new file it is measured that they suffice; see
            `minnow.indexfile.truncated`.
        rebuild: Whether to drop what was read from files first, so that settings and model may
            change. What programs put in stays; if there is any, model and encoding may not change.

    Raises:
        InputError: The model has no room for such chunks, or needs more numbers than `dim`.
        IndexFileError: The file is something else, of another model, or has other settings.
        OutputError: It cannot be written.
    """
    most = DEFAULT_TOKENS if max_tokens is None else max_tokens
    if max_tokens is not None and max_tokens > model.room:
        raise InputError(
            f"Chunks of {max_tokens} tokens are too long for {model.fingerprint.shown}, which "
            f"takes {model.room} behind its prompt for documents."
        )
    fresh = IndexSettings(min(most, model.room), overlap or 0, encoding or VectorEncoding.FLOAT16)
    Splitter(model.tokenizer, max_tokens=fresh.max_tokens, overlap=fresh.overlap)
    if dim is not None and dim != model.fingerprint.width:
        if rebuild or not file.exists() or dim > model.fingerprint.width:
            check_dimension(model, dim)
        model = TruncatedModel(model, dim)
    store = make_store(file, model.fingerprint, fresh)
    try:
        old = store.settings
        if not rebuild:
            model = adapted(model, store.fingerprint)
        wanted = IndexSettings(
            fresh.max_tokens if max_tokens is not None else old.max_tokens,
            old.overlap if overlap is None else overlap,
            encoding or old.encoding,
        )
        if rebuild:
            rebuild_store(store, model.fingerprint, fresh)
            return store
        check_model(store, model.fingerprint)
        old.check_equal(wanted, str(file))
        if old.readers != READERS:
            with store.writing():
                Writer(store).mark_outdated()
                store.put_fact("settings", to_json(wanted))
    except BaseException:
        store.close()
        raise
    return store


def index_paths(
    paths: Sequence[Path],
    store: Store,
    model: SearchModel,
    *,
    progress: Progress = lambda _: None,
) -> IndexingReport:
    """Bring an index up to date with files and directories.

    Documents under these paths that no longer exist are removed; those from elsewhere stay. A run
    may be stopped at any moment: what is done is in the file, and the next run does the rest.
    Damage that can be repaired is repaired first (`minnow.search.repair`).

    Args:
        paths: Files and directories.
        store: The index, open for writing, made with the model.
        model: The model that makes the vectors.
        progress: Receives the state before each file, after each batch, and at the end.

    Raises:
        InputError: A path does not exist, or is no kind of document; nothing is done then.
        OutputError: The index cannot be written; what was done before is in it.
        IndexFileError: The index is damaged where no row can be made again.
        MissingExtraError: There is HTML or PDF, and the extra `index` is not installed.
    """
    found, model = find_files(paths), adapted(model, store.fingerprint)
    clear_leftovers(sidecar_path(Path(os.path.realpath(store.path))))
    repairs = repair(store, model)
    files, report = (
        found.files,
        IndexingReport(skipped=found.unreadable, ignored=found.ignored, repaired=repairs.embedded),
    )
    run = _Run(
        store, model, report, lambda: progress(IndexingState(name, done, len(files), report))
    )
    name, done = "", 0
    for done, name in enumerate(files):  # noqa: B007  `run` reports it
        run.report_progress()
        run.file(name, files[name])
    run.flush()
    lost = find_lost(run.writer.files(), found, paths)
    report.removed += sum(len(run.writer.documents(name)) for name in lost)
    if lost:
        run.writer.remove_files(lost)
    drop_abandoned(store)
    check_repaired(store, repairs)
    tidy_codes(store)
    name, done = "", len(files)
    run.report_progress()
    return report


def remove_paths(paths: Sequence[Path], store: Store) -> int:
    """Drop what was indexed from paths, whether they exist or not; return how many documents."""
    writer = Writer(store)
    names = [name for name in writer.files() if is_under(name, paths)]
    count = sum(len(writer.documents(name)) for name in names)
    writer.remove_files(names)
    return count


# --- a run -----------------------------------------------------------------------------------


@dataclass
class _Waiting:
    """A document that is split into chunks, but not yet in the index."""

    entry: Entry
    chunks: list[Chunk]
    known: dict[str, bytes]


def _check_size(path: Path, size: int) -> None:
    """Check that a file fits into memory: its bytes, its text, and what is made of that.

    Raises:
        InputError: It does not.
    """
    require_memory(
        size * _MEMORY_PER_BYTE,
        f"Reading its {size / 1e6:.0f} MB",
        "Divide the file.",
    )


_Digests = Mapping[str, bytes]
"""The digests of a file's documents, by name, as the index has them."""

_Read = tuple["Document", list[Chunk] | None]


class _Run:
    """One run: documents wait until there are enough chunks to embed together."""

    def __init__(
        self,
        store: Store,
        model: SearchModel,
        report: IndexingReport,
        report_progress: Callable[[], None],
    ) -> None:
        settings = store.settings
        self.report_progress = report_progress
        self._store, self.writer = store, Writer(store)
        self._model, self._report = model, report
        self._splitter = Splitter(
            model.tokenizer, max_tokens=settings.max_tokens, overlap=settings.overlap
        )
        self._waiting: list[_Waiting] = []
        self._waiting_chunks, self._batch = 0, _BATCH
        self._finished: list[tuple[str, bytes, list[str]]] = []

    def file(self, name: str, path: Path) -> None:
        """Bring one file up to date."""
        try:
            name.encode()
            with open_regular(path) as file:
                status = os.fstat(file.fileno())
                _check_size(path, status.st_size)
                content = file.read()
        except UnicodeEncodeError:
            self._report.skipped.append(f"{name!a}: the name is not valid Unicode")
            return
        except OSError as error:
            self._report.skipped.append(f"{name}: cannot be read ({error.strerror})")
            return
        except InputError as error:
            self._report.skipped.append(f"{name}: {error}")
            return
        sha256 = hashlib.sha256(content).digest()
        known = self.writer.documents(name)
        if self.writer.file_hash(name) == sha256:
            self._report.unchanged += len(known)
            return
        faults: list[str] = []
        names, broken = [], 0
        documents = documents_of(path, name, content, status.st_mtime, faults)
        for found, read in work_ahead(documents, partial(self._read, known)):
            names.append(found.entry.key.name)
            broken += not self._document(found.entry, read, known, faults)
        self._report.skipped += faults
        if faults:  # which of the older documents they were is not known
            names += known.keys() - set(names)
        self._report.removed += len(known.keys() - set(names))
        if len(names) > broken or known:
            self._finished.append((name, b"" if broken or faults else sha256, names))

    def _document(
        self, entry: Entry, read: Callable[[], _Read], digests: _Digests, faults: list[str]
    ) -> bool:
        """Bring one document up to date, and return whether it could be read.

        The list of faults receives a message for each part of it that could not. Then the document
        is read on every run, though it did not change, so that every run says what is missing.
        """
        digest = digests.get(entry.key.name)
        try:
            document, chunks = read()
        except MissingExtraError:
            raise
        except InputError as error:
            stays = "; its older state stays" if digest is not None else ""
            self._report.skipped.append(f"{entry.key}: {str(error).rstrip('.')}{stays}")
            return False
        faults += [f"{entry.key}: {problem}" for problem in document.problems]
        self._report.notes += [f"{entry.key}: {note}" for note in document.notes]
        if digest == entry.digest:
            self._report.unchanged += 1
            return True
        if digest is None:
            self._report.added += 1
        else:
            self._report.changed += 1
        if chunks is None:
            self.flush()
            self._long(entry, document)
            return True
        texts = self.writer.texts(entry.key) if digest is not None else {}
        self._waiting.append(_Waiting(entry, chunks, texts))
        self._waiting_chunks += max(1, len(chunks))
        if self._waiting_chunks >= self._batch:
            self.flush()
        return True

    def _read(self, digests: _Digests, found: FoundDocument) -> _Read:
        """Read a document, and divide it into chunks.

        The chunks are None if the document has not changed since it was indexed, or if they are
        more than `_LONG`, which `_long` divides again.
        """
        document, chunks = found.read(), []
        if found.entry.digest == digests.get(found.entry.key.name):
            return document, None
        for chunk in self._splitter.stream(document):
            chunks.append(chunk)
            if len(chunks) > _LONG:
                return document, None
        return document, chunks

    def flush(self) -> None:
        """Embed the waiting documents, and write them in one transaction."""
        missing = {
            chunk.text: b""
            for waiting in self._waiting
            for chunk in waiting.chunks
            if chunk.text not in waiting.known
        }
        started = time.monotonic()
        made = self._embed(list(missing))
        if len(missing) >= self._batch // 2 and time.monotonic() - started < _QUICK:
            self._batch = min(2 * self._batch, _LARGEST_BATCH)
        self._report.reused += sum(
            chunk.text in waiting.known for waiting in self._waiting for chunk in waiting.chunks
        )
        if self._waiting:
            self.writer.put(
                (
                    waiting.entry,
                    [(c, waiting.known.get(c.text) or made[c.text]) for c in waiting.chunks],
                )
                for waiting in self._waiting
            )
            self._waiting, self._waiting_chunks = [], 0
        for path, sha256, names in self._finished:
            self.writer.finish_file(path, sha256, names)
        self._finished = []

    def _long(self, entry: Entry, document: Document) -> None:
        """Embed a document in parts, save their vectors, and write the document at the end.

        It is divided before the transaction begins, because other processes wait no more than a
        minute for one. Where another run has dropped saved vectors, because it finished the same
        document, they are taken from there.
        """
        staging = Staging(self._store, self.writer, entry.key)
        chunks = StoredChunks(document, self._splitter.stream(document))
        for _ in range(_ATTEMPTS):
            staging.save_known()
            for texts in batches((chunk.text for chunk in chunks), self._batch):
                staging.save(self._embed(staging.missing(texts)))
            with suppress(LostVectorError):
                self.writer.put([(entry, staging.rows(chunks))])
                self._report.reused += staging.reused
                staging.drop()
                return
        raise OutputError(
            f"Vectors of {entry.key} were dropped by other runs, {_ATTEMPTS} times. Index it again "
            "while no other run does."
        )

    def _embed(self, texts: list[str]) -> dict[str, bytes]:
        """Embed texts in batches, and return the encoded vectors by text."""
        made: dict[str, bytes] = {}
        parts = max(1, round(len(texts) / self._batch))  # of equal size: no small rest at the end
        for batch in batches(texts, -(-len(texts) // parts) or 1):
            rows = self.writer.rows(self._model.encode_documents(batch))
            made.update(zip(batch, rows, strict=True))
            self._report.embedded += len(batch)
            self.report_progress()
        return made
