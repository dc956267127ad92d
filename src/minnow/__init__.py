"""minnow: sentence-embedding models on MNN, proven to give the same vectors.

| name | what it is |
|---|---|
| `Embedder` | opens a model by name; `encode`, `encode_query`, `encode_document`, `similarity` |
| `Reranker` | opens a bundle of the other kind; `predict`, `rank` |
| `ConversionOptions` | how a model is converted that is opened by its name |
| `EngineOptions` | which engine runs a bundle, with how many threads and how much memory |
| `Bundle`, `Manifest`, `Parity` | what a bundle is, and what was proven of it |
| `Recipe`, `RECIPES`, `PURPOSES` | what is done to a model on its way into one |
| `MinnowError` | the root of every error; see `minnow.errors` |
| `TruncationWarning` | texts were longer than the model's limit |

`minnow.convert` has `convert` and `verify`: make a bundle; repeat its proof.

Importing minnow is cheap: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minnow.bundle import Bundle
    from minnow.embedder import Embedder, TruncationWarning
    from minnow.engines import EngineOptions
    from minnow.errors import MinnowError
    from minnow.manifest import Manifest
    from minnow.model_cache import ConversionOptions
    from minnow.parity import Parity
    from minnow.recipe import PURPOSES, RECIPES, Recipe
    from minnow.reranker import Reranker

__all__ = [
    "PURPOSES",
    "RECIPES",
    "Bundle",
    "ConversionOptions",
    "Embedder",
    "EngineOptions",
    "Manifest",
    "MinnowError",
    "Parity",
    "Recipe",
    "Reranker",
    "TruncationWarning",
]

_HOMES = {
    "minnow.bundle": ("Bundle",),
    "minnow.manifest": ("Manifest",),
    "minnow.parity": ("Parity",),
    "minnow.model_cache": ("ConversionOptions",),
    "minnow.reranker": ("Reranker",),
    "minnow.recipe": ("PURPOSES", "RECIPES", "Recipe"),
    "minnow.embedder": ("Embedder", "TruncationWarning"),
    "minnow.engines": ("EngineOptions",),
    "minnow.errors": ("MinnowError",),
}


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("minnow-embed")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'minnow' has no attribute {name!r}")
