"""The command that makes static queries of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minnow.cli.app import app, print_facts, steps
from minnow.cli.fields import options_from_fields
from minnow.cli.options import BundleFolder, EngineChoice, Json, Output


@app.command("distill")
@options_from_fields
def distill_command(
    bundle: BundleFolder,
    texts: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="Fit to these texts: an index, a folder, or a file of lines."
        ),
    ],
    output: Output,
    size: Annotated[
        float, typer.Option(min=0.1, max=1000, metavar="MB", help="Take at most this room.")
    ] = 12.0,
    least_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Refuse to find less than this share of the model's."),
    ] = 0.8,
    *,
    engine: EngineChoice,
    as_json: Json = False,
) -> None:
    """Make static queries of a bundle: a table, no runtime.

    Give the folder as --bundle of `minnow search` on a weak device, with an index that the bundle
    made: a query costs a few additions. It finds less than the bundle does; how much less is
    measured on texts that the fit did not see, printed, and sealed into the folder. Documents still
    need the bundle.

    Example: minnow distill bge-small.minnow --texts docs.index --output bge-small.queries
    """
    from minnow.distill import distill
    from minnow.distill.texts import read_fitting_texts

    record = distill(
        bundle,
        read_fitting_texts(texts),
        output,
        options=engine.options(),
        most_bytes=int(size * 1e6),
        least_share=least_share,
        progress=steps(),
    )
    proof = record.proof
    assert proof is not None
    facts = {
        "output": str(output),
        "model": record.model.shown,
        "file_bytes": record.size,
        "tokens": record.rows,
        "numbers_per_token": record.rank,
        "fitted_texts": record.fitted_texts,
        "fitted_queries": record.fitted_queries,
        "proof_queries": proof.queries,
        "ndcg_10": proof.ndcg,
        "ndcg_10_of_model": proof.teacher_ndcg,
        "share": proof.share,
        "difference_low": proof.low,
        "difference_high": proof.high,
        "mean_cosine": proof.mean_cosine,
        "worst_cosine": proof.worst_cosine,
        "times_faster": proof.speedup,
    }
    print_facts(facts, as_json)
