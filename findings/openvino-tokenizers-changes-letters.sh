#!/usr/bin/env bash
# OpenVINO's tokenizers fold case where Hugging Face's make small letters, and take accents off where the model keeps them.
#
# Expected: convert_tokenizer gives a graph with the ids of the tokenizer that it is made of.
# Happens: lower-casing becomes Unicode's case folding, which also changes letters that are small already: the last letter of most
#   Greek words (ς becomes σ), the micro sign, the long s. And a BERT tokenizer with lower-casing and "strip_accents": false, as
#   uncased models of German and Turkish have, loses accents: only null and true are looked at.
# Versions: openvino 2026.4.1, openvino-tokenizers 2026.4.1.0, transformers 5.24.0.
# Seen: the ids of every character, of a tokenizer and of its graph.
# Matters: every sentence of Greek gets other tokens than the model was trained on, and "drücken" (press) those of "drucken" (print),
#   without a word. English tests pass.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openvino==2026.4.1 openvino-tokenizers==2026.4.1.0 transformers==5.24.0 \
    numpy==2.4.6
venv/bin/python - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import sys
from importlib.metadata import version

import openvino
from openvino_tokenizers import convert_tokenizer
from transformers import BertTokenizer

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "drucken", "drücken", "λογος", "λογοσ", "µm", "μm", "press"]


def both(tokenizer, text):
    """Return the tokens of a text by transformers, and by the graph made of the same tokenizer."""
    graph = openvino.Core().compile_model(convert_tokenizer(tokenizer), "CPU")
    found = graph([openvino.Tensor([text])])
    ids = found["input_ids"][0][found["attention_mask"][0] > 0].tolist()
    return tuple(" ".join(tokenizer.convert_ids_to_tokens(row)[1:-1]) for row in (tokenizer(text)["input_ids"], ids))


print(*(f"{name} {version(name)}" for name in ("openvino", "openvino-tokenizers", "transformers")))
found = {}
for strip, texts in ((None, ("Press", "λογος", "ΛΟΓΟΣ", "µm")), (False, ("Press", "Drucken", "Drücken"))):
    vocabulary = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=vocabulary, do_lower_case=True, strip_accents=strip).save_pretrained("model")
    tokenizer = BertTokenizer.from_pretrained("model")
    for text in texts:
        found[strip, text] = both(tokenizer, text)
        print(f"strip_accents {strip}, {text}: transformers {found[strip, text][0]}; OpenVINO {found[strip, text][1]}")
wrong = {(None, "λογος"): ("λογος", "λογοσ"), (None, "µm"): ("µm", "μm"), (False, "Drücken"): ("drücken", "drucken")}
for case, (right, made) in found.items():
    if (right, made) != wrong.get(case, (right, right)) or right == "[UNK]":
        sys.exit("The behaviour has changed.")
PROGRAM
