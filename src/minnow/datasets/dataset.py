"""Documents, queries and judgements: what a retrieval system is measured on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from minnow.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """Documents, queries, and which documents are relevant to which query.

    Attributes:
        name: Its name in reports.
        documents: Text by id; a title stands in front of its text.
        queries: Text by id.
        qrels: For each query id, scores by document id; above 0 is relevant, and more is better.

    Raises:
        InputError: There is no query, a query has no relevant document, or a judgement names an
            unknown document or query.
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
                    raise InputError(
                        f"{self.name} judges {document!r}, which is not one of its documents."
                    )

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
