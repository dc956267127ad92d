"""Corpora on Ray: data sets of Ray Data, and the parts of a folder on actors.

```python
import ray
from minnow.cluster.ray import embed_dataset

passages = ray.data.read_parquet("s3://corpus/")
embed_dataset(passages, "/models/bge-small.minnow", column="text").write_parquet("s3://vectors/")
```
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minnow.cluster.job import Job
from minnow.cluster.parts import CorpusPart
from minnow.cluster.publishing import Finished, embed_part, embed_sample, publish, sample_texts
from minnow.cluster.runner import BlockRunner
from minnow.engines import EngineOptions
from minnow.errors import MinnowError, MissingExtraError, ParityError

try:
    import ray
    from ray.data import ActorPoolStrategy
except ImportError as error:
    raise MissingExtraError("Running on Ray", "ray") from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from typing_extensions import Unpack

    from minnow.cluster.job import EmbeddingOptions
    from minnow.cluster.places import Place
    from minnow.indexfile.fingerprint import Fingerprint

BLOCK = 1024
"""Rows that an actor of a data set is given at once."""
_AHEAD = 2
"""Parts that an actor has been given, of which it embeds one."""
_PATIENCE = 10.0
"""Seconds without a finished part after which nodes are looked for that have died."""


def embed_dataset(
    ds: Any,
    bundle: str | Path,
    column: str = "text",
    *,
    actors: int | None = None,
    block: int = BLOCK,
    **job: Unpack[EmbeddingOptions],
) -> Any:
    """Embed a column of texts of a Ray data set, with one actor for each CPU of the cluster.

    Rows keep their columns, so an id joins the results whatever order Ray gives them.

    Args:
        ds: A `ray.data.Dataset`.
        bundle: The bundle's folder, the same path on every node, or `hf:USER/NAME`.
        column: The column of texts.
        actors: How many actors; by default as many as the cluster has CPUs.
        block: Rows that an actor is given at once.
        **job: The other arguments of `Job.embedding`. An actor has one thread unless `options` say
            otherwise.

    Returns:
        A data set with the columns that `BlockRunner` adds, computed when Ray asks for it.

    Raises:
        BundleError, InputError: As `Job.embedding`. An actor whose machine does not give the
            bundle's vectors ends the run with a ParityError within Ray's own error.
    """
    return _mapped(ds, Job.embedding(bundle, column, **job), actors, block)


def rerank_dataset(
    ds: Any,
    bundle: str | Path,
    query: str = "query",
    document: str = "text",
    *,
    actors: int | None = None,
    block: int = BLOCK,
    options: EngineOptions = EngineOptions(),
) -> Any:
    """Score the pairs of two columns of a Ray data set; see `embed_dataset`.

    Args:
        ds: A `ray.data.Dataset`.
        bundle: The bundle of a reranker.
        query: The column of queries.
        document: The column of documents.
        actors: As in `embed_dataset`.
        block: As in `embed_dataset`.
        options: The engine, and the threads of an actor: by default 1.

    Returns:
        A data set with `score`, `truncated` and `error`.

    Raises:
        BundleError, InputError: As `Job.reranking`.
    """
    job = Job.reranking(bundle, query, document, options=options)
    return _mapped(ds, job, actors, block)


def _mapped(ds: Any, job: Job, actors: int | None, block: int) -> Any:
    with connected(stay=True):
        count, cpus = _size_pool(job, actors)
    return ds.map_batches(
        _BlockActor,
        fn_constructor_args=(job,),
        batch_format="pyarrow",
        batch_size=block,
        compute=ActorPoolStrategy(size=count),
        num_cpus=cpus,
    )


class _BlockActor:
    """Actor of Ray Data, which calls it with tables."""

    def __init__(self, job: Job) -> None:
        self._runner = BlockRunner(job, threads=1)

    def __call__(self, table: pa.Table) -> pa.Table:
        return self._runner(table)


def _size_pool(job: Job, actors: int | None) -> tuple[int, float]:
    """Return how many actors to start, and the logical CPUs of each.

    Together they leave one logical CPU of each node to the tasks that read: with none left, Ray
    Data waits for ever and says nothing.
    """
    nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    sizes = [cpus for cpus in nodes if cpus >= 1] or [1.0]
    threads = job.options.threads or 1
    count = actors or max(1, int(sum(sizes)) // threads)
    smallest = min(sizes)
    return count, threads * max(0.5, (smallest - 1) / smallest)


@contextmanager
def connected(*, stay: bool = False) -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start one here, unless there is a connection.

    A cluster that is started here sends no usage statistics.

    Args:
        stay: Leave the connection open at the end.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    try:
        yield
    finally:
        if not stay:
            ray.shutdown()


# --- a folder --------------------------------------------------------------------------------


class _Refused(Exception):  # noqa: N818  it is no error of the run
    """The process of an actor may not take part; the message says why."""


class _PartActor:
    """Actor that embeds parts, and publishes those of others in a thread beside that."""

    def __init__(self, job: Job, target: Place, fingerprint: Fingerprint) -> None:
        self._job, self._target, self._fingerprint = job, target, fingerprint
        self._runner: BlockRunner | None = None

    def ready(self) -> str:
        """Open the bundle; return the id of the node."""
        self._open()
        return str(ray.get_runtime_context().get_node_id())

    def embed(self, part: CorpusPart) -> tuple[Finished | None, Any]:
        """Embed a part: return its file if that is there, else its rows with vectors."""
        made = embed_part(part, self._job, self._target, self._open)
        return (made, None) if isinstance(made, Finished) else (None, made)

    def publish(self, made: Any) -> Finished:
        """Embed a sample of another actor's part again, and write its file."""
        reply = embed_sample(self._open(), sample_texts(made, self._job))
        return publish(made, reply, self._job, self._target, self._fingerprint)

    def _open(self) -> BlockRunner:
        """Open the bundle, also after Ray has started this actor again, perhaps elsewhere."""
        if self._runner is None:
            try:
                self._runner = BlockRunner(self._job, threads=1)
            except MinnowError as error:
                node = ray.util.get_node_ip_address()
                raise _Refused(f"{node}: {error}") from error
        return self._runner


@dataclass(frozen=True)
class _Step:
    """What an actor has been given: to embed a part, or to publish it.

    Attributes:
        part: The part.
        actor: The actor.
        made: Ray's reference to the part with its vectors.
        maker: The actor that embeds or has embedded it, and holds them.
        publishes: Whether it publishes.
    """

    part: CorpusPart
    actor: Any
    made: Any
    maker: Any
    publishes: bool = False


class _Pool:
    """The actors of a run and what they do; Ray starts and repeats what crashes.

    Attributes:
        refused: Why actors did not take part, or no longer do.
    """

    def __init__(
        self, actors: Sequence[Any], parts: Sequence[CorpusPart], refused: list[str]
    ) -> None:
        self._nodes: dict[Any, str] = {}
        self._waiting = deque(parts)
        self._running: dict[Any, _Step] = {}
        self.refused = refused
        opening = {actor.ready.remote(): actor for actor in actors}
        for reference, actor in opening.items():
            try:
                self._nodes[actor] = ray.get(reference)
            except (ray.exceptions.RayError, _Refused) as error:
                self._lose(actor, error)
        self._require_one()

    def run(self) -> Iterator[Finished]:
        """Yield parts as their files appear."""
        while self._waiting or self._running:
            self._give_work()
            done, _ = ray.wait(list(self._running), timeout=_PATIENCE)
            if not done:
                self._look_for_dead_nodes()
            for reference in done:
                step = self._running.pop(reference)
                try:
                    finished = ray.get(reference)
                except (ray.exceptions.RayError, _Refused) as error:
                    self._waiting.appendleft(step.part)
                    self._lose(step.actor, error)
                    continue
                if finished is None:
                    self._publish(step)
                else:
                    yield finished
            self._require_one()

    def _give_work(self) -> None:
        for actor in self._nodes:
            given = sum(s.actor is actor and not s.publishes for s in self._running.values())
            for _ in range(min(_AHEAD - given, len(self._waiting))):
                part = self._waiting.popleft()
                finished, made = actor.embed.options(num_returns=2).remote(part)
                self._running[finished] = _Step(part, actor, made, actor)

    def _publish(self, step: _Step) -> None:
        """Have another actor publish a part: one on another node, if there is one."""
        others = [actor for actor in self._nodes if actor is not step.actor]
        others.sort(key=lambda actor: self._nodes[actor] == self._nodes.get(step.actor))
        distant = [a for a in others if self._nodes[a] == self._nodes[others[0]]] if others else []
        busy = [s.actor for s in self._running.values() if s.publishes]
        neighbour = min(distant, key=busy.count, default=step.actor)
        beside = neighbour.publish.options(concurrency_group="publishing")
        reference = beside.remote(step.made)
        self._running[reference] = _Step(
            step.part, neighbour, step.made, step.actor, publishes=True
        )

    def _lose(self, actor: Any, error: Exception) -> None:
        """Go on without an actor, and do again what it has not finished, or what it held.

        Raises:
            MinnowError: The error is one of the run: a part that cannot be read, or two actors
                that do not agree.
        """
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        if isinstance(cause, MinnowError):
            raise cause
        if isinstance(error, ray.exceptions.RayTaskError) and not isinstance(cause, _Refused):
            raise error
        self._nodes.pop(actor, None)
        self.refused.append(str(cause).strip().split("\n")[0])
        for reference, step in list(self._running.items()):
            if actor in (step.actor, step.maker):
                del self._running[reference]
                self._waiting.appendleft(step.part)
        ray.kill(actor)

    def _look_for_dead_nodes(self) -> None:
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for actor, node in list(self._nodes.items()):
            if node not in alive:
                self._lose(actor, ray.exceptions.RayError(f"The node {node} has died."))

    def _require_one(self) -> None:
        if not self._nodes:
            raise ParityError(f"No process of the cluster may take part. {self.refused[-1]}")


def run_parts(
    job: Job,
    parts: Sequence[CorpusPart],
    target: Place,
    fingerprint: Fingerprint,
    refused: list[str],
) -> Iterator[Finished]:
    """Embed the parts of a folder on the actors of a cluster, of which there are at least two.

    Args:
        job: What to compute.
        parts: The parts.
        target: The folder of finished files, which every node can write.
        fingerprint: The model.
        refused: Receives why actors did not take part.

    Yields:
        Parts as their files appear.

    Raises:
        ParityError: Two actors do not agree, or none may take part.
        InputError, OutputError, EngineError: As `embed_part` and `publish`.
    """
    with connected():
        threads = job.options.threads or 1
        cpus = int(ray.cluster_resources().get("CPU", 1))
        count = max(2, cpus // threads)
        kind = ray.remote(concurrency_groups={"publishing": 1})(_PartActor).options(
            num_cpus=min(threads, cpus / count), max_restarts=-1, max_task_retries=-1,
            scheduling_strategy="SPREAD",
        )  # fmt: skip
        actors = [kind.remote(job, target, fingerprint) for _ in range(count)]
        try:
            yield from _Pool(actors, parts, refused).run()
        finally:
            for actor in actors:
                ray.kill(actor)
