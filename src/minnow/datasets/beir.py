"""Retrieval data: documents, queries, and who judged which document relevant to which query."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GZIP = ".gz"
_HEADER = ["query-id", "corpus-id", "score"]


@dataclass(frozen=True)
class Dataset:
    """What a retrieval system is measured on.

    Attributes:
        name: What reports call it.
        documents: Text by id; a title stands in front of its text.
        queries: Text by id.
        qrels: For each query id, scores by document id; above 0 is relevant, and more is better.

    Raises:
        InputError: There is no query, a query has no relevant document, or a judgement is of a
            document or query that is not there.
    """

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    def __post_init__(self) -> None:
        if not self.queries:
            raise InputError(f"{self.name} has no queries.")
        for query in self.queries:
            if max(self.qrels.get(query, {}).values(), default=0) <= 0:
                raise InputError(f"{self.name} has no relevant document for the query {query!r}.")
        for query, judged in self.qrels.items():
            if query not in self.queries:
                raise InputError(f"{self.name} judges {query!r}, which is not one of its queries.")
            for document in judged:
                if document not in self.documents:
                    raise InputError(f"{self.name} judges {document!r}, which it does not have.")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all but the name, in order (order decides ties): 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for part in (self.documents, self.queries, self.qrels):
            for key, value in part.items():
                content = value if isinstance(value, str) else list(value.items())
                digest.update(json.dumps([key, content]).encode() + b"\n")
            digest.update(b"\n")
        return digest.hexdigest()


def read_beir(folder: Path, split: str | None = None) -> Dataset:
    """Read a folder in the layout of BEIR.

    It holds corpus.jsonl (`_id`, `text`, and a `title` if it likes), queries.jsonl (`_id`, `text`)
    and qrels/<split>.tsv (query-id, corpus-id, score, under a header). Each may be compressed, with
    .gz behind its name. Queries that the split does not judge are left out.

    Args:
        folder: Where the files are; its name and the split's become the data set's.
        split: Which of the files in qrels/; not needed where there is one.

    Raises:
        InputError: A file is missing or broken, an id is there twice, a judgement names a document
            or query that is not there, a text is empty, a query has no relevant document, or
            several splits leave a choice. The message names the file and the line.

    Source: https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    judged = _find_split(folder, split)
    documents = _read_texts(_find(folder, "corpus.jsonl"))
    queries = _read_texts(_find(folder, "queries.jsonl"))
    qrels = _read_qrels(judged, documents, queries)
    return Dataset(
        name=f"{folder.resolve().name}/{_split_name(judged)}",
        documents=documents,
        queries={query: text for query, text in queries.items() if query in qrels},
        qrels={query: qrels[query] for query in queries if query in qrels},
    )


# --- files -------------------------------------------------------------------------------


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / (name + _GZIP)):
        if path.is_file():
            return path
    raise InputError(f"{folder} has no file {name}, nor {name}{_GZIP}.")


def _find_split(folder: Path, split: str | None) -> Path:
    if split is not None:
        return _find(folder / "qrels", f"{split}.tsv")
    found: dict[str, Path] = {}
    for path in sorted((folder / "qrels").glob("*.tsv*")):
        if path.name.endswith((".tsv", ".tsv" + _GZIP)):
            found.setdefault(_split_name(path), path)
    if not found:
        raise InputError(f"{folder / 'qrels'} has no .tsv file with judgements.")
    if len(found) > 1:
        raise InputError(f"{folder / 'qrels'} has the splits {', '.join(found)}: name one of them.")
    return next(iter(found.values()))


def _split_name(path: Path) -> str:
    return path.name.removesuffix(_GZIP).removesuffix(".tsv")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers, without a byte order mark or line ends."""
    try:
        with gzip.open(path) if path.name.endswith(_GZIP) else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if content.strip():
                    yield number, content.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Cannot read {path}: {reason}.") from error


def fault(path: Path, number: int, what: str) -> InputError:
    """The error for a line of a file: its number and file, and what is wrong with it."""
    return InputError(f"Line {number} of {path} {what}.")


# --- texts -------------------------------------------------------------------------------


class _Row(msgspec.Struct):
    text: str
    id: str = msgspec.field(name="_id")
    title: str | None = None


def _read_texts(path: Path) -> dict[str, str]:
    """Texts by id, in the file's order."""
    texts: dict[str, str] = {}
    decoder = msgspec.json.Decoder(_Row)
    for number, line in read_lines(path):
        try:
            row = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise fault(
                path, number, f'is not a JSON object with "_id" and "text": {error}'
            ) from error
        if row.id in texts:
            raise fault(path, number, f"repeats the id {row.id!r}")
        texts[row.id] = f"{row.title or ''} {row.text}".strip()
        if not texts[row.id]:
            raise fault(path, number, f"has an empty text (id {row.id!r}); leave it out")
    return texts


# --- judgements --------------------------------------------------------------------------


def _read_qrels(
    path: Path, documents: Mapping[str, str], queries: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Scores by query and document; every query has at least one above 0."""
    qrels: dict[str, dict[str, int]] = {}
    first_lines: dict[str, int] = {}
    lines = read_lines(path)
    number, header = next(lines, (1, b""))
    if header.split(b"\t") != [name.encode() for name in _HEADER]:
        raise fault(path, number, f"should be the header: {', '.join(_HEADER)}, with tabs")
    for number, line in lines:
        query, document, score = _read_judgement(path, number, line)
        if query not in queries:
            raise fault(path, number, f"judges the query {query!r}, which is not in queries.jsonl")
        if document not in documents:
            raise fault(path, number, f"names the document {document!r}, which corpus.jsonl lacks")
        scores = qrels.setdefault(query, {})
        if document in scores:
            raise fault(path, number, f"judges {document!r} for {query!r} a second time")
        scores[document] = score
        first_lines.setdefault(query, number)
    if not qrels:
        raise InputError(f"{path} holds no judgements.")
    for query, scores in qrels.items():
        if max(scores.values()) <= 0:
            raise fault(
                path, first_lines[query], f"judges {query!r}, but no score of that query is above 0"
            )
    return qrels


def _read_judgement(path: Path, number: int, line: bytes) -> tuple[str, str, int]:
    try:
        query, document, score = line.decode().split("\t")
    except UnicodeDecodeError as error:
        raise fault(path, number, f"is not UTF-8 (byte {error.start}: {error.reason})") from error
    except ValueError as error:
        raise fault(path, number, f"should have the columns {', '.join(_HEADER)}") from error
    try:
        return query, document, int(score)
    except ValueError as error:
        raise fault(path, number, f"has the score {score!r}, which is not an integer") from error
