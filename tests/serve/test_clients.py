"""Clients of other projects: OpenAI's official one, LangChain's, and Cohere's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import WORDS

from minnow import Reranker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.serving import Running
    from numpy.typing import NDArray

    from minnow import Embedder
    from minnow.bundle import Bundle

pytestmark = [
    pytest.mark.extra("convert"),
    pytest.mark.extra("serve"),
    pytest.mark.clients,
]

TEXTS = ["how do fish sleep", " ".join(WORDS[:18]), "é 鱼 !"]


def close(found: Any, expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6, rtol=0)


class TestOpenAI:
    @pytest.fixture
    def client(self, server: Running) -> Iterator[Any]:
        import openai

        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            yield client

    def test_by_default_it_asks_for_base64(self, client: Any, embedder: Embedder) -> None:
        found = client.embeddings.create(model="tiny", input=TEXTS)
        close([row.embedding for row in found.data], embedder.encode(TEXTS))
        assert found.usage.prompt_tokens == sum(map(len, embedder.token_ids(TEXTS)))

    @pytest.mark.parametrize("form", ["float", "base64"])
    def test_either_form(self, client: Any, embedder: Embedder, form: str) -> None:
        found = client.embeddings.create(model="tiny", input=TEXTS[0], encoding_format=form)
        if form == "float":
            close(found.data[0].embedding, embedder.encode(TEXTS[0]))
        assert found.object == "list"

    def test_ids_and_dimensions(self, client: Any, embedder: Embedder) -> None:
        ids = embedder.token_ids(TEXTS)
        found = client.embeddings.create(model="tiny", input=ids, dimensions=4, user="me")
        expected = embedder.encode(TEXTS, truncate_dim=4, normalize_embeddings=True)
        close([row.embedding for row in found.data], expected)

    def test_extra_parameters_are_accepted_in_the_body(
        self, client: Any, embedder: Embedder
    ) -> None:
        body = {"input_type": "query"}
        found = client.embeddings.create(model="tiny", input=TEXTS, extra_body=body)
        close([row.embedding for row in found.data], embedder.encode_query(TEXTS))

    def test_its_errors_are_its_own(self, client: Any) -> None:
        import openai

        with pytest.raises(openai.NotFoundError, match="does not exist") as missing:
            client.embeddings.create(model="text-embedding-3-small", input="fish")
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as long:
            client.embeddings.create(model="tiny", input="fish " * 99)
        assert (long.value.code, long.value.param) == ("context_length_exceeded", "input")
        with pytest.raises(openai.UnprocessableEntityError):
            client.embeddings.create(model="tiny", input=["fish"] * 3000)
        assert client.embeddings.create(model="tiny", input="fish").data

    def test_the_list_of_models(self, client: Any) -> None:
        assert [model.id for model in client.models.list()] == ["tiny", "pooled"]
        assert client.models.retrieve("tiny").owned_by == "minnow"

    def test_a_key(self, strict: Running) -> None:
        import openai

        with (
            openai.OpenAI(base_url=f"{strict.url}/v1", api_key="no", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.embeddings.create(model="tiny", input="fish")


class TestLangChain:
    def client(self, server: Running, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from langchain_openai import OpenAIEmbeddings
        given: Any = {"model": "tiny", "base_url": f"{server.url}/v1", "api_key": "none"}
        return OpenAIEmbeddings(**given, max_retries=0, **options)

    def test_texts(self, server: Running, embedder: Embedder) -> None:
        client = self.client(server, check_embedding_ctx_length=False)
        close(client.embed_documents(TEXTS), embedder.encode(TEXTS))
        close(client.embed_query(TEXTS[0]), embedder.encode(TEXTS[0]))

    def test_roles_and_dimensions(self, server: Running, embedder: Embedder) -> None:
        client = self.client(
            server,
            check_embedding_ctx_length=False,
            dimensions=8,
            model_kwargs={"extra_body": {"input_type": "query"}},
        )
        options: Any = {"truncate_dim": 8, "normalize_embeddings": True}
        close(client.embed_documents(TEXTS), embedder.encode_query(TEXTS, **options))

    def test_ids_of_openais_tokenizer_are_refused(
        self, server: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They would give some vector, but not the text's."""
        import openai
        import tiktoken

        class Foreign:
            """OpenAI's tokenizer, which would be downloaded: it puts no tokens around a text."""

            def encode_ordinary(self, text: str) -> list[int]:
                return [40 + len(word) for word in text.split()]

        monkeypatch.setattr(tiktoken, "get_encoding", lambda _: Foreign())
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
            self.client(server).embed_documents(TEXTS)


class TestCohere:
    """Cohere's client, of both versions of its API."""

    TEXTS = ("water", "two small fish run in the river", "how do fish sleep", "fish " * 50)

    @pytest.fixture
    def cohere(self) -> Any:
        return pytest.importorskip("cohere", reason="needs cohere: pip install --group clients")

    @pytest.fixture
    def wanted(self, ranker: Bundle) -> Any:
        with Reranker.open(ranker, on_truncate="ignore") as reranker:
            rows = reranker.rank("how do fish sleep", self.TEXTS, activation_fn="sigmoid")
        return [(row["corpus_id"], pytest.approx(row["score"], abs=2e-6)) for row in rows]

    @pytest.mark.parametrize("version", ["Client", "ClientV2"])
    def test_it_ranks(self, cohere: Any, indexed: Running, wanted: Any, version: str) -> None:
        with getattr(cohere, version)(api_key="none", base_url=indexed.url) as client:
            found = client.rerank(
                model="ranker", query="how do fish sleep", documents=list(self.TEXTS), top_n=3
            )
        assert [(row.index, row.relevance_score) for row in found.results] == wanted[:3]
        assert found.meta.tokens.input_tokens > 0
        assert "over the limit" in found.meta.warnings[0]

    def test_documents_as_objects(self, cohere: Any, indexed: Running) -> None:
        with cohere.Client(api_key="none", base_url=indexed.url) as client:
            found = client.rerank(
                model="ranker",
                query="fish",
                documents=[{"text": text} for text in self.TEXTS],
                rank_fields=["text"],
                return_documents=True,
            )
        assert [row.document.text for row in found.results] == [
            self.TEXTS[row.index] for row in found.results
        ]

    def test_its_errors_are_its_own(self, cohere: Any, indexed: Running, strict: Running) -> None:
        with cohere.ClientV2(api_key="none", base_url=indexed.url) as client:
            with pytest.raises(cohere.NotFoundError, match="does not exist"):
                client.rerank(model="rerank-v3.5", query="fish", documents=["fish"])
            with pytest.raises(cohere.BadRequestError, match="is an embedding model"):
                client.rerank(model="org/tiny", query="fish", documents=["fish"])
        with (
            cohere.ClientV2(api_key="none", base_url=strict.url) as client,
            pytest.raises(cohere.UnauthorizedError),
        ):
            client.rerank(model="tiny", query="fish", documents=["fish"])
