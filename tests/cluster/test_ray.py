"""A Ray cluster of two nodes here: results, crashes, and a machine that computes wrongly."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minnow import Reranker
from minnow.engines import EngineOptions
from minnow.errors import ParityError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = [
    pytest.mark.extra("ray", "convert"),
    pytest.mark.filterwarnings("ignore"),  # of Ray's own
]

MNN = EngineOptions("mnn")
ROWS = 240

WRONG = """
from minnow.engines.mnn import MnnEngine

run = MnnEngine.run
MnnEngine.run = lambda engine, batch: run(engine, batch)[..., ::-1].copy()
"""


def start(nodes: list[dict[str, Any]]) -> Any:
    """Start nodes of two CPUs each, and connect to them."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    for node in nodes:
        cluster.add_node(num_cpus=2, **node)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    return cluster


def stop(cluster: Any) -> None:
    import ray

    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="class")
def two_nodes() -> Iterator[Any]:
    cluster = start([{}])
    yield cluster
    stop(cluster)


@pytest.fixture(scope="class")
def wrong_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two nodes, of which one has an engine that gives the numbers of a vector in reverse."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "sitecustomize.py").write_text(WRONG)
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    cluster = start([{"env_vars": {"PYTHONPATH": paths}}])
    yield
    stop(cluster)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    from pyarrow import parquet

    (tmp_path / "corpus").mkdir()
    for n in range(3):
        part = corpus().slice(n * 80, 80)
        parquet.write_table(part, tmp_path / "corpus" / f"{n}.parquet")
    return tmp_path / "corpus"


def corpus() -> Any:
    import pyarrow as pa

    texts: list[str | None] = [f"fish number {n} sleeps {'deep ' * (n % 9)}" for n in range(ROWS)]
    texts[100] = None
    return pa.table({"id": list(range(ROWS)), "text": texts})


def expected(made: Tiny) -> Any:
    """Return the vectors of the corpus as one process makes them."""
    from minnow.cluster import Job, embed_table
    from minnow.cluster.columns import read_vectors

    return read_vectors(embed_table(corpus(), Job.embedding(made.bundle.folder, options=MNN)))


def read(folder: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(folder).sort_by("id")


@pytest.mark.usefixtures("two_nodes")
class TestTwoNodes:
    def test_a_data_set_with_a_bad_row(self, source: Path, made: Tiny) -> None:
        import ray

        from minnow.cluster.ray import embed_dataset

        dataset = ray.data.read_parquet(str(source)).repartition(5)
        found = embed_dataset(dataset, made.bundle.folder, options=MNN, block=32).to_pandas()
        found = found.sort_values("id")
        assert found["id"].tolist() == list(range(ROWS))
        np.testing.assert_allclose(np.stack(found["embedding"]), expected(made), atol=1e-5)
        assert found.loc[found["error"].notna(), "id"].tolist() == [100]

    def test_pairs(self, ranker: Bundle) -> None:
        import ray

        from minnow.cluster.ray import rerank_dataset

        pairs = [{"query": "fish", "text": "ship " * n} for n in range(1, 9)]
        found = rerank_dataset(ray.data.from_items(pairs), ranker.folder, options=MNN).to_pandas()
        with Reranker.open(ranker, MNN) as reranker:
            scores = reranker.predict([("fish", text) for text in found["text"]])
        np.testing.assert_allclose(found["score"], scores, atol=1e-5)

    def test_a_worker_is_killed_in_the_middle(
        self, source: Path, made: Tiny, tmp_path: Path
    ) -> None:
        from minnow.cluster import Job, embed_folder
        from minnow.cluster.parts import read_record
        from minnow.cluster.places import Place

        job = Job.embedding(made.bundle.folder, options=MNN)
        killed: list[int] = []

        def kill(done: int, total: int) -> None:
            if killed:
                return
            path = next((tmp_path / "out").glob("*.parquet"))
            killed.append(int(read_record(Place.of(path)).host.rpartition("/")[2]))
            os.kill(killed[0], signal.SIGKILL)

        report = embed_folder(source, tmp_path / "out", job, cluster="ray", rows=10, progress=kill)
        assert (report.parts, report.rows, report.errors) == (24, ROWS, 1)
        embed_folder(source, tmp_path / "unbroken", job, rows=10)
        assert read(tmp_path / "out").equals(read(tmp_path / "unbroken"))
        paths = (tmp_path / "out").glob("*.parquet")
        records = [read_record(Place.of(path)) for path in paths]
        assert all(record.host != record.sample.host for record in records)
        assert len({record.host for record in records}) > 2
        again = embed_folder(source, tmp_path / "out", job, cluster="ray", rows=10)
        assert (again.parts, again.embedded) == (24, 0)

    def test_a_node_dies_with_vectors_that_nobody_has_published(
        self, two_nodes: Any, made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        from minnow.cluster import Job, embed_folder
        from minnow.cluster.columns import read_vectors

        monkeypatch.setattr("minnow.cluster.ray._PATIENCE", 1.0)
        # so long that Ray keeps a part's vectors on the node that made them
        table = corpus().append_column("page", pa.array(["long " * 6000] * ROWS))
        parquet.write_table(table, tmp_path / "a.parquet")
        job = Job.embedding(made.bundle.folder, options=MNN)
        dying = [two_nodes.add_node(num_cpus=2)]
        two_nodes.wait_for_nodes()

        def die(done: int, total: int) -> None:
            if dying:
                two_nodes.remove_node(dying.pop(), allow_graceful=False)

        report = embed_folder(
            tmp_path / "a.parquet", tmp_path / "out", job, cluster="ray", rows=10, progress=die
        )
        assert (report.parts, report.rows, report.errors) == (24, ROWS, 1)
        assert 1 <= len(report.refused) <= 2  # the dead node had two actors
        found = read(tmp_path / "out")
        np.testing.assert_allclose(read_vectors(found), expected(made), atol=1e-5)
        assert found.select(table.column_names).equals(table.sort_by("id"))


@pytest.mark.usefixtures("wrong_node")
class TestWrongNode:
    def test_it_never_joins_a_folders_run(self, source: Path, made: Tiny, tmp_path: Path) -> None:
        from minnow.cluster import Job, embed_folder
        from minnow.cluster.columns import read_vectors

        job = Job.embedding(made.bundle.folder, options=MNN)
        report = embed_folder(source, tmp_path / "out", job, cluster="ray", rows=20)
        assert report.refused
        assert all("may not take part" in reason for reason in report.refused)
        assert report.rows == ROWS
        np.testing.assert_allclose(read_vectors(read(tmp_path / "out")), expected(made), atol=1e-5)

    def test_it_ends_the_run_of_a_data_set(self, source: Path, made: Tiny) -> None:
        import ray

        from minnow.cluster.ray import embed_dataset

        dataset = ray.data.read_parquet(str(source)).repartition(8)
        with pytest.raises(Exception, match="may not take part") as raised:
            embed_dataset(dataset, made.bundle.folder, options=MNN, actors=4).materialize()
        assert not isinstance(raised.value, ParityError)
