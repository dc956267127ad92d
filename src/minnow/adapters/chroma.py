"""An embedder as Chroma's embedding function; see docs/coming-from.md.

```python
function = MinnowEmbeddingFunction("bge.minnow")
collection = client.create_collection("notes", embedding_function=function)
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minnow.embedder import Embedder
from minnow.errors import InputError
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPACES = {Similarity.COSINE: "cosine", Similarity.DOT: "ip", Similarity.EUCLIDEAN: "l2"}


class MinnowEmbeddingFunction:
    """Embeds documents and queries with their prompts, as Chroma's `EmbeddingFunction` (1.5).

    A collection records the model's name, and opens it again by that.
    """

    def __init__(self, model: str | Embedder) -> None:
        """Take an open embedder, or the name of a model as the class `Embedder` does.

        Raises:
            InputError: Chroma does not have the model's similarity.
            MinnowError: The model cannot be opened.
        """
        self.embedder = model if isinstance(model, Embedder) else Embedder(model)
        self.model = self.embedder.name if isinstance(model, Embedder) else model
        if self.embedder.similarity_kind not in _SPACES:
            raise InputError(
                f"{self.model} compares vectors by {self.embedder.similarity_kind.value}, which "
                "Chroma does not have."
            )

    def __call__(self, input: list[str]) -> list[NDArray[Any]]:  # noqa: A002  Chroma's name
        """Embed documents."""
        return list(self.embedder.encode_document(input))

    def embed_query(self, input: list[str]) -> list[NDArray[Any]]:  # noqa: A002
        """Embed queries."""
        return list(self.embedder.encode_query(input))

    def default_space(self) -> str:
        """Return Chroma's name of the model's similarity."""
        return _SPACES[self.embedder.similarity_kind]

    def supported_spaces(self) -> list[str]:
        """Return the only space in which the vectors mean what the model says."""
        return [self.default_space()]

    @staticmethod
    def name() -> str:
        """Return the name under which a collection records the function."""
        return "minnow"

    def get_config(self) -> dict[str, Any]:
        """Return what a collection records."""
        return {"model": self.model}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> MinnowEmbeddingFunction:
        """Open the model that a collection records."""
        return MinnowEmbeddingFunction(config["model"])

    def validate_config_update(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Refuse another model: the collection's vectors are of the old one.

        Raises:
            InputError: The models differ.
        """
        if old != new:
            raise InputError(f"The collection was made with {old}, not with {new}.")

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        """Check what a collection records.

        Raises:
            InputError: It names no model.
        """
        if not isinstance(config.get("model"), str):
            raise InputError(f"{config} names no model.")

    def is_legacy(self) -> bool:
        """Return whether it lacks methods that Chroma has come to expect."""
        return False
