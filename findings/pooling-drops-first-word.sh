#!/usr/bin/env bash
# sentence-transformers leaves the first word of every text out of pooling, with the prompt, where the prompt ends in a space.
#
# Expected: with include_prompt=False, the tokens of the prompt are read and not pooled; those of the text are pooled.
# Happens: the prompt's length is that of the prompt tokenised alone. A SentencePiece tokenizer makes a token of its last space,
#   which in a whole text is part of the first word. So one token too many is left out: the vector lacks the first word.
# Versions: sentence-transformers 6.2.0 with transformers 5.24.0, tokenizers 0.23.3 and torch 2.13.0.
# Seen: comparing pooling without the prompt on T5, the family of INSTRUCTOR, for which include_prompt was made.
# Matters: prompts that end in a space are the rule ("query: "), and nothing says that a word is missing; models trained by the
#   library expect it, so a reader that counts the prompt's tokens in the text itself gives other vectors.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 sentence-transformers==6.2.0 \
    transformers==5.24.0 tokenizers==0.23.3 numpy==2.4.6
HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

PROMPT, TEXT = "query: ", "fish sleep"
pieces = ["<pad>", "</s>", "<unk>", "▁", "▁query", ":", "▁fish", "▁sleep"]

tokenizer = Tokenizer(models.Unigram([(piece, -float(i > 2)) for i, piece in enumerate(pieces)], 2))
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
).save_pretrained("model")
torch.manual_seed(0)
sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
T5EncoderModel(T5Config(vocab_size=len(pieces), **sizes)).save_pretrained("model")

print(*(f"{name} {version(name)}" for name in ("sentence-transformers", "transformers")))
model = SentenceTransformer(
    modules=[Transformer("model"), Pooling(16, "mean", include_prompt=False)], device="cpu"
)
for text in (PROMPT, PROMPT + TEXT):
    print(repr(text), model.tokenizer.convert_ids_to_tokens(model.tokenizer(text)["input_ids"]))
states = np.asarray(model.encode(PROMPT + TEXT, output_value="token_embeddings"))
vector = model.encode(TEXT, prompt=PROMPT)
whole, cut = (np.abs(vector - states[start:].mean(0)).max() for start in (2, 3))
print(f"from the mean of ▁fish ▁sleep </s>: {whole:.3f}; from the mean of ▁sleep </s>: {cut:.3f}")
if not (whole > 0.01 and cut < 1e-5):
    sys.exit("The behaviour has changed.")
PROGRAM
