"""The class `TextEmbedding` of fastembed (0.9), on bundles; see docs/coming-from.md.

```python
from minnow.adapters.fastembed import TextEmbedding
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.embedder import Embedder
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class TextEmbedding:
    """Embeds documents and queries as fastembed does: one vector after the other, no prompts.

    Attributes:
        model_name: The name of the model.
        embedder: The open model.
    """

    def __init__(
        self,
        model_name: str | Embedder = "BAAI/bge-small-en-v1.5",
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: object = None,
        cuda: object = False,
        device_ids: object = None,
        lazy_load: bool = False,
        local_files_only: bool = False,
        specific_model_path: str | None = None,
    ) -> None:
        """Open a model by its name, as the class `Embedder` does; any that it takes.

        Args:
            model_name: A Hub id, a folder, a bundle, `package:NAME`, or an open embedder.
            cache_dir: Not possible here; set MINNOW_CACHE.
            threads: CPU threads.
            providers: Not possible here; a bundle runs on MNN.
            cuda: Not possible here, unless it is off or automatic.
            device_ids: Not possible here.
            lazy_load: Taken; the model is loaded now.
            local_files_only: Make no network call.
            specific_model_path: A model's folder in place of `model_name`.

        Raises:
            InputError: An argument is not possible here; the message names it.
            MinnowError: The model cannot be opened.
        """
        for name, value, advice in (
            ("cache_dir", cache_dir, "set the variable MINNOW_CACHE"),
            ("providers", providers, "a bundle runs on MNN"),
            ("cuda", cuda if cuda is True else None, "a bundle runs on the CPU"),
            ("device_ids", device_ids, "a bundle runs on the CPU"),
        ):
            if value is not None:
                raise InputError(f"{name} is not possible here: {advice}.")
        if isinstance(model_name, Embedder):
            self.embedder = model_name
        else:
            self.embedder = Embedder(
                specific_model_path or model_name,
                threads=threads,
                local_files_only=local_files_only,
            )
        self.model_name = model_name.name if isinstance(model_name, Embedder) else model_name

    @property
    def embedding_size(self) -> int:
        """Length of a vector."""
        return self.embedder.width

    def embed(
        self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None
    ) -> Iterator[Floats]:
        """Yield the vector of each document, without a prompt.

        Args:
            documents: One text, or any number of them; they are read as vectors are taken.
            batch_size: The most texts in one forward pass.
            parallel: Taken; the engine runs many texts in several sessions by itself.
        """
        texts = [documents] if isinstance(documents, str) else documents
        for _, vectors in self.embedder.encode_stream(texts, batch_size=batch_size, prompt=""):
            yield from vectors

    def passage_embed(
        self, texts: Iterable[str], batch_size: int = 256, parallel: int | None = None
    ) -> Iterator[Floats]:
        """Yield the vector of each passage; as in fastembed, the same as `embed`."""
        yield from self.embed(texts, batch_size, parallel)

    def query_embed(
        self, query: str | Iterable[str], batch_size: int = 256, parallel: int | None = None
    ) -> Iterator[Floats]:
        """Yield the vector of each query; as in fastembed, the same as `embed`."""
        yield from self.embed(query, batch_size, parallel)

    def token_count(self, texts: str | Iterable[str]) -> int:
        """Count the tokens of texts, special tokens included."""
        rows = [texts] if isinstance(texts, str) else list(texts)
        return sum(row.count for row in self.embedder.text_tokenizer.tokenize(rows))
