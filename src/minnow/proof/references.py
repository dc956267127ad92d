"""The references of the proof, each on a path of its own from text to vector."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from minnow.engines.base import default_threads
from minnow.errors import InputError
from minnow.model.reference import ReferenceModel, pool_one
from minnow.model.source import author_graph
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.model.tokenizer_files import named_tokens
from minnow.proof.probes import Probe, probe_texts, token_counter
from minnow.resources import free_memory, require_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from minnow.model.original import Original
    from minnow.recipe import ReferenceName

_PROMPT = "Represent the sentence about fish: "
_NO_ROOM = "Give a smaller limit (`max_tokens=`), or a machine with more memory."


class Reference(ABC):
    """Reference of candidates, with which it shares neither engine, batching nor pooling.

    The probe texts, their token ids and their vectors are computed once.

    Attributes:
        name: What the vectors are from, for messages and manifests.
    """

    name: str

    def __init__(self, original: Original, probes: Sequence[Probe] | None = None) -> None:
        """Take a model, and its probe texts where they are built already."""
        self._original = original
        self._probes = probes

    @property
    def probes(self) -> Sequence[Probe]:
        """The texts of the proof."""
        if self._probes is None:
            original, embedding = self._original, self._original.embedding
            found = probe_texts(
                embedding.max_tokens,
                token_counter(original.tokenizer.content, lowercase=embedding.lowercase),
                named_tokens(original.source),
            )
            rows, out = self.token_ids([p.text for p in found]), {*embedding.unpooled_ids}
            found = [p for p, ids in zip(found, rows, strict=True) if {*ids} - out]
            if not embedding.include_prompt:
                found += _prompted(found, embedding.prompts.values())
            self._probes = found
        return self._probes

    @cached_property
    def probe_ids(self) -> list[list[int]]:
        """The token ids of each probe text, those of its prompt included."""
        return self.token_ids([probe.prompt + probe.text for probe in self.probes])

    @cached_property
    def probe_vectors(self) -> NDArray[np.floating]:
        """The vector of each probe text: shape (texts, width)."""
        return self.vectors_of(self.probes)

    def vectors_of(self, probes: Sequence[Probe]) -> NDArray[np.floating]:
        """Return one vector per probe text behind its prompt: shape (texts, width)."""
        groups = groupby(probes, lambda probe: probe.prompt)
        return np.concatenate(
            [self.vectors([probe.text for probe in group], prompt) for prompt, group in groups]
        )

    def compute(self, progress: Callable[[str], None]) -> None:
        """Compute ids and vectors of the probe texts now, unless that was done already."""
        if "probe_vectors" not in self.__dict__:
            progress(f"computing the reference ({self.name})")
        _ = self.probe_ids, self.probe_vectors

    @abstractmethod
    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, special tokens included, cut off at the model's limit."""

    @abstractmethod
    def vectors(self, texts: Sequence[str], prompt: str = "") -> NDArray[np.floating]:
        """Return one vector per text behind a prompt: shape (texts, width)."""


def _prompted(probes: Sequence[Probe], prompts: Iterable[str]) -> list[Probe]:
    """Put the model's prompts, or one if it has none, before some probes."""
    some = [probe for probe in probes if probe.text.strip()][::4]
    distinct = dict.fromkeys(filter(None, prompts)) or (_PROMPT,)
    return [
        Probe(f"{probe.name} behind {prompt!r}", probe.text, prompt)
        for prompt in distinct
        for probe in some
    ]


class _SourceTokens(Reference):
    """Token ids from the source's tokenizer, whole, then cut with plain slices."""

    def __init__(self, original: Original, probes: Sequence[Probe] | None = None) -> None:
        super().__init__(original, probes)
        self._tokenizer = load_whole_tokenizer(original.tokenizer.content)
        specials = self._tokenizer.get_added_tokens_decoder().values()
        self._special = re.compile(f"({'|'.join(re.escape(t.content) for t in specials)})")

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, special tokens included, cut off at the limit."""
        return [self._ids(text) for text in texts]

    def left_out(self, prompt: str) -> int:
        """Return how many tokens of a prompt pooling leaves out: all but a special one at its end.

        Source: sentence-transformers 6.2, base/modules/transformer.py.
        """
        if self._original.embedding.include_prompt or not prompt:
            return 0
        ids = self._ids(prompt)
        last = self._tokenizer.id_to_token(ids[-1]) if ids else None
        return len(ids) - (last is not None and self._special.fullmatch(last) is not None)

    def _ids(self, text: str) -> list[int]:
        embedding = self._original.embedding
        if embedding.lowercase:
            parts = self._special.split(text)
            text = "".join(part if i % 2 else _lower(part) for i, part in enumerate(parts))
        encoding = self._tokenizer.encode(text)
        ids, special = list(encoding.ids), list(encoding.special_tokens_mask)
        limit = embedding.max_tokens
        if len(ids) <= limit:
            return ids
        closing = next(n for n in range(len(ids)) if not special[-1 - n])
        return ids[: limit - closing] + ids[len(ids) - closing :]


def _lower(text: str) -> str:
    """Lowercase a text by the character: unlike `str.lower`, without Greek's final sigma."""
    return "".join(character.lower() for character in text)


class CheckpointReference(_SourceTokens):
    """The plain NumPy forward pass over the source's tensors, one text at a time."""

    def __init__(
        self,
        original: Original,
        numbers: str = "the checkpoint's",
        probes: Sequence[Probe] | None = None,
    ) -> None:
        super().__init__(original, probes)
        self.name = f"{numbers} forward pass in NumPy, float64"

    def vectors(self, texts: Sequence[str], prompt: str = "") -> NDArray[np.float64]:
        """Return one vector per text behind a prompt: float64 of shape (texts, width)."""
        from threadpoolctl import threadpool_limits

        original, start = self._original, self.left_out(prompt)
        ids = self.token_ids([prompt + text for text in texts])
        model = ReferenceModel(original.network, original.head, original.tensors)
        workers = _workers([model.memory(len(row)) for row in ids])
        # A thread per text, each with a BLAS of one thread: BLAS threads that share out one small
        # product wait for each other, for seconds where the machine is busy.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as threads:
            return model.vectors(ids, threads.map, start)


def _workers(needed: Sequence[int]) -> int:
    """Return how many texts to compute side by side, given the bytes that each takes.

    Raises:
        InputError: There is no memory for the longest text alone.
    """
    free, largest = free_memory(), sorted(needed, reverse=True)[: default_threads()]
    workers = len(largest)
    while workers > 1 and free is not None and sum(largest[:workers]) > free.size:
        workers -= 1
    require_memory(sum(largest[:workers]), "The reference pass of the longest text", _NO_ROOM)
    return max(1, workers)


class AuthorGraphReference(_SourceTokens):
    """The author's own ONNX file in ONNX Runtime, one text at a time, pooled here."""

    def __init__(self, original: Original) -> None:
        from minnow.engines.onnxruntime import OnnxRuntimeEngine

        super().__init__(original)
        path = author_graph(original.source)
        self.name = f"the author's {path.parent.name}/{path.name} in ONNX Runtime"
        self._engine = OnnxRuntimeEngine(path, original.encoder)

    def vectors(self, texts: Sequence[str], prompt: str = "") -> NDArray[np.float64]:
        """Return one vector per text behind a prompt: float64 of shape (texts, width)."""
        from minnow.engines.base import TokenBatch

        original, rows = self._original, []
        for ids in self.token_ids([prompt + text for text in texts]):
            hidden = self._engine.run(TokenBatch.pad([ids], original.encoder.pad_token_id))[0]
            rows.append(
                pool_one(hidden.astype(np.float64), original.head, {}, self.left_out(prompt))
            )
        return np.stack(rows)


class SentenceTransformersReference(Reference):
    """sentence-transformers on the source's folder, one text at a time."""

    def __init__(self, original: Original) -> None:
        from minnow.engines.sentence_transformers import SentenceTransformersEmbedder

        super().__init__(original)
        source = original.source
        self._model = SentenceTransformersEmbedder(source.folder, route=source.route)
        self.name = self._model.name

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, special tokens included, cut off at the limit."""
        return self._model.token_ids(texts)

    def vectors(self, texts: Sequence[str], prompt: str = "") -> NDArray[np.float32]:
        """Return one vector per text behind a prompt: float32 of shape (texts, width)."""
        return self._model.encode(texts, batch_size=1, prompt=prompt)


def stored_reference(stored: Original, reference: Reference) -> Reference:
    """Return the forward pass over rounded numbers, with the probe texts of another reference."""
    return CheckpointReference(stored, "the rounded numbers'", reference.probes)


REFERENCES: dict[ReferenceName, Callable[[Original], Reference]] = {
    "checkpoint": CheckpointReference,
    "sentence-transformers": SentenceTransformersReference,
    "author-onnx": AuthorGraphReference,
}


def check_reference(name: str) -> None:
    """Check a reference's name.

    Raises:
        InputError: There is no such reference.
    """
    if name not in REFERENCES:
        raise InputError(f"There is no reference {name!r}; choose {', '.join(REFERENCES)}.")
