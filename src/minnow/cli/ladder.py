"""The command that makes a model in many precisions and says which are worth having."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from minnow.cli.app import Json, Offline, Source, app, steps
from minnow.cli.evaluation import (
    BUILT_IN,
    Cache,
    Fresh,
    Margin,
    Report,
    Split,
    Threads,
    print_result,
    read_dataset,
    run_options,
    write_report,
)
from minnow.files import check_file
from minnow.recipe import Precision
from minnow.terminal import EPILOG, UsageError

_NONE = "none"


@app.command("frontier", epilog=EPILOG)
def frontier_command(
    source: Source,
    dataset: Annotated[
        str, typer.Option(help="A folder in BEIR's layout, or builtin: Python's docstrings.")
    ] = BUILT_IN,
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
            "--output", "-o", help="The folder for all of them; by default NAME.frontier."
        ),
    ] = None,
    threads: Threads = None,
    margin: Margin = 0.01,
    report: Report = None,
    cache: Cache = None,
    fresh: Fresh = False,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Make a model in every precision: size against fidelity.

    It converts the model once for each precision, and to GGUF files for llama.cpp. Then it
    measures size, fidelity, retrieval, load time, memory and speed, and says which lie on the
    frontier: no other is both smaller and more faithful. The baseline is the source in ONNX
    Runtime, else the bundle in float32. What the proof refuses is told, and left out. Bundles and
    files that are there already, made of the same weights, are not made again.

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
        offline=offline,
        progress=steps(),
    )
    print(f"All of them are in {ladder.folder}.", file=sys.stderr)
    options = run_options(threads, cache, None, None, fresh=fresh, offline=offline)
    found = measure(ladder, chosen, options, margin=margin)
    write_report(report, found, render_report)
    print_result(found, frontier_facts, print_frontier, as_json=as_json)
