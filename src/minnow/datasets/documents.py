"""A data set of the user's own: documents, and questions that say where they are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from minnow.chunks import Splitter, find_documents, read_document
from minnow.chunks.folder import HTML_SUFFIXES
from minnow.chunks.webpage import explain_missing_text
from minnow.datasets.dataset import Dataset
from minnow.datasets.lines import line_error, read_rows
from minnow.datasets.places import ChunkLocator, CutDocument, PlaceError
from minnow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from minnow.chunks import Document, FolderListing

_PLACES = '"document", "heading" or "passage"'


def read_docs(
    folder: Path, queries: Path, tokenizer: Tokenizer, *, max_tokens: int = 256
) -> Dataset:
    """Read a folder of Markdown, HTML and plain text, and a file of questions about it.

    The data set's documents are chunks, with their headings in front. `Dataset.notes` says which
    files cannot be read, or are web pages without text. A line of the file is an
    object with a question, `text`, optionally an `_id` (by default "q" and the number of the line),
    and the place of the answer. It has one or more of these keys, and each narrows the place:

    - `document`: all chunks of the document with this path in the folder.
    - `heading`: all chunks at or under this heading, or these: "outer > inner". Case and white
      space do not count. Where several documents have it, `document` has to say which.
    - `passage`: all chunks that hold this quotation, in any document. Of a quotation that is cut,
      the chunks that hold half of it or more, or of which it is half or more; else the one that
      holds most. Only letters and digits count: it may be quoted with its Markdown or without.

    Args:
        folder: The documents; its name becomes the data set's.
        queries: A .jsonl file, or one compressed to .jsonl.gz.
        tokenizer: The tokenizer of the model that is to embed each chunk without truncation.
        max_tokens: The longest chunk, special tokens and headings included.

    Raises:
        InputError: There are no documents, a line is broken, or a place is not found or ambiguous.
            The message names the file and the line, and what comes nearest.
        MissingExtraError: There is HTML, and the extra `index` is not installed.
    """
    found = find_documents(folder)
    documents, notes = _read_all(found)
    splitter = Splitter(tokenizer, max_tokens=max_tokens)
    cut = [
        CutDocument(d.path, d.text, [part.headings for part in d.sections], splitter.split(d))
        for d in documents
    ]
    locator = ChunkLocator(cut, found.skipped)
    corpus = {chunk.id: chunk.text for chunk in locator.chunks()}
    if not corpus:
        missing = "documents with text" if documents else "documents"
        skipped = f"; {len(found.skipped)} files and folders are skipped" if found.skipped else ""
        told = f" {notes[0]}" if notes else ""
        raise InputError(
            f"{folder} has no {missing} (Markdown, HTML or plain text){skipped}.{told}"
        )
    texts, qrels = read_questions(queries, locator)
    name = folder.resolve().name
    return Dataset(name=name, documents=corpus, queries=texts, qrels=qrels, notes=tuple(notes))


def read_questions(
    queries: Path, locator: ChunkLocator
) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Read questions and the places of their answers; see `read_docs`.

    Returns:
        The questions by id, and for each the ids of the chunks that answer it, with 1.

    Raises:
        InputError: A line is broken, or a place is not found or ambiguous; or there is no question.
    """
    texts: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for number, question in read_rows(queries, _Question, f'"text", {_PLACES} and perhaps "_id"'):
        key = f"q{number}" if question.id is None else question.id
        problem = question.find_problem() or (f"repeats the id {key!r}" if key in texts else "")
        if problem:
            raise line_error(queries, number, problem)
        try:
            chunks = locator.find(question.document, question.heading, question.passage)
        except PlaceError as error:
            raise line_error(queries, number, str(error)) from None
        texts[key] = question.text
        qrels[key] = {chunk.id: 1 for chunk in chunks}
    if not texts:
        raise InputError(f"{queries} holds no questions.")
    return texts, qrels


def _read_all(found: FolderListing) -> tuple[list[Document], list[str]]:
    """Return the documents that can be read, and a note on each that cannot or has no text."""
    documents: list[Document] = []
    notes: list[str] = []
    for name, path in found.files.items():
        try:
            document = read_document(path, name)
        except InputError as error:
            notes.append(f"{str(error).rstrip('.')}: it is left out.")
            continue
        documents.append(document)
        if path.suffix.lower() in HTML_SUFFIXES and not document.has_text:
            notes.append(f"{path} holds no text {explain_missing_text(path.read_bytes())}.")
    return documents, notes


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    id: str | None = msgspec.field(name="_id", default=None)
    document: str | None = None
    heading: str | None = None
    passage: str | None = None

    def find_problem(self) -> str:
        """Return what is wrong with the question, as a predicate; an empty string if nothing is."""
        if not self.text.strip():
            return "has an empty question"
        places = {name: getattr(self, name) for name in ("document", "heading", "passage")}
        if all(place is None for place in places.values()):
            return f"does not say where the answer is; add {_PLACES}"
        empty = (name for name, place in places.items() if place is not None and not place.strip())
        return next((f'has an empty "{name}"' for name in empty), "")
