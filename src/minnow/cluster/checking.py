"""Check of a folder of finished vectors: their records, their numbers, and a sample on MNN."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.cluster.columns import ERROR, read_texts, read_vectors
from minnow.cluster.finished import finished_files
from minnow.cluster.job import Job
from minnow.cluster.parts import ID, content_digest, counts
from minnow.cluster.publishing import SAMPLE, choose_sample, judge_sample
from minnow.cluster.runner import BlockRunner
from minnow.engines import MNN, EngineOptions
from minnow.errors import MinnowError, ParityError
from minnow.indexfile.fingerprint import Fingerprint, check_fingerprint
from minnow.model_cache import open_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from minnow.cluster.finished import FinishedFile

    Floats = NDArray[np.float32]

_UNIT = {"float32": 1e-4, "float16": 2e-3, "int8": 2e-2}
"""How far the length of a stored vector may be from 1."""
_MOST_FAULTS = 100


@dataclass
class FolderCheck:
    """The result of a check.

    Attributes:
        files: Number of finished files.
        rows: Number of rows.
        errors: Rows without a vector, which say why.
        truncated: Rows whose text was cut off.
        checked: Rows that MNN has embedded again.
        worst: The least agreement of these.
        faults: A line for each fault, of which the first hundred are kept.
    """

    files: int = 0
    rows: int = 0
    errors: int = 0
    truncated: int = 0
    checked: int = 0
    worst: float = 1.0
    faults: list[str] = field(default_factory=list)

    def count(self, file: FinishedFile) -> None:
        """Count what the record of a file says."""
        self.files += 1
        self.rows += file.record.rows
        self.errors += file.record.errors
        self.truncated += file.record.truncated

    def add(self, file: FinishedFile, fault: str) -> None:
        """Note a fault of a file."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(f"{file.place.name}: {fault}")


def verify_folder(
    folder: str | Path,
    bundle: str | Path,
    *,
    sample: int = SAMPLE,
    filesystem: Any = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FolderCheck:
    """Check finished vectors: records, counts, numbers, lengths, ids, and a sample on MNN.

    Every row is read, and its number and digest are compared with the file's record. The sample
    that a neighbour has embedded is compared with the rows as they are now, and `sample` other rows
    of each file are embedded again on MNN.

    Args:
        folder: The folder of finished files; a path or a URI.
        bundle: The bundle that the vectors are of, in any precision that its proof allows.
        sample: Rows of each file to embed again.
        filesystem: The file system of a path, of `pyarrow.fs` or fsspec.
        progress: Receives the number of rows that are done, and of all, after each file.

    Raises:
        InputError: There are no such files, or the record of one cannot be read.
        BundleError, EngineError: The bundle cannot be opened.
    """
    files = finished_files(folder, filesystem)
    found, ids = FolderCheck(), _Ids()
    total = sum(file.record.rows for file in files)
    values = files[0].job
    names = ("role", "prompt", "truncate_dim", "dtype")
    job = Job.embedding(
        bundle, values["columns"][0], **{name: values[name] for name in names},
        options=EngineOptions(MNN),
    )  # fmt: skip
    with BlockRunner(job) as runner:
        check = _Check(runner, found, files[0], sample)
        for file in files:
            check.check_record(file)
            try:
                table = file.read()
                ids.add(table.column(ID).to_pylist())
                check.check_rows(file, table)
            except MinnowError as error:
                found.add(file, str(error))
            found.count(file)
            progress(found.rows, total)
    ids.report(found)
    return found


class _Check:
    """The checks of one file after the other; they add to what was found."""

    def __init__(
        self, runner: BlockRunner, found: FolderCheck, first: FinishedFile, sample: int
    ) -> None:
        self._runner, self._found, self._first, self._sample = runner, found, first, sample
        manifest = open_bundle(runner.job.bundle).manifest
        self._fingerprint = Fingerprint.of(manifest)
        self._is_unit = manifest.embedding.normalize and runner.job.truncate_dim is None

    def check_record(self, file: FinishedFile) -> None:
        """Compare a file's record with that of the first one, and its model with the bundle."""
        if bytes(file.record.job) != bytes(self._first.record.job):
            self._found.add(file, f"it is of another job than {self._first.place.name}")
        try:
            check_fingerprint(file.record.fingerprint, self._fingerprint, "the file")
        except MinnowError as error:
            self._found.add(file, str(error))

    def check_rows(self, file: FinishedFile, table: pa.Table) -> None:
        """Compare a file's rows with its record, and samples of them with vectors made elsewhere.

        Raises:
            ParityError: A sample does not agree.
            InputError: There is no column of vectors.
        """
        record, job = file.record, self._runner.job
        errors, truncated = counts(table)
        if (len(table), errors, truncated) != (record.rows, record.errors, record.truncated):
            self._found.add(
                file,
                f"it has {len(table)} rows, {errors} with an error and {truncated} truncated; "
                f"written were {record.rows}, {record.errors} and {record.truncated}",
            )
            return
        if content_digest(table, bytes(record.job)) != record.key:
            self._found.add(file, "its rows are not those that were embedded")
        vectors = read_vectors(table)
        if not self._check_numbers(file, vectors, np.asarray(table.column(ERROR).is_null())):
            return
        again = np.frombuffer(record.sample.vectors, "<f4").reshape(-1, vectors.shape[1])
        judge_sample(vectors[record.sample.rows], again, job, "the neighbour's sample")
        chosen = choose_sample(table, record.key[::-1], self._sample)
        texts = read_texts(table.take(chosen), job.columns[0])
        made, _, _ = self._runner.run([(text,) for text in texts])
        self._found.checked += len(chosen)
        try:
            worst = judge_sample(vectors[chosen], made, job, "the sample on MNN")
        except ParityError as error:
            self._found.worst = min(self._found.worst, error.worst or -1.0)
            raise
        self._found.worst = min(self._found.worst, worst)

    def _check_numbers(self, file: FinishedFile, vectors: Floats, sound: NDArray[np.bool_]) -> bool:
        """Check widths, numbers and lengths; return whether samples can be compared."""
        found, width = self._found, self._runner.width
        broken = int((~np.isfinite(vectors).all(axis=1)).sum())
        if vectors.shape[1] != width or broken:
            found.add(
                file, f"{broken} of its vectors, of a width of {vectors.shape[1]}, hold NaN or "
                f"infinity; the model's width is {width}",
            )  # fmt: skip
            return False
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        empty = int((lengths[sound] == 0).sum())
        if empty:
            found.add(file, f"{empty} vectors are zeros, though their rows have no error")
        if lengths[~sound].any():
            found.add(file, "rows with an error have vectors")
        off = np.abs(lengths[sound & (lengths > 0)] - 1) > _UNIT[self._runner.job.dtype]
        if self._is_unit and off.any():
            found.add(file, f"{int(off.sum())} vectors do not have length 1")
        return True


class _Ids:
    """The ids of all rows as digests of 8 bytes, to find those that occur twice."""

    def __init__(self) -> None:
        self._digests: list[NDArray[np.uint64]] = []

    def add(self, ids: Sequence[object]) -> None:
        content = b"".join(blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
        self._digests.append(np.frombuffer(content, np.uint64))

    def report(self, found: FolderCheck) -> None:
        every = np.concatenate([np.empty(0, np.uint64), *self._digests])
        repeated = len(every) - len(np.unique(every))
        if repeated:
            found.faults.append(f"{repeated} rows have an id that another row has too")
