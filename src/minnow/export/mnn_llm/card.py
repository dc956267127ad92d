"""The card of an exported folder: measured facts, and how an app uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.convert.card import code_cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minnow.export.mnn_llm.record import ExportRecord

_TEMPLATE = """---
library_name: mnn
pipeline_tag: feature-extraction
{license_line}tags:
- mnn
- mnn-llm
- sentence-embeddings
- minnow
---

# {title} for MNN-LLM

[{title}]({link}) as the embedding engine of [MNN](https://github.com/alibaba/MNN) loads it, made
and proven by minnow {minnow}. An app needs no tokenizer and no pooling of its own.

| | |
|---|---|
| source | {title}, weights sha256 {weights} |
| licence of the source | {license} |
| layers | {precision} |
| word table | {words} |
| pooling | {pooling}{normalized} |
| vectors | float32, {width} wide; compare with {similarity} |
| longest text | {max_tokens} tokens, special tokens included: the app cuts off the rest |
{prompts}{files}

## Use

```cpp
#include "llm/llm.hpp"

std::unique_ptr<MNN::Transformer::Embedding> engine(
    MNN::Transformer::Embedding::createEmbedding("path/to/this/folder/config.json"));
auto vector = engine->txt_embedding("{prompt}how do fish sleep?");
const float* numbers = vector->readMap<float>();  // {width} of them
```

The engine {limits}.
If a text may be longer than {max_tokens} tokens, cut its ids and keep the last one:

```cpp
auto ids = engine->tokenizer_encode(engine->apply_chat_template(text));
if (ids.size() > {max_tokens}) {{
    ids.erase(ids.begin() + {max_tokens} - 1, ids.end() - 1);
}}
auto vector = engine->ids_embedding(ids);
```

An app may change `config.json`: `thread_num`, `backend_type`, and `precision` and `memory`, which
are `normal` because the proof ran with them. `low` precision computes in fp16 on ARM; `low` memory
rounds activations where weights are int8 or smaller, and gives coarser vectors.

## Proof

{texts} probe texts (one token to the limit, many scripts, emoji, markup) were run by MNN {mnn}'s
own engine and compared with {reference}.
Token ids are identical. Cosines:

| threads | mean | 5th percentile | worst | worst text |
|---|---|---|---|---|
{runs}

The bar for the worst text was {bar}. `export.json` has all of this, and a hash of every file.

## Attribution

The weights and the tokenizer are those of {title}; their licence ({license}) and its conditions
apply to this folder too. Only their format was changed.
"""


def export_card(record: ExportRecord, sizes: Mapping[str, int]) -> str:
    """Return the card's Markdown, with the Hub's front matter.

    Args:
        record: The folder's record, without the file records.
        sizes: File name -> bytes.
    """
    source = record.source
    query = record.prompts.get("query", "")
    return _TEMPLATE.format(
        license_line=f"license: {source.license}\n" if source.license else "",
        title=source.title,
        link=source.link,
        minnow=record.tools.get("minnow", "?"),
        mnn=record.tools.get("mnn", "?"),
        weights=source.weights_sha256[:16],
        license=source.license or "not stated by the source",
        precision=record.recipe.precision.value,
        words=record.words,
        pooling=record.pooling,
        normalized=", then L2 normalisation" if record.normalize else "",
        width=record.width,
        similarity=record.similarity.value,
        max_tokens=record.max_tokens,
        prompts=_prompts(record),
        files="\n".join(f"| {name} | {size / 1e6:.1f} MB |" for name, size in sizes.items()),
        prompt=query.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"),
        limits="; it ".join(record.limits),
        texts=record.parity.texts,
        reference=record.parity.reference,
        runs="\n".join(
            f"| {run.threads} | {run.mean:.7f} | {run.p5:.7f} | {run.worst:.7f} "
            f"| {run.worst_text} |"
            for run in record.parity.runs
        ),
        bar=record.parity.bar,
    )


def _prompts(record: ExportRecord) -> str:
    if not any(record.prompts.values()):
        return "| prompts | none |\n"
    rows = [
        f"| prompt: {name}, which the app puts before the text | {code_cell(text)} |"
        for name, text in record.prompts.items()
    ]
    return "\n".join(rows) + "\n"
