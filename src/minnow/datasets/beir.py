"""Folders in BEIR's layout, read strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from minnow.datasets.dataset import Dataset
from minnow.datasets.lines import GZIP, line_error, read_lines, read_rows
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HEADER = ["query-id", "corpus-id", "score"]


def read_beir(folder: Path, split: str | None = None) -> Dataset:
    """Read a folder in the layout of BEIR.

    It holds corpus.jsonl (`_id`, `text`, and optionally `title`), queries.jsonl (`_id`, `text`)
    and qrels/<split>.tsv (query-id, corpus-id, score, under a header). Each may be compressed, with
    .gz appended to its name. Queries that the split does not judge are left out.

    Args:
        folder: Where the files are; its name and the split's become the data set's.
        split: Which of the files in qrels/; not needed where there is one.

    Raises:
        InputError: A file is missing or broken, an id is repeated, a judgement names an unknown
            document or query, a text is empty, a query has no relevant document, or there are
            several splits and `split` is None. The message names the file and the line.

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
    for path in (folder / name, folder / (name + GZIP)):
        if path.is_file():
            return path
    raise InputError(f"{folder} has no file {name}, nor {name}{GZIP}.")


def _find_split(folder: Path, split: str | None) -> Path:
    if split is not None:
        return _find(folder / "qrels", f"{split}.tsv")
    found: dict[str, Path] = {}
    for path in sorted((folder / "qrels").glob("*.tsv*")):
        if path.name.endswith((".tsv", ".tsv" + GZIP)):
            found.setdefault(_split_name(path), path)
    if not found:
        raise InputError(f"{folder / 'qrels'} has no .tsv file with judgements.")
    if len(found) > 1:
        raise InputError(f"{folder / 'qrels'} has the splits {', '.join(found)}: name one of them.")
    return next(iter(found.values()))


def _split_name(path: Path) -> str:
    return path.name.removesuffix(GZIP).removesuffix(".tsv")


# --- texts and judgements ----------------------------------------------------------------


class _Row(msgspec.Struct):
    text: str
    id: str = msgspec.field(name="_id")
    title: str | None = None


def _read_texts(path: Path) -> dict[str, str]:
    """Return texts by id, in the file's order."""
    texts: dict[str, str] = {}
    for number, row in read_rows(path, _Row, '"_id" and "text"'):
        if row.id in texts:
            raise line_error(path, number, f"repeats the id {row.id!r}")
        texts[row.id] = f"{row.title or ''} {row.text}".strip()
        if not texts[row.id]:
            raise line_error(path, number, f"has an empty text (id {row.id!r}); leave it out")
    return texts


def _read_qrels(
    path: Path, documents: Mapping[str, str], queries: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Return scores by query and document; every query has at least one above 0."""
    qrels: dict[str, dict[str, int]] = {}
    first_lines: dict[str, int] = {}
    lines = read_lines(path)
    number, header = next(lines, (1, b""))
    if header.split(b"\t") != [name.encode() for name in _HEADER]:
        raise line_error(path, number, f"should be the header: {', '.join(_HEADER)}, with tabs")
    for number, line in lines:
        query, document, score = _read_judgement(path, number, line)
        if query not in queries:
            raise line_error(
                path, number, f"judges the query {query!r}, which is not in queries.jsonl"
            )
        if document not in documents:
            raise line_error(
                path, number, f"names the document {document!r}, which is not in corpus.jsonl"
            )
        scores = qrels.setdefault(query, {})
        if document in scores:
            raise line_error(path, number, f"judges {document!r} for {query!r} a second time")
        scores[document] = score
        first_lines.setdefault(query, number)
    if not qrels:
        raise InputError(f"{path} holds no judgements.")
    for query, scores in qrels.items():
        if max(scores.values()) <= 0:
            raise line_error(
                path, first_lines[query], f"judges {query!r}, but no score of that query is above 0"
            )
    return qrels


def _read_judgement(path: Path, number: int, line: bytes) -> tuple[str, str, int]:
    try:
        query, document, score = line.decode().split("\t")
    except UnicodeDecodeError as error:
        raise line_error(
            path, number, f"is not UTF-8 (byte {error.start}: {error.reason})"
        ) from error
    except ValueError as error:
        raise line_error(path, number, f"should have the columns {', '.join(_HEADER)}") from error
    try:
        return query, document, int(score)
    except ValueError as error:
        raise line_error(
            path, number, f"has the score {score!r}, which is not an integer"
        ) from error
