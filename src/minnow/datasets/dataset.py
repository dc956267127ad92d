"""Documents, queries and judgements: what a retrieval system is measured on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minnow.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """Documents, queries, and which documents are relevant to which query.

    Attributes:
        name: Its name in reports.
        documents: Text by id; a title stands in front of its text.
        queries: Text by id.
        qrels: For each query id, scores by document id; above 0 is relevant, and more is better. A
            document that is not among `documents` cannot be found, but counts in recall and in the
            ideal ranking. A query without a relevant document counts as 0.
        own_documents: Ids of queries that are documents too; each is left out of its own results.
        parts: Names of the data sets that it was joined from; the ids begin with a name and "/".
            Each is searched alone, and a measure is the mean of those of the parts.
        notes: What is unusual about the data, and what was done about it, as sentences.

    Raises:
        InputError: There is no query, one has no judgement, none has a relevant document that is
            there, or a judgement names an unknown query.
    """

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    own_documents: frozenset[str] = frozenset()
    parts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.queries:
            raise InputError(f"{self.name} has no queries.")
        for query in self.queries:
            if not self.qrels.get(query):
                raise InputError(f"{self.name} has no judgement for the query {query!r}.")
        for query in self.qrels:
            if query not in self.queries:
                raise InputError(f"{self.name} judges {query!r}, which is not one of its queries.")
        if not any(self.relevant_documents(query) for query in self.queries):
            raise InputError(f"{self.name} has no relevant document for any of its queries.")

    def relevant_documents(self, query: str) -> list[str]:
        """Return the ids of the documents that are relevant to a query and there to be found."""
        judged = self.qrels[query].items()
        return [name for name, gain in judged if gain > 0 and name in self.documents]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all but name and notes, in order (it decides ties): 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for part in (self.documents, self.queries, self.qrels):
            for key, value in part.items():
                content = value if isinstance(value, str) else list(value.items())
                digest.update(json.dumps([key, content]).encode() + b"\n")
            digest.update(b"\n")
        if self.own_documents:
            digest.update(json.dumps(sorted(self.own_documents)).encode())
        if self.parts:
            digest.update(json.dumps(self.parts).encode())
        return digest.hexdigest()


def part_of(id_: str) -> str:
    """Return the name of the part that a query or document of a joined data set is from."""
    return id_.partition("/")[0]


def join(name: str, parts: Mapping[str, Dataset], notes: tuple[str, ...]) -> Dataset:
    """Join data sets by name into one whose parts are searched alone.

    Args:
        name: The name of the whole.
        parts: Data sets by name; the names hold no "/".
        notes: Notes on the whole, in front of theirs.
    """

    def under(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {f"{part}/{key}": value for key, value in values.items()}

    documents: dict[str, str] = {}
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    own: set[str] = set()
    for part, data in parts.items():
        documents |= under(part, data.documents)
        queries |= under(part, data.queries)
        qrels |= under(part, {query: under(part, row) for query, row in data.qrels.items()})
        own |= {f"{part}/{query}" for query in data.own_documents}
        notes = (*notes, *(f"{part}: {note}" for note in data.notes))
    return Dataset(name, documents, queries, qrels, frozenset(own), tuple(parts), notes)
