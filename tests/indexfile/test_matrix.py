"""Exact search, against a plain second implementation."""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.errors import IndexFileError
from minnow.indexfile.documents import VECTORS
from minnow.indexfile.encodings import encode_rows
from minnow.indexfile.matrix import Matrix, best
from minnow.vectors import Similarity, VectorEncoding, similarity

F16 = VectorEncoding.FLOAT16
WIDTH = 6


def table(rows: dict[int, np.ndarray]) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB, checksum INTEGER)")
    put(database, rows)
    return database


def put(database: sqlite3.Connection, rows: dict[int, np.ndarray]) -> None:
    for id_, vector in rows.items():
        (blob,) = encode_rows(vector[None], F16)
        row = (id_, blob)
        database.execute("INSERT INTO vectors VALUES (?, ?, ?)", (*row, VECTORS.checksum(row)))


def vectors(ids: list[int], seed: int = 0) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(seed)
    made = generator.normal(size=(len(ids), WIDTH)).astype(np.float16).astype(np.float32)
    return dict(zip(ids, made, strict=True))


def matrix_of(rows: dict[int, np.ndarray]) -> Matrix:
    matrix = Matrix(VECTORS, WIDTH, F16, unit=False)
    matrix.refresh(table(rows), np.array(sorted(rows), np.int64))
    return matrix


@given(st.lists(st.integers(0, 5)), st.integers(1, 8))
def test_the_best_are_a_stable_sort(scores: list[int], count: int) -> None:
    ids = np.arange(len(scores)) * 3
    found = best(ids, np.array(scores, float), count)
    expected = sorted(zip(scores, ids.tolist(), strict=True), key=lambda row: (-row[0], row[1]))
    assert list(zip(found.scores, found.ids, strict=True)) == expected[:count]


def test_what_is_not_allowed_is_not_found() -> None:
    found = best(np.arange(3), np.array([1.0, -np.inf, 2.0]), 3)
    assert found.ids.tolist() == [2, 0]


@pytest.mark.parametrize("kind", list(Similarity))
@pytest.mark.parametrize("share", [None, 0.05, 0.5, 0.0])
def test_it_finds_what_comparing_with_all_finds(kind: Similarity, share: float | None) -> None:
    rows = vectors(list(range(5, 405, 2)))
    if kind is Similarity.COSINE:
        rows = {id_: v / np.linalg.norm(v) for id_, v in rows.items()}
    matrix = matrix_of(rows)
    queries = np.random.default_rng(9).normal(size=(3, WIDTH)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    allowed = None if share is None else np.array(sorted(rows)[: int(share * len(rows))], np.int64)
    found = matrix.search(queries, 7, kind, allowed)
    for query, ranking in zip(queries, found, strict=True):
        ids = sorted(rows) if allowed is None else allowed.tolist()
        compared = Similarity.DOT if kind is Similarity.COSINE else kind  # all have length 1
        there = [similarity(query, matrix.columns.T[matrix.ids == i], compared) for i in ids]
        scores = {i: float(score[0, 0]) for i, score in zip(ids, there, strict=True)}
        expected = sorted(ids, key=lambda i: -scores[i])[:7]
        assert ranking.ids.tolist() == expected
        assert np.allclose(ranking.scores, [scores[i] for i in expected], atol=1e-5)
        assert np.allclose(matrix.scores(query, ranking.ids, kind), ranking.scores, atol=1e-5)


def test_scores_of_rows_that_are_not_there() -> None:
    matrix = matrix_of(vectors([2, 4]))
    query = np.ones(WIDTH, np.float32)
    scores = matrix.scores(query, np.arange(1, 6), Similarity.DOT)
    assert np.isfinite(scores).tolist() == [False, True, False, True, False]
    assert not np.isfinite(matrix_of({}).scores(query, np.array([1]), Similarity.DOT)).any()


def test_an_empty_table() -> None:
    (found,) = matrix_of({}).search(np.ones((1, WIDTH), np.float32), 3, Similarity.DOT)
    assert found.ids.tolist() == []


@given(st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=5))
def test_it_follows_what_is_written(dropped: list[set[int]]) -> None:
    """Each round drops some rows and adds some with larger ids; only new ones are read."""
    there: dict[int, np.ndarray] = {}
    database, matrix, last = table({}), Matrix(VECTORS, WIDTH, F16, unit=False), 0
    for round_, drop in enumerate(dropped):
        for id_ in drop & there.keys():
            database.execute("DELETE FROM vectors WHERE id = ?", (id_,))
            del there[id_]
        new = vectors([last + 1, last + 3], seed=round_)
        put(database, new)
        there, last = {**there, **new}, last + 3
        matrix.refresh(database, np.array(sorted(there), np.int64))
        assert matrix.ids.tolist() == sorted(there)
        assert np.array_equal(matrix.columns.T, [there[id_] for id_ in sorted(there)])


@pytest.mark.parametrize("ids", [[1], [1, 2, 3]])
def test_rows_that_are_missing_are_damage(ids: list[int]) -> None:
    matrix = Matrix(VECTORS, WIDTH, F16, unit=False)
    with pytest.raises(IndexFileError, match="damaged"):
        matrix.refresh(table(vectors([1, 2])), np.array(ids, np.int64))


def test_nothing_is_read_where_nothing_changed() -> None:
    matrix = matrix_of(vectors([1, 2]))
    none: Any = None
    matrix.refresh(none, np.array([1, 2], np.int64))
