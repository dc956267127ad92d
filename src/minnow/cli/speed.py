"""The command that measures how fast systems are, beside each other."""

from __future__ import annotations

from typing import Annotated

import typer

from minnow.cli.app import app, print_result, steps
from minnow.cli.evaluation import BUILT_IN, DatasetName, Report, Split, Systems, read_dataset
from minnow.cli.options import Json, Offline, Timeout
from minnow.files import check_file


@app.command("bench")
def bench_command(
    systems: Systems,
    dataset: DatasetName = BUILT_IN,
    split: Split = None,
    documents: Annotated[
        int, typer.Option(min=1, help="Embed this many of the data set's documents at once.")
    ] = 256,
    queries: Annotated[
        int, typer.Option(min=1, help="Embed this many of its queries, one by one.")
    ] = 40,
    rounds: Annotated[
        int, typer.Option(min=1, help="Measure each this often, after one round to warm up.")
    ] = 5,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Use this many CPU threads for each system.")
    ] = None,
    offline: Offline = False,
    timeout: Timeout = 3600,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Measure how fast systems are, beside each other.

    Each runs in a process of its own, one at a time. In every round each embeds the same
    documents at once, then the queries one by one, and is then started again for the time to its
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
        timeout=timeout,
        progress=steps(),
    )
    print_result(
        bench(systems, read_dataset(dataset, split), options),
        as_json=as_json,
        facts=benchmark_facts,
        tables=print_benchmark,
        report=report,
        render=render_report,
    )
