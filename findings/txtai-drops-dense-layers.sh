#!/usr/bin/env bash
# txtai leaves out the dense layers behind the pooling of a sentence-transformers model.
#
# Expected: Embeddings(path=MODEL) of txtai, which reads the pooling, the prompts and the length from the files of
#   sentence-transformers, gives the vectors of that model.
# Happens: it reads 1_Pooling only; modules.json is not looked at. Dense layers (2_Dense, 3_Dense) are not computed, without a
#   warning. Where they keep the width, as in LaBSE, EmbeddingGemma and sentence-t5, nothing shows it.
# Versions: txtai 9.14.0, sentence-transformers 6.2.0, transformers 5.24.0, torch 2.13.0.
# Seen: a small random BERT with mean pooling and one dense layer: the vectors are those of the model without the layer.
# Matters: such models find much less, since the vectors before these layers were not trained to be compared; and they do not fit
#   to those of any other tool. method="sentence-transformers" computes them.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0 sentence-transformers==6.2.0 \
    txtai==9.14.0 numpy==2.4.6
HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 venv/bin/python - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizer
from txtai import Embeddings

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "how", "do", "fish", "sleep"]
BertTokenizer(vocab={word: number for number, word in enumerate(words)}, model_max_length=64).save_pretrained("network")
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=64, initializer_range=0.5,
)
BertModel(config).save_pretrained("network")
network, pooling = Transformer("network"), Pooling(32, "mean")
dense = Dense(in_features=32, out_features=32)
SentenceTransformer(modules=[network, pooling, dense, Normalize()]).save("model")
bare = SentenceTransformer(modules=[network, pooling, Normalize()])

text = "how do fish sleep"
right, without = SentenceTransformer("model").encode(text), bare.encode(text)
print(*(f"{name} {version(name)}" for name in ("txtai", "sentence-transformers", "transformers")))
cosines = {}
for method in (None, "sentence-transformers"):
    embeddings = Embeddings(path="model", gpu=False, **({"method": method} if method else {}))
    found = np.asarray(embeddings.transform(text))
    cosines[method] = float(found @ right), float(found @ without)
    print(f"txtai, method {method}: cosine {cosines[method][0]:.4f} with the model, {cosines[method][1]:.4f} with it less the dense layer")
if not cosines[None][0] < 0.9 < 0.9999 < cosines[None][1] or cosines["sentence-transformers"][0] < 0.9999:
    sys.exit("The behaviour has changed.")
PROGRAM
