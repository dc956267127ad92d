#!/usr/bin/env bash
# FlagEmbedding's FlagReranker gives a reranker the two texts without [CLS] and [SEP] between and around them.
#
# Expected: FlagReranker("a cross-encoder") gives the scores of that model: its tokenizer puts [CLS] query [SEP] passage [SEP] together.
# Happens: it tokenises both texts apart without special tokens, and has tokenizer.prepare_for_model put them together. That asks the
#   tokenizer's class, not tokenizer.json, and the general class PreTrainedTokenizerFast knows no special tokens: the model reads the
#   words of both texts in one row. BertTokenizerFast and XLMRobertaTokenizerFast know theirs. No error, no warning. For
#   transformers 5, which has no such method, FlagEmbedding calls the tokenizer with both texts.
# Versions: FlagEmbedding 1.4.2 with transformers 4.57.6, tokenizers 0.22.1 and torch 2.13.0.
# Seen: one random network with one layer, saved with each of two classes; the same tokenizer.json, without token types, as ModernBERT's.
# Matters: transformers 4 takes the general class for ModernBERT and other newer families. Scores and ranks come from an input that such a
#   reranker has never seen: its head reads the first word of the query in place of [CLS]. Fine-tuning with FlagEmbedding
#   prepares pairs in the same way: such a model is right in it, and wrong in every other library.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==4.57.6 tokenizers==0.22.1 datasets==4.4.1 \
    accelerate==1.12.0 peft==0.18.0 sentencepiece==0.2.1 numpy==2.3.5
venv/bin/pip install --quiet --disable-pip-version-check --no-deps FlagEmbedding==1.4.2
HF_HUB_OFFLINE=1 venv/bin/python -W ignore - <<'PROGRAM'
import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from FlagEmbedding import FlagReranker
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

transformers.logging.set_verbosity_error()
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "do", "fish", "sleep", "they", "rest", "at", "night", "?"]
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
PAIRS = [("how do fish sleep?", "fish rest at night"), ("do they sleep?", "they do"), ("fish?", "how do they rest")]


def save(folder, tokenizer_class):
    """Write a reranker with one random layer, and its tokenizer under a class."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS), "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(**sizes, num_labels=1, initializer_range=0.5)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(WORDS[:4])
    tokenizer.save(str(folder / "tokenizer.json"))
    stated = {"tokenizer_class": tokenizer_class, "model_max_length": 64, "model_input_names": ["input_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated | SPECIAL))


print("FlagEmbedding", version("FlagEmbedding"), "transformers", transformers.__version__, "torch", torch.__version__)
scores = {}
for name in ("BertTokenizerFast", "PreTrainedTokenizerFast"):
    folder = Path(name)
    folder.mkdir()
    save(folder, name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert type(tokenizer).__name__ == name
    bare = [[tokenizer(text, add_special_tokens=False)["input_ids"] for text in pair] for pair in PAIRS]
    rows = {
        "the model's own": [tokenizer(*pair) for pair in PAIRS],
        "without special tokens": [{"input_ids": a + b, "attention_mask": [1] * len(a + b)} for a, b in bare],
    }
    with torch.no_grad():
        expected = {
            kind: [float(model(**{key: torch.tensor([row[key]]) for key in row}).logits) for row in inputs] for kind, inputs in rows.items()
        }
    reranker = FlagReranker(name, use_fp16=False, devices="cpu")
    scores[name] = found = reranker.compute_score([list(pair) for pair in PAIRS])
    print(f"{name}: FlagReranker {[round(score, 4) for score in found]};",
          {kind: [round(score, 4) for score in values] for kind, values in expected.items()})
    kind = "the model's own" if name.startswith("Bert") else "without special tokens"
    if max(abs(a - b) for a, b in zip(found, expected[kind])) > 1e-4:
        sys.exit("The behaviour has changed.")
    assert max(abs(a - b) for a, b in zip(*expected.values())) > 1e-2
PROGRAM
