"""Places in documents, named by path, heading or quotation, and the chunks that hold them."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from minnow.chunks import Chunk
from minnow.chunks.markdown import read_markdown
from minnow.datasets.quotations import LetterIndex, find_longest_match
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MAX_PLACES = 10
_MAX_SHOWN = 60
_MAX_LISTED = 5


@dataclass(frozen=True)
class CutDocument:
    """A document that is cut into chunks.

    Attributes:
        path: Its name.
        text: Its text; the chunks name places in it.
        headings: The headings of each of its sections, the outermost first.
        chunks: Its chunks, in order.
    """

    path: str
    text: str
    headings: Sequence[tuple[str, ...]]
    chunks: list[Chunk]


class PlaceError(Exception):
    """A place that does not exist or is ambiguous; the message is a predicate without a stop."""


class ChunkLocator:
    """Locator of the chunks of documents that a question's place names."""

    def __init__(
        self, documents: Iterable[CutDocument], skipped: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Take documents; `skipped` has the reason why other files are not among them."""
        self._skipped = skipped
        self._documents = {document.path: document for document in documents}
        self._paths = {_normalize_path(path): path for path in self._documents}
        self._chunks = {path: document.chunks for path, document in self._documents.items()}
        self._spellings: dict[str, str] = {}
        self._headings: dict[str, dict[str, dict[int, Chunk]]] = {}
        self._letters: dict[str, LetterIndex] = {}
        for document in self._documents.values():
            self._add_headings(document)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks of all documents, in order."""
        for chunks in self._chunks.values():
            yield from chunks

    def find(self, document: str | None, heading: str | None, passage: str | None) -> list[Chunk]:
        """Return the chunks of a place, at least one; see `read_docs` for the arguments.

        Raises:
            PlaceError: There is no such place, or several that fit.
        """
        within = self._chunks
        if document is not None:
            path = self._find_document(document)
            within = {path: self._chunks[path]}
        if heading is not None:
            within = self._find_heading(heading, within)
        if passage is not None:
            return self._find_passage(passage, within)
        if len(within) > 1:
            raise PlaceError(
                f"names the heading {heading!r}, which {len(within)} documents have: "
                f'{_join(within)}; add "document", or the heading above it as "outer > inner"'
            )
        chunks = next(iter(within.values()))
        if not chunks:
            raise PlaceError(f"names {heading or document!r}, which has no text")
        return chunks

    # --- documents and headings ----------------------------------------------------------

    def _find_document(self, name: str) -> str:
        wanted = _normalize_path(PurePosixPath(name).as_posix())
        if wanted in self._paths:
            return self._paths[wanted]
        if name in self._skipped:
            raise PlaceError(f"names {name!r}, which is skipped: {self._skipped[name]}")
        same_end = [path for path in self._documents if path.endswith(f"/{wanted}")]
        near = same_end or difflib.get_close_matches(wanted, self._documents)
        raise PlaceError(f"names the document {name!r}, which does not exist{_suggest(near)}")

    def _add_headings(self, document: CutDocument) -> None:
        for headings in document.headings:
            for path in _heading_paths(headings):
                self._spellings.setdefault(_fold(path), path)
                self._headings.setdefault(_fold(path), {}).setdefault(document.path, {})
        for chunk in self._chunks[document.path]:
            for path in _heading_paths(chunk.headings):
                self._headings[_fold(path)][document.path][chunk.number] = chunk

    def _find_heading(
        self, heading: str, within: Mapping[str, list[Chunk]]
    ) -> dict[str, list[Chunk]]:
        for spelling in (heading, _render(heading)):
            anywhere = self._headings.get(_fold(spelling), {})
            here = {
                path: list(chunks.values()) for path, chunks in anywhere.items() if path in within
            }
            if here:
                return here
            if anywhere:
                raise PlaceError(
                    f"names the heading {heading!r}, which is not in {_join(within)}, "
                    f"but in {_join(anywhere)}"
                )
        known = [key for key, having in self._headings.items() if having.keys() & within.keys()]
        near = difflib.get_close_matches(_fold(heading), known)
        raise PlaceError(
            f"names the heading {heading!r}, which does not exist"
            + _suggest([self._spellings[key] for key in near])
        )

    # --- passages ------------------------------------------------------------------------

    def _find_passage(self, passage: str, within: Mapping[str, list[Chunk]]) -> list[Chunk]:
        quoted = repr(passage if len(passage) <= _MAX_SHOWN else passage[: _MAX_SHOWN - 1] + "…")
        texts = {path: self._index_letters(path) for path in within}
        wanted = LetterIndex(passage)
        if not wanted.letters:
            raise PlaceError(f"quotes {quoted}, which has no letter or digit")
        for spelling in (wanted, LetterIndex(_render(passage))):
            places = [
                (path, *place) for path, text in texts.items() for place in text.find(spelling)
            ]
            if places:
                break
        else:
            known = find_longest_match(wanted, texts.values())
            hint = f"; it agrees up to {passage[:known][-_MAX_SHOWN:]!r}" if known else ""
            raise PlaceError(f"quotes {quoted}, which is not there{hint}")
        holders = [_holders(texts[path], within[path], *place) for path, *place in places]
        holders = list(filter(None, holders))
        if not holders:
            raise PlaceError(
                f"quotes {quoted}, which is there, but as a heading or not under the one given"
            )
        if len(holders) > _MAX_PLACES:
            raise PlaceError(
                f"quotes {quoted}, which is in {len(holders)} places; quote more of it"
            )
        return list({chunk.id: chunk for chunks in holders for chunk in chunks}.values())

    def _index_letters(self, path: str) -> LetterIndex:
        if path not in self._letters:
            self._letters[path] = LetterIndex(self._documents[path].text)
        return self._letters[path]


def _holders(text: LetterIndex, chunks: list[Chunk], start: int, end: int) -> list[Chunk]:
    """Return the chunks that hold enough of the text between `start` and `end`."""
    touching = []
    for chunk in chunks:
        held = text.count(max(start, chunk.start), min(end, chunk.end))
        if held > 0:
            shorter = min(text.count(start, end), text.count(chunk.start, chunk.end))
            touching.append((held, 2 * held >= shorter, chunk))
    enough = [chunk for _, is_enough, chunk in touching if is_enough]
    return enough or [chunk for _, _, chunk in sorted(touching, key=lambda row: -row[0])[:1]]


# --- spellings ---------------------------------------------------------------------------


def _heading_paths(headings: tuple[str, ...]) -> set[str]:
    """Return each heading, alone and behind those above it: "inner", "outer > inner"."""
    ends = range(1, len(headings) + 1)
    return {" > ".join(headings[start:end]) for end in ends for start in range(end)}


def _fold(heading: str) -> str:
    """Return a heading without the differences in spelling that do not count."""
    text = unicodedata.normalize("NFKC", heading).casefold()
    return " ".join(text.replace(">", " > ").split())


def _render(markdown: str) -> str:
    """Return the text that Markdown shows for some lines."""
    try:
        return " ".join(read_markdown("", markdown).text.split())
    except InputError:
        return markdown


def _normalize_path(path: str) -> str:
    """Return a path in NFC, because file systems differ in how they spell accents."""
    return unicodedata.normalize("NFC", path)


def _join(paths: Iterable[str]) -> str:
    names = list(paths)
    return ", ".join(names[:_MAX_LISTED]) + (" and others" if len(names) > _MAX_LISTED else "")


def _suggest(near: list[str]) -> str:
    return f"; the nearest is {near[0]!r}" if near else ""
