"""Index files made of finished vectors."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.corpora import MNN

from minnow import Embedder
from minnow.errors import IndexFileError, InputError, OutputError
from minnow.indexfile.truncated import truncate
from minnow.recipe import RECIPES
from minnow.search import Index, ShardedIndex, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import BundleStore, Tiny

    from minnow.cluster import Job

parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.extra("convert", "parquet")


def sources(index: Index | ShardedIndex, **options: object) -> list[str]:
    hits = index.search("fish sea", 40, **options)  # type: ignore[arg-type]
    return [hit.source.rpartition("#")[2] for hit in hits]


class TestOneFile:
    def test_the_rows_are_found_by_the_vectors_of_the_files(
        self, vectors: Path, made: Tiny, tmp_path: Path
    ) -> None:
        from minnow.cluster.indexing import index_vectors

        report = index_vectors(vectors, tmp_path / "docs.index")
        assert (report.files, report.rows, report.added, report.errors) == (
            [tmp_path / "docs.index"], 39, 39, 1,
        )  # fmt: skip
        with closing(open_store(tmp_path / "docs.index")) as store:
            assert store.check() == []
        with Index.open(tmp_path / "docs.index", made.bundle, MNN) as index:
            hits = index.search("fish sea", 39, mode="vector")
            table = parquet.read_table(vectors)
            rows = dict(zip(table["id"].to_pylist(), table["embedding"].to_pylist(), strict=True))
            query = index._embed(["fish sea"])[0]
            for hit in hits:
                vector = np.array(rows[hit.source.rpartition("#")[2]])
                cosine = vector @ query / np.linalg.norm(vector)
                assert hit.score == pytest.approx(cosine, abs=1e-3)  # float16
            assert len(hits) == 39
            assert "d3" not in sources(index)
            assert hits[0].metadata == {"lang": "en"}
            assert len(index.search("fish", 5, mode="keyword")) == 5

    def test_a_second_run_adds_nothing_and_follows_the_folder(
        self, vectors: Path, tmp_path: Path
    ) -> None:
        from minnow.cluster.indexing import index_vectors

        shutil.copytree(vectors, tmp_path / "vectors")
        index_vectors(tmp_path / "vectors", tmp_path / "docs.index")
        again = index_vectors(tmp_path / "vectors", tmp_path / "docs.index")
        assert (again.rows, again.added, again.removed) == (39, 0, 0)
        sorted((tmp_path / "vectors").glob("*.parquet"))[-1].unlink()
        less = index_vectors(tmp_path / "vectors", tmp_path / "docs.index")
        assert (less.rows, less.added, less.removed) == (29, 0, 10)
        back = index_vectors(vectors, tmp_path / "docs.index")
        assert (back.rows, back.added, back.removed) == (39, 10, 0)

    def test_another_model_is_refused(
        self, vectors: Path, bundle_store: BundleStore, tmp_path: Path
    ) -> None:
        from minnow.cluster.indexing import index_vectors

        other = bundle_store.bundle(RECIPES["fp16"], pooling="mean")  # without prompts
        with pytest.raises(IndexFileError, match="was made with another model"):
            index_vectors(vectors, tmp_path / "docs.index", bundle=other.folder)
        assert not (tmp_path / "docs.index").exists()

    def test_vectors_of_questions_are_refused(self, made: Tiny, tmp_path: Path) -> None:
        import pyarrow as pa

        from minnow.cluster import Job, embed_folder
        from minnow.cluster.indexing import index_vectors

        parquet.write_table(pa.table({"text": ["fish"]}), tmp_path / "a.parquet")
        job = Job.embedding(made.bundle.folder, role="query", options=MNN)
        embed_folder(tmp_path / "a.parquet", tmp_path / "out", job)
        with pytest.raises(IndexFileError, match="cannot compare with questions"):
            index_vectors(tmp_path / "out", tmp_path / "docs.index")

    def test_an_id_twice_is_refused(self, job: Job, tmp_path: Path) -> None:
        import pyarrow as pa

        from minnow.cluster import embed_folder
        from minnow.cluster.indexing import index_vectors

        table = pa.table({"id": [1, 2, 1], "text": ["fish", "ship", "keel"]})
        parquet.write_table(table, tmp_path / "a.parquet")
        embed_folder(tmp_path / "a.parquet", tmp_path / "out", job, rows=2)
        with pytest.raises(InputError, match="has the id 1 once more"):
            index_vectors(tmp_path / "out", tmp_path / "docs.index")


class TestTruncated:
    """Vectors of which the index keeps the first numbers; random weights find little anyway."""

    @pytest.fixture(autouse=True)
    def measured(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        from minnow.cluster import indexing

        sizes: list[int] = []
        monkeypatch.setattr(indexing, "check_dimension", lambda model, dim: sizes.append(dim))
        return sizes

    def test_they_are_searched_with_the_whole_model(
        self, vectors: Path, made: Tiny, tmp_path: Path, measured: list[int]
    ) -> None:
        from minnow.cluster import Job, embed_folder
        from minnow.cluster.indexing import index_vectors

        bundle = made.bundle.folder
        job = Job.embedding(bundle, truncate_dim=16, options=MNN)
        rows = parquet.read_table(vectors, columns=["id", "text", "lang"])
        parquet.write_table(rows, tmp_path / "rows.parquet")
        embed_folder(tmp_path / "rows.parquet", tmp_path / "cut", job)
        index_vectors(tmp_path / "cut", tmp_path / "cut.index", bundle=bundle)
        index_vectors(vectors, tmp_path / "whole.index", bundle=bundle, dim=16)
        found = []
        for name in ("cut", "whole"):
            with Index.open(tmp_path / f"{name}.index", bundle, MNN) as index:
                hits = index.search("fish sea", 39, mode="vector")
                found.append({hit.source.rpartition("#")[2]: hit.score for hit in hits})
        with Embedder.open(bundle, MNN) as embedder:
            query = truncate(embedder.encode_query(["fish sea"]), 16)[0]
        table = parquet.read_table(vectors)
        own = truncate(np.array(table["embedding"].to_pylist(), np.float32), 16) @ query
        expected = dict(zip(table["id"].to_pylist(), own, strict=True))
        assert found[0].keys() == found[1].keys() == expected.keys() - {"d3"}
        for scores in found:
            assert scores == pytest.approx({key: expected[key] for key in scores}, abs=1e-3)
        again = index_vectors(tmp_path / "cut", tmp_path / "cut.index")
        assert (again.rows, again.added, measured) == (39, 0, [16, 16])

    @pytest.mark.parametrize(
        ("dim", "message"),
        [(16, "Name the model with `bundle=`"), (64, "`dim=` should be at most 32")],
    )
    def test_what_is_refused(self, vectors: Path, tmp_path: Path, dim: int, message: str) -> None:
        from minnow.cluster.indexing import index_vectors

        with pytest.raises(InputError, match=message):
            index_vectors(vectors, tmp_path / "docs.index", dim=dim)
        assert not (tmp_path / "docs.index").exists()


class TestShards:
    def test_several_files_are_searched_as_one(
        self, vectors: Path, made: Tiny, tmp_path: Path
    ) -> None:
        from minnow.cluster.indexing import index_vectors

        index_vectors(vectors, tmp_path / "whole.index")
        report = index_vectors(vectors, tmp_path / "docs", shard_rows=20)
        assert [path.name for path in report.files] == ["00000.index", "00001.index"]
        with (
            Index.open(tmp_path / "whole.index", made.bundle, MNN) as whole,
            Index.open(report.files, made.bundle, MNN) as shards,
        ):
            assert isinstance(shards, ShardedIndex)
            assert len(shards) == len(whole) == 39
            scores = [
                [hit.score for hit in index.search("fish sea", 10, mode="vector")]
                for index in (whole, shards)
            ]
        assert scores[0] == pytest.approx(scores[1])
        again = index_vectors(vectors, tmp_path / "docs", shard_rows=20)
        assert (again.added, again.removed) == (0, 0)

    def test_a_folder_with_other_shards_is_left_alone(self, vectors: Path, tmp_path: Path) -> None:
        from minnow.cluster.indexing import index_vectors

        index_vectors(vectors, tmp_path / "docs", shard_rows=10)
        with pytest.raises(OutputError, match=r"has 00002\.index, of which these 2 files"):
            index_vectors(vectors, tmp_path / "docs", shard_rows=20)
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="is a file, and 2 index files need a folder"):
            index_vectors(vectors, tmp_path / "file", shard_rows=20)
