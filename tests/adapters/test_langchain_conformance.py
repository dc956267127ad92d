"""The suites that LangChain has for embeddings and vector stores, on a tiny bundle."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("langchain_tests", reason="needs langchain_tests: pip install --group clients")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what they import for chat models
    from langchain_tests.integration_tests import (
        EmbeddingsIntegrationTests,
        VectorStoreIntegrationTests,
    )
    from langchain_tests.unit_tests import EmbeddingsUnitTests

from minnow.adapters.langchain import MinnowEmbeddings, MinnowVectorStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.extra("convert"), pytest.mark.anyio]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def bundle(made: Tiny) -> Bundle:
    return made.bundle


@pytest.fixture(scope="module")
def embeddings(bundle: Bundle) -> Iterator[MinnowEmbeddings]:
    with MinnowEmbeddings(bundle, threads=1) as embeddings:
        yield embeddings


class _OnABundle:
    """Names the class and arguments that LangChain's suites open."""

    @pytest.fixture(autouse=True)
    def take(self, bundle: Bundle) -> None:
        self._bundle = bundle

    @property
    def embeddings_class(self) -> type[MinnowEmbeddings]:
        return MinnowEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"bundle": self._bundle, "threads": 1}


class TestEmbeddingsUnit(_OnABundle, EmbeddingsUnitTests):
    pass


class TestEmbeddingsIntegration(_OnABundle, EmbeddingsIntegrationTests):
    pass


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(
        self, tmp_path: Path, embeddings: MinnowEmbeddings
    ) -> Iterator[MinnowVectorStore]:
        with MinnowVectorStore(tmp_path / "a.index", embeddings) as store:
            yield store
