#!/usr/bin/env bash
# WordLlama's deduplicate keeps copies of documents: of two batches it compares only a triangle.
#
# Expected: deduplicate(docs) leaves one of two equal documents, wherever they stand; batch_size is about memory.
# Happens: documents are compared in batches of 5000 (500 with binary=True). Within one batch each pair counts once, so half of the
#   square of similarities is set to zero; the same half is set to zero between two different batches, where no pair stands
#   twice. A copy is missed wherever it stands earlier in its batch than the first one does in its own. No warning.
# Versions: wordllama 0.4.0.post1 with its own weights (256 numbers), tokenizers 0.23.3, numpy 2.4.6.
# Seen: twelve sentences and the same twelve again, from last to first: 12 are left in one batch, up to 18 in several.
# Matters: sets of more than 5000 documents, for which one has a tool, keep half of their copies, and tests with a few sentences
#   pass. A batch_size as large as the set finds all of them, for memory that grows with its square.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check wordllama==0.4.0.post1 tokenizers==0.23.3 safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import wordllama
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from wordllama.inference import WordLlamaInference

SENTENCES = [
    "Trains to Hamburg leave every hour.", "Whales are mammals that live in the sea.", "He paid the bill with an old coin.",
    "Snow fell on the mountains all night.", "The printer is out of paper again.", "Bread needs flour, water and time.",
    "A violin has four strings.", "Our office moves to Lisbon in May.", "The cat slept on the warm radiator.",
    "Voters elected a new mayor on Sunday.", "This recipe asks for two ripe tomatoes.", "Gold is heavier than iron.",
]
folder = Path(wordllama.__file__).parent
table = next(iter(load_file(folder / "weights/l2_supercat_256.safetensors").values()))
tokenizer = Tokenizer.from_file(str(folder / "tokenizers/l2_supercat_tokenizer_config.json"))

print("wordllama", version("wordllama"), "numpy", np.__version__)
documents = SENTENCES + SENTENCES[::-1]
for binary in (False, True):
    model = WordLlamaInference(table, tokenizer, binary=binary)
    vectors = WordLlamaInference(table, tokenizer).embed(SENTENCES, norm=True)
    assert np.triu(vectors @ vectors.T, 1).max() < 0.5, "two sentences are alike"
    left = {size: model.deduplicate(documents, threshold=0.95, batch_size=size) for size in (24, 12, 8, 6, 4)}
    print(f"binary={binary}: of 24 documents, 12 of them copies, are left:", {size: len(kept) for size, kept in left.items()})
    if sorted(left[24]) != sorted(SENTENCES):
        sys.exit("The behaviour has changed.")
    if [len(kept) for kept in left.values()] != [12, 18, 16, 18, 18] or left[12].count(SENTENCES[-1]) != 2:
        sys.exit("The behaviour has changed.")
    for size, kept in left.items():
        missed = sum(1 for a in range(12) if (23 - a) // size != a // size and (23 - a) % size < a % size)
        assert len(kept) == 12 + missed, "the rule of this file's head is wrong"
many = [f"{a} {b}" for a in SENTENCES for b in SENTENCES]
many = [f"{text} {number * 7919}" for number in range(35) for text in many][:5000]
found = [place for place in (0, 2499, 4999) if 5000 in WordLlamaInference(table, tokenizer).deduplicate([*many, many[place]], threshold=0.99999, return_indices=True)]
print("of 5001 documents whose last is a copy, the copy is found where the first one is at", found)
if found != [0]:
    sys.exit("The behaviour has changed.")
PROGRAM
