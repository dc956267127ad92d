"""The command that hands a bundle's model to another library."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minnow.cli.app import app, print_facts, steps
from minnow.cli.bundles import read_calibration
from minnow.cli.facts import proof_facts
from minnow.cli.options import BundleFolder, Json, Offline, OriginOption, Output, ReferenceOption
from minnow.export import Target, WordKind

if TYPE_CHECKING:
    from minnow.export.mnn_llm import Export


@app.command("export")
def export_command(
    bundle: BundleFolder,
    output: Output,
    target: Annotated[
        Target, typer.Option(help="Write for this loader; mnn-llm is MNN's own embedding engine.")
    ] = "mnn-llm",
    words: Annotated[
        WordKind | None,
        typer.Option(
            help="Store the word table so: by default fp16 for fp32, bf16 for fp16, else int8."
        ),
    ] = None,
    source: OriginOption = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Take the text that the bundle was calibrated on."),
    ] = None,
    reference: ReferenceOption = "checkpoint",
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Write a bundle's model for MNN's own embedding engine.

    An app that links MNN-LLM loads the folder with Embedding::createEmbedding, and needs no
    tokenizer and no pooling. The model that the bundle was made from must be at hand.

    The proof is not optional: what does not pass in that very engine is not written.

    Example: minnow export bge-small.minnow --target mnn-llm --output bge-small-llm
    """
    from minnow.export.mnn_llm import export_mnn_llm

    started = time.monotonic()
    exported = export_mnn_llm(
        bundle,
        output,
        words=words,
        source=source,
        calibration=read_calibration(calibration),
        reference=reference,
        offline=offline,
        progress=steps(),
    )
    seconds = round(time.monotonic() - started, 1)
    print_facts({"target": target, **_facts(exported), "seconds": seconds}, as_json)


def _facts(exported: Export) -> dict[str, Any]:
    record = exported.record
    sizes = {name: row.size for name, row in record.files.items()}
    return {
        "output": str(exported.folder),
        "source": record.source.name,
        "precision": record.recipe.precision.value,
        "words": record.words,
        "width": record.width,
        "pooling": record.pooling,
        "normalize": record.normalize,
        "max_tokens": record.max_tokens,
        "prompts": dict(record.prompts),
        "model_bytes": sizes["llm.mnn"],
        "words_bytes": sizes["embeddings.bin"],
        "tokenizer_bytes": sizes["tokenizer.mtok"],
        "folder_bytes": exported.size,
        "token_ids": "identical",
        **proof_facts(record.parity),
    }
