#!/usr/bin/env bash
# MNN-LLM's Unigram tokenizer divides repeated letters the other way round than the tokenizers library.
#
# Expected: the tokenizer file that MNN-LLM's exporter makes of a Unigram model gives the model's ids.
# Happens: where two ways to divide a text have the same score (a|aa and aa|a always have), MNN's engine takes
#   the shorter last piece, and the tokenizers library the longer. The score of a piece is
#   the same in both, so no scores in the file can change that.
# Versions: mnn 3.6.1 (PyPI wheel), tokenizers 0.23.3, x86-64.
# Seen: ids of runs of dots, dashes and letters.
# Matters: a multilingual embedding model (XLM-R, multilingual E5, BGE-M3) silently gets other ids on a phone.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mnn==3.6.1 tokenizers==0.23.3 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import json
import struct
from importlib.metadata import version
from pathlib import Path

import MNN.llm
from tokenizers import Tokenizer, models

VOCABULARY = [("<unk>", 0.0), ("a", -2.0), ("aa", -2.5)]
TEXTS = ["a", "aa", "aaa", "aaaaa"]


def string(text):
    return struct.pack("<H", len(text)) + text.encode()


rows = sorted((piece, number, score) for number, (piece, score) in enumerate(VOCABULARY))
template = "{{ messages[0]['content'] }}"
Path("tokenizer.mtok").write_bytes(
    b"430 4\n0 0 0\n\n"
    + bytes([0, 0])  # neither normalizer nor pre-tokenizer
    + struct.pack("<BIIB", 2, len(rows), 0, 0)  # Unigram, <unk> is 0, no byte fallback
    + b"".join(string(piece) + struct.pack("<Id", number, score) for piece, number, score in rows)
    + bytes([1])  # a decoder
    + struct.pack("<II", 0, len(template)) + template.encode()  # no added tokens
    + bytes(5)
)
Path("llm_config.json").write_text(json.dumps({
    "model_type": "bert", "hidden_size": 32, "attention_mask": "int", "attention_type": "full",
    "is_visual": False, "is_audio": False, "jinja": {"chat_template": template, "eos": ""},
}))
Path("config.json").write_text(json.dumps({
    "llm_model": "none.mnn", "llm_weight": "config.json", "tokenizer_file": "tokenizer.mtok",
    "llm_config": "llm_config.json", "backend_type": "cpu", "thread_num": 1,
}))
Path("none.mnn").write_bytes(b"the tokenizer needs no model")
engine = MNN.llm.create(str(Path("config.json").absolute()), False)
engine.load()
in_mnn = [list(engine.tokenizer_encode(engine.apply_chat_template(text))) for text in TEXTS]
in_library = [Tokenizer(models.Unigram(VOCABULARY, 0)).encode(text).ids for text in TEXTS]
print("mnn", version("mnn"), "tokenizers", version("tokenizers"))
for text, found, right in zip(TEXTS, in_mnn, in_library):
    print(f"{text:6} MNN {found}, tokenizers {right}")
assert in_mnn == [[1], [2], [2, 1], [2, 2, 1]], in_mnn
assert in_library == [[1], [2], [1, 2], [1, 2, 2]], in_library
PROGRAM
