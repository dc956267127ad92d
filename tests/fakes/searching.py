"""Indexes without a model: vectors are made of the words of a text."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from minnow.errors import InputError
from minnow.indexfile.fingerprint import Fingerprint
from minnow.search import Index, index_paths, open_index
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.search import IndexingReport, Store

    Floats = NDArray[np.float32]

FINGERPRINT = Fingerprint(
    source="made/words", model_id="made/words", revision="1", weights_sha256="a" * 64,
    tokenizer_sha256="b" * 64, pooling="mean", normalize=True, query_prompt="", document_prompt="",
    lowercase=False, max_tokens=64, width=24, similarity="cosine", precision="fp16",
    interface="last_hidden_state", worst_cosine=0.99999, recipe={"precision": "fp16"},
)  # fmt: skip


def word_tokenizer() -> Tokenizer:
    """Return a tokenizer with a token per word, and two around a text."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


class FakeModel:
    """A text's vector is the sum of its words' vectors, which come from their hashes.

    Attributes:
        embedded: Every text of a document that was embedded, in order.
    """

    def __init__(self, **changes: Any) -> None:
        self.fingerprint = replace(FINGERPRINT, **changes)
        self.tokenizer = word_tokenizer()
        self.room = self.fingerprint.max_tokens
        self.embedded: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        for text in texts:
            if (tokens := len(self.tokenizer.encode(text))) > self.room:
                raise InputError(f"{text[:20]!r} has {tokens} tokens, more than {self.room}.")
        self.embedded += texts
        return self._encode(texts)

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Floats:
        rows = [sum(map(self._word, text.lower().split()), self._word("")) for text in texts]
        return normalize(np.array(rows, np.float32).reshape(len(texts), self.fingerprint.width))

    def _word(self, word: str) -> Floats:
        return vector_of_word(word, self.fingerprint.width)


@cache
def vector_of_word(word: str, width: int) -> Floats:
    """Return random numbers that are the same for a word each time; for reading only."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).normal(size=width).astype(np.float32)


CHANGED = 10**9
"""2001-09-09T01:46:40Z"""

DOCUMENTS = {
    "fish.md": "# Fish\n\nFish sleep with open eyes.\n\n## Minnows\n\nMinnows live in schools.\n",
    "kitchen/kettle.md": "# Kettle\n\nBoil vinegar and water to descale a kettle.\n",
    "notes.txt": "The night train leaves from platform nine.\n",
}


def write_documents(folder: Path, documents: Mapping[str, str] = DOCUMENTS) -> Path:
    """Write a folder of documents, in place of what was in it; all changed at the same time."""
    for old in sorted(folder.rglob("*")) if folder.exists() else ():
        if old.is_file():
            old.unlink()
    for name, text in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        os.utime(path, (CHANGED, CHANGED))
    folder.mkdir(exist_ok=True)
    return folder


def run_index(
    file: Path, *paths: Path, model: FakeModel | None = None, **options: Any
) -> IndexingReport:
    """Bring an index up to date, and close it."""
    model = model or FakeModel()
    store = open_index(file, model, **options)
    try:
        report = index_paths(paths, store, model)
        store.compact()
    finally:
        store.close()
    return report


def open_fake(file: Path, **changes: Any) -> Index:
    """Open an index with the model that made it."""
    from minnow.search import open_store

    return Index(open_store(file), FakeModel(**changes))


def contents(store: Store) -> list[tuple[Any, ...]]:
    """Return all that an index holds, without the ids of rows."""
    with store.reading() as database:
        return database.execute(
            "SELECT p.file, p.name, p.number, p.heading, p.text, p.body, p.start, p.headings, "
            "p.metadata, v.vector, d.digest, f.sha256 FROM passages AS p "
            "JOIN vectors AS v ON v.id = p.id "
            "JOIN files AS f ON f.path = p.file "
            "JOIN documents AS d ON d.file = f.id AND d.name = p.name "
            "ORDER BY p.file, p.name, p.number"
        ).fetchall()


def contents_of(file: Path) -> list[tuple[Any, ...]]:
    """Return the contents of an index file, after checking it."""
    from minnow.search import open_store

    store = open_store(file, writable=True)
    try:
        assert store.check() == []
        return contents(store)
    finally:
        store.close()


class TurnedModel(FakeModel):
    """Another model: narrower vectors, nearly a linear image of the first one's."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(
            **{"weights_sha256": "c" * 64, "width": 20, "model_id": "made/turned"} | changes
        )
        self._turn = np.random.default_rng(5).normal(size=(FINGERPRINT.width, 20))

    def _encode(self, texts: Sequence[str]) -> Floats:
        rows = np.array(
            [sum(map(self._word, text.lower().split()), self._word("")) for text in texts]
        )
        return normalize(np.tanh(normalize(rows) @ self._turn / 4))

    def _word(self, word: str) -> Floats:
        return vector_of_word(word, FINGERPRINT.width)
