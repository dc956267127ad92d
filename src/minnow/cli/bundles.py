"""The commands that make a bundle and repeat its proof."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import typer

from minnow.bundle import Bundle
from minnow.cli.app import app, print_facts, steps
from minnow.cli.corpora import verify_vectors
from minnow.cli.facts import bundle_facts, proof_facts, shown_mode, shown_place
from minnow.cli.fields import options_from_fields
from minnow.cli.options import (
    BundleOption,
    Json,
    ModelChoices,
    Offline,
    OriginOption,
    Output,
    ReferenceOption,
    Revision,
    Source,
)
from minnow.model.spec import Interface
from minnow.recipe import PURPOSES, RECIPES, Graph, Grid, Precision, Purpose, Recipe, Rounding
from minnow.records import replace
from minnow.terminal import UsageError


@app.command("convert")
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
    print_facts({**bundle_facts(bundle), "seconds": seconds}, as_json)


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


@app.command("verify")
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
    known = {shown_place(proof) for proof in repeated}
    others = [proof for proof in opened.manifest.parity.modes if shown_place(proof) not in known]
    facts = proof_facts(replace(parity, modes=tuple(repeated)))
    facts |= {"modes_not_repeated": [shown_mode(proof, parity.measure) for proof in others]}
    print_facts({"bundle": str(bundle), **facts}, as_json)
