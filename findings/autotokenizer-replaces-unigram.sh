#!/usr/bin/env bash
# transformers 5 makes a WordPiece tokenizer of a Unigram tokenizer.json, without a warning.
#
# Expected: AutoTokenizer tokenizes as tokenizer.json does, or says that the class it chose cannot read that file.
# Happens: where tokenizer_config.json names no class, the class follows from model_type. BertTokenizer takes the pieces
#   of tokenizer.json, whatever its type, into a WordPiece model. Its words lack the mark "▁" that the pieces begin
#   with, so they become the unknown token. RobertaTokenizer makes a BPE without merges of the pieces in the same way.
# Versions: transformers 5.24.0 with tokenizers 0.23.3; transformers 4.57.6 keeps tokenizer.json's model.
# Seen: sentence embedding models with XLM-R's vocabulary and a BERT network, which many multilingual models are.
# Matters: after an update of transformers such a model embeds unknown tokens, and nothing says so.
#   Set "tokenizer_class": "PreTrainedTokenizerFast" in tokenizer_config.json to get tokenizer.json as it is.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==4.57.6
cat > tokens.py <<'PROGRAM'
"""Print the tokens of AutoTokenizer for each class that tokenizer_config.json may name."""
import json
import logging
import warnings
from pathlib import Path
from tempfile import mkdtemp

import tokenizers
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

TEXT = "how do fish sleep"
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = [("▁how", -3.0), ("▁do", -3.0), ("▁fish", -4.0), ("▁sleep", -4.0), ("▁", -2.0), ("s", -3.0)]
ROLES = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
         "pad_token": "<pad>", "unk_token": "<unk>"}


class Record(logging.Handler):
    """The messages of transformers from the level of a warning."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


record = Record()
logging.getLogger("transformers").addHandler(record)
stored = Tokenizer(models.Unigram([(token, 0.0) for token in SPECIAL] + PIECES, unk_id=3))
stored.normalizer = normalizers.NFKC()
stored.pre_tokenizer = pre_tokenizers.Metaspace()
stored.post_processor = processors.TemplateProcessing(
    single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
)
stored.add_special_tokens(SPECIAL)
print("transformers", transformers.__version__, "tokenizers", tokenizers.__version__)
print("tokenizer.json:", stored.encode(TEXT).tokens)
found = {}
for name in (None, "RobertaTokenizer", "PreTrainedTokenizerFast"):
    directory = Path(mkdtemp(dir="."))
    stored.save(str(directory / "tokenizer.json"))
    (directory / "config.json").write_text(json.dumps({"model_type": "bert"}))
    named = {"tokenizer_class": name} if name else {}
    (directory / "tokenizer_config.json").write_text(json.dumps({**ROLES, **named}))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        auto = AutoTokenizer.from_pretrained(directory)
        tokens = auto.convert_ids_to_tokens(auto(TEXT)["input_ids"])
    kind = type(auto.backend_tokenizer.model).__name__
    print(f"tokenizer_class {name}: {type(auto).__name__} with {kind}, {tokens}")
    found[str(name)] = [kind, tokens == stored.encode(TEXT).tokens, tokens]
    found["warnings"] = [*found.get("warnings", []), *record.messages, *(str(w.message) for w in warned)]
    record.messages.clear()
print("warnings:", found["warnings"])
Path(f"found{transformers.__version__[0]}.json").write_text(json.dumps(found))
PROGRAM
export HF_HUB_OFFLINE=1
venv/bin/python tokens.py
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
venv/bin/python tokens.py
venv/bin/python - <<'PROGRAM'
import json
import sys

old, new = (json.load(open(f"found{version}.json")) for version in (4, 5))
names = ("None", "RobertaTokenizer", "PreTrainedTokenizerFast")
unknown = ["<s>", *["<unk>"] * 4, "</s>"]
if not (
    [old[name][:2] for name in names] == [["Unigram", True]] * 3
    and [new[name][:2] for name in names] == [["WordPiece", False], ["BPE", False], ["Unigram", True]]
    and new["None"][2] == unknown
    and new["warnings"] == []
):
    sys.exit("The behaviour has changed.")
PROGRAM
