#!/usr/bin/env bash
# Caches of embeddings in LlamaIndex, LangChain and LiteLLM give a question the vector of a document with the same words.
#
# Expected: models of e5's, bge's and Cohere's kind give a text one vector as a question and another as a document. A cache in front of
#   the model keeps both.
# Happens: the key is the text alone. LlamaIndex (embeddings_cache) keeps one vector for both, and for all models that share a store.
#   LangChain's CacheBackedEmbeddings does so with query_embedding_cache=True, or with one store for both. LiteLLM's key has what
#   OpenAI's interface names: `input_type`, by which Cohere, NVIDIA and Voyage tell questions from documents, is not in it, unless
#   litellm.enable_caching_on_provider_specific_optional_params is set.
# Versions: llama-index-core 0.14.25, langchain-classic 1.0.8, litellm 1.110.2 (with a server on this machine that answers as NVIDIA's).
# Seen: one text, first as a document, then as a question.
# Matters: indexes of questions and answers, titles or chat turns hold what people ask word for word. These questions, and only they,
#   are compared by a vector of the wrong kind; or, the other way round, a document is stored with a question's.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check llama-index-core==0.14.25 langchain-classic==1.0.8 litellm==1.110.2 \
    fastapi==0.165.0 orjson==3.13.0 soundfile==0.14.0
LITELLM_LOCAL_MODEL_COST_MAP=True NO_PROXY=127.0.0.1 venv/bin/python -W ignore - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import litellm
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import Embeddings
from langchain_core.stores import InMemoryByteStore
from litellm.caching.caching import Cache
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.storage.kvstore import SimpleKVStore

TEXT, QUESTION, DOCUMENT = "How do fish sleep?", [1.0, 0.0], [0.0, 1.0]


class OfLlamaIndex(BaseEmbedding):
    """A model that gives every question one vector, and every document another."""

    def _get_query_embedding(self, query):
        return QUESTION

    async def _aget_query_embedding(self, query):
        return QUESTION

    def _get_text_embedding(self, text):
        return DOCUMENT


class OfLangChain(Embeddings):
    """The same for LangChain."""

    def embed_query(self, text):
        return QUESTION

    def embed_documents(self, texts):
        return [DOCUMENT for _ in texts]


class Server(BaseHTTPRequestHandler):
    """The same behind OpenAI's interface, told by `input_type` as NVIDIA's models are."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        vector = QUESTION if asked["input_type"] == "query" else DOCUMENT
        data = [{"object": "embedding", "index": 0, "embedding": vector}]
        body = json.dumps({"object": "list", "model": asked["model"], "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def llama_index(cache):
    model = OfLlamaIndex(embeddings_cache=cache)
    return model.get_text_embedding(TEXT), model.get_query_embedding(TEXT)


def langchain(for_questions):
    model = CacheBackedEmbeddings.from_bytes_store(
        OfLangChain(), InMemoryByteStore(), namespace="model", query_embedding_cache=for_questions, key_encoder="sha256"
    )
    return model.embed_documents([TEXT])[0], model.embed_query(TEXT)


def lite(address, cached, specific):
    litellm.cache = Cache(type="local") if cached else None
    litellm.enable_caching_on_provider_specific_optional_params = specific
    options = {"model": "nvidia_nim/nvidia/nv-embedqa-e5-v5", "input": [TEXT], "api_base": address, "api_key": "none", "caching": cached}
    return tuple(litellm.embedding(input_type=kind, **options).data[0]["embedding"] for kind in ("passage", "query"))


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/v1"
print(*(f"{name} {version(name)}" for name in ("llama-index-core", "langchain-classic", "litellm")))
found = {
    "LlamaIndex, no cache": llama_index(None),
    "LlamaIndex, a cache": llama_index(SimpleKVStore()),
    "LangChain, documents only": langchain(False),
    "LangChain, query_embedding_cache=True": langchain(True),
    "LiteLLM, no cache": lite(address, False, False),
    "LiteLLM, a cache": lite(address, True, False),
    "LiteLLM, a cache, provider-specific": lite(address, True, True),
}
mixing = {"LlamaIndex, a cache", "LangChain, query_embedding_cache=True", "LiteLLM, a cache"}
for name, (document, question) in found.items():
    print(f"{name}: the document's vector {document}, the question's {question}")
    if document != DOCUMENT or question != (DOCUMENT if name in mixing else QUESTION):
        sys.exit("The behaviour has changed.")
PROGRAM
