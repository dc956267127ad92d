"""A data set of one's own: a folder of documents, and questions with where they are answered."""

from __future__ import annotations

import difflib
import unicodedata
from array import array
from bisect import bisect_left
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from minnow.chunks import Splitter, find_documents, read_document
from minnow.chunks.markdown import read_markdown
from minnow.datasets.beir import Dataset, fault, read_lines
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tokenizers import Tokenizer

    from minnow.chunks import Chunk, Document

_MOST_PLACES = 10
_SHOWN = 60
_LISTED = 5
_SHORTEST_BEGINNING = 8


def read_docs(
    folder: Path, queries: Path, tokenizer: Tokenizer, *, max_tokens: int = 256
) -> Dataset:
    """Read a folder of Markdown, HTML and plain text, and a file of questions on it.

    The data set's documents are chunks, with their headings in front. A line of the file is an
    object with a question, `text`, an `_id` if it likes (else "q" and the number of the line), and
    the place of the answer. It has one or more of these keys, and each narrows the place:

    - `document`: all chunks of the document with this path in the folder.
    - `heading`: all chunks at or under this heading, or these: "outer > inner". Case and white
      space do not count. Where several documents have it, `document` has to say which.
    - `passage`: all chunks that hold this quotation, in whichever documents. Of one that is cut,
      those that hold half of it or more, or of which it is half or more; else the one that holds
      most. Only letters and digits count: it may be quoted with its Markdown or without.

    Args:
        folder: Of the documents; its name becomes the data set's.
        queries: A .jsonl file, or one compressed to .jsonl.gz.
        tokenizer: Of the model that is to take each chunk whole.
        max_tokens: The longest chunk, special tokens and headings included.

    Raises:
        InputError: There are no documents, one cannot be read, a line is broken, or a place is not
            found or ambiguous. The message names the file and the line, and what comes nearest.
        MissingExtraError: There is HTML, and the extra `index` is not installed.
    """
    found = find_documents(folder)
    documents = [read_document(path, name) for name, path in found.files.items()]
    library = _Library(documents, Splitter(tokenizer, max_tokens=max_tokens), found.skipped)
    corpus = {chunk.id: chunk.text for chunk in library.all_chunks()}
    if not corpus:
        what = "documents with text" if documents else "documents"
        left = f"; {len(found.skipped)} files and folders are skipped" if found.skipped else ""
        raise InputError(f"{folder} has no {what} (Markdown, HTML or plain text){left}.")
    texts: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for number, line in read_lines(queries):
        try:
            question = _read_question(line)
            key = f"q{number}" if question.id is None else question.id
            if key in texts:
                raise _LineError(f"repeats the id {key!r}")
            qrels[key] = {chunk.id: 1 for chunk in library.find(question)}
        except _LineError as error:
            raise fault(queries, number, str(error)) from error.__cause__
        texts[key] = question.text
    if not texts:
        raise InputError(f"{queries} holds no questions.")
    return Dataset(name=folder.resolve().name, documents=corpus, queries=texts, qrels=qrels)


class _LineError(Exception):
    """What is wrong with a line: a sentence without its subject and its full stop."""


# --- questions ---------------------------------------------------------------------------


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    id: str | None = msgspec.field(name="_id", default=None)
    document: str | None = None
    heading: str | None = None
    passage: str | None = None


_DECODER = msgspec.json.Decoder(_Question)
_PLACES = '"document", "heading" or "passage"'


def _read_question(line: bytes) -> _Question:
    try:
        question = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _LineError(
            f'is not a JSON object with "text", {_PLACES} and perhaps "_id": {error}'
        ) from error
    if not question.text.strip():
        raise _LineError("has an empty question")
    places = {name: getattr(question, name) for name in ("document", "heading", "passage")}
    if all(place is None for place in places.values()):
        raise _LineError(f"does not say where the answer is; add {_PLACES}")
    for name, place in places.items():
        if place is not None and not place.strip():
            raise _LineError(f'has an empty "{name}"')
    return question


# --- places ------------------------------------------------------------------------------


class _Library:
    """Documents and their chunks, by path, and where to find what in them."""

    def __init__(
        self, documents: Iterable[Document], splitter: Splitter, skipped: Mapping[str, str]
    ) -> None:
        self._skipped = skipped
        self._documents = {document.path: document for document in documents}
        self._paths = {_composed(path): path for path in self._documents}
        self._chunks = {path: splitter.split(d) for path, d in self._documents.items()}
        self._spelled: dict[str, str] = {}
        self._headings: dict[str, dict[str, dict[int, Chunk]]] = {}
        self._letters: dict[str, _Letters] = {}
        for document in self._documents.values():
            self._list_headings(document)

    def all_chunks(self) -> Iterator[Chunk]:
        """Of all documents, in order."""
        for chunks in self._chunks.values():
            yield from chunks

    def find(self, question: _Question) -> list[Chunk]:
        """The chunks of a question's place, at least one.

        Raises:
            _LineError: There is no such place, or it is not clear which is meant.
        """
        within = self._chunks
        if question.document is not None:
            path = self._find_document(question.document)
            within = {path: self._chunks[path]}
        if question.heading is not None:
            within = self._find_heading(question.heading, within)
        if question.passage is not None:
            return self._find_passage(question.passage, within)
        if len(within) > 1:
            raise _LineError(
                f"names the heading {question.heading!r}, which {len(within)} documents have: "
                f'{_listed(within)}; add "document", or the heading above it as "outer > inner"'
            )
        chunks = next(iter(within.values()))
        if not chunks:
            raise _LineError(f"names {question.heading or question.document!r}, which has no text")
        return chunks

    # --- documents and headings ----------------------------------------------------------

    def _find_document(self, name: str) -> str:
        wanted = _composed(PurePosixPath(name).as_posix())
        if wanted in self._paths:
            return self._paths[wanted]
        if name in self._skipped:
            raise _LineError(f"names {name!r}, which is skipped: {self._skipped[name]}")
        same_end = [path for path in self._documents if path.endswith(f"/{wanted}")]
        near = same_end or difflib.get_close_matches(wanted, self._documents)
        raise _LineError(f"names the document {name!r}, which does not exist{_suggestion(near)}")

    def _list_headings(self, document: Document) -> None:
        for section in document.sections:
            for way in _ways(section.headings):
                self._spelled.setdefault(_folded(way), way)
                self._headings.setdefault(_folded(way), {}).setdefault(document.path, {})
        for chunk in self._chunks[document.path]:
            for way in _ways(chunk.headings):
                self._headings[_folded(way)][document.path][chunk.number] = chunk

    def _find_heading(
        self, heading: str, within: Mapping[str, list[Chunk]]
    ) -> dict[str, list[Chunk]]:
        for spelled in (heading, _rendered(heading)):
            having = self._headings.get(_folded(spelled), {})
            here = {
                path: list(chunks.values()) for path, chunks in having.items() if path in within
            }
            if here:
                return here
            if having:
                raise _LineError(
                    f"names the heading {heading!r}, which is not in {_listed(within)}, "
                    f"but in {_listed(having)}"
                )
        known = [way for way, having in self._headings.items() if having.keys() & within.keys()]
        near = difflib.get_close_matches(_folded(heading), known)
        raise _LineError(
            f"names the heading {heading!r}, which does not exist"
            + _suggestion([self._spelled[way] for way in near])
        )

    # --- passages ------------------------------------------------------------------------

    def _find_passage(self, passage: str, within: Mapping[str, list[Chunk]]) -> list[Chunk]:
        shown = repr(passage if len(passage) <= _SHOWN else passage[: _SHOWN - 1] + "…")
        texts = {path: self._letters_of(path) for path in within}
        spellings = [_Letters(passage), _Letters(_rendered(passage))]
        if not spellings[0].text:
            raise _LineError(f"quotes {shown}, which has no letter or digit")
        places = [
            [(path, *place) for path, text in texts.items() for place in text.places(wanted.text)]
            for wanted in spellings
        ]
        found = places[0] or places[1]
        if not found:
            known = _known_beginning(spellings[0], passage, texts.values())
            raise _LineError(f"quotes {shown}, which is not there{known}")
        holding = [
            chunks for path, *at in found if (chunks := _holding(texts[path], within[path], *at))
        ]
        if not holding:
            raise _LineError(
                f"quotes {shown}, which is there, but as a heading or not under the one given"
            )
        if len(holding) > _MOST_PLACES:
            raise _LineError(f"quotes {shown}, which is in {len(holding)} places; quote more of it")
        return list({chunk.id: chunk for chunks in holding for chunk in chunks}.values())

    def _letters_of(self, path: str) -> _Letters:
        if path not in self._letters:
            self._letters[path] = _Letters(self._documents[path].text)
        return self._letters[path]


def _holding(letters: _Letters, chunks: list[Chunk], start: int, end: int) -> list[Chunk]:
    """The chunks that hold enough of what is between `start` and `end` of their document."""
    touching = []
    for chunk in chunks:
        held = letters.count(max(start, chunk.start), min(end, chunk.end))
        if held > 0:
            whole = min(letters.count(start, end), letters.count(chunk.start, chunk.end))
            touching.append((held, 2 * held >= whole, chunk))
    enough = [chunk for _, is_enough, chunk in touching if is_enough]
    return enough or [chunk for _, _, chunk in sorted(touching, key=lambda row: -row[0])[:1]]


# --- spellings ---------------------------------------------------------------------------


class _Letters:
    """The letters and digits of a text, in lower case and without accents, and where they are."""

    def __init__(self, text: str) -> None:
        parts = [_plain_letters(character) for character in text]
        self.text = "".join(parts)
        self._origins = array("q", (i for i, part in enumerate(parts) for _ in part))

    def places(self, wanted: str) -> Iterator[tuple[int, int]]:
        """Where these letters begin and end in the text itself."""
        at = self.text.find(wanted) if wanted else -1
        while at >= 0:
            after = at + len(wanted)
            yield self._origins[at], self.end(after)
            at = self.text.find(wanted, after)

    def count(self, start: int, end: int) -> int:
        """How many are between two places in the text itself."""
        return bisect_left(self._origins, end) - bisect_left(self._origins, start)

    def end(self, count: int) -> int:
        """Where the first `count` letters end in the text itself."""
        return self._origins[count - 1] + 1


@cache
def _plain_letters(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character).casefold()
    return "".join(letter for letter in decomposed if letter.isalnum())


def _known_beginning(wanted: _Letters, passage: str, texts: Iterable[_Letters]) -> str:
    """As a hint, how far some text agrees with a passage."""
    known = [text.text for text in texts]
    low, high = 0, len(wanted.text)
    while low < high:
        middle = (low + high + 1) // 2
        if any(wanted.text[:middle] in text for text in known):
            low = middle
        else:
            high = middle - 1
    if low < _SHORTEST_BEGINNING:
        return ""
    return f"; it agrees up to {passage[: wanted.end(low)][-_SHOWN:]!r}"


def _ways(headings: tuple[str, ...]) -> set[str]:
    """A section's headings, each alone and behind those above it."""
    ends = range(1, len(headings) + 1)
    return {" > ".join(headings[start:end]) for end in ends for start in range(end)}


def _folded(heading: str) -> str:
    """A heading in the spelling in which headings are compared."""
    text = unicodedata.normalize("NFKC", heading).casefold()
    return " ".join(text.replace(">", " > ").split())


def _rendered(text: str) -> str:
    """What Markdown makes of a line or more."""
    try:
        return " ".join(read_markdown("", text).text.split())
    except InputError:
        return text


def _composed(path: str) -> str:
    """File systems differ in how they spell accents."""
    return unicodedata.normalize("NFC", path)


def _listed(paths: Iterable[str]) -> str:
    names = list(paths)
    return ", ".join(names[:_LISTED]) + (" and others" if len(names) > _LISTED else "")


def _suggestion(near: list[str]) -> str:
    return f"; the nearest is {near[0]!r}" if near else ""
