"""The vectors of an index's chunks, and the nearest of them to a question's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import IndexFileError, InputError
from minnow.indexfile.codes import has_codes
from minnow.indexfile.documents import VECTORS
from minnow.indexfile.generations import find_migration, missing_ids, read_alignment
from minnow.indexfile.matrix import Matrix, Ranking, best, exact_scores, read_vectors
from minnow.indexfile.mixed import MixedMatrix
from minnow.search.binary import CodeMatrix, count_to_compare
from minnow.search.chunk_ids import chunk_ids, vectors_of
from minnow.search.sidecar import LARGE, build_sidecar, open_sidecar
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.fingerprint import Fingerprint
    from minnow.indexfile.generations import Migration
    from minnow.indexfile.store import Store
    from minnow.options import SidecarUse
    from minnow.search.sidecar import Sidecar


class ChunkVectors:
    """The vectors of a file's chunks: in memory, or behind codes or a sidecar. It follows the file.

    Every method is called within a transaction that reads.

    Attributes:
        matrix: The vectors that are in memory.
    """

    def __init__(
        self,
        store: Store,
        fingerprint: Fingerprint,
        migration: Migration | None,
        sidecar: SidecarUse,
    ) -> None:
        """Take over what `Index` opened; nothing is read yet."""
        self._store, self._migration, self._use = store, migration, sidecar
        self._width = fingerprint.width
        self._encoding = store.settings.encoding
        self._kind = Similarity(fingerprint.similarity)
        self._unit = self._kind is Similarity.COSINE
        self.matrix = self._new_matrix()
        self._codes = CodeMatrix(self._width, self._encoding)
        self._ids: Ids = np.empty(0, np.int64)
        self._sidecar: Sidecar | None = None
        self._seen = -1
        self._warned = False

    def _new_matrix(self) -> Matrix:
        """Return the matrix of the file's vectors; in a migration, of those of the new model."""
        old, migration = self._store.fingerprint, self._migration
        unit = old.similarity == Similarity.COSINE
        if migration is None:
            return Matrix(VECTORS, old.width, self._encoding, unit=unit)
        new = migration.model
        return MixedMatrix(
            VECTORS,
            (old.width, new.width),
            self._encoding,
            read_alignment(self._store, migration),
            units=(unit, new.similarity == Similarity.COSINE),
        )

    def of(self, ids: Sequence[int]) -> Floats:
        """Return the vectors of some chunks: float32 of shape (ids, width).

        Raises:
            InputError: A migration has not made all of them yet.
        """
        if self._migration is not None:
            raise InputError(
                f"{self._store.path} is being migrated and does not have all vectors of the new "
                "model yet. Finish with `minnow index migrate`."
            )
        database = self._store.database
        return vectors_of(database, ids, self._width, self._encoding, unit=self._unit)

    def build_sidecar(self, dtype: str, progress: Callable[[int], None]) -> bool:
        """Write the sidecar, unless it is current; return whether there is one."""
        database = self._store.database
        ids = chunk_ids(database)
        if open_sidecar(self._store, ids, self._width, self._kind) is not None:
            return True
        made = build_sidecar(
            self._store,
            ids,
            lambda: read_vectors(
                database, VECTORS, -1, self._width, self._encoding, unit=self._unit
            ),
            self._width,
            self._kind,
            dtype=dtype,
            progress=progress,
        )
        self._seen = -1
        return made

    def _refresh(self) -> None:
        """Read what was written since the last search."""
        changes = self._store.changes
        if changes == self._seen:
            return
        if self._migration is not None and find_migration(self._store) != self._migration:
            raise IndexFileError(
                f"The migration of {self._store.path} was cancelled meanwhile. Open it again."
            )
        self._ids = chunk_ids(self._store.database)
        if self._migration is not None and not self._warned:
            self._warned = True
            missing = len(missing_ids(self._store.database, VECTORS))
            warnings.warn(
                f"{self._store.path} is being migrated: vectors of {missing} of its "
                f"{len(self._ids)} chunks are predicted until `minnow index migrate` is done.",
                stacklevel=2,
            )
        self._sidecar = self._find_sidecar()
        self._seen = changes

    def _find_sidecar(self) -> Sidecar | None:
        if self._use in ("never", "codes") or (self._use == "auto" and not self._is_large):
            return None
        sidecar = (
            None
            if self._migration
            else open_sidecar(self._store, self._ids, self._width, self._kind)
        )
        needed = self._use == "always" or not has_codes(self._store.fingerprint)
        if sidecar is None and needed and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._store.path} has no sidecar of its present state that can be used: search "
                "is slower. `minnow index` with `sidecar=always` makes one; it needs "
                "pip install 'minnow-embed[search-large]'.",
                stacklevel=2,
            )
        return sidecar

    @property
    def _is_large(self) -> bool:
        return len(self._ids) >= LARGE

    def _load_codes(self) -> bool:
        """Return whether codes are to be used, and bring them up to date if so."""
        if self._use == "never" or self._migration or not has_codes(self._store.fingerprint):
            return False
        if self._use != "codes" and not self._is_large:
            return False
        return self._codes.refresh(self._store.database, self._ids)

    def nearest(self, vectors: Floats, count: int, allowed: Ids | None) -> list[Ranking]:
        """Find the nearest chunks; with codes or a sidecar nearly all of them."""
        self._refresh()
        if self._sidecar is not None and allowed is None:
            chosen = [self._sidecar.candidates(vector, count) for vector in vectors]
            pairs = zip(vectors, chosen, strict=True)
            return [best(ids, self.nearness(vector, ids), count) for vector, ids in pairs]
        if self._load_codes():
            return [self._nearest_by_codes(vector, count, allowed) for vector in vectors]
        self.matrix.refresh(self._store.database, self._ids)
        return self.matrix.search(vectors, count, self._kind, allowed)

    def _nearest_by_codes(self, vector: Floats, count: int, allowed: Ids | None) -> Ranking:
        """Compare candidates, the best first, until no other is likely to be a hit."""
        ids, sums = self._codes.candidates(vector, count, allowed)
        scores = np.empty(0)
        while (enough := count_to_compare(sums, scores, count)) > len(scores):
            more = self.nearness(vector, ids[len(scores) : enough])
            scores = np.concatenate([scores, more])
        return best(ids[: len(scores)], scores, count)

    def nearness(self, vector: Floats, ids: Ids) -> NDArray[np.float64]:
        """Compare with some chunks; read from the file where not all vectors are in memory."""
        if len(self.matrix.ids) == len(self._ids):
            return self.matrix.scores(vector, ids, self._kind)
        return exact_scores(vector, self.of(ids.tolist()).T, self._kind)
