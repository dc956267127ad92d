#!/usr/bin/env bash
# llama-cpp-python cuts a long text off together with its closing token, and at n_batch tokens, not at n_ctx.
#
# Expected: a text that is longer than the model's window gives the vector of its beginning as transformers cuts it: the
#   tokenizer leaves room for the tokens around a text, so that [SEP], </s> or <|endoftext|> still closes it.
# Happens: Llama.embed() and create_embedding() take tokens[:n_batch] of the finished ids, by default, without a word. The
#   closing token is lost; with pooling "last", which reads the state of exactly this token, the vector is that of any
#   other token. n_batch is 512 unless one gives it, also where n_ctx holds the whole text: the rest is not read.
# Versions: llama-cpp-python 0.3.36 (built from source here, some minutes), gguf 0.19.0; transformers 5.24.0, torch 2.13.0.
# Seen: a BERT with one random layer in both libraries: cosine 1.0000 for a short text; for a long one 0.47 with pooling
#   "last", 0.997 with "mean", and 1.0000 with the vector of the ids without [SEP]. n_ctx=64 reads 16 of 34 tokens too.
# Matters: long documents of an index get other vectors than the model's own, most of all from models with pooling
#   "last" such as Qwen3-Embedding, and their ends are not found at all.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
flags='-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON'
CMAKE_ARGS="$flags" venv/bin/pip install --quiet --disable-pip-version-check llama-cpp-python==0.3.36
venv/bin/pip install --quiet --disable-pip-version-check gguf==0.19.0 transformers==5.24.0 tokenizers==0.23.3 \
    torch==2.13.0 numpy==2.4.6
venv/bin/python - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import sys
from importlib.metadata import version

import gguf
import llama_cpp
import numpy as np
import torch
from transformers import BertConfig, BertModel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = "how do fish sleep with open eyes in cold deep water".split()
WINDOW = 16

torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(SPECIAL + WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=64, initializer_range=0.5,
)
model = BertModel(config, add_pooling_layer=False).eval()
state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}

writer = gguf.GGUFWriter("model.gguf", "bert")
writer.add_block_count(1)
writer.add_context_length(64)
writer.add_embedding_length(32)
writer.add_feed_forward_length(64)
writer.add_head_count(2)
writer.add_layer_norm_eps(config.layer_norm_eps)
writer.add_causal_attention(False)
writer.add_tokenizer_model("bert")
writer.add_tokenizer_pre("default")
writer.add_token_list(SPECIAL + ["▁" + word for word in WORDS])
writer.add_token_types([3, 2, 3, 3] + [1] * len(WORDS))
writer.add_token_type_count(2)
writer.add_bos_token_id(2)
writer.add_sep_token_id(3)
writer.add_pad_token_id(0)
writer.add_unk_token_id(1)
layer = "encoder.layer.0"
NAMES = {
    "token_embd": "embeddings.word_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
    "blk.0.attn_q": f"{layer}.attention.self.query",
    "blk.0.attn_k": f"{layer}.attention.self.key",
    "blk.0.attn_v": f"{layer}.attention.self.value",
    "blk.0.attn_output": f"{layer}.attention.output.dense",
    "blk.0.attn_output_norm": f"{layer}.attention.output.LayerNorm",
    "blk.0.ffn_up": f"{layer}.intermediate.dense",
    "blk.0.ffn_down": f"{layer}.output.dense",
    "blk.0.layer_output_norm": f"{layer}.output.LayerNorm",
}
for theirs, ours in NAMES.items():
    for kind in ("weight", "bias"):
        if f"{ours}.{kind}" in state:
            writer.add_tensor(f"{theirs}.{kind}", state[f"{ours}.{kind}"])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

POOLING = {"mean": llama_cpp.LLAMA_POOLING_TYPE_MEAN, "last": llama_cpp.LLAMA_POOLING_TYPE_LAST}


def theirs(text, pooling, context):
    llama = llama_cpp.Llama(
        "model.gguf", embedding=True, pooling_type=POOLING[pooling], n_ctx=context, n_batch=WINDOW,
        n_ubatch=WINDOW, n_threads=1, n_threads_batch=1, verbose=False,
    )
    return np.array(llama.embed(text)), llama.tokenize(text.encode())


def ours(ids, pooling):
    with torch.no_grad():
        states = model(torch.tensor([ids])).last_hidden_state[0].numpy()
    return states.mean(axis=0) if pooling == "mean" else states[-1]


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


print(*(f"{name} {version(name)}" for name in ("llama-cpp-python", "gguf", "transformers")))
rng = np.random.default_rng(0)
texts = {"short": " ".join(WORDS[:8]), "long": " ".join(rng.choice(WORDS, 32))}
results = {}
for context in (WINDOW, 64):
    for pooling in POOLING:
        for name, text in texts.items():
            found, ids = theirs(text, pooling, context)
            closed = ids if len(ids) <= WINDOW else ids[: WINDOW - 1] + ids[-1:]  # as transformers cuts
            blunt = ids[:WINDOW]
            results[context, pooling, name] = cosine(found, ours(closed, pooling)), cosine(found, ours(blunt, pooling))
            right, cut = results[context, pooling, name]
            print(f"n_ctx {context}, n_batch {WINDOW}, {len(ids)} tokens, pooling {pooling}: cosine {right:.4f} with "
                  f"{len(closed)} tokens up to [SEP], {cut:.4f} with the first {len(blunt)}")
for (_, pooling, name), (right, cut) in results.items():
    if cut < 0.9999 or (right > 0.9999) != (name == "short"):
        sys.exit(f"The behaviour has changed: {pooling}, {name}.")
print("Long texts lose their closing token, and all that is beyond n_batch.")
PROGRAM
