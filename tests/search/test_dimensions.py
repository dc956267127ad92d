"""Indexes that keep the first numbers of vectors: refused where that loses, alike for questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.searching import FINGERPRINT, FakeModel, run_index, write_documents

from minnow.datasets import Dataset
from minnow.errors import IndexFileError, InputError
from minnow.indexfile import truncated as truncated_module
from minnow.indexfile.truncated import TruncatedModel, _mean_ndcg, check_dimension
from minnow.memory import Memory
from minnow.search import Collection, Index, Record, open_store
from minnow.vectors import normalize

if TYPE_CHECKING:
    from pathlib import Path

DIM = 10
WORDS = "red green blue one two three fish river boat sleep".split()  # noqa: SIM905
DATA = Dataset(
    "words",
    {f"d{i}": f"{a} {b} {i}" for i, (a, b) in enumerate((a, b) for a in WORDS for b in WORDS)},
    {f"q{i}": f"{a} {WORDS[0]}" for i, a in enumerate(WORDS)},
    {f"q{i}": {f"d{10 * i}": 2, f"d{i}": 1} for i in range(10)},
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(truncated_module, "LARGEST_LOSS", 1.0)
    monkeypatch.setattr("minnow.datasets.builtin.builtin_dataset", lambda: DATA)
    docs = write_documents(tmp_path / "docs", {f"{word}.txt": f"{word} fish" for word in WORDS})
    run_index(tmp_path / "a.index", docs, dim=DIM)
    return tmp_path / "a.index"


def test_vectors_are_truncated_and_have_length_1(file: Path) -> None:
    model = FakeModel()
    with Index(open_store(file), model) as index:
        (hit,) = index.search("river fish", 1, mode="vector")
        stored = index.vectors([hit.id])[0]
        assert index.fingerprint.width == DIM
        assert index.fingerprint.truncated_from == FINGERPRINT.width
    expected = normalize(model.encode_documents(["river fish"])[:, :DIM])[0]
    assert np.allclose(stored, expected, atol=1e-3)
    assert (hit.text, round(hit.score, 3)) == ("river fish", 1.0)


def test_other_faces_of_a_file_truncate_alike(file: Path) -> None:
    with Collection(file, FakeModel(), "songs") as songs:
        songs.put([Record("1", "the boat sank")])
        (hit,) = songs.search("the boat sank", 1, mode="vector")
        assert (songs.id_of(hit), round(hit.score, 3)) == ("1", 1.0)
    with Memory(open_store(file, writable=True), FakeModel()) as memory:
        memory.remember("the river is red")
        assert memory.recall("the river is red", 1)[0].similarity > 0.99
    report = run_index(file, file.parent / "docs")
    assert (report.unchanged, report.embedded) == (len(WORDS), 0)
    with Index(open_store(file)) as index:
        assert index.check() == []


def test_a_file_keeps_its_dimension(file: Path) -> None:
    with pytest.raises(IndexFileError, match="the length of vectors"):
        run_index(file, file.parent / "docs", dim=DIM + 1)
    with pytest.raises(InputError, match="should be 1 to 23"):
        run_index(file, file.parent / "docs", dim=9999)
    run_index(file, file.parent / "docs", dim=DIM)
    run_index(file, file.parent / "docs", dim=FINGERPRINT.width, rebuild=True)
    with Index(open_store(file), FakeModel()) as index:
        assert index.fingerprint.truncated_from is None


def test_another_model_is_refused_by_name(file: Path) -> None:
    with pytest.raises(IndexFileError, match="the weights"):
        Index(open_store(file), FakeModel(weights_sha256="c" * 64))


def test_a_dimension_that_loses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"nDCG@10 0\.\d+ instead of .* \d+ would do"):
        check_dimension(FakeModel(), 1, DATA)
    docs = write_documents(tmp_path / "docs")
    monkeypatch.setattr("minnow.datasets.builtin.builtin_dataset", lambda: DATA)
    with pytest.raises(InputError, match="With the first 2 of 24 numbers"):
        run_index(tmp_path / "a.index", docs, dim=2)
    assert not (tmp_path / "a.index").exists()


def test_a_model_without_room_for_a_document_is_refused() -> None:
    model = FakeModel()
    model.room = 1
    with pytest.raises(InputError, match="has room for 1 tokens, too few"):
        check_dimension(model, 12, DATA)


def test_the_figures_are_those_of_ir_measures() -> None:
    ir_measures = pytest.importorskip("ir_measures")
    model = FakeModel()
    enough = next(dim for dim in range(12, 24) if not _loses(model, dim))
    whole, kept = check_dimension(model, enough, DATA)
    for given, dim in ((whole, 24), (kept, enough)):
        cut = model if dim == 24 else TruncatedModel(model, dim)
        documents = cut.encode_documents(list(DATA.documents.values()))
        scores = cut.encode_queries(list(DATA.queries.values())) @ documents.T
        run = [
            ir_measures.ScoredDoc(query, name, float(score))
            for query, row in zip(DATA.queries, scores, strict=True)
            for name, score in zip(DATA.documents, row, strict=True)
        ]
        judged = [
            ir_measures.Qrel(q, d, gain) for q, of in DATA.qrels.items() for d, gain in of.items()
        ]
        measure = ir_measures.nDCG @ 10
        assert given == pytest.approx(ir_measures.calc_aggregate([measure], judged, run)[measure])


def _loses(model: FakeModel, dim: int) -> bool:
    try:
        check_dimension(model, dim, DATA)
    except InputError:
        return True
    return False


def test_ndcg_of_a_perfect_and_an_empty_ranking() -> None:
    gains = np.array([[0, 2, 1] + [0] * 20])
    assert _mean_ndcg(np.array([[0, 9, 8] + [1] * 20], np.float32), gains) == 1
    assert _mean_ndcg(np.array([[9, 0, 0] + [1] * 20], np.float32), gains) == 0


@pytest.mark.parametrize("dim", [0, -1, 24, 25])
def test_a_dimension_out_of_range(dim: int) -> None:
    with pytest.raises(InputError, match="should be 1 to 23"):
        check_dimension(FakeModel(), dim)


@pytest.mark.parametrize("similarity", ["dot", "euclidean"])
def test_other_similarities_are_refused(similarity: str) -> None:
    with pytest.raises(InputError, match="needs a model with similarity cosine"):
        check_dimension(FakeModel(similarity=similarity), 12)
