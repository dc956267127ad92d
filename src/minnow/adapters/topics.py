"""An embedder as the back end of KeyBERT and BERTopic; see docs/coming-from.md.

Both take another model, without a word, where they are given an embedding model of a class that
they do not know. A back end of their own class is what they do take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from minnow.embedder import Embedder


def keybert_backend(embedder: Embedder) -> Any:
    """Return a model for `KeyBERT(model=...)`."""
    from keybert.backend import BaseEmbedder

    return _backend(BaseEmbedder, embedder)


def bertopic_backend(embedder: Embedder) -> Any:
    """Return a model for `BERTopic(embedding_model=...)`."""
    from bertopic.backend import BaseEmbedder

    return _backend(BaseEmbedder, embedder)


def _backend(base: Any, embedder: Embedder) -> Any:
    class Backend(base):  # type: ignore[misc]
        def embed(self, documents: Sequence[str], verbose: bool = False) -> NDArray[np.float32]:
            return embedder.encode(list(documents), show_progress_bar=verbose)

    return Backend(embedding_model=embedder)
