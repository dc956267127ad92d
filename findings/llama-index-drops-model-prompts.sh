#!/usr/bin/env bash
# LlamaIndex's HuggingFaceEmbedding replaces the prompts that a model was published with by empty ones.
#
# Expected: a model whose config_sentence_transformers.json has a prompt for queries gets that prompt, as it does from
#   encode_query of sentence-transformers, which HuggingFaceEmbedding holds.
# Happens: HuggingFaceEmbedding hands prompts of its own to the constructor: those of a list of twelve names of BGE and six of
#   Instructor models, else the empty text. A prompt that is given, even an empty one, replaces the file's. Queries are
#   embedded bare, without a warning. The list knows names on the Hub only: a BGE model from a folder has no prompt either.
# Versions: llama-index-embeddings-huggingface 0.8.0, sentence-transformers 6.2.0, transformers 5.24.0, torch 2.13.0.
# Seen: model.prompts before and after; the vector of a query is that of the text without its prompt.
# Matters: models that need their prompt (Qwen3-Embedding, EmbeddingGemma, Arctic, E5-instruct) find less, and no error
#   shows it. Giving query_instruction and text_instruction by hand mends it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0 tokenizers==0.23.3 \
    sentence-transformers==6.2.0 llama-index-embeddings-huggingface==0.8.0 numpy==2.4.6
HF_HUB_OFFLINE=1 venv/bin/python - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import torch
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizer

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "query", "passage", ":", "how", "do", "fish", "sleep"]
BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained("network")
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=64, initializer_range=0.5,
)
BertModel(config).save_pretrained("network")
prompts = {"query": "query: ", "document": "passage: "}
SentenceTransformer(modules=[Transformer("network"), Pooling(32, "mean")], prompts=prompts).save("model")

own, wrapped = SentenceTransformer("model"), HuggingFaceEmbedding(model_name="model")
names = ("llama-index-embeddings-huggingface", "sentence-transformers", "transformers")
print(*(f"{name} {version(name)}" for name in names))
print("prompts of the model:", own.prompts)
print("prompts in HuggingFaceEmbedding:", wrapped._model.prompts)


def cosine(one, other):
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


text = "how do fish sleep"
failed = False
for role, found, right in (
    ("query", wrapped.get_query_embedding(text), own.encode_query(text)),
    ("document", wrapped.get_text_embedding(text), own.encode_document(text)),
):
    bare = own.encode(text)
    print(f"{role}: cosine {cosine(found, right):.4f} with the model's own, {cosine(found, bare):.4f} with the bare text's")
    failed = failed or not cosine(found, right) < 0.999 < 0.9999 < cosine(found, bare)
if failed:
    sys.exit("The behaviour has changed.")
PROGRAM
