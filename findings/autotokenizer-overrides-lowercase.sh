#!/usr/bin/env bash
# AutoTokenizer lower-cases a cased tokenizer.json whose tokenizer_config.json does not say otherwise.
#
# Expected: tokenizer.json is the whole tokenizer. AutoTokenizer and tokenizers.Tokenizer.from_file give the same
#   tokens for it.
# Happens: for BERT, transformers builds the normaliser again from the class's arguments. Where
#   tokenizer_config.json is missing or does not name do_lower_case, its default (true) replaces the file's
#   lowercase: false; a do_lower_case or strip_accents that is there replaces the file's value as well.
# Versions: transformers 5.24.0 with tokenizers 0.23.3; transformers 4.57.3 does the same.
# Seen: embedding models whose vectors differed between a Python server and a runtime that reads tokenizer.json.
# Matters: the same files give other token ids, and so other vectors, in sentence-transformers than in every
#   runtime that reads tokenizer.json itself. Compare ids before you compare vectors.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PROGRAM'
import json
import sys
from pathlib import Path
from tempfile import mkdtemp

import tokenizers
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

print("transformers", transformers.__version__, "tokenizers", tokenizers.__version__)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Paris", "paris", "in", "winter"]
vocabulary = {word: number for number, word in enumerate(WORDS)}


def tokens_of_both(lowercase, config):
    """Return the tokens by tokenizer.json and by AutoTokenizer of the same directory."""
    directory = Path(mkdtemp(dir="."))
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "config.json").write_text(json.dumps({"model_type": "bert"}))
    if config is not None:
        (directory / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "BertTokenizer", **config})
        )
    auto = AutoTokenizer.from_pretrained(directory)
    ids = auto("Paris in winter", add_special_tokens=False)["input_ids"]
    return tokenizer.encode("Paris in winter").tokens, auto.convert_ids_to_tokens(ids)


same = []
for lowercase, config in ((False, None), (False, {}), (False, {"do_lower_case": False}),
                          (True, {"do_lower_case": False})):
    stored, auto = tokens_of_both(lowercase, config)
    same.append(stored == auto)
    print(f"tokenizer.json lowercase {lowercase}, tokenizer_config.json {config}:")
    print(f"  tokenizer.json {stored}, AutoTokenizer {auto}")
if same != [False, False, True, False]:
    sys.exit("The behaviour has changed.")
PROGRAM
