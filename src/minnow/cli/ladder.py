"""The command that makes a model in many precisions and says which are worth having."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minnow.cli.app import app, print_result, steps, with_flags
from minnow.cli.evaluation import BUILT_IN, DatasetName, Margin, Report, Split, read_dataset
from minnow.cli.fields import options_from_fields
from minnow.cli.options import Json, RunChoice, Source
from minnow.files import check_file
from minnow.recipe import Precision
from minnow.terminal import UsageError

if TYPE_CHECKING:
    from minnow.frontier import Rung

_NONE = "none"


@app.command("frontier")
@options_from_fields
def frontier_command(
    source: Source,
    dataset: DatasetName = BUILT_IN,
    split: Split = None,
    precision: Annotated[
        list[Precision] | None,
        typer.Option(help="Make this bundle; may be repeated. By default all."),
    ] = None,
    gguf: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE",
            help="Make this GGUF; may be repeated. none: make none. By default f16, q8_0 and "
            "q4_k_m, where llama.cpp is installed.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write all of them to this folder; by default NAME.frontier."
        ),
    ] = None,
    dim: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Also measure this many numbers of each vector; may be repeated."),
    ] = None,
    margin: Margin = 0.01,
    report: Report = None,
    *,
    run: RunChoice,
    as_json: Json = False,
) -> None:
    """Make a model in every precision: size against fidelity.

    It converts the model once for each precision, and to GGUF files for llama.cpp. Then it
    measures size, fidelity, retrieval, load time, memory and speed, and says which lie on the
    frontier: no other is both smaller and more faithful. The baseline is the source in ONNX
    Runtime, else the bundle in float32. What the proof refuses is reported, and left out.
    Bundles and files that exist already, made of the same weights, are not made again.

    Example: minnow frontier BAAI/bge-small-en-v1.5 --report frontier.html

    Example: minnow frontier model --dataset scifact --gguf q8_0 --gguf q6_k
    """
    from minnow.cli.frontier_tables import print_frontier
    from minnow.frontier import build_ladder, frontier_facts, measure
    from minnow.frontier.report import render_report

    if gguf is not None and _NONE in gguf and len(gguf) > 1:
        raise UsageError("Give --gguf none, or types, and not both.")
    if report is not None:
        check_file(report)
    chosen = read_dataset(dataset, split)
    ladder = build_ladder(
        source,
        output,
        precisions=[name.value for name in precision] if precision else None,
        gguf=[] if gguf == [_NONE] else gguf or None,
        offline=run.offline,
        progress=steps(),
    )
    print(f"All of them are in {ladder.folder}.", file=sys.stderr)
    found = measure(ladder, chosen, run.options(), margin=margin, dims=dim or ())
    print_result(
        replace(found, refused=tuple(map(_with_flags, found.refused))),
        as_json=as_json,
        facts=frontier_facts,
        tables=print_frontier,
        report=report,
        render=render_report,
    )


def _with_flags(rung: Rung) -> Rung:
    """Return a refused rung whose reason names flags instead of parameters."""
    assert rung.refusal is not None
    return replace(rung, refusal=replace(rung.refusal, reason=with_flags(rung.refusal.reason)))
