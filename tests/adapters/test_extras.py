"""An adapter whose framework is not installed says what to install."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from minnow.errors import MissingExtraError


@pytest.mark.parametrize(
    ("adapter", "needs", "extra"),
    [
        ("langchain", "langchain_core.documents", "langchain"),
        ("llama_index", "llama_index.core.base.embeddings.base", "llama-index"),
    ],
)
def test_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, adapter: str, needs: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, needs, None)
    monkeypatch.delitem(sys.modules, f"minnow.adapters.{adapter}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"pip install 'minnow-embed\[{extra}\]'"):
        import_module(f"minnow.adapters.{adapter}")
