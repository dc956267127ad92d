#!/usr/bin/env bash
# Chunkers of LangChain and chonkie that count a model's tokens return text that is not in the document.
#
# Expected: the chunks of a document are pieces of it, and chonkie's start_index and end_index say where they are.
# Happens: LangChain's SentenceTransformersTokenTextSplitter and chonkie's TokenChunker turn the text into ids and the ids of each
#   chunk into text again. For tokenizers of the BERT kind, the usual ones of sentence embeddings, letters are small and
#   without accents then, spaces and line ends differ, a word that is cut begins with "##", and words outside the
#   vocabulary are "[UNK]" in LangChain and gone in chonkie, which counts its places in the new text: they point to other
#   words. Neither warns; only byte-level tokenizers give the text back.
# Versions: langchain-text-splitters 1.1.3 with sentence-transformers 6.2.0, transformers 5.24.0 and torch 2.13.0; chonkie 1.7.0 with
#   tokenizers 0.23.3.
# Seen: "Dr. Müller's GmbH" and a Chinese word with a vocabulary of small letters.
# Matters: the index holds, shows and quotes another text than the document's; names, code and tables are damaged for good,
#   and what the vocabulary lacks cannot be found by a word either.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0 tokenizers==0.23.3 \
    sentence-transformers==6.2.0 langchain-text-splitters==1.1.3 chonkie==1.7.0 numpy==2.4.6
HF_HUB_OFFLINE=1 venv/bin/python - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import string
import sys
from importlib.metadata import version

import torch
from chonkie import TokenChunker
from langchain_text_splitters import SentenceTransformersTokenTextSplitter
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, BertTokenizer

pieces = [*string.ascii_lowercase, *string.digits]
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation, *pieces, *(f"##{piece}" for piece in pieces)]
BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained("network")
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=64,
)
BertModel(config).save_pretrained("network")
SentenceTransformer(modules=[Transformer("network"), Pooling(32, "mean")]).save("model")

text = "Dr. Müller's GmbH pays:\n\n  - Item_A  3,500.00\n  - 漢字 iPhone-15"
print(*(f"{name} {version(name)}" for name in ("langchain-text-splitters", "chonkie", "transformers", "tokenizers")))
print("the document:", repr(text))
splitter = SentenceTransformersTokenTextSplitter(model_name="model", tokens_per_chunk=24, chunk_overlap=0)
chunks = splitter.split_text(text)
for chunk in chunks:
    print("LangChain:", repr(chunk))
chunker = TokenChunker(Tokenizer.from_file("network/tokenizer.json"), chunk_size=24, chunk_overlap=0)
found = chunker.chunk(text)
for chunk in found:
    print("chonkie:  ", repr(chunk.text), "at its place:", repr(text[chunk.start_index : chunk.end_index]))
whole = all(chunk in text for chunk in chunks) or any(chunk.text == text[chunk.start_index : chunk.end_index] for chunk in found)
lost = all(word not in "".join(parts) for word in ("Müller", "漢") for parts in (chunks, [chunk.text for chunk in found]))
if whole or not lost or "[UNK]" not in "".join(chunks):
    sys.exit("The behaviour has changed.")
PROGRAM
