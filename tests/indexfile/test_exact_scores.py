"""Scores depend on two vectors alone, in batches of any size and order, with any BLAS kernel."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.programs import USUAL, answer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from minnow.indexfile.documents import VECTORS
from minnow.indexfile.encodings import encode_rows
from minnow.indexfile.matrix import Matrix, exact_scores, rounding
from minnow.search import VectorEncoding
from minnow.vectors import Similarity, normalize, similarity

if TYPE_CHECKING:
    from collections.abc import Iterable

CORES = {"Haswell": "avx2", "Zen": "avx2", "SkylakeX": "avx512f", "Nehalem": "sse4_2"}


def put_rows(database: sqlite3.Connection, rows: Iterable[tuple[int, bytes]]) -> None:
    """Write rows with their checksums."""
    checked = [(*row, VECTORS.checksum(row)) for row in rows]
    database.executemany("INSERT INTO vectors VALUES (?, ?, ?)", checked)


def matrix_with_ties(width: int, rows: int, *, unit: bool) -> Matrix:
    """Make a matrix in which vectors are repeated, exactly or but for one bit of one number."""
    generator = np.random.default_rng(width * rows)
    made = generator.normal(size=(max(1, rows // 4), width)).astype(np.float32)
    made = (normalize(made) if unit else made).astype(np.float16)
    made = np.concatenate([made] * 7)[:rows]
    for row in range(0, len(made), 3):
        made[row, row % width] = np.nextafter(made[row, row % width], np.float16(0))
    ids = np.arange(len(made), dtype=np.int64) * 3 + 1
    blobs = encode_rows(made.astype(np.float32), VectorEncoding.FLOAT16)
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB, checksum INTEGER)")
    put_rows(database, zip(ids.tolist(), blobs, strict=True))
    matrix = Matrix(VECTORS, width, VectorEncoding.FLOAT16, unit=unit)
    matrix.refresh(database, ids)
    database.close()
    return matrix


def check_promise(width: int, rows: int, kind: Similarity) -> None:
    """Compare searches of several shapes with each other, bit by bit, and with float64."""
    matrix = matrix_with_ties(width, rows, unit=kind is Similarity.COSINE)
    generator = np.random.default_rng(7)
    queries = normalize(generator.normal(size=(33, width)).astype(np.float32))
    queries[::4] = matrix.columns.T[generator.integers(0, len(matrix.ids), 9)]
    places = generator.permutation(len(matrix.ids))[: max(1, len(matrix.ids) // 2)]
    allowed = np.sort(matrix.ids[places])
    for some in (None, allowed, allowed[::7]):
        together = matrix.search(queries, 5, kind, some)
        for i, query in enumerate(queries):
            (alone,) = matrix.search(query[None], 5, kind, some)
            assert together[i].ids.tolist() == alone.ids.tolist()
            assert together[i].scores.tolist() == alone.scores.tolist()
            again = matrix.scores(query, alone.ids, kind)
            assert again.tolist() == alone.scores.tolist()
            assert matrix.scores(query, alone.ids[-1:], kind).tolist() == again[-1:].tolist()
            there = matrix.ids if some is None else some
            scores = exact_scores(query, matrix.columns[:, np.isin(matrix.ids, there)], kind)
            best = np.lexsort((there, -scores))[:5]
            assert alone.ids.tolist() == there[best].tolist()
            assert alone.scores.tolist() == scores[best].tolist()


@pytest.mark.parametrize("kind", list(Similarity))
@pytest.mark.parametrize("block", [1, 3, 64])
def test_blocks_change_no_score(
    kind: Similarity, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(block)
    columns = generator.normal(size=(33, 193)).astype(np.float32)
    places = generator.permutation(193)[:65]
    query = columns[:, 5] + np.float32(0.1)
    whole = exact_scores(query, columns, kind)
    monkeypatch.setattr("minnow.indexfile.matrix._COLUMNS_AT_A_TIME", block)
    assert exact_scores(query, columns, kind).tolist() == whole.tolist()
    assert exact_scores(query, columns, kind, places).tolist() == whole[places].tolist()


@pytest.mark.parametrize("kind", [Similarity.DOT, Similarity.EUCLIDEAN, Similarity.MANHATTAN])
def test_one_long_vector_among_many(kind: Similarity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rounding must not have all others compared exactly; deleting it resets the margin."""
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(4000, 24)).astype(np.float16)
    rows[2000:2003] = rows[1000]
    rows[7] = 60000
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB, checksum INTEGER)")
    blobs = encode_rows(rows.astype(np.float32), VectorEncoding.FLOAT16)
    put_rows(database, enumerate(blobs))
    matrix = Matrix(VECTORS, 24, VectorEncoding.FLOAT16, unit=False)
    ids = np.arange(4000)
    compared: list[int] = []

    def count(*arguments: Any) -> Any:
        compared.append(len(arguments[3]))
        return exact_scores(*arguments)

    monkeypatch.setattr("minnow.indexfile.matrix.exact_scores", count)
    for there in (ids, np.delete(ids, 7)):
        matrix.refresh(database, there)
        query = matrix.columns.T[there.tolist().index(1000)]
        (found,) = matrix.search(query[None], 6, kind)
        scores = exact_scores(query, matrix.columns, kind)
        best = np.lexsort((there, -scores))[:6]
        assert found.ids.tolist() == there[best].tolist()
        assert found.scores.tolist() == scores[best].tolist()
    assert max(compared) < 20


@pytest.mark.parametrize("kind", list(Similarity))
@pytest.mark.parametrize(("width", "rows"), [(24, 7), (24, 1), (384, 500), (1, 40)])
def test_hits_are_the_same_alone_and_among_others(width: int, rows: int, kind: Similarity) -> None:
    check_promise(width, rows, kind)


@pytest.mark.parametrize("core", CORES)
def test_hits_are_the_same_with_the_kernels_of_every_processor(
    core: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or CORES[core] not in cpu.read_text():
        pytest.skip(f"this processor lacks {CORES[core]}")
    script = (
        "from indexfile.test_exact_scores import check_promise\n"
        "from minnow.vectors import Similarity\n"
        "for kind in (Similarity.COSINE, Similarity.DOT):  # others do not use BLAS\n"
        "    for width, rows in ((24, 7), (24, 333), (384, 700)):\n"
        "        check_promise(width, rows, kind)\n"
    )
    monkeypatch.setitem(USUAL, "OPENBLAS_CORETYPE", core)
    answer_of(script)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(Similarity)), st.integers(1, 70), st.integers(1, 9000), st.data())
def test_a_score_does_not_depend_on_its_place(
    kind: Similarity, width: int, count: int, data: st.DataObject
) -> None:
    generator = np.random.default_rng(count)
    columns = generator.normal(size=(width, count)).astype(np.float32)
    query = generator.normal(size=width).astype(np.float32)
    scores = exact_scores(query, columns, kind)
    place = data.draw(st.integers(0, count - 1))
    start = data.draw(st.integers(0, place))
    assert exact_scores(query, columns[:, start:], kind)[place - start] == scores[place]
    assert exact_scores(query, columns[:, place : place + 1], kind)[0] == scores[place]
    backwards = np.asfortranarray(columns[:, ::-1])
    assert exact_scores(query, backwards, kind)[count - 1 - place] == scores[place]


@pytest.mark.parametrize("kind", list(Similarity))
def test_float32_is_within_the_bound_of_rounding(kind: Similarity) -> None:
    generator = np.random.default_rng(1)
    rows = normalize(generator.normal(size=(2000, 384)).astype(np.float32))
    query = normalize(generator.normal(size=(1, 384)).astype(np.float32))
    compared = Similarity.DOT if kind is Similarity.COSINE else kind
    rounded = similarity(query, rows, compared)[0]
    errors = np.abs(rounded - exact_scores(query[0], rows.T, kind))
    assert errors.max() <= rounding(query[0], 1.0001, kind)
