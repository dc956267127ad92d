#!/usr/bin/env bash
# model2vec cuts a text at a number of characters first: it does not read the end of texts that have far fewer tokens than max_length.
#
# Expected: StaticModel.encode reads the first `max_length` tokens of a text (512 by default); its documentation says that
#   "any tokens beyond this length are truncated".
# Happens: before the tokenizer sees a text, encode cuts it at max_length times the median length of the vocabulary's tokens,
#   in characters. Spaces count, though they make no tokens. A table, code or the text of a PDF page, whose columns are
#   filled up with spaces, loses its end long before it has 512 tokens; tokenize() and max_length=None read all of it.
# Versions: model2vec 0.10.0, tokenizers 0.23.3, numpy 2.4.6.
# Seen: a list of 75 lines and 150 words: encode reads the first 38 lines, and gives the rest no part in the vector.
# Matters: with the vocabulary of BERT, whose median is 6, the limit is at 3,072 characters. What stands at the end of such a page
#   cannot be found, and StaticEmbedding of sentence-transformers, which reads the same files, gives other vectors.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check model2vec==0.10.0 tokenizers==0.23.3 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer, models, pre_tokenizers

goods = "apple bread cheese flour honey juice lemon maple olive peach".split()
prices = [f"{number}" for number in range(100, 150)]
words = ["[UNK]", *goods, *prices]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
rng = np.random.default_rng(0)
model = StaticModel(rng.standard_normal((len(words), 32)).astype(np.float32), tokenizer, normalize=True)

lines = [f"{goods[number % 10]:<34}{prices[number % 50]:>5}" for number in range(75)]
text = "\n".join(lines)
tokens = len(model.tokenize([text])[0])
whole = model.encode(text, max_length=None)
found = model.encode(text)
median = model.median_token_length
limit = 512 * median
print("model2vec", version("model2vec"), "tokenizers", version("tokenizers"))
print(f"{tokens} tokens, {len(text)} characters; max_length 512 tokens, the median token has {median} characters")
print(f"cosine with all tokens: {whole @ found:.4f}; with those of the first {limit} characters: "
      f"{model.encode(text[:limit], max_length=None) @ found:.4f}")
changed = "\n".join([*lines[:-10], *["peach"] * 10])
unseen = np.array_equal(model.encode(changed), found)
print("ten other lines at the end give the same vector:", unseen)
if not (tokens < 512 and whole @ found < 0.9999 and unseen):
    sys.exit("The behaviour has changed.")
PROGRAM
