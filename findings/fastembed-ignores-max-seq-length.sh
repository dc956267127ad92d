#!/usr/bin/env bash
# fastembed reads more of a text than sentence-transformers does with the same files: it does not look at max_seq_length.
#
# Expected: a custom model of fastembed, a folder of sentence-transformers with its ONNX file, cuts texts where the model was
#   published to: at max_seq_length of sentence_bert_config.json, 256 tokens for all-MiniLM-L6-v2, 384 for all-mpnet-base-v2.
# Happens: fastembed takes the limit from tokenizer_config.json alone, where both have 512, the positions of the network. Texts
#   between the two limits get other vectors than in sentence-transformers, from tokens that the model was not made for.
#   There is no argument for the limit, and no warning.
# Versions: fastembed 0.9.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
# Seen: a table of vectors as ONNX file and mean pooling, max_seq_length 8 and model_max_length 16: the mean of 16 tokens.
# Matters: an index that one of the two has filled does not fit to the other for long texts. Write max_seq_length to
#   tokenizer_config.json as "max_length": fastembed takes the smaller one.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check fastembed==0.9.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
HF_HUB_OFFLINE=1 venv/bin/python - <<'PROGRAM'
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

words = ["[PAD]", "[UNK]", *"how do fish sleep with open eyes in cold deep water all night long until day comes again".split()]
table = np.random.default_rng(0).standard_normal((len(words), 32)).astype(np.float32)
sizes = ["batch", "tokens"]
graph = helper.make_graph(
    [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
    "network",
    [helper.make_tensor_value_info(name, TensorProto.INT64, sizes) for name in ("input_ids", "attention_mask")],
    [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*sizes, 32])],
    [numpy_helper.from_array(table, "table")],
)
folder = Path("model")
folder.mkdir()
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "model.onnx")
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.save(str(folder / "tokenizer.json"))
(folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
(folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8, "do_lower_case": False}))
limits = {"model_max_length": 16, "pad_token": "[PAD]"}

text = " ".join(words[2:])
ids = tokenizer.encode(text).ids


def embed(name, limits):
    (folder / "tokenizer_config.json").write_text(json.dumps(limits))
    TextEmbedding.add_custom_model(
        name, PoolingType.MEAN, normalization=False, sources=ModelSource(hf=name), dim=32, model_file="model.onnx"
    )
    vector = next(iter(TextEmbedding(name, specific_model_path=str(folder), threads=1).embed([text])))
    return {count: bool(np.allclose(vector, table[ids[:count]].mean(axis=0), atol=1e-5)) for count in (8, 16, len(ids))}


print(*(f"{name} {version(name)}" for name in ("fastembed", "onnx", "onnxruntime")))
found = embed("test/one", limits)
mended = embed("test/two", limits | {"max_length": 8})
print(f"max_seq_length 8, model_max_length 16, a text of {len(ids)} tokens; is the vector that of so many tokens: {found}")
print(f"with max_length 8 in tokenizer_config.json: {mended}")
if found != {8: False, 16: True, len(ids): False} or mended != {8: True, 16: False, len(ids): False}:
    sys.exit("The behaviour has changed.")
PROGRAM
