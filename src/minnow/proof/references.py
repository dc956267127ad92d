"""The references of the proof, each on a path of its own from text to vector."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

import numpy as np

from minnow.engines.base import default_threads
from minnow.errors import InputError
from minnow.model.factors import noted_factor
from minnow.model.magnitudes import Magnitudes
from minnow.model.pairs import pair_template
from minnow.model.reference import ReferenceModel, pool_one
from minnow.model.source import author_graph
from minnow.model.spec import PairTruncation
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.model.tokenizer_files import named_tokens
from minnow.parity import Magnitude
from minnow.proof.pair_probes import probe_pairs
from minnow.proof.probes import Probe, probe_texts, token_counter
from minnow.resources import free_memory, require_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from minnow.model.network import Network
    from minnow.model.original import Original
    from minnow.proof.probes import Text
    from minnow.recipe import ReferenceName


@dataclass(frozen=True)
class TokenRow:
    """The tokens of a text or a pair.

    Attributes:
        ids: Token ids, special tokens included.
        types: Token types of a pair; empty where all are 0.
    """

    ids: list[int]
    types: list[int] = field(default_factory=list)


_PROMPT = "Represent the sentence about fish: "
_NO_ROOM = "Give a smaller limit (`max_tokens=`), or a machine with more memory."


class Reference(ABC):
    """Reference of candidates, with which it shares neither engine, batching nor pooling.

    The probe texts, their token ids and their vectors are computed once.

    Attributes:
        name: What the vectors are from, for messages and manifests.
        original: The model.
    """

    name: str

    def __init__(self, original: Original, probes: Sequence[Probe] | None = None) -> None:
        """Take a model, and its probe texts where they are built already."""
        self.original = original
        self._probes = probes

    @property
    def probes(self) -> Sequence[Probe]:
        """The texts of the proof."""
        if self._probes is None:
            original, embedding = self.original, self.original.embedding
            count = token_counter(original.tokenizer.content, lowercase=embedding.lowercase)
            tokens = named_tokens(original.source)
            if original.reranking is not None:
                template = pair_template(original.tokenizer.content, original.reranking)
                room = embedding.max_tokens - template.size
                only_second = original.reranking.truncation is PairTruncation.ONLY_SECOND
                self._probes = probe_pairs(room, count, tokens, first_fits=only_second)
                return self._probes
            found = probe_texts(embedding.max_tokens, count, tokens)
            rows, out = self.token_ids([p.text for p in found]), {*embedding.unpooled_ids}
            found = [p for p, ids in zip(found, rows, strict=True) if {*ids} - out]
            if not embedding.include_prompt:
                found += _prompted(found, embedding.prompts.values())
            self._probes = found
        return self._probes

    def change_probes(self, change: Callable[[str], str]) -> None:
        """Change the probe texts as an app does before it embeds, before any is computed."""
        self._probes = [replace(probe, text=change(probe.text)) for probe in self.probes]

    @cached_property
    def probe_rows(self) -> list[TokenRow]:
        """The token ids and types of each probe."""
        return self.token_rows([probe.whole for probe in self.probes])

    @property
    def probe_ids(self) -> list[list[int]]:
        """The token ids of each probe, those of its prompt included."""
        return [row.ids for row in self.probe_rows]

    @cached_property
    def probe_vectors(self) -> NDArray[np.floating]:
        """The vector of each probe text: shape (texts, width)."""
        return self.vectors_of(self.probes)

    def vectors_of(self, probes: Sequence[Probe]) -> NDArray[np.floating]:
        """Return one vector per probe behind its prompt: shape (texts, width)."""
        groups = groupby(probes, lambda probe: probe.prompt)
        return np.concatenate(
            [self.vectors([probe.given for probe in group], prompt) for prompt, group in groups]
        )

    def compute(self, progress: Callable[[str], None]) -> None:
        """Compute ids and vectors of the probe texts now, unless that was done already."""
        if "probe_vectors" not in self.__dict__:
            progress(f"computing the reference ({self.name})")
        _ = self.probe_rows, self.probe_vectors

    def token_ids(self, texts: Sequence[Text]) -> list[list[int]]:
        """Return the ids of each text, special tokens included, cut off at the model's limit."""
        return [row.ids for row in self.token_rows(texts)]

    @abstractmethod
    def token_rows(self, texts: Sequence[Text]) -> list[TokenRow]:
        """Return the ids and token types of each text or pair, cut off at the model's limit."""

    @abstractmethod
    def vectors(self, texts: Sequence[Text], prompt: str = "") -> NDArray[np.floating]:
        """Return a vector for each text behind a prompt, or the logits of each pair.

        The shape is (texts, width).
        """


def _prompted(probes: Sequence[Probe], prompts: Iterable[str]) -> list[Probe]:
    """Put the model's prompts, or one if it has none, before some probes."""
    some = [probe for probe in probes if probe.text.strip()][::4]
    distinct = dict.fromkeys(filter(None, prompts)) or (_PROMPT,)
    return [
        Probe(f"{probe.name} behind {prompt!r}", probe.text, prompt)
        for prompt in distinct
        for probe in some
    ]


def _behind(prompt: str, texts: Sequence[Text]) -> list[Text]:
    return [prompt + text if isinstance(text, str) else text for text in texts]


class _SourceTokens(Reference):
    """Token ids from the source's tokenizer, whole, then cut with plain slices."""

    def __init__(self, original: Original, probes: Sequence[Probe] | None = None) -> None:
        super().__init__(original, probes)
        self._tokenizer = load_whole_tokenizer(original.tokenizer.content)
        specials = self._tokenizer.get_added_tokens_decoder().values()
        self._special = re.compile(f"({'|'.join(re.escape(t.content) for t in specials)})")

        reranking = original.reranking
        if reranking is not None:
            self._pairs = load_whole_tokenizer(original.tokenizer.content)
            self._pairs.enable_truncation(
                original.embedding.max_tokens, strategy=reranking.truncation.value
            )

    def token_rows(self, texts: Sequence[Text]) -> list[TokenRow]:
        """Return the ids and token types of each text or pair, cut off at the limit."""
        return [
            TokenRow(self._ids(text)) if isinstance(text, str) else self._pair(*text)
            for text in texts
        ]

    def _pair(self, first: str, second: str) -> TokenRow:
        reranking = self.original.reranking
        if self.original.chat is not None:
            return TokenRow(self._chat_ids(first, second))
        encoding = self._pairs.encode(self._lowered(first), self._lowered(second))
        types = encoding.type_ids if reranking is not None and reranking.segments else []
        return TokenRow(list(encoding.ids), list(types))

    def _chat_ids(self, first: str, second: str) -> list[int]:
        """Return the ids of a chat template's text; those that end every such text are not cut."""
        chat, limit = self.original.chat, self.original.embedding.max_tokens
        assert chat is not None
        pairs = ((first, second), ("0", "0"), ("1 2 3 4", "1 2 3 4"))
        ids, one, other = (
            self._tokenizer.encode(self._lowered(chat.render(*pair)), add_special_tokens=False).ids
            for pair in pairs
        )
        if len(ids) <= limit:
            return list(ids)
        end = list(
            takewhile(lambda both: both[0] == both[1], zip(one[::-1], other[::-1], strict=False))
        )
        return ids[: limit - len(end)] + [number for number, _ in end[::-1]]

    def _lowered(self, text: str) -> str:
        if not self.original.embedding.lowercase:
            return text
        parts = self._special.split(text)
        return "".join(part if i % 2 else _lower(part) for i, part in enumerate(parts))

    def left_out(self, prompt: str) -> int:
        """Return how many tokens of a prompt pooling leaves out: all but a special one at its end.

        Source: sentence-transformers 6.2, base/modules/transformer.py.
        """
        if self.original.embedding.include_prompt or not prompt:
            return 0
        ids = self._ids(prompt)
        last = self._tokenizer.id_to_token(ids[-1]) if ids else None
        return len(ids) - (last is not None and self._special.fullmatch(last) is not None)

    def _ids(self, text: str) -> list[int]:
        embedding = self.original.embedding
        encoding = self._tokenizer.encode(self._lowered(text))
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
        self.magnitudes = Magnitudes()

    def vectors(self, texts: Sequence[Text], prompt: str = "") -> NDArray[np.float64]:
        """Return a vector for each text, or the logits of each pair: float64, (texts, width)."""
        from threadpoolctl import threadpool_limits

        original, start = self.original, self.left_out(prompt)
        rows = self.token_rows(_behind(prompt, texts))
        model = ReferenceModel(original.network, original.head, original.tensors, self.note)
        workers = _workers([model.memory(len(row.ids)) for row in rows])
        # A thread per text, each with a BLAS of one thread: BLAS threads that share out one small
        # product wait for each other, for seconds where the machine is busy.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as threads:
            types = [row.types for row in rows]
            return model.vectors([row.ids for row in rows], threads.map, start, types)

    def note(self, name: str, tensor: NDArray[np.float64]) -> None:
        """Take note of a tensor inside the network, as it is computed."""
        self.magnitudes.note(name, tensor)

    def magnitude(self, network: Network) -> Magnitude | None:
        """Return the range of the numbers inside a network, on the texts that were computed.

        Args:
            network: The same network, perhaps with other factors of its numbers.

        Returns:
            The range; None where the network has no layers.
        """
        if not network.blocks:
            return None
        own = self.original.network
        values = {
            name: value * noted_factor(network, name) / noted_factor(own, name)
            for name, value in self.magnitudes.values.items()
        }
        where = max(values, key=lambda name: values[name])
        least = min(values, key=lambda name: values[name] or math.inf)
        return Magnitude(values[where], where, values[least], least)


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
        if original.reranking is not None:
            raise InputError(
                "An author's ONNX graph is no reference for a reranker; take "
                "`reference=checkpoint`."
            )
        path = author_graph(original.source)
        self.name = f"the author's {path.parent.name}/{path.name} in ONNX Runtime"
        self._engine = OnnxRuntimeEngine(path, original.encoder)

    def vectors(self, texts: Sequence[Text], prompt: str = "") -> NDArray[np.float64]:
        """Return one vector per text behind a prompt: float64 of shape (texts, width)."""
        from minnow.engines.base import TokenBatch

        original, rows = self.original, []
        for ids in self.token_ids(_behind(prompt, texts)):
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

    def token_rows(self, texts: Sequence[Text]) -> list[TokenRow]:
        """Return the ids of each text, special tokens included, cut off at the limit."""
        return [TokenRow(ids) for ids in self._model.token_ids([str(text) for text in texts])]

    def vectors(self, texts: Sequence[Text], prompt: str = "") -> NDArray[np.float32]:
        """Return one vector per text behind a prompt: float32 of shape (texts, width)."""
        return self._model.encode([str(text) for text in texts], batch_size=1, prompt=prompt)


class CrossEncoderReference(Reference):
    """CrossEncoder of sentence-transformers on the source's folder, one pair at a time."""

    def __init__(self, original: Original) -> None:
        from minnow.engines.cross_encoder import SentenceTransformersReranker

        super().__init__(original)
        self._model = SentenceTransformersReranker(original.source.folder)
        self.name = self._model.name

    def token_rows(self, texts: Sequence[Text]) -> list[TokenRow]:
        """Return the ids and token types of each pair, cut off at the limit."""
        return [TokenRow(*self._model.token_row(text)) for text in texts]

    def vectors(self, texts: Sequence[Text], prompt: str = "") -> NDArray[np.float32]:
        """Return the logits of each pair: float32 of shape (pairs, labels)."""
        assert not prompt
        return self._model.logits(texts)


def _sentence_transformers(original: Original) -> Reference:
    if original.reranking is None:
        return SentenceTransformersReference(original)
    return CrossEncoderReference(original)


def stored_reference(stored: Original, reference: Reference) -> Reference:
    """Return the forward pass over rounded numbers, with the probe texts of another reference."""
    return CheckpointReference(stored, "the rounded numbers'", reference.probes)


REFERENCES: dict[ReferenceName, Callable[[Original], Reference]] = {
    "checkpoint": CheckpointReference,
    "sentence-transformers": _sentence_transformers,
    "author-onnx": AuthorGraphReference,
}


def check_reference(name: str) -> None:
    """Check a reference's name.

    Raises:
        InputError: There is no such reference.
    """
    if name not in REFERENCES:
        raise InputError(f"There is no reference {name!r}; choose {', '.join(REFERENCES)}.")
