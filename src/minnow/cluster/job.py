"""Jobs: what to compute of each row, as plain values that can be sent to any process."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

import msgspec
import numpy as np

from minnow.embedder import Embedder
from minnow.engine_choice import CHECKED_TEXTS, judge_logits, judge_vectors, settle_auto
from minnow.engines import AGREEMENT, MNN, EngineOptions
from minnow.errors import BundleError, InputError, ParityError
from minnow.manifest import MANIFEST
from minnow.model_cache import open_bundle
from minnow.options import BATCH_SIZE, Role, check_options
from minnow.records import replace
from minnow.reranker import Reranker, checked_logits
from minnow.sealing import sha256

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.bundle import Bundle
    from minnow.options import EncodeOptions, Options

    Floats = NDArray[np.float32]

VectorType = Literal["float32", "float16", "int8"]
"""The numbers of vectors in a column; int8 has a scale for each vector beside it."""


class EmbeddingOptions(TypedDict, total=False):
    """The keyword arguments of `Job.embedding`, which describes them."""

    role: Role | None
    prompt: str | None
    truncate_dim: int | None
    dtype: VectorType
    batch_size: int
    options: EngineOptions


@dataclass(frozen=True)
class Job:
    """What to compute of each row, with which bundle, and the answers that prove a process right.

    Attributes:
        bundle: The bundle's folder, the same path on every machine, or `hf:USER/NAME`.
        digest: SHA-256 of its manifest, which has the hash of every file.
        columns: The column of texts to embed; or those of a query and a document to score.
        role: The role of the texts, which chooses the prompt; None for pairs.
        prompt: A text to put before each, in place of the role's.
        truncate_dim: Keep only the first dimensions of each vector.
        dtype: The numbers of vectors.
        batch_size: Most texts in a forward pass.
        options: The engine, of which "auto" is the fastest that works and agrees on each machine;
            and its threads, by default as many as a process of the cluster is given.
        expected: What MNN answered where the job was made, to the texts or pairs of
            `minnow.engine_choice`: float32 as bytes.
    """

    bundle: str
    digest: str
    columns: tuple[str, ...]
    role: Role | None = "document"
    prompt: str | None = None
    truncate_dim: int | None = None
    dtype: VectorType = "float32"
    batch_size: int = BATCH_SIZE
    options: EngineOptions = EngineOptions()
    expected: bytes = b""

    @classmethod
    def embedding(
        cls,
        bundle: str | Path,
        column: str = "text",
        *,
        role: Role | None = "document",
        prompt: str | None = None,
        truncate_dim: int | None = None,
        dtype: VectorType = "float32",
        batch_size: int = BATCH_SIZE,
        options: EngineOptions = EngineOptions(),
    ) -> Job:
        """Describe the embedding of a column of texts; MNN is run once for what to expect.

        Args:
            bundle: The bundle of an embedding model.
            column: The column of texts.
            role: "document" or "query", which chooses the prompt; None has no prompt.
            prompt: A text to put before each, in place of the role's.
            truncate_dim: Keep only the first dimensions of each vector.
            dtype: The numbers of vectors.
            batch_size: Most texts in a forward pass.
            options: The engine, its threads and memory.

        Raises:
            BundleError: It is no embedding model's bundle, or a file in it has changed.
            InputError: An option is out of range.
        """
        if dtype not in get_args(VectorType):
            names = ", ".join(get_args(VectorType))
            raise InputError(f"dtype should be {names}, not {dtype!r}.")
        values = {"role": role, "prompt": prompt, "truncate_dim": truncate_dim, "dtype": dtype}
        return cls._of(bundle, (column,), batch_size=batch_size, options=options, **values)

    @classmethod
    def reranking(
        cls,
        bundle: str | Path,
        query: str = "query",
        document: str = "text",
        *,
        batch_size: int = BATCH_SIZE,
        options: EngineOptions = EngineOptions(),
    ) -> Job:
        """Describe the scoring of pairs of columns; MNN is run once for what to expect.

        Args:
            bundle: The bundle of a reranker.
            query: The column of queries.
            document: The column of documents.
            batch_size: Most pairs in a forward pass.
            options: The engine, its threads and memory.

        Raises:
            BundleError: It is no reranker's bundle, or a file in it has changed.
        """
        values = {"role": None, "batch_size": batch_size, "options": options}
        return cls._of(bundle, (query, document), **values)

    @classmethod
    def _of(cls, bundle: str | Path, columns: tuple[str, ...], **values: Any) -> Job:
        found = open_bundle(bundle)
        name = str(bundle) if str(bundle).startswith("hf:") else str(found.folder.absolute())
        job = cls(name, digest_of(found), columns, **values)
        with job.open(EngineOptions(MNN, memory=job.options.memory)) as opened:
            expected = job.answers(opened)
        return replace(job, expected=expected.tobytes())

    @classmethod
    def of_values(cls, values: dict[str, Any]) -> Job:
        """Return a job that was made plain values by `msgspec.to_builtins`."""
        changed = {
            "columns": tuple(values["columns"]),
            "options": EngineOptions(**values["options"]),
            "expected": b64decode(values["expected"]),
        }
        return cls(**{**values, **changed})

    @property
    def identity(self) -> bytes:
        """What decides the results, as JSON: the bundle, the columns, the options; no engine."""
        names = ("digest", "columns", "role", "prompt", "truncate_dim", "dtype")
        return msgspec.json.encode({name: getattr(self, name) for name in names})

    @property
    def reranks(self) -> bool:
        """Whether it scores pairs."""
        return len(self.columns) > 1

    def open(self, options: EngineOptions) -> Embedder | Reranker:
        """Open the bundle, every file of which is compared with its hash.

        Raises:
            BundleError: It is another bundle than the job was made with, or a file has changed.
            EngineError, MissingExtraError, ParityError: As `Embedder.open`.
        """
        bundle = open_bundle(self.bundle)
        if digest_of(bundle) != self.digest:
            raise BundleError(
                f"{self.bundle} is another bundle here than the one that the job was made with. "
                "Copy that one to every machine."
            )
        options = settle_auto(options, bundle)
        kind = Reranker if self.reranks else Embedder
        return kind.open(bundle, options, on_truncate="ignore")

    def open_checked(self, threads: int | None = None) -> Embedder | Reranker:
        """Open the bundle on the job's engine, and compare its answers with those to expect.

        Args:
            threads: CPU threads, unless the job says how many.

        Raises:
            ParityError: This machine gives other answers than that where the job was made.
            BundleError, EngineError, MissingExtraError: As `open`.
        """
        opened = self.open(replace(self.options, threads=self.options.threads or threads))
        try:
            self._judge(self.answers(opened))
        except BaseException:
            opened.close()
            raise
        return opened

    def answers(self, opened: Embedder | Reranker) -> Floats:
        """Compute the vectors of a few texts, or the logits of a few pairs."""
        if isinstance(opened, Reranker):
            return checked_logits(opened)
        return opened.encode(list(CHECKED_TEXTS), **self._encode_options(opened))

    def _judge(self, found: Floats) -> None:
        """Compare answers of this machine with those to expect, however lenient the job is."""
        expected = np.frombuffer(self.expected, "<f4").reshape(found.shape)
        agreement = self.options.agreement or AGREEMENT
        try:
            if self.reranks:
                own = open_bundle(self.bundle).manifest.recipe.engine_difference
                judge_logits(found, expected, own if agreement == AGREEMENT else 1 - agreement)
            else:
                judge_vectors(found, expected, agreement)
        except ParityError as error:
            raise ParityError(f"This machine may not take part. {error}", error.worst) from error

    def options_of(self, opened: Embedder | Reranker) -> Options:
        """Return the checked options of a call."""
        given: EncodeOptions = {} if isinstance(opened, Reranker) else self._encode_options(opened)
        given = {**given, "batch_size": self.batch_size}
        return check_options(given, opened.embedding, opened.pipeline.width, "ignore")

    def _encode_options(self, embedder: Embedder) -> EncodeOptions:
        given: EncodeOptions = {
            "prompt": self.prompt,
            "truncate_dim": self.truncate_dim,
            "on_truncate": "ignore",
        }
        return given if self.role is None else embedder.role_options(self.role, given)


def digest_of(bundle: Bundle) -> str:
    """Return the SHA-256 of a bundle's manifest, which has the hash of every file."""
    return sha256(bundle.folder / MANIFEST)
