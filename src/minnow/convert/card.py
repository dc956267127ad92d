"""The model card of a bundle: measured facts, nothing else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from minnow.convert.usage import usage_snippet
from minnow.model.spec import PairTruncation
from minnow.parity import HALF_MAX, Measure

if TYPE_CHECKING:
    from minnow.manifest import Manifest
    from minnow.model.spec import EmbeddingSpec
    from minnow.parity import Parity, Retrieval
    from minnow.recipe import Recipe

_TEMPLATE = """---
{front}---

# {title} for MNN

[{title}]({link}) as a bundle for [MNN](https://github.com/alibaba/MNN), the on-device runtime,
made and proven by minnow {minnow}.

| | |
|---|---|
| source | {source}, weights sha256 {weights} |
| licence of the source | {license} |
| network | {family}, {layers} layers, {width} wide, {heads} heads, {vocab} word pieces |
| pooling | {pooling}{normalized} |
| longest text | {max_tokens} tokens, special tokens included |
| inputs | {inputs}: int32 of shape (batch, seq) |
| output | `{interface}`: {output} |
| encoder.mnn | {size:.1f} MB, {precision}, {graph} graph |
{kind}{towers}{tokenizer}{prompts}
## Proof

{texts} probe {unit} (one token to beyond the limit, many scripts, emoji, padding) were run through
this very encoder.mnn and compared with {reference}.
Token ids are equal. {figures}:

| threads | batches | mean | {percentile} percentile | worst | worst text |
|---|---|---|---|---|---|
{runs}

The bar for the worst text was {bar}.{retrieval} `minnow verify` repeats the proof.
{modes}{queries}{fixed}
## Use

With minnow (`pip install minnow-embed`):

```python
{usage}```

With MNN alone:

```python
{snippet}```

## Attribution

The weights and the tokenizer are those of {title}; their licence ({license}) and its conditions
apply to this bundle too. Only their format was changed.
"""

_TOWERS = "| images and sounds | left out: this is the network that reads texts, alone |\n"

_EMBEDS = """from minnow import Embedder

embedder = Embedder.open("path/to/this/folder")
queries = embedder.encode_query(["how do fish sleep?"])
passages = embedder.encode_document(["Fish rest with open eyes."])
print(embedder.similarity(queries, passages))
"""

_RANKS = """from minnow import Reranker

reranker = Reranker.open("path/to/this/folder")
pairs = [("how do fish sleep?", "Fish rest with open eyes.")]
print(reranker.predict(pairs))
"""

_MODES = """
In MNN's other modes, on texts that are hard in half precision, alone and in padded batches:

| processor | precision | memory | texts | worst | worst text | bar |
|---|---|---|---|---|---|---|
"""

_FIXED = """
## Fixed shapes

For accelerators that take one shape only (QNN, CoreML). Pad shorter texts to it with the pad token,
and mask 0. Each file holds all weights again: ship those that you need.

| file | batch, tokens | probe texts that fit | worst | worst text |
|---|---|---|---|---|
"""

_QUERIES = """
## Queries

Queries have an encoder and a tokenizer of their own, in `query/`; all else here is of documents.

| | |
|---|---|
| network | {family}, {layers} layers, {width} wide |
| pooling | {pooling}{normalized} |
| longest text | {max_tokens} tokens, special tokens included |
| inputs | {inputs}: int32 of shape (batch, seq) |
| output | `{interface}`: {output} |
| worst cosine | {worst:.7f}, over {texts} probe texts; the bar was {bar} |
"""


def _steps(embedding: EmbeddingSpec) -> str:
    cut = embedding.truncate_dim
    steps = ["L2 normalisation"] if embedding.normalize else []
    steps += [f"the first {cut} numbers"] if cut else []
    return "".join(f", then {step}" for step in steps)


def model_card(manifest: Manifest, encoder_bytes: int) -> str:
    """Return the card's Markdown, with the Hub's front matter.

    Args:
        manifest: The bundle's manifest, without the file records.
        encoder_bytes: The size of encoder.mnn.
    """
    source, encoder = manifest.source, manifest.encoder
    revision = f", revision {source.revision}" if source.revision else ""
    return _TEMPLATE.format(
        front=_front_matter(manifest),
        title=source.title,
        link=source.link,
        minnow=manifest.tools.get("minnow", "?"),
        source=f"{source.kind} {source.title}{revision}",
        weights=source.weights_sha256[:16],
        license=source.license or "not stated by the source",
        **_network(manifest),
        heads=encoder.heads,
        vocab=encoder.vocab_size,
        size=encoder_bytes / 1e6,
        precision=_precision(manifest.recipe),
        graph=manifest.recipe.graph.value,
        kind=_kind(manifest),
        unit="texts" if manifest.reranking is None else "pairs",
        figures=_FIGURES[manifest.parity.measure],
        percentile=f"{manifest.parity.measure.percentile}th",
        usage=_EMBEDS if manifest.reranking is None else _RANKS,
        towers=_TOWERS if encoder.settings.get("placeholders") else "",
        tokenizer=_tokenizer(source.tokenizer),
        prompts=_prompts(manifest),
        texts=manifest.parity.texts,
        reference=manifest.parity.reference,
        runs="\n".join(
            f"| {run.threads} | {run.batching} | {run.mean:.7f} | {run.p5:.7f} | {run.worst:.7f} "
            f"| {run.worst_text} |"
            for run in manifest.parity.runs
        ),
        bar=f"{manifest.parity.bar:g}",
        retrieval=_retrieval(manifest.parity.retrieval)
        + _ranking(manifest.parity)
        + _magnitude(manifest.parity),
        modes=_modes(manifest.parity),
        queries=_queries(manifest.queries),
        fixed=_fixed(manifest),
        snippet=usage_snippet(manifest),
    )


_FIGURES = {
    Measure.COSINE: "Cosines",
    Measure.DIFFERENCE: "Absolute differences of logits",
}


def _kind(manifest: Manifest) -> str:
    reranking = manifest.reranking
    if reranking is None:
        return f"| compare with | {manifest.embedding.similarity.value} |\n"
    cut = {
        PairTruncation.LONGEST_FIRST: "the longer text loses its end",
        PairTruncation.ONLY_SECOND: "the second text loses its end",
    }
    over = cut[reranking.truncation]
    if reranking.chat is not None:
        over = "their text is cut before the end of the chat template"
    return (
        f"| scores | {', '.join(reranking.labels)}: the {reranking.activation.value} of the logit "
        f"|\n| pairs over the limit | {over} |\n"
    )


def _ranking(parity: Parity) -> str:
    found = parity.ranking
    if found is None:
        return ""
    score = max(run.worst_score or 0.0 for run in parity.runs)
    return (
        f" Scores differ by {score:.2g} at most.\n"
        f"Of {found.queries} questions with {found.documents} documents each of {found.dataset}, "
        f"{found.agreement:.1%} of\nall pairs of documents stand in the reference's order; the "
        f"least is {found.least:.1%}."
    )


def _magnitude(parity: Parity) -> str:
    found = parity.magnitude
    if found is None:
        return ""
    room = f"{found.head_room:.1f} bits of head-room"
    if found.head_room < 0:
        room = "beyond it: do not compute with `precision` low"
    told = (
        f"\nThe largest number inside the network was {found.largest:.4g} ({found.where}). Half "
        f"precision\nends at {HALF_MAX:g}: {room}."
    )
    if found.least:
        told += (
            f" The faintest tensor reaches {found.least:.4g} ({found.least_where}), "
            f"{found.foot_room:.1f} bits above\nwhere half precision loses digits."
        )
    return told


def _precision(recipe: Recipe) -> str:
    name = recipe.precision.value
    if not recipe.rounds:
        return name
    bits = ", ".join(
        f"{what} {grid.bits} bits" + (f" in blocks of {grid.block}" if grid.block else "")
        for what, grid in recipe.grids.items()
    )
    calibrated = f"; calibrated on {recipe.calibration}" if recipe.calibration else ""
    return f"{name} ({bits}{calibrated})"


def _retrieval(found: Retrieval | None) -> str:
    if found is None:
        return ""
    return (
        f"\nA search of {found.dataset} ({found.documents} documents, {found.queries} questions)\n"
        f"has {found.measure} {found.candidate:.4f} with this encoder.mnn, {found.reference:.4f} "
        f"with the reference;\nit may be {found.max_ndcg_drop:g} below."
    )


def _fixed(manifest: Manifest) -> str:
    if not manifest.fixed_shapes:
        return ""
    rows = [
        f"| `{fixed.file}` | {fixed.batch}, {fixed.tokens} | {fixed.parity.texts} "
        f"| {fixed.parity.worst.worst:.7f} | {fixed.parity.worst.worst_text} |"
        for fixed in manifest.fixed_shapes
    ]
    return _FIXED + "\n".join(rows) + "\n"


def _modes(parity: Parity) -> str:
    rows = [
        f"| {'emulated ' * mode.emulated}{mode.processor} | {mode.precision} | {mode.memory} "
        f"| {mode.texts} | {mode.worst:.6f} | {mode.worst_text} | {mode.bar:g} |"
        for mode in parity.modes
    ]
    return _MODES + "\n".join(rows) + "\n" if rows else ""


def _queries(manifest: Manifest | None) -> str:
    if manifest is None:
        return ""
    return _QUERIES.format(
        **_network(manifest),
        worst=manifest.parity.worst.worst,
        texts=manifest.parity.texts,
        bar=manifest.parity.bar,
    )


def _network(manifest: Manifest) -> dict[str, object]:
    """Return what the card says of one encoder and of what follows it."""
    encoder, embedding = manifest.encoder, manifest.embedding
    return {
        "family": encoder.family,
        "layers": encoder.layers,
        "width": encoder.width,
        "pooling": embedding.head.description,
        "normalized": _steps(embedding),
        "max_tokens": embedding.max_tokens,
        "inputs": _inputs(manifest),
        "interface": manifest.recipe.interface.value,
        "output": manifest.output,
    }


def _inputs(manifest: Manifest) -> str:
    names = (*manifest.encoder.inputs, *manifest.embedding.head.inputs)
    return ", ".join(f"`{name}`" for name in names)


def _front_matter(manifest: Manifest) -> str:
    source = manifest.source
    ranks = manifest.reranking is not None
    task, tag = (
        ("text-ranking", "reranker") if ranks else ("feature-extraction", "sentence-embeddings")
    )
    lines = ["library_name: mnn", f"pipeline_tag: {task}"]
    if source.license:
        lines.append(f"license: {source.license}")
    if source.model_id:
        lines += [f"base_model: {source.model_id}", "base_model_relation: quantized"]
    lines += ["tags:", "- mnn", f"- {tag}", "- minnow"]
    return "\n".join(lines) + "\n"


def _tokenizer(rebuilt: str | None) -> str:
    if rebuilt is None:
        return ""
    return f"| tokenizer | built of all the source's files: {rebuilt.replace('|', '&#124;')} |\n"


def code_cell(text: str) -> str:
    """Return a text as a string literal in a table of Markdown: on one line, blanks to be seen."""
    literal = json.dumps(text, ensure_ascii=False).replace("|", "\\|")
    longest = max((len(ticks) for ticks in re.findall("`+", literal)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence}{literal}{fence}"


def _prompts(manifest: Manifest) -> str:
    prompts = manifest.embedding.prompts
    rows = [f"| prompt: {name} | {code_cell(text)} |" for name, text in prompts.items()]
    if not any(prompts.values()):
        return "| prompts | none |\n"
    return "\n".join([*rows, f"| prompts from | {manifest.embedding.prompts_source} |"]) + "\n"
