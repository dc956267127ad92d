"""The commands around a bundle: make it, prove it, embed with it, show it."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from minnow.bundle import Bundle
from minnow.cli.app import app, print_facts, steps
from minnow.cli.corpora import CorpusChoice, verify_vectors
from minnow.cli.fields import options_from_fields
from minnow.cli.options import (
    BundleFolder,
    BundleOption,
    EngineMemoryChoice,
    Json,
    ModelChoices,
    Offline,
    OriginOption,
    Output,
    ReferenceOption,
    Revision,
    Source,
    TextFile,
    Texts,
    check_arguments,
    check_texts_or_file,
)
from minnow.model.spec import Interface
from minnow.options import BATCH_SIZE, OnTruncate, Role
from minnow.parity import Measure
from minnow.recipe import PURPOSES, RECIPES, Graph, Grid, Precision, Purpose, Recipe, Rounding
from minnow.terminal import EPILOG, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from minnow.bundle import Manifest
    from minnow.embedder import EncodeOptions
    from minnow.parity import Magnitude, ModeProof, Parity, RankAgreement, Retrieval
    from minnow.streams import VectorWriter

    Floats = NDArray[np.float32]


@app.command("convert", epilog=EPILOG)
@options_from_fields
def convert_command(
    source: Source,
    output: Output,
    precision: Annotated[
        Precision | None, typer.Option(help="Store the weights like this; by default as fp16.")
    ] = None,
    purpose: Annotated[
        Purpose | None,
        typer.Option(
            "--for",
            help="Choose the precision by what matters most: "
            + ", ".join(f"{recipe.precision.value} for {name}" for name, recipe in PURPOSES.items())
            + ".",
        ),
    ] = None,
    graph: Annotated[
        Literal["canonical", "author"],
        typer.Option(help="Convert minnow's own graph, or the author's onnx/model.onnx."),
    ] = "canonical",
    interface: Annotated[
        Interface,
        typer.Option(
            help="Have the encoder give token states, or pooled vectors; a reranker's gives scores."
        ),
    ] = Interface.LAST_HIDDEN_STATE,
    reference: ReferenceOption = "checkpoint",
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Calibrate int8 to int4 on text like yours: a line each, or .jsonl.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="BITS[/BLOCK]", help="For experts: set the bits of the matrices."),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(metavar="BITS[/BLOCK]", help="For experts: set the bits of the word table."),
    ] = None,
    positions: Annotated[
        str | None,
        typer.Option(
            metavar="BITS[/BLOCK]", help="For experts: set the bits of the position table."
        ),
    ] = None,
    rounding: Annotated[
        Rounding | None,
        typer.Option(help="For experts: calibrate the matrices, or round each weight alone."),
    ] = None,
    shapes: Annotated[
        str | None,
        typer.Option(
            metavar="BxT[,...]", help="Also write an encoder of each fixed shape, as 1x32,1x128."
        ),
    ] = None,
    revision: Revision = None,
    offline: Offline = False,
    *,
    chosen: ModelChoices,
    biz_code: Annotated[
        str | None, typer.Option(help="Write this business code into the MNN model.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert a model to a bundle, and prove its vectors equal.

    The proof is not optional: what does not pass is not written. An older bundle at the
    destination is replaced at the very end, or not at all.

    int8 to int4 are smaller, and take some minutes: their weights are calibrated.

    Example: minnow convert BAAI/bge-small-en-v1.5 --output bge-small.minnow

    Example: minnow convert BAAI/bge-small-en-v1.5 --output bge-small-int8.minnow --precision int8
    """
    from minnow.convert import convert
    from minnow.convert.shapes import parse_shapes

    changes: dict[str, Any] = {
        "weights": _grid("weights", weights),
        "words": _grid("words", words),
        "positions": _grid("positions", positions),
        "rounding": rounding,
        "biz_code": biz_code,
    }
    recipe = replace(
        _recipe(precision, purpose),
        graph=Graph(graph),
        interface=interface,
        **{name: value for name, value in changes.items() if value is not None},
    )
    started = time.monotonic()
    bundle = convert(
        source,
        output,
        recipe=recipe,
        choices=chosen.choices(),
        calibration=read_calibration(calibration),
        reference=reference,
        shapes=[] if shapes is None else parse_shapes(shapes),
        revision=revision,
        offline=offline,
        progress=steps(),
    )
    seconds = round(time.monotonic() - started, 1)
    print_facts({**_facts(bundle), "seconds": seconds}, as_json)


def _recipe(precision: Precision | None, purpose: Purpose | None) -> Recipe:
    """Return the recipe of a precision, of a purpose, or of both if they agree."""
    if purpose is None:
        return RECIPES[(precision or Precision.FP16).value]
    recipe = PURPOSES[purpose]
    if precision not in (None, recipe.precision):
        raise UsageError(
            f"--for {purpose} stores the weights as {recipe.precision.value}, not as "
            f"{precision.value}; give --for or --precision alone."
        )
    return recipe


def _grid(name: str, written: str | None) -> Grid | None:
    if written is None:
        return None
    bits, _, block = written.partition("/")
    try:
        return Grid(int(bits), int(block or 0))
    except ValueError:
        raise UsageError(
            f"--{name} takes bits, or bits and the size of a block, as 6 or 6/64; not {written!r}."
        ) from None


def read_calibration(name: str | None) -> list[str] | None:
    """Read the texts of a calibration file, if one is named."""
    if name is None:
        return None
    from minnow.streams import read_texts

    return [text for text in read_texts(name) if text.strip()]


@app.command("verify", epilog=EPILOG)
def verify_command(
    bundle: Annotated[
        str,
        typer.Argument(metavar="BUNDLE", help="A bundle's folder; or one of vectors in Parquet."),
    ],
    source: OriginOption = None,
    reference: ReferenceOption = "checkpoint",
    offline: Offline = False,
    model: BundleOption = None,
    sample: Annotated[
        int, typer.Option(min=0, help="Of vectors, embed this many rows of each file again.")
    ] = 8,
    as_json: Json = False,
) -> None:
    """Repeat a bundle's proof: all hashes, all probe texts.

    Proofs of other modes (`minnow prove`) are repeated where they are of this kind of processor.

    A folder of vectors that `minnow embed` made of Parquet is checked with the --bundle that they
    are of: every row's numbers, and a sample of each file on MNN.

    Example: minnow verify bge-small.minnow

    Example: minnow verify vectors --bundle bge-small.minnow
    """
    if model is not None:
        verify_vectors(bundle, model, sample, as_json=as_json)
        return
    from minnow.convert import verify
    from minnow.device import repeat_modes

    opened = Bundle.open(bundle)
    parity = verify(opened, source=source, reference=reference, offline=offline, progress=steps())
    repeated = repeat_modes(opened, source=source, offline=offline, progress=steps())
    known = {_where(proof) for proof in repeated}
    others = [proof for proof in opened.manifest.parity.modes if _where(proof) not in known]
    facts = proof_facts(replace(parity, modes=tuple(repeated)))
    facts |= {"modes_not_repeated": [_mode(proof, parity.measure) for proof in others]}
    print_facts({"bundle": str(bundle), **facts}, as_json)


@app.command("embed", epilog=EPILOG)
@options_from_fields
def embed_command(
    bundle: BundleFolder,
    texts: Texts = None,
    input_: TextFile = None,
    role: Annotated[
        Role | None, typer.Option(help="Put the model's prompt for this role first.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Put this text first, in place of a role's.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Write a .npy or .jsonl file, of Parquet a folder."),
    ] = None,
    *,
    engine: EngineMemoryChoice,
    corpus: CorpusChoice,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Run at most this many texts at once.")
    ] = BATCH_SIZE,
    truncate_dim: Annotated[
        int | None, typer.Option(min=1, help="Keep only the first dimensions.")
    ] = None,
    on_truncate: Annotated[
        OnTruncate, typer.Option(help="Do this where a text is over the model's limit.")
    ] = "warn",
    as_json: Json = False,
) -> None:
    """Embed texts: arguments, or a file's lines, streamed.

    Without --output each vector is a JSON array on a line of its own, or with --json an object
    with `text` and `embedding`. With --output a summary is printed.

    Parquet files, a folder of them or a quoted pattern, here or in an object store, become a folder
    of such files with vectors, as documents unless --role says otherwise. The command can be
    stopped at any moment, and run again. Rows that cannot be embedded have an `error`, and the exit
    code is 8.

    Example: minnow embed bge-small.minnow --role query "how do fish sleep?"

    Example: minnow embed bge-small.minnow --input passages.txt --output passages.npy

    Example: minnow embed bge-small.minnow --input corpus --output vectors --cluster ray
    """
    from minnow.embedder import Embedder
    from minnow.streams import JsonlWriter, LineWriter, read_texts, vector_file

    check_texts_or_file(texts, input_)
    if corpus.is_meant(input_):
        corpus.embed(
            bundle, input_, output, role=role, prompt=prompt, truncate_dim=truncate_dim,
            batch_size=batch_size, on_truncate=on_truncate, engine=engine.options(),
            as_json=as_json,
        )  # fmt: skip
        return
    check_arguments(texts or ())
    with Embedder.open(bundle, engine.options()) as embedder, engine.reporting(embedder):
        options: EncodeOptions = {
            "prompt": prompt,
            "batch_size": batch_size,
            "truncate_dim": truncate_dim,
            "on_truncate": on_truncate,
            "show_progress_bar": bool(input_ and output and sys.stderr.isatty()),
        }
        if role is not None:
            options = embedder.role_options(role, options)
        stream = embedder.encode_stream(texts or read_texts(input_ or "-"), **options)
        width = truncate_dim or embedder.width
        started = time.monotonic()
        if output is None:
            writer = (JsonlWriter if as_json else LineWriter)(sys.stdout.buffer, width)
            _write_all(writer, stream)
            return
        with vector_file(Path(output), width) as file:
            count = _write_all(file, stream)
    seconds = round(time.monotonic() - started, 2)
    facts = {"output": output, "texts": count, "width": width, "seconds": seconds}
    print_facts(facts, as_json)


def _write_all(writer: VectorWriter, stream: Iterator[tuple[list[str], Floats]]) -> int:
    """Write every block; after the first, print on stderr how many texts were embedded."""
    count = 0
    for texts, vectors in stream:
        if count:
            print(f"{count} texts embedded", file=sys.stderr, flush=True)
        writer.write(texts, vectors)
        count += len(texts)
    return count


@app.command("info", epilog=EPILOG)
def info_command(bundle: BundleFolder, as_json: Json = False) -> None:
    """Show what a bundle is and what was proven of it.

    Only the manifest is read; `minnow verify` checks the files too.

    Example: minnow info bge-small.minnow --json
    """
    print_facts(_facts(Bundle.open(bundle)), as_json)


def _facts(bundle: Bundle) -> dict[str, Any]:
    manifest: Manifest = bundle.manifest
    source, embedding = manifest.source, manifest.embedding
    return {
        "bundle": str(bundle.folder),
        "source": source.name,
        "revision": source.revision,
        "license": source.license,
        "network": f"{manifest.encoder.family}, {manifest.encoder.layers} layers",
        **_kind_facts(manifest),
        **({"truncate_dim": embedding.truncate_dim} if embedding.truncate_dim else {}),
        "max_tokens": embedding.max_tokens,
        "prompts": dict(embedding.prompts),
        "precision": manifest.recipe.precision.value,
        **{f"{name}_bits": str(grid) for name, grid in manifest.recipe.grids.items()},
        "graph": manifest.recipe.graph.value,
        "interface": manifest.recipe.interface.value,
        "output": manifest.output,
        "encoder_bytes": manifest.encoder_size,
        "bundle_bytes": bundle.size,
        **proof_facts(manifest.parity),
        **_query_facts(bundle),
        "fixed_shapes": [
            f"{fixed.batch}x{fixed.tokens} ({manifest.files[fixed.file].size / 1e6:.1f} MB, worst "
            f"{fixed.parity.measure.value} {fixed.parity.worst.worst:.7f})"
            for fixed in manifest.fixed_shapes
        ],
        "tools": dict(manifest.tools),
    }


def _query_facts(bundle: Bundle) -> dict[str, Any]:
    """Return what is told of an encoder of queries, where they have one of their own."""
    if bundle.queries is None:
        return {}
    manifest = bundle.queries.manifest
    return {
        "queries": f"{manifest.encoder.family}, {manifest.encoder.layers} layers, "
        f"{manifest.embedding.head.description}, worst cosine {manifest.parity.worst.worst:.7f}",
        "queries_encoder_bytes": manifest.encoder_size,
        "text_without_a_role": bundle.manifest.default_role or "refused",
    }


def _kind_facts(manifest: Manifest) -> dict[str, Any]:
    """Return what the encoder makes of token states: vectors, or a reranker's scores."""
    embedding, reranking = manifest.embedding, manifest.reranking
    head = {"pooling": embedding.head.description}
    if reranking is None:
        return {"width": manifest.width, **head, "normalize": embedding.normalize}
    return {
        "kind": "reranker",
        "labels": list(reranking.labels),
        **head,
        "activation": reranking.activation.value,
        "truncation": reranking.truncation.value,
    }


def proof_facts(parity: Parity) -> dict[str, Any]:
    """Return the figures of a proof as plain values."""
    worst, kind = parity.worst, parity.measure
    lowest = min if kind is Measure.COSINE else max
    scores = [run.worst_score for run in parity.runs if run.worst_score is not None]
    return {
        "reference": parity.reference,
        "probe_texts" if kind is Measure.COSINE else "probe_pairs": parity.texts,
        "bar": parity.bar,
        f"worst_{kind.value}": worst.worst,
        "worst_text": worst.worst_text,
        "worst_shape": list(worst.worst_shape),
        f"p{kind.percentile}_{kind.value}": lowest(run.p5 for run in parity.runs),
        f"mean_{kind.value}": lowest(run.mean for run in parity.runs),
        **({"worst_score_difference": max(scores)} if scores else {}),
        **_retrieval(parity.retrieval),
        **_ranking(parity.ranking),
        **_magnitude(parity.magnitude),
        "proven_modes": [_mode(proof, kind) for proof in parity.modes],
    }


def _where(found: ModeProof) -> str:
    on = f"{'emulated ' * found.emulated}{found.processor}"
    return f"{on}, precision {found.precision}, memory {found.memory}"


def _mode(found: ModeProof, kind: Measure) -> str:
    return (
        f"{_where(found)}: worst {kind.value} "
        f"{found.worst:.6f} ({found.worst_text}), bar {found.bar:g}"
    )


def _magnitude(found: Magnitude | None) -> dict[str, Any]:
    if found is None:
        return {}
    facts = {
        "largest_number": f"{found.largest:.4g} ({found.where})",
        "half_precision": f"{found.head_room:.1f} bits of head-room",
    }
    if found.least:
        facts["faintest_tensor"] = f"{found.least:.4g} ({found.least_where})"
        facts["half_digits"] = f"{found.foot_room:.1f} bits above where they are lost"
    return facts


def _ranking(found: RankAgreement | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "ranked": f"{found.dataset}, {found.queries} questions with {found.documents} documents",
        "order_agreement": found.agreement,
        "least_agreement": found.least,
    }


def _retrieval(found: Retrieval | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "searched": f"{found.dataset}, {found.queries} questions",
        "reference_ndcg_10": found.reference,
        "ndcg_10": found.candidate,
        "largest_fall": found.max_ndcg_drop,
    }
