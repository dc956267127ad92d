"""The command that audits MNN models which others published."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minnow.cli.app import app, print_facts, steps
from minnow.cli.facts import proof_facts
from minnow.cli.options import Json, Offline, Revision
from minnow.errors import ParityError

if TYPE_CHECKING:
    from minnow.audit import AuditReport


@app.command("audit")
def audit_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A folder, an MNN file, or a repository on the Hub: USER/NAME."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(help="Compare with this model, not with the one that its card names."),
    ] = None,
    revision: Revision = None,
    seal: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Make this bundle of a model that is right."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON: audit.json.")
    ] = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Say whether a published MNN model is right.

    It takes MNN models that minnow did not make: an MNN file with a tokenizer's files, or a folder
    for MNN-LLM. How it is read is found by trying; then all probe texts are run alone and in padded
    batches, in a process of its own, and compared with the model that it was made from.

    The verdict is right, right only alone, or wrong, with the worst text and a likely cause. The
    exit code is 0 for right, else 5.

    Example: minnow audit user/bge-small-MNN --source BAAI/bge-small-en-v1.5
    """
    from minnow.audit import Verdict, audit
    from minnow.files import check_file

    if report is not None:
        check_file(report)
    started = time.monotonic()
    found, bundle = audit(
        model, source=source, revision=revision, seal=seal, offline=offline, progress=steps()
    )
    if report is not None:
        found.write(report)
    sealed = {} if seal is None else {"sealed": "no" if bundle is None else str(bundle.folder)}
    seconds = round(time.monotonic() - started, 1)
    facts = found.to_json() if as_json else _facts(found)
    print_facts({**facts, **sealed, "seconds": seconds}, as_json)
    if found.verdict is not Verdict.RIGHT:
        raise typer.Exit(ParityError.exit_code)


def _facts(found: AuditReport) -> dict[str, Any]:
    return {
        "verdict": found.verdict.value,
        "likely_cause": [f"{each.cause.value}: {each.detail}" for each in found.causes],
        "model": f"{found.model}, {found.file}",
        "source": found.source,
        "precision": found.precision,
        "inputs": dict(found.inputs),
        "output": found.output,
        "shape": "any" if found.shape is None else "{}x{} only".format(*found.shape),
        "pooling": found.pooling,
        "normalize": found.normalize,
        "max_tokens": found.max_tokens,
        **({} if found.parity is None else proof_facts(found.parity)),
        "badge": found.badge,
    }
