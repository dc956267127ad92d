"""Measure corpora in Parquet: rates here and on Ray beside sentence-transformers, overhead, kills.

```bash
python benchmarks/cluster.py rates BUNDLE MODEL CORPUS.jsonl   # tokens a second, memory of actors
python benchmarks/cluster.py overhead BUNDLE                   # a million rows, engine of no cost
python benchmarks/cluster.py kills BUNDLE CORPUS.jsonl         # killed at five random moments
python benchmarks/cluster.py plan --rate 17500                 # a billion passages, on paper
```

A rate is that of the rows after the first third, so that it leaves out what opens models and starts
clusters. The overhead is that of the rows which a long run has more than a short one.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from minnow import Embedder
from minnow.cluster import Job, embed_folder
from minnow.cluster.parts import ROWS
from minnow.pipeline import Pipeline, RowOutcomes
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BATCH = 512
"""Rows that an actor of the peer is given at once."""


def read_corpus(path: str, rows: int) -> pa.Table:
    """Return ids and texts of a BEIR corpus, repeated with a number where there are too few."""
    lines = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
    texts = [f"{lines[n % len(lines)]['text']} {n}" for n in range(rows)]
    return pa.table({"id": [str(n) for n in range(rows)], "text": texts})


@contextmanager
def corpus_folder(table: pa.Table) -> Iterator[Path]:
    """Write a table into a folder of Parquet; outputs can go beside it until both are deleted."""
    with tempfile.TemporaryDirectory() as name:
        (source := Path(name) / "corpus").mkdir()
        parquet.write_table(table, source / "corpus.parquet")
        yield source


def connect() -> None:
    """Start a cluster of this machine's CPUs."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)


# --- rates -----------------------------------------------------------------------------------


class PeerActor:
    """What Ray's documentation has an actor do: encode a batch with sentence-transformers."""

    def __init__(self, model: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(model, device="cpu")

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Add the vectors of a batch."""
        batch["embedding"] = self._model.encode(list(batch["text"]), batch_size=32)
        return batch


def run_peer(model: str, source: Path, mark: Callable[[int], None]) -> None:
    """Embed a folder with Ray Data and sentence-transformers, an actor for each CPU."""
    import ray

    cpus = int(ray.cluster_resources()["CPU"])
    dataset = ray.data.read_parquet(str(source)).repartition(2 * cpus)
    mapped = dataset.map_batches(
        PeerActor, fn_constructor_args=(model,), batch_size=BATCH, num_cpus=0.5,
        compute=ray.data.ActorPoolStrategy(size=cpus),
    )  # fmt: skip
    done = 0
    for batch in mapped.iter_batches(batch_size=None):
        done += len(batch["text"])
        mark(done)


def actor_memory() -> list[int]:
    """Return the MB that each actor holds, of pages that it shares its part (PSS)."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if b"_PartActor" in (place / "cmdline").read_bytes():
                rollup = (place / "smaps_rollup").read_text()
                found.append(int(rollup.split("Pss:")[1].split()[0]) >> 10)
        except OSError:
            continue
    return sorted(found)


def rates(arguments: argparse.Namespace) -> None:
    """Print tokens a second of a stream of texts, of folders, and of the peer."""
    connect()
    job, part = Job.embedding(arguments.bundle), arguments.part
    table = read_corpus(arguments.corpus, arguments.rows)
    with Embedder.open(arguments.bundle) as embedder:
        tokens = [len(ids) for ids in embedder.token_ids(table["text"].to_pylist())]
    memory: list[list[int]] = []
    skipped = arguments.rows // 3

    def here(source: Path, output: Path, mark: Callable[[int], None]) -> None:
        embed_folder(source, output, job, rows=part, progress=lambda done, total: mark(done))

    def on_ray(source: Path, output: Path, mark: Callable[[int], None]) -> None:
        memory.clear()

        def progress(done: int, total: int) -> None:
            memory.append(actor_memory())
            mark(done)

        embed_folder(source, output, job, rows=part, cluster="ray", progress=progress)

    def stream(source: Path, output: Path, mark: Callable[[int], None]) -> None:
        texts = parquet.read_table(source)["text"].to_pylist()
        with Embedder.open(arguments.bundle, engine="fastest", on_truncate="ignore") as embedder:
            for rows in (slice(skipped), slice(skipped, None)):
                for _ in embedder.encode_stream(texts[rows]):
                    pass
                mark(rows.stop or len(texts))

    def peer(source: Path, output: Path, mark: Callable[[int], None]) -> None:
        run_peer(arguments.model, source, mark)

    systems = {"stream": stream, "here": here, "ray": on_ray, "peer": peer}
    systems = {name: systems[name] for name in arguments.only or systems}
    found: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(arguments.rounds):
        for name, system in systems.items():
            marks = marks_of(system, table)
            first = next(mark for mark in marks if mark[1] >= skipped)
            each = (marks[-1][1] - first[1]) / (marks[-1][0] - first[0])
            found[name].append(each * statistics.mean(tokens))
            print(f"{name}: {found[name][-1]:,.0f} tokens/s", flush=True)
    for name, values in found.items():
        print(f"{name}: median {statistics.median(values):,.0f} tokens/s")
    if memory:
        quarters = [memory[len(memory) * n // 4] for n in range(4)] + memory[-1:]
        print("MB of the actors in the last run, after each quarter of its parts:", *quarters)


def marks_of(
    run: Callable[[Path, Path, Callable[[int], None]], None], table: pa.Table
) -> list[tuple[float, int]]:
    """Run over a table; return when how many rows were done."""
    marks: list[tuple[float, int]] = []
    with corpus_folder(table) as source:
        run(source, source.parent / "out", lambda rows: marks.append((time.perf_counter(), rows)))
    return marks


def seconds(run: Callable[[Path, Path], None], table: pa.Table) -> float:
    """Return the seconds of a run over a table."""
    with corpus_folder(table) as source:
        started = time.perf_counter()
        run(source, source.parent / "out")
        return time.perf_counter() - started


# --- overhead --------------------------------------------------------------------------------

VECTORS = normalize(np.random.default_rng(0).normal(size=(997, 384)).astype(np.float32))


def plant_engine() -> None:
    """Have every pipeline of this process answer at once, by the length of a text."""

    def embed_each(self: Any, texts: Sequence[str], options: Any) -> RowOutcomes:
        places = np.fromiter((len(text) for text in texts), np.intp, len(texts)) % len(VECTORS)
        return RowOutcomes(VECTORS[places], np.zeros(len(texts), np.bool_), {})

    Pipeline.embed_each = embed_each  # type: ignore[assignment, method-assign]


def overhead(arguments: argparse.Namespace) -> None:
    """Print the microseconds of a row through an engine that costs nothing, here and on Ray."""
    import ray

    from minnow.cluster import neighbour

    job = Job.embedding(arguments.bundle, dtype="float16")
    plant_engine()
    neighbour._PROGRAM = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); " + (
        "import cluster; cluster.plant_engine(); " + neighbour._PROGRAM
    )
    words = [f"passage {n} " + "of a made corpus " * (n % 40) for n in range(arguments.rows)]
    table = pa.table({"id": np.arange(len(words)), "text": words})

    def here(source: Path, output: Path) -> None:
        assert embed_folder(source, output, job).errors == 0

    def on_ray(source: Path, output: Path) -> None:
        assert embed_folder(source, output, job, cluster="ray").errors == 0

    for name, run in (("here", here), ("on Ray", on_ray)):
        if run is on_ray:
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
            paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
            setup = {
                "worker_process_setup_hook": "cluster.plant_engine",
                "env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            }
            ray.init(log_to_driver=False, include_dashboard=False, runtime_env=setup)
        short = seconds(run, table.slice(0, 2 * ROWS))
        extra = seconds(run, table) - short
        each = extra / (len(words) - 2 * ROWS) * 1e6
        print(f"{name}: {each:.1f} us a row of {len(words):,}, {short:.1f} s to start", flush=True)


# --- kills -----------------------------------------------------------------------------------


def kills(arguments: argparse.Namespace) -> None:
    """Kill `minnow embed` at five random moments, and compare the result with an unbroken run."""
    choose = random.Random(arguments.seed)
    table = read_corpus(arguments.corpus, arguments.rows)
    with corpus_folder(table) as source:
        whole, broken = source.parent / "whole", source.parent / "broken"
        subprocess.run(command(arguments, source, whole), check=True, capture_output=True)
        for _ in range(5):
            process = subprocess.Popen(
                command(arguments, source, broken), start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            enough = len(list(broken.glob("*.parquet"))) + choose.randint(0, 3)
            while len(list(broken.glob("*.parquet"))) < enough and process.poll() is None:
                time.sleep(0.01)
            time.sleep(choose.uniform(0, 1))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print("killed with", len(list(broken.glob("*.parquet"))), "files", flush=True)
        done = subprocess.run(command(arguments, source, broken), check=True, capture_output=True)
        print(done.stdout.decode())
        one, other = (parquet.read_table(folder).sort_by("id") for folder in (whole, broken))
        print(f"{len(one)} rows, equal in every column: {one.equals(other)}")
        shutil.rmtree(broken)


def command(arguments: argparse.Namespace, source: Path, output: Path) -> list[str]:
    """Return the command of a run."""
    return [sys.executable, "-m", "minnow", "embed", arguments.bundle, "--input", str(source),
            "--output", str(output), "--rows", "512", "--cluster", arguments.cluster,
            "--json"]  # fmt: skip


# --- a plan on paper -------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """A corpus on a cluster whose nodes die.

    Attributes:
        rate: Tokens a second of a core.
        overhead: Microseconds of a row beside that.
        passages: Rows of the corpus.
        tokens: Tokens of a row.
        node: Cores of a node.
        life: Mean hours until a node dies.
        start: Seconds until a new one works.
        seed: Of the deaths, and of how long parts take.
    """

    rate: float
    overhead: float
    passages: float = 1e9
    tokens: float = 130
    node: int = 16
    life: float = 24
    start: float = 120
    seed: int = 0

    @property
    def part(self) -> float:
        """Seconds of a core for a part."""
        return ROWS * (self.tokens / self.rate + self.overhead / 1e6)

    @property
    def parts(self) -> int:
        """Number of parts, and of files."""
        return math.ceil(self.passages / ROWS)

    def simulate(self, cores: int) -> tuple[float, float]:
        """Return the seconds until all is done, and the core-seconds lost with nodes."""
        choose = random.Random(self.seed)
        lifetime = 1 / (self.life * 3600)
        dies = [choose.expovariate(lifetime) for _ in range(cores // self.node)]
        free = [(self.start, n % len(dies)) for n in range(cores)]
        lost = ended = 0.0
        waiting = self.parts
        while waiting:
            at, node = heapq.heappop(free)
            while dies[node] < at:  # the node died while it started or waited
                dies[node] += choose.expovariate(lifetime)
            until = at + self.part * choose.lognormvariate(0, 0.1)
            if dies[node] < until:  # the part is done again, after a new node has started
                lost += dies[node] - at
                heapq.heappush(free, (dies[node] + self.start, node))
                continue
            waiting -= 1
            ended = max(ended, until)
            heapq.heappush(free, (until, node))
        return ended, lost


def plan_table(plans: Sequence[Plan], large: int = 1024, small: int = 64) -> list[str]:
    """Return the lines of a table with a column for each plan."""
    columns = []
    for plan in plans:
        ended, lost = plan.simulate(large)
        hours = ended * large / 3600
        idle = 1 - (plan.parts * plan.part + lost) / (ended * large)
        columns.append(
            [f"{plan.rate:,.0f} tokens/s", "---", f"{plan.part:.0f} s", f"{ended / 3600:.1f} h",
             f"{hours:,.0f}", f"${hours * 0.03:,.0f}", f"{lost / 3600 / hours:.2%}", f"{idle:.1%}",
             f"{plan.simulate(small)[0] / 3600:.0f} h"]
        )  # fmt: skip
    names = ("", "---", f"a part of {ROWS:,} rows on a core", f"{large:,} cores", "core-hours",
             "cost at $0.03 a core-hour", "lost with nodes that died",
             "idle at the end, or starting", f"the same on {small} cores")  # fmt: skip
    return ["| " + " | ".join(cells) + " |" for cells in zip(names, *columns, strict=True)]


def plan(arguments: argparse.Namespace) -> None:
    """Print the table of plans with measured rates."""
    plans = [Plan(rate, arguments.overhead, arguments.passages) for rate in arguments.rate]
    print(f"{plans[0].parts:,} parts", *plan_table(plans), sep="\n")


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("rates")
    one.add_argument("bundle")
    one.add_argument("model", help="the same model for sentence-transformers")
    one.add_argument("corpus")
    one.add_argument("--only", action="append", choices=("stream", "here", "ray", "peer"))
    one.add_argument("--rows", type=int, default=4096)
    one.add_argument(
        "--part", type=int, default=1024, help="rows of a part, of which 2 are left out"
    )
    one.add_argument("--rounds", type=int, default=1)
    one.set_defaults(run=rates)
    two = commands.add_parser("overhead")
    two.add_argument("bundle")
    two.add_argument("--rows", type=int, default=1_000_000)
    two.set_defaults(run=overhead)
    three = commands.add_parser("kills")
    three.add_argument("bundle")
    three.add_argument("corpus")
    three.add_argument("--rows", type=int, default=4096)
    three.add_argument("--seed", type=int, default=0)
    three.add_argument("--cluster", default="local")
    three.set_defaults(run=kills)
    four = commands.add_parser("plan")
    four.add_argument("--rate", type=float, action="append", required=True,
                      help="tokens a second of a core; may be given again")  # fmt: skip
    four.add_argument("--overhead", type=float, default=15, help="microseconds of a row")
    four.add_argument("--passages", type=float, default=1e9)
    four.set_defaults(run=plan)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
