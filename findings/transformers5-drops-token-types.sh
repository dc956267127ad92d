#!/usr/bin/env bash
# transformers 5 gives pairs of texts no token types where version 4 gives them: a reranker's scores change.
#
# Expected: the files of a tokenizer that marks the second text of a pair with type 1 give the same inputs in both versions.
# Happens: with tokenizer_class PreTrainedTokenizerFast version 5 leaves token_type_ids out, so a BERT reads type 0 everywhere.
#   With BertTokenizerFast it keeps them. The types stand in tokenizer.json in both cases.
# Versions: transformers 4.57.6 and 5.24.0, tokenizers 0.22.1 and 0.23.3, x86-64.
# Seen: keys of the tokenizer's result for one pair.
# Matters: a cross-encoder saved with the general class ranks otherwise after an upgrade, without an error or a warning.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > pair.py <<'PROGRAM'
import json
import sys
from pathlib import Path

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer

folder = Path("model")
folder.mkdir(exist_ok=True)
vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "fish": 4, "sleep": 5}
tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]",
    pair="[CLS] $A [SEP] $B:1 [SEP]:1",
    special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
)
tokenizer.save(str(folder / "tokenizer.json"))
(folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 6}))
names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
facts = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
(folder / "tokenizer_config.json").write_text(json.dumps(facts))
found = dict(AutoTokenizer.from_pretrained(str(folder))("fish", "sleep"))
print("transformers", transformers.__version__, found)
assert found["input_ids"] == [1, 4, 2, 5, 2]
expected = [0, 0, 0, 1, 1] if sys.argv[1] == "kept" else None
assert found.get("token_type_ids") == expected, "the behaviour has changed"
PROGRAM
install() {
    "${PYTHON:-python3}" -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check "transformers==$2" "tokenizers==$3" numpy==2.4.6
}
install four 4.57.6 0.22.1
install five 5.24.0 0.23.3
four/bin/python pair.py kept
five/bin/python pair.py dropped
