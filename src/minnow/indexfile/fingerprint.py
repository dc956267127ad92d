"""Fingerprint of the model that an index was made with; it decides which bundles may search it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError
from minnow.manifest import QUERIES, TOKENIZER
from minnow.record_json import recipe_json
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from minnow.manifest import Manifest

SAME = {
    "weights_sha256": "the weights",
    "tokenizer_sha256": "the tokenizer",
    "pooling": "the pooling",
    "normalize": "whether vectors are normalised",
    "query_prompt": "the prompt of queries",
    "document_prompt": "the prompt of documents",
    "lowercase": "whether texts are lowercased",
    "max_tokens": "the limit in tokens",
    "width": "the length of vectors",
    "truncated_from": "the length of whole vectors",
    "similarity": "the similarity",
}
"""Fields that have to be equal, and their names in messages."""

_WIDEST = 1_000_000

LEAST_PARITY = 0.99
"""The worst cosine that both bundles need, where they store the same weights differently.

Two vectors with that cosine to the reference have one of at least 0.96 to each other (the angles
add up); typical texts have far more.
"""


@dataclass(frozen=True)
class Fingerprint:
    """Properties that make vectors comparable.

    Attributes:
        source: The model that the bundle was converted from, as its user named it.
        model_id: The model's id on the Hub, where known.
        revision: The commit or version of the source, where known.
        weights_sha256: SHA-256 of the checkpoint's weights.
        tokenizer_sha256: SHA-256 of tokenizer.json.
        pooling: How token states become a vector.
        normalize: Whether the model ends with L2 normalisation.
        query_prompt: Prefix of queries.
        document_prompt: Prefix of documents.
        lowercase: Whether texts are lowercased first.
        max_tokens: The longest input, in tokens.
        width: Length of a vector.
        similarity: How vectors are compared.
        precision: How the bundle stores its weights.
        interface: The output of its encoder.
        recipe: The whole recipe as plain values; empty where it is not known.
        worst_cosine: The worst cosine in the bundle's proof.
        truncated_from: The model's own width, where a file keeps the first numbers of vectors only.
    """

    source: str
    model_id: str | None
    revision: str | None
    weights_sha256: str
    tokenizer_sha256: str
    pooling: str
    normalize: bool
    query_prompt: str
    document_prompt: str
    lowercase: bool
    max_tokens: int
    width: int
    similarity: str
    precision: str
    interface: str
    worst_cosine: float
    recipe: Mapping[str, object] = field(default_factory=dict)
    truncated_from: int | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Fingerprint:
        """Return the fingerprint of a bundle, of both of its encoders where it has two."""
        source, embedding = manifest.source, manifest.embedding
        prompts = embedding.role_prompts
        found = cls(
            source=source.name,
            model_id=source.model_id,
            revision=source.revision,
            weights_sha256=source.weights_sha256,
            tokenizer_sha256=manifest.files[TOKENIZER].sha256,
            pooling=embedding.head.description,
            normalize=embedding.normalize,
            query_prompt=prompts.query,
            document_prompt=prompts.document,
            lowercase=embedding.lowercase,
            max_tokens=embedding.max_tokens,
            width=manifest.width,
            similarity=embedding.similarity.value,
            precision=manifest.recipe.precision.value,
            interface=manifest.recipe.interface.value,
            worst_cosine=manifest.parity.worst.worst,
            recipe=recipe_json(manifest.recipe),
        )
        return found if manifest.queries is None else found._with_queries(manifest)

    def _with_queries(self, manifest: Manifest) -> Fingerprint:
        """Add what tells the encoder of queries from others."""
        queries = manifest.queries
        assert queries is not None
        tokenizer = manifest.files[f"{QUERIES}/{TOKENIZER}"].sha256
        of = queries.embedding
        steps = ", normalised" * of.normalize + ", lowercased" * of.lowercase
        way = f"{of.head.description}{steps}, {of.max_tokens} tokens"
        return replace(
            self,
            weights_sha256=_joined(self.weights_sha256, queries.source.weights_sha256),
            tokenizer_sha256=_joined(self.tokenizer_sha256, tokenizer),
            pooling=f"{self.pooling}; of queries {way}",
            worst_cosine=min(self.worst_cosine, queries.parity.worst.worst),
            recipe={**self.recipe, "queries": recipe_json(queries.recipe)},
        )

    def check(self) -> None:
        """Check what is read of a file before anything is done with it.

        Raises:
            ValueError: A number is out of range, or the similarity is unknown.
        """
        Similarity(self.similarity)
        if not 0 < self.width <= _WIDEST:
            raise ValueError(f"vectors of {self.width} numbers")

    @property
    def shown(self) -> str:
        """The model's name and precision, for messages."""
        return f"{self.model_id or self.source} in {self.precision}"


def _joined(*digests: str) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def check_fingerprint(stored: Fingerprint, given: Fingerprint, name: str) -> None:
    """Check that a given bundle's vectors may be compared with those of a named index.

    The fields in SAME must be equal. Where the bundles' recipes differ, so that the same weights
    are stored in another precision, the worst cosine of either proof must reach LEAST_PARITY.

    Raises:
        IndexFileError: They may not; the message says what differs, and what to do.
    """
    differing = [key for key in SAME if getattr(stored, key) != getattr(given, key)]
    if differing:
        differences = "; ".join(_difference(key, stored, given) for key in differing)
        raise IndexFileError(
            f"{name} was made with another model ({stored.shown}; this is {given.shown}): "
            f"{differences}. Use a bundle of that model, or index again into another file."
        )
    close = all(side.worst_cosine >= LEAST_PARITY for side in (stored, given))
    if stored.recipe != given.recipe and not close:
        raise IndexFileError(
            f"{name} was made with {stored.shown} (worst cosine {stored.worst_cosine:.4f}), and "
            f"this bundle is {given.shown} (worst cosine {given.worst_cosine:.4f}). Precisions may "
            f"be mixed where both reach {LEAST_PARITY}. Use the bundle it was made with, or index "
            "again into another file."
        )


def _difference(key: str, stored: Fingerprint, given: Fingerprint) -> str:
    what, ours, theirs = SAME[key], getattr(stored, key), getattr(given, key)
    if key.endswith("sha256"):
        return f"{what} (SHA-256 {ours[:12]}... there, {theirs[:12]}... here)"
    return f"{what} ({ours!r} there, {theirs!r} here)"


assert set(SAME) <= {f.name for f in fields(Fingerprint)}
