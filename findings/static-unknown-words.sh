#!/usr/bin/env bash
# sentence-transformers and model2vec give texts with unknown words different vectors, from the same files.
#
# Expected: model2vec writes a repository with a modules.json that names StaticEmbedding of sentence-transformers, so
#   that both libraries give its vectors.
# Happens: model2vec leaves the unknown token out of the mean. StaticEmbedding averages its row like any other. Texts of
#   known words get equal vectors, so a check on plain English finds nothing; a text of unknown words alone gets
#   zeros from one library and the unknown token's vector from the other.
# Versions: sentence-transformers 6.2.0 with transformers 5.24.0 and torch 2.13.0; model2vec 0.10.0.
# Seen: comparing static embedding models in both libraries on texts in other scripts.
# Matters: an index made with one library and searched with the other compares vectors of two kinds, without a warning.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 sentence-transformers==6.2.0 \
    transformers==5.24.0 tokenizers==0.23.3 numpy==2.4.6 model2vec==0.10.0
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
from model2vec import StaticModel
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ["[PAD]", "[UNK]", "how", "do", "fish", "sleep"]
TEXTS = ["how do fish sleep", "how do axolotls sleep", "axolotls"]

tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
table = np.random.default_rng(0).standard_normal((len(WORDS), 8)).astype(np.float32)
StaticModel(table, tokenizer).save_pretrained("model")

print(*(f"{name} {version(name)}" for name in ("model2vec", "sentence-transformers")))
known = StaticModel.from_pretrained("model").encode(TEXTS)
every = SentenceTransformer("model", device="cpu").encode(TEXTS)
same = []
for text, dropped, kept in zip(TEXTS, known, every):
    rows = table[[WORDS.index(word) if word in WORDS else 1 for word in text.split()]]
    same.append(bool(np.allclose(dropped, kept, atol=1e-6)))
    assert np.allclose(kept, rows.mean(0), atol=1e-6)
    print(f"{text!r}: model2vec {dropped[:3].round(3)}, sentence-transformers {kept[:3].round(3)}")
without = table[[WORDS.index(word) for word in ("how", "do", "sleep")]].mean(0)
if not (
    same == [True, False, False]
    and np.allclose(known[1], without, atol=1e-6)
    and not known[2].any()
    and np.allclose(every[2], table[1], atol=1e-6)
):
    sys.exit("The behaviour has changed.")
PROGRAM
