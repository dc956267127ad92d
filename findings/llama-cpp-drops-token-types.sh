#!/usr/bin/env bash
# llama.cpp reads both texts of a pair as the first one: BERT rerankers as GGUF give other scores than in transformers.
#
# Expected: a GGUF file of a BERT cross-encoder, with its table of token types, gives the scores of the checkpoint. The
#   tokenizer marks the second text with type 1, as nearly all cross-encoders of the BERT kind were trained.
# Happens: llama.cpp adds the table's first row to every token, whatever the file holds, and its interface takes no types. Its
#   score is exactly that of the checkpoint with type 0 everywhere; no error, no warning.
# Versions: llama-cpp-python 0.3.36 (built from source here, some minutes), gguf 0.19.0; transformers 5.24.0, torch 2.13.0.
# Seen: pooling "rank" beside transformers, on one pair and one random layer.
# Matters: ms-marco rerankers and their like rank otherwise in llama.cpp. XLM-RoBERTa's, such as bge-reranker-v2-m3, have one
#   type only and are not concerned.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
flags='-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON'
CMAKE_ARGS="$flags" venv/bin/pip install --quiet --disable-pip-version-check llama-cpp-python==0.3.36
venv/bin/pip install --quiet --disable-pip-version-check gguf==0.19.0 transformers==5.24.0 tokenizers==0.23.3 \
    torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import ctypes
import sys
from importlib.metadata import version

import gguf
import llama_cpp
import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "do", "fish", "sleep", "with", "open", "eyes"]
IDS = [2, 4, 5, 6, 7, 3, 6, 7, 8, 9, 10, 3]
SECOND = 6  # the place of the second text

torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=64, num_labels=1, initializer_range=0.5,
    hidden_act="gelu",
)
model = BertForSequenceClassification(config).eval()
state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}

writer = gguf.GGUFWriter("model.gguf", "bert")
writer.add_block_count(1)
writer.add_context_length(64)
writer.add_embedding_length(32)
writer.add_feed_forward_length(64)
writer.add_head_count(2)
writer.add_layer_norm_eps(config.layer_norm_eps)
writer.add_causal_attention(False)
writer.add_pooling_type(gguf.PoolingType.RANK)
writer.add_array("bert.classifier.output_labels", ["relevance"])
writer.add_tokenizer_model("bert")
writer.add_tokenizer_pre("default")
writer.add_token_list(WORDS[:4] + ["▁" + word for word in WORDS[4:]])
writer.add_token_types([3, 2, 3, 3] + [1] * (len(WORDS) - 4))
writer.add_token_type_count(2)
writer.add_bos_token_id(2)
writer.add_sep_token_id(3)
writer.add_pad_token_id(0)
writer.add_unk_token_id(1)
layer = "bert.encoder.layer.0"
NAMES = {
    "token_embd": "bert.embeddings.word_embeddings",
    "token_types": "bert.embeddings.token_type_embeddings",
    "position_embd": "bert.embeddings.position_embeddings",
    "token_embd_norm": "bert.embeddings.LayerNorm",
    "blk.0.attn_q": f"{layer}.attention.self.query",
    "blk.0.attn_k": f"{layer}.attention.self.key",
    "blk.0.attn_v": f"{layer}.attention.self.value",
    "blk.0.attn_output": f"{layer}.attention.output.dense",
    "blk.0.attn_output_norm": f"{layer}.attention.output.LayerNorm",
    "blk.0.ffn_up": f"{layer}.intermediate.dense",
    "blk.0.ffn_down": f"{layer}.output.dense",
    "blk.0.layer_output_norm": f"{layer}.output.LayerNorm",
    "cls": "bert.pooler.dense",
    "cls.output": "classifier",
}
for theirs, ours in NAMES.items():
    for kind in ("weight", "bias"):
        if f"{ours}.{kind}" in state:
            writer.add_tensor(f"{theirs}.{kind}", state[f"{ours}.{kind}"])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

quiet = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(quiet, ctypes.c_void_p())
handle = llama_cpp.llama_model_load_from_file(b"model.gguf", llama_cpp.llama_model_default_params())
options = llama_cpp.llama_context_default_params()
options.embeddings, options.n_ctx, options.n_batch, options.n_ubatch = True, 64, 64, 64
context = llama_cpp.llama_init_from_model(handle, options)
batch = llama_cpp.llama_batch_init(len(IDS), 0, 1)
batch.n_tokens = len(IDS)
for place, number in enumerate(IDS):
    batch.token[place], batch.pos[place] = number, place
    batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, 0, 1
if llama_cpp.llama_encode(context, batch):
    sys.exit("llama.cpp failed")
found = llama_cpp.llama_get_embeddings_seq(context, 0)[0]

def score(second):
    types = [0] * SECOND + [second] * (len(IDS) - SECOND)
    with torch.no_grad():
        return model(torch.tensor([IDS]), token_type_ids=torch.tensor([types])).logits.item()

right, first_only = score(1), score(0)
print(*(f"{name} {version(name)}" for name in ("llama-cpp-python", "gguf", "transformers")))
print(f"transformers, the second text of type 1, as its tokenizer says: {right:.4f}")
print(f"transformers, all tokens of type 0:                             {first_only:.4f}")
print(f"llama.cpp, pooling rank:                                        {found:.4f}")
if not abs(found - first_only) < 0.01 * max(1, abs(first_only)) < 0.1 < abs(right - first_only):
    sys.exit("The behaviour has changed.")
print("llama.cpp ranks as if both texts were the first one.")
PROGRAM
