#!/usr/bin/env bash
# LangChain's HuggingFaceEmbeddings puts a space in the place of every newline before it embeds a text.
#
# Expected: HuggingFaceEmbeddings, which holds a SentenceTransformer, gives the vectors of that model.
# Happens: embed_documents and embed_query replace "\n" by " " first; no option turns it off, and the documentation does not
#   say it. WordPiece tokenizers see no difference, but byte-level ones have tokens for newlines (RoBERTa, ModernBERT,
#   Qwen3, and so most of the newer models): the model is given another text, and code, lists and tables lose their lines.
# Versions: langchain-huggingface 1.2.3, sentence-transformers 6.2.0, transformers 5.24.0, tokenizers 0.23.3, torch 2.13.0.
# Seen: a small random RoBERTa: the same vectors for texts of one line, others for texts of several.
# Matters: vectors that LangChain stored do not fit to queries or documents that another tool embeds with the same model,
#   and Markdown and code are embedded in a form that the model hardly saw. A prompt that ends in a newline keeps it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0 tokenizers==0.23.3 \
    sentence-transformers==6.2.0 langchain-huggingface==1.2.3 numpy==2.4.6
HF_HUB_OFFLINE=1 venv/bin/python - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import torch
from langchain_huggingface import HuggingFaceEmbeddings
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

letters = sorted(pre_tokenizers.ByteLevel.alphabet())
vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
tokenizer = Tokenizer(models.BPE(vocabulary, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
    model_max_length=128,
).save_pretrained("network")
torch.manual_seed(0)
config = RobertaConfig(
    vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=140, initializer_range=0.5,
)
RobertaModel(config).save_pretrained("network")
network = Transformer("network")
SentenceTransformer(modules=[network, Pooling(32, "mean")]).save("model")

own, wrapped = SentenceTransformer("model"), HuggingFaceEmbeddings(model_name="model")
print(*(f"{name} {version(name)}" for name in ("langchain-huggingface", "sentence-transformers", "transformers")))
texts = ["one line of text", "def half(x):\n    return x / 2\n", "- milk\n- eggs\n- flour"]
cosines = []
for text in texts:
    one, other = own.encode_document(text), np.array(wrapped.embed_documents([text])[0])
    spaced = own.encode_document(text.replace("\n", " "))
    cosines.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
    same = np.allclose(other, spaced, atol=1e-5)
    print(f"{text!r}: cosine {cosines[-1]:.4f}; equal to the text with spaces for newlines: {same}")
    if not same:
        sys.exit("The behaviour has changed.")
if not (cosines[0] > 0.9999 and max(cosines[1:]) < 0.9995):
    sys.exit("The behaviour has changed.")
PROGRAM
