"""A folder of Parquet files becomes one with vectors, in runs that can be resumed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from minnow.cluster.finished import finished_places
from minnow.cluster.neighbour import SampleReply, SampleRequest, neighbour_process
from minnow.cluster.parts import ROWS, file_stem, plan_parts, stem_of
from minnow.cluster.places import Place, find_parquet, is_read_again
from minnow.cluster.publishing import Finished, embed_part, publish, sample_texts
from minnow.cluster.runner import BlockRunner
from minnow.engines import MNN, EngineOptions
from minnow.errors import InputError, OutputError
from minnow.indexfile.fingerprint import Fingerprint
from minnow.model_cache import open_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from minnow.cluster.job import Job
    from minnow.cluster.parts import CorpusPart
    from minnow.cluster.publishing import EmbeddedPart
    from minnow.workers import Worker

Cluster = Literal["local", "ray"]
DESCRIPTION = "_minnow.json"
"""The file of a folder that says which job its files are of; engines skip names with a `_`."""


@dataclass
class FolderReport:
    """The result of a run.

    Attributes:
        parts: Number of finished files, which are all parts of the corpus.
        rows: Number of their rows.
        embedded: Rows that this run has embedded; the others were there.
        errors: Rows without a vector; the column `error` says why.
        truncated: Rows whose text was over the model's limit.
        replaced: Number of files that were removed because their rows have changed.
        others: Number of finished files of other sources, which are left alone.
        worst: The least agreement of a sampled row with what another process made of it.
        refused: Why machines of the cluster did not take part.
    """

    parts: int = 0
    rows: int = 0
    embedded: int = 0
    errors: int = 0
    truncated: int = 0
    replaced: int = 0
    others: int = 0
    worst: float = 1.0
    refused: list[str] = field(default_factory=list)

    def add(self, finished: Finished) -> None:
        """Count a finished file."""
        self.parts += 1
        self.rows += finished.rows
        self.embedded += finished.rows if finished.is_new else 0
        self.errors += finished.errors
        self.truncated += finished.truncated
        self.worst = min(self.worst, finished.worst)


def embed_folder(
    source: str | Path,
    output: str | Path,
    job: Job,
    *,
    cluster: Cluster = "local",
    rows: int = ROWS,
    keep: Sequence[str] | None = None,
    source_filesystem: Any = None,
    output_filesystem: Any = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FolderReport:
    """Embed the rows of Parquet files into a folder of such files, of which none has to be redone.

    A finished file has all columns of its rows and those of `BlockRunner`; its name has a digest of
    the rows and the job. It appears whole, after another process has embedded a sample of its rows
    again. A run that was stopped, killed, or ended by an error is resumed by the same call.

    Args:
        source: A file, a folder, or a pattern such as `folder/*.parquet`; a path or a URI.
        output: The folder to write; a path or a URI.
        job: What to compute; see `Job.embedding`.
        cluster: "local", this process with one beside it; or "ray", the actors of a cluster.
        rows: The most rows of a file.
        keep: The columns to keep, besides `id` and that of the texts; None keeps all.
        source_filesystem: The file system of a path, of `pyarrow.fs` or fsspec.
        output_filesystem: The same of the output.
        progress: Receives the number of rows that are done, and of all, after each part.

    Returns:
        What was done.

    Raises:
        InputError: There is no Parquet file, or one cannot be read or lacks a column; or the output
            lies within the source.
        OutputError: The folder has vectors of another job, or cannot be written.
        ParityError: Two processes do not give the same vectors, or no machine may take part.
        BundleError, EngineError, MissingExtraError: The model cannot be run.
    """
    if job.reranks:
        raise InputError("The job scores pairs. Take Job.embedding, or BlockRunner.")
    folder, names = find_parquet(source, source_filesystem)
    target = Place.of(output, output_filesystem)
    _check_apart(source, folder, names, target)
    describe(target, job)
    target.clear_leftovers()
    parts = list(plan_parts(folder, names, rows, keep))
    report, total = FolderReport(), sum(part.rows for part in parts)
    written = set()
    for finished in _run(cluster, job, parts, target, report.refused):
        report.add(finished)
        written.add(finished.name)
        progress(report.rows, total)
    ours = {file_stem(name) for name in names}
    there = finished_places(target)
    outdated = [p for p in there if stem_of(p.name) in ours and p.name not in written]
    target.remove([place.path for place in outdated])
    report.replaced = len(outdated)
    report.others = len(there) - len(outdated) - len(written)
    return report


def _check_apart(source: str | Path, folder: Place, names: Sequence[str], target: Place) -> None:
    """Check that the next run would not take the files of this one for more of its source.

    Raises:
        InputError: The output is the folder of the source, or lies within it.
    """
    inner = f"{target.path}/x".removeprefix(f"{folder.path}/").rpartition("/")[0]
    is_within = f"{target.path}/".startswith(f"{folder.path}/") and target.filesystem.equals(
        folder.filesystem
    )
    if is_within and is_read_again(str(source), names, inner):
        raise InputError(
            f"{target} is, or lies in, the folder of {source}: the next run would read its vectors "
            "as rows. Name a folder elsewhere, or one whose name begins with _ within it."
        )


def describe(target: Place, job: Job) -> None:
    """Write into a folder which job its files are of, or check that it is this one.

    What another job has described is described anew where it finished no file, as after an error.

    Raises:
        OutputError: It is another one, or the folder cannot be written.
        InputError: The description cannot be read.
    """
    place = target / DESCRIPTION
    wanted = msgspec.json.format(job.identity, indent=2) + b"\n"
    if place.exists and place.read() == wanted:
        return
    if not place.exists or not finished_places(target):
        place.write(wanted)
    else:
        raise OutputError(
            f"{target} has vectors of another model, column or options ({DESCRIPTION} says which). "
            "Name another folder, or remove this one."
        )


def _run(
    cluster: Cluster, job: Job, parts: Sequence[CorpusPart], target: Place, refused: list[str]
) -> Iterator[Finished]:
    fingerprint = Fingerprint.of(open_bundle(job.bundle).manifest)
    if cluster == "local":
        yield from _run_here(job, parts, target, fingerprint)
        return
    from minnow.cluster.ray import run_parts

    yield from run_parts(job, parts, target, fingerprint, refused)


def _run_here(
    job: Job, parts: Sequence[CorpusPart], target: Place, fingerprint: Fingerprint
) -> Iterator[Finished]:
    """Embed parts one after the other; a thread publishes the part before meanwhile."""
    with _Here(job, target, fingerprint) as here, ThreadPoolExecutor(1) as thread:
        publishing: Future[Finished] | None = None
        for part in parts:
            made = embed_part(part, job, target, lambda: here.runner)
            if publishing is not None:
                yield publishing.result()
                publishing = None
            if isinstance(made, Finished):
                yield made
            else:
                publishing = thread.submit(here.publish, made)
        if publishing is not None:
            yield publishing.result()


class _Here:
    """The model in this process and the process beside it, each opened when first needed."""

    def __init__(self, job: Job, target: Place, fingerprint: Fingerprint) -> None:
        self._job, self._target, self._fingerprint = job, target, fingerprint
        options = EngineOptions(MNN, threads=1, memory=job.options.memory)
        self._elsewhere = msgspec.to_builtins(replace(job, options=options))

    @cached_property
    def runner(self) -> BlockRunner:
        return BlockRunner(self._job)

    @cached_property
    def neighbour(self) -> Worker:
        return neighbour_process()

    def publish(self, made: EmbeddedPart) -> Finished:
        """Have the neighbour embed a sample of a part again, and write its file."""
        request = SampleRequest(self._elsewhere, sample_texts(made, self._job))
        reply = self.neighbour.request(request, SampleReply)
        return publish(made, reply, self._job, self._target, self._fingerprint)

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in vars(self).values():
            if hasattr(opened, "close"):
                opened.close()
