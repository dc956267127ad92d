"""The program of a model card: it runs a bundle with MNN and transformers, without minnow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from minnow.model.spec import Interface, ScoreActivation

if TYPE_CHECKING:
    from minnow.manifest import Manifest
    from minnow.model.spec import EmbeddingSpec

_SNIPPET = """import MNN, numpy
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
interpreter = MNN.Interpreter("encoder.mnn")
session = interpreter.createSession({{"backend": "CPU", "numThread": 2}})
encoded = tokenizer({text}, truncation={truncation}, max_length={max_tokens})
ids = encoded["input_ids"]
{prompt_length}inputs = {{"input_ids": ids, "attention_mask": [1] * len(ids){token_types}}}
for name in inputs:
    interpreter.resizeTensor(interpreter.getSessionInput(session, name), (1, len(ids)))
interpreter.resizeSession(session)
for name, values in inputs.items():
    values = numpy.array([values], dtype=numpy.int32)
    host = MNN.Tensor(values.shape, MNN.Halide_Type_Int, values, MNN.Tensor_DimensionType_Caffe)
    interpreter.getSessionInput(session, name).copyFrom(host)
interpreter.runSession(session)
output = interpreter.getSessionOutput(session, "{output}")
{found} = numpy.zeros(output.getShape(), dtype=numpy.float32)
host = MNN.Tensor({found}.shape, MNN.Halide_Type_Float, {found}, MNN.Tensor_DimensionType_Caffe)
output.copyToHostTensor(host)
{found} = numpy.array(host.getNumpyData()).reshape({found}.shape)[0]
{pool}"""

_PROMPT_LENGTH = """start = tokenizer({prompt})["input_ids"] if {prompt} else []
start = len(start) - (start[-1:] != [] and start[-1] in tokenizer.all_special_ids)
"""
_POOLED = ', "pooling_mask": [0] * start + [1] * (len(ids) - start)'
_POOL = {
    "cls": "states[0]",
    "mean": "states.mean(axis=0)",
    "max": "states.max(axis=0)",
    "mean_sqrt_len_tokens": "states.sum(axis=0) / len(states) ** 0.5",
    "weightedmean": "numpy.average(states, axis=0, weights=range(1, len(states) + 1))",
    "lasttoken": "states[-1]",
}


def usage_snippet(manifest: Manifest) -> str:
    """Return a Python program that embeds or scores a text, run in the bundle's folder."""
    embedding, interface = manifest.embedding, manifest.recipe.interface
    reranking, prompts = manifest.reranking, embedding.role_prompts
    prompt, text = prompts.query, "how do fish sleep?"
    if manifest.queries is not None:  # which have another encoder than this one
        prompt, text = prompts.document, "Fish rest with open eyes."
    start, truncation, types = _literal(prompt), "True", "[0] * len(ids)"
    text = _literal(prompt + text)
    if reranking is not None:
        prompt = embedding.prompts.get(embedding.default_prompt_name or "", "")
        text = f'{_literal(prompt + "how do fish sleep?")}, "Fish rest with open eyes."'
        truncation = f'"{reranking.truncation.value}"'
        types = 'encoded["token_type_ids"]' if reranking.segments else types
        if reranking.chat is not None:
            text = _literal(reranking.chat.join("how do fish sleep?", "Fish rest.", prompt))
            truncation += ", add_special_tokens=False"
    named = {Interface.SCORES: "logits", Interface.SENTENCE_EMBEDDING: "vector"}
    return _SNIPPET.format(
        text=text,
        truncation=truncation,
        max_tokens=embedding.max_tokens,
        token_types=(f', "token_type_ids": {types}' if manifest.encoder.token_types else "")
        + ("" if embedding.include_prompt else _POOLED),
        prompt_length="" if embedding.include_prompt else _PROMPT_LENGTH.format(prompt=start),
        output=interface.value,
        found=named.get(interface, "states"),
        pool=_after(manifest),
    )


def _literal(text: str) -> str:
    """Return a text as a string literal of Python, on one line."""
    return json.dumps(text, ensure_ascii=False)


def _after(manifest: Manifest) -> str:
    """Return the lines that follow the run of the encoder."""
    reranking = manifest.reranking
    if reranking is not None:
        sigmoid = reranking.activation is ScoreActivation.SIGMOID
        made = "1 / (1 + numpy.exp(-logits))" if sigmoid else "logits"
        return f"scores = {made}  # {', '.join(reranking.labels)}\n"
    return "" if manifest.recipe.interface.per_text else _pool(manifest.embedding)


def _pool(embedding: EmbeddingSpec) -> str:
    pooled = f"vector = {_POOL[embedding.pooling.value]}\n"
    if embedding.normalize:
        pooled += "vector /= numpy.linalg.norm(vector)\n"
    return pooled + (
        f"vector = vector[:{embedding.truncate_dim}]\n" if embedding.truncate_dim else ""
    )
