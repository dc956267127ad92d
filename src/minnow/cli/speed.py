"""The command that measures how fast systems are, beside each other."""

from __future__ import annotations

from typing import Annotated

import typer

from minnow.cli.app import Json, Offline, app, steps
from minnow.cli.evaluation import (
    BUILT_IN,
    DatasetName,
    Report,
    Split,
    Systems,
    Threads,
    print_result,
    read_dataset,
    write_report,
)
from minnow.files import check_file
from minnow.terminal import EPILOG


@app.command("bench", epilog=EPILOG)
def bench_command(
    systems: Systems,
    dataset: DatasetName = BUILT_IN,
    split: Split = None,
    documents: Annotated[
        int, typer.Option(min=1, help="How many of the data set's documents to embed at once.")
    ] = 256,
    queries: Annotated[
        int, typer.Option(min=1, help="How many of its queries to embed, one by one.")
    ] = 40,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often to measure each; one more goes before.")
    ] = 5,
    threads: Threads = None,
    offline: Offline = False,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Measure how fast systems are, beside each other.

    Each runs in a process of its own, and one at a time works. In every round each embeds the same
    documents at once, then the queries one by one, and is then started afresh for the time to its
    first vector. Figures are medians of the rounds, with the least and the greatest. Ratios are
    medians of those within a round: a machine that others slow down slows both. Embedding includes
    tokenising and pooling.

    Example: minnow bench bge-small.minnow gguf:bge-small-f16.gguf st:BAAI/bge-small-en-v1.5

    Example: minnow bench bge-small.minnow openvino:bge-small.minnow --report speed.html
    """
    from minnow.bench import BenchOptions, bench, benchmark_facts
    from minnow.bench.report import render_report
    from minnow.cli.speed_tables import print_benchmark

    if report is not None:
        check_file(report)
    options = BenchOptions(
        documents=documents,
        queries=queries,
        rounds=rounds,
        threads=threads,
        offline=offline,
        progress=steps(),
    )
    found = bench(systems, read_dataset(dataset, split), options)
    write_report(report, found, render_report)
    print_result(found, benchmark_facts, print_benchmark, as_json=as_json)
