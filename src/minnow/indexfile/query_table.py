"""Static queries: a table in place of a model, whose vectors search the index of that model.

A query's vector is the sum of a row for each of its tokens, scaled to length 1. So a phone needs
the tokenizer and 40 lines of code, but no runtime. `minnow.distill` fits the table.

`table.bin` holds, little-endian and without gaps: float32 of shape (rows,), the scale of each row;
float32 of shape (rank, width), the basis; int8 of shape (rows, rank). The row of token i is
scale[i] * numbers[i] @ basis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from minnow.characters import clean_text
from minnow.errors import BundleError, InputError
from minnow.files import read_regular, restore_if_missing, writing
from minnow.indexfile.fingerprint import Fingerprint
from minnow.manifest import TOKENIZER
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.sealing import (
    FileRecord,
    check_record,
    check_replaceable,
    file_faults,
    file_records,
    put_in_place,
    read_record,
)
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.indexfile.encodings import Floats

FORMAT = 1
RECORD = "queries.json"
TABLE = "table.bin"
_MOST_NUMBERS = 1 << 31


@dataclass(frozen=True)
class DistillingProof:
    """How well the staged table finds texts that it was not fitted on, compared with its teacher.

    Attributes:
        queries: Number of queries, each made of one text.
        texts: Number of texts that they were searched in.
        ndcg: The mean nDCG@10 of the table's queries, by vectors alone.
        teacher_ndcg: That of the teacher's queries.
        low: The lower end of the 95 % interval of their difference.
        high: Its upper end.
        mean_cosine: The mean cosine of the table's vectors to the teacher's.
        worst_cosine: The lowest of these cosines.
        speedup: How many times longer the teacher took for one query; the median.
        least_share: The bar: the least share of the teacher's nDCG@10 that is accepted.
    """

    queries: int
    texts: int
    ndcg: float
    teacher_ndcg: float
    low: float
    high: float
    mean_cosine: float
    worst_cosine: float
    speedup: float
    least_share: float

    @property
    def share(self) -> float:
        """The share of the teacher's nDCG@10."""
        return self.ndcg / self.teacher_ndcg if self.teacher_ndcg else 0.0


@dataclass(frozen=True)
class QueryTableRecord:
    """The record of a sealed folder; `queries.json` is its JSON form.

    Attributes:
        model: The model whose index the vectors search.
        rows: Tokens of the vocabulary.
        rank: Numbers of a row.
        fitted_texts: Number of texts that the fit saw.
        fitted_queries: Number of queries made of them.
        proof: The figures of the proof.
        tools: Name -> version of what made the folder.
        files: Path in the folder -> size and hash; all files except the record itself.
        format: The version of this form.
    """

    model: Fingerprint
    rows: int
    rank: int
    fitted_texts: int
    fitted_queries: int
    proof: DistillingProof | None
    tools: Mapping[str, str]
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files that the record lists."""
        return sum(record.size for record in self.files.values())


class StaticQueries:
    """Queries of a sealed table, as the model of an index that is searched; see `SearchModel`.

    Attributes:
        record: The record.
    """

    def __init__(self, folder: Path, record: QueryTableRecord) -> None:
        """Load the files of a folder; `open` checks them first.

        Raises:
            BundleError: The table has another size.
        """
        self.record, self.fingerprint = record, record.model
        self.room = record.model.max_tokens
        self.tokenizer = load_whole_tokenizer(folder / TOKENIZER, lowercase=record.model.lowercase)
        rows, rank, width = record.rows, record.rank, record.model.width
        size = 4 * (rows + rank * width) + rows * rank
        try:
            content = read_regular(folder / TABLE, _MOST_NUMBERS)
        except OSError as error:
            raise BundleError(f"{folder / TABLE} cannot be read ({error.strerror}).") from error
        if len(content) != size or self.tokenizer.get_vocab_size() > rows:
            raise BundleError(f"{folder / TABLE} does not fit its record or its tokenizer.")
        self._scales = np.frombuffer(content, "<f4", rows)
        self._basis = np.frombuffer(content, "<f4", rank * width, 4 * rows).reshape(rank, width)
        self._numbers = np.frombuffer(content, np.int8, rows * rank, size - rows * rank)
        self._numbers = self._numbers.reshape(rows, rank)

    @classmethod
    def open(cls, folder: str | Path) -> StaticQueries:
        """Open what `minnow distill` wrote.

        Raises:
            BundleError: The folder is something else, or a file in it has changed.
        """
        record = read_query_table(folder)
        faults = file_faults(Path(folder), record.files)
        if faults:
            raise BundleError(
                f"{folder} is not the table that was proven: {'; '.join(faults.values())}. Copy or "
                "distill it again."
            )
        return cls(Path(folder), record)

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Embed questions, each by itself: float32 of shape (texts, width), of length 1.

        Raises:
            InputError: A text has no token.
        """
        vectors = np.empty((len(texts), self.fingerprint.width), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            ids = self.tokenizer.encode(clean_text(text), add_special_tokens=False).ids
            ids = ids[: self.fingerprint.max_tokens]
            if not ids:
                raise InputError(f"The question {text!r:.60} holds no word.")
            vector[:] = self._scales[ids] @ self._numbers[ids].astype(np.float32) @ self._basis
        return normalize(vectors)

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Refuse: the table has no vectors of documents.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "Static queries search an index and embed no documents. Give the bundle that the "
            f"index was made with ({self.fingerprint.shown})."
        )


def read_query_table(folder: str | Path) -> QueryTableRecord:
    """Read the record of a folder; its files are not compared.

    Raises:
        BundleError: It is missing, broken, or of another format.
    """
    path = Path(folder) / RECORD
    restore_if_missing(Path(folder))
    try:
        content = read_record(path)
        check_record(content, {each.name for each in fields(QueryTableRecord)})
        record = msgspec.json.decode(content, type=QueryTableRecord)
        record.model.check()
    except OSError as error:
        raise BundleError(
            f"{folder} holds no static queries: {RECORD} cannot be read ({error.strerror})."
        ) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = str(error).rstrip(".")
        raise BundleError(f"{path} is not the record of static queries: {reason}.") from error
    sizes = (record.rows, record.rank, record.model.max_tokens)
    if record.format != FORMAT or min(sizes) < 1 or record.rows * record.rank > _MOST_NUMBERS:
        raise BundleError(f"{path} has a format or sizes that this minnow does not read.")
    if record.model.similarity != Similarity.COSINE or {TOKENIZER, TABLE} - record.files.keys():
        raise BundleError(f"{path} lacks files, or compares vectors by something else than cosine.")
    return record


def write_table(folder: Path, table: NDArray[np.float32], most_bytes: int) -> tuple[int, int]:
    """Write a table of as many numbers a row as there is room for; return rows and rank.

    The rows are turned onto their principal axes, of which the first are kept, and rounded to 255
    steps.

    Args:
        folder: It has tokenizer.json already, which takes from the room.
        table: float32 of shape (rows, width).
        most_bytes: The room for all files.

    Raises:
        InputError: There is room for less than 16 numbers.
    """
    rows, width = table.shape
    room = most_bytes - (folder / TOKENIZER).stat().st_size - 4 * rows
    rank = min(width, room // (rows + 4 * width))
    if rank < min(width, 16):
        raise InputError(
            f"A table of {rows} tokens does not fit into {most_bytes / 1e6:.1f} MB. Allow it more "
            "room."
        )
    _, axes = np.linalg.eigh(table.T.astype(np.float64) @ table)
    basis = axes[:, ::-1][:, :rank].T.astype(np.float32)
    turned = table @ basis.T
    scales = (np.abs(turned).max(axis=1) / 127).astype(np.float32)
    numbers = np.rint(turned / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    parts = (scales.astype("<f4"), basis.astype("<f4"), numbers)
    (folder / TABLE).write_bytes(b"".join(part.tobytes() for part in parts))
    return rows, rank


def seal_query_table(staged: Path, record: QueryTableRecord, destination: Path) -> QueryTableRecord:
    """Hash the staged files, write the record last, and rename the folder into place.

    Raises:
        OutputError: The destination is something else, or cannot be written.
    """
    record = replace(record, files=file_records(staged))
    with writing(destination):
        put_in_place(staged, msgspec.to_builtins(record), RECORD, destination, check_destination)
    return record


def check_destination(destination: Path) -> None:
    """Check that a destination is free, an empty folder, or a table with no other files.

    Raises:
        OutputError: The destination is something else.
    """
    check_replaceable(
        destination,
        "table of static queries",
        lambda: {RECORD, *read_query_table(destination).files},
    )
