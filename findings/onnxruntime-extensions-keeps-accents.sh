#!/usr/bin/env bash
# onnxruntime-extensions' tokenizer of an uncased BERT keeps accents, so that words with accents become unknown tokens.
#
# Expected: gen_processing_models(tokenizer, pre_kwargs={}), which makes an ONNX graph of a tokenizer of transformers, gives the
#   tokenizer's ids. "strip_accents": null, which nearly all uncased models have, means that accents go where case goes.
# Happens: it takes null for false. Small letters are made, accents stay, and no uncased vocabulary has letters with accents:
#   of "Café" and "naïve" only the first letters are known, Korean words and Japanese syllables with marks are unknown whole.
#   BertTokenizer of the same package, given a vocabulary by hand, strips accents by default.
# Versions: onnxruntime-extensions 0.15.2, onnxruntime 1.32.0, transformers 5.24.0.
# Seen: comparing tokenizers of uncased embedding models (all-MiniLM-L6-v2, bge, e5) on words of several languages.
# Matters: English without loan words is right, so tests pass; French, Spanish, Vietnamese or Korean names are not found any more.
#   Save the tokenizer with strip_accents=True first: the same ids in transformers, and the right ones here.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnxruntime-extensions==0.15.2 onnxruntime==1.32.0 transformers==5.24.0 \
    onnx==1.23.2 numpy==2.4.6
venv/bin/python - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
import onnxruntime
from onnxruntime_extensions import gen_processing_models, get_library_path
from transformers import BertTokenizer

letters = "abcdefghijklmnopqrstuvwxyz"
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cafe", "creme", "naive", "zurich", *letters, *("##" + letter for letter in letters)]
options = onnxruntime.SessionOptions()
options.register_custom_ops_library(get_library_path())


def both(folder, text):
    """Return the tokens of a text by transformers, and by the graph made of the same tokenizer."""
    tokenizer = BertTokenizer.from_pretrained(folder)
    graph, _ = gen_processing_models(tokenizer, pre_kwargs={})
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    ids = session.run(["input_ids"], {"text": np.array([text])})[0].ravel().tolist()
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]), tokenizer.convert_ids_to_tokens(ids)


print(*(f"{name} {version(name)}" for name in ("onnxruntime-extensions", "onnxruntime", "transformers")))
found = {}
for strip in (None, True):
    folder = f"strip {strip}"
    vocabulary = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=vocabulary, do_lower_case=True, strip_accents=strip).save_pretrained(folder)
    for text in ("CAFE creme", "Café crème", "naïve", "Zürich"):
        right, made = found[strip, text] = both(folder, text)
        print(f"strip_accents {strip}, {text}: transformers {' '.join(right[1:-1])}; the graph {' '.join(made[1:-1])}")
equal = {case: right == made for case, (right, made) in found.items()}
unknown = all("[UNK]" in found[None, text][1] for text in ("Café crème", "naïve", "Zürich"))
known = not any("[UNK]" in right for right, _ in found.values())
if not (unknown and known and equal[None, "CAFE creme"] and all(equal[True, text] for strip, text in equal if strip)):
    sys.exit("The behaviour has changed.")
PROGRAM
