"""The function body that every engine runs, on Arrow tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.corpora import MNN

from minnow import Embedder, Reranker
from minnow.engines import EngineOptions
from minnow.errors import BundleError, EngineError, InputError, ParityError
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle
    from minnow.cluster import BlockRunner, Job
    from minnow.engines import TokenBatch

pa = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.extra("convert", "parquet")

TEXTS = ["fish", "how do fish sleep", "ships", "a fish " * 400, ""]


@pytest.fixture(scope="module")
def runner(job: Job) -> BlockRunner:
    from minnow.cluster import BlockRunner

    return BlockRunner(job)


class TestRows:
    def test_vectors_are_the_embedders(self, runner: BlockRunner, made: Tiny) -> None:
        found = runner(pa.table({"id": [5, 4, 3, 2, 1], "text": TEXTS}))
        with Embedder.open(made.bundle, MNN, on_truncate="ignore") as embedder:
            expected = embedder.encode_document(TEXTS)
        assert found["id"].to_pylist() == [5, 4, 3, 2, 1]
        assert found.schema.field("embedding").type == pa.list_(pa.float32(), embedder.width)
        np.testing.assert_allclose(found["embedding"].to_pylist(), expected, atol=1e-5)
        assert found["truncated"].to_pylist() == [False, False, False, True, False]
        assert found["error"].null_count == len(TEXTS)

    def test_a_bad_row_costs_only_itself(self, runner: BlockRunner) -> None:
        good = runner(pa.table({"text": ["fish", "ships"]}))
        broken = pa.Array.from_buffers(
            pa.string(), 3, [None, pa.py_buffer(np.array([0, 4, 6, 11], "<i4")),
                             pa.py_buffer(b"fish\xff\xfeships")],
        )  # fmt: skip
        found = runner(pa.table({"text": pa.chunked_array([["fish", None, "ships"], broken])}))
        assert found["error"].to_pylist() == [
            None, "The text is null.", None, None, "The text is not UTF-8 (byte 0).", None,
        ]  # fmt: skip
        vectors = np.array(found["embedding"].to_pylist(), np.float32)
        assert not vectors[[1, 4]].any()
        np.testing.assert_allclose(
            vectors[[0, 2, 3, 5]], 2 * good["embedding"].to_pylist(), atol=1e-5
        )

    def test_a_row_that_the_runtime_refuses_costs_only_itself(
        self, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from minnow.cluster import BlockRunner
        from minnow.engines.mnn import MnnEngine

        run = MnnEngine.run

        def refuse(engine: MnnEngine, batch: TokenBatch) -> Any:
            if batch.shape[1] > 20:
                raise EngineError("planted")
            return run(engine, batch)

        with BlockRunner(job) as runner:
            monkeypatch.setattr(MnnEngine, "run", refuse)
            found = runner(pa.table({"text": ["fish", "fish " * 50, "ships"]}))
            assert found["error"].to_pylist() == [None, "planted", None]
            with pytest.raises(EngineError, match="planted"):
                runner(pa.table({"text": ["fish " * 50, "ships " * 50]}))

    def test_no_rows(self, runner: BlockRunner) -> None:
        found = runner(pa.table({"text": pa.array([], pa.string())}))
        assert len(found) == 0
        assert found.column_names == ["text", "embedding", "truncated", "error"]

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"body": ["fish"]}, "There is no column 'text'; there are body"),
            ({"text": [1]}, "'text' holds int64, not texts"),
            ({"text": ["fish"], "error": ["no"]}, "has a column 'error' already"),
        ],
    )
    def test_a_wrong_table_is_refused(
        self, runner: BlockRunner, table: dict[str, list[Any]], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            runner(pa.table(table))


class TestForms:
    @pytest.mark.parametrize(("dtype", "least"), [("float16", 0.999999), ("int8", 0.9999)])
    def test_smaller_numbers(self, job: Job, runner: BlockRunner, dtype: Any, least: float) -> None:
        from minnow.cluster import BlockRunner
        from minnow.cluster.columns import read_vectors

        table = pa.table({"text": TEXTS})
        with BlockRunner(replace(job, dtype=dtype)) as small:
            found = small(table)
        vectors, whole = read_vectors(found), read_vectors(runner(table))
        assert str(found.schema.field("embedding").type.value_type) in (dtype, "halffloat")
        assert rowwise_cosine(vectors, whole).min() > least
        one, other = (np.linalg.norm(rows, axis=1) for rows in (vectors, whole))
        np.testing.assert_allclose(one, other, rtol=0.01)

    def test_what_goes_in_comes_out(self, job: Job) -> None:
        from minnow.cluster import embed_table

        polars = pytest.importorskip("polars")
        batch = pa.record_batch({"text": TEXTS})
        found = embed_table(batch, job)
        assert isinstance(found, pa.RecordBatch)
        frame = embed_table(polars.DataFrame({"text": TEXTS}), job)
        assert isinstance(frame, polars.DataFrame)
        np.testing.assert_array_equal(frame["embedding"].to_list(), found["embedding"].to_pylist())
        with pytest.raises(InputError, match="is list, not a Table"):
            embed_table(TEXTS, job)

    def test_pairs(self, ranker: Bundle) -> None:
        from minnow.cluster import BlockRunner, Job

        job = Job.reranking(ranker.folder, "question", options=MNN)
        with BlockRunner(job) as runner:
            found = runner(pa.table({"question": ["fish", "fish", None], "text": ["a", "b", "c"]}))
        with Reranker.open(ranker, MNN) as reranker:
            expected = reranker.predict([("fish", "a"), ("fish", "b")])
        np.testing.assert_allclose(found["score"].to_pylist()[:2], expected, atol=1e-5)
        assert found["score"][2].as_py() is None
        assert found["error"].to_pylist() == [None, None, "The text is null."]


class TestTrust:
    def test_a_machine_with_other_vectors_may_not_take_part(self, job: Job) -> None:
        from minnow.cluster import BlockRunner

        other = np.random.default_rng(1).normal(size=len(job.expected) // 4).astype("<f4")
        with pytest.raises(ParityError, match="may not take part"):
            BlockRunner(replace(job, expected=other.tobytes()))
        with pytest.raises(ParityError, match="may not take part"):
            BlockRunner(
                replace(job, expected=other.tobytes(), options=EngineOptions("mnn", agreement=0))
            )

    def test_another_bundle_at_the_path_is_refused(self, job: Job) -> None:
        from minnow.cluster import BlockRunner

        with pytest.raises(BundleError, match="another bundle here"):
            BlockRunner(replace(job, digest="0" * 64))

    def test_a_changed_file_is_refused(self, made: Tiny, tmp_path: Path) -> None:
        from minnow.cluster import Job

        made.copy_to(tmp_path)
        content = bytearray((tmp_path / "tiny.minnow/encoder.mnn").read_bytes())
        content[-1] ^= 1
        (tmp_path / "tiny.minnow/encoder.mnn").write_bytes(content)
        with pytest.raises(BundleError, match=r"encoder\.mnn has changed"):
            Job.embedding(tmp_path / "tiny.minnow")

    def test_options_out_of_range(self, made: Tiny) -> None:
        from minnow.cluster import Job

        with pytest.raises(InputError, match="dtype should be float32"):
            Job.embedding(made.bundle.folder, dtype="int4")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="truncate_dim should be"):
            Job.embedding(made.bundle.folder, truncate_dim=10_000)
