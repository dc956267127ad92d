"""The commands that prove a bundle in phones' modes, and check it on a device."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import structs

from minnow.cli.app import app, print_facts, print_json, steps
from minnow.cli.options import BundleFolder, Json, Offline, OriginOption
from minnow.errors import ParityError
from minnow.terminal import UsageError

if TYPE_CHECKING:
    from minnow.device import DeviceResult


@app.command("prove")
def prove_command(
    bundle: BundleFolder,
    arm: Annotated[
        bool, typer.Option("--arm", help="Prove it on aarch64, by QEMU where this is another.")
    ] = False,
    source: OriginOption = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Prove a bundle in phones' modes: low precision, low memory.

    Texts that are hard in half precision run alone and in padded batches, and are compared with the
    checkpoint. What passes is recorded in the bundle, which is sealed anew, and in its model card.

    The first time, --arm downloads Python and MNN for aarch64 (50 MB) into the cache; that needs
    Debian or Ubuntu with qemu-user-static. A small model takes a minute or two.

    Example: minnow prove bge-small.minnow --arm
    """
    from minnow.cli.facts import proof_facts
    from minnow.device import prove_modes

    sealed = prove_modes(bundle, arm=arm, source=source, offline=offline, progress=steps())
    facts = proof_facts(sealed.manifest.parity)
    print_facts({"bundle": str(bundle), "proven_modes": facts["proven_modes"]}, as_json)


@app.command("device-check")
def device_check_command(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="A folder that `minnow convert` wrote."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write this folder, for the device.")
    ] = None,
    read: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Read the answers in such a folder, or the record of a choice of backends.",
        ),
    ] = None,
    bar: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            help="With --read: pass cosines from this on, or differences of logits up to this; "
            "by default the recipe's bar.",
        ),
    ] = None,
    source: OriginOption = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Check a bundle on a phone or a board.

    First write a folder: the bundle, the texts of the proof, the vectors that they should have, and
    check.py, which needs MNN and numpy only. Copy it to the device, run check.py there, and copy
    its answers back into the folder. Then --read compares them with the vectors. For a reranker the
    texts are pairs, and the vectors are logits.

    --read of a file shows which backends a device tried, by `backend="best"` or minnow_open_best.

    Example: minnow device-check bge-small.minnow --output phone

    Example: minnow device-check --read phone
    """
    from minnow.device import read_answers, write_check

    if (read is None) is (bundle is None) or (bundle is None) is not (output is None):
        raise UsageError("Give BUNDLE and --output to write a folder, or --read to read one.")
    if bundle is None or output is None:
        assert read is not None
        if read.is_file():
            _show_choice(read, as_json)
            return
        _show(read_answers(read, bar), read, as_json)
        return
    folder = write_check(bundle, output, source=source, offline=offline, progress=steps())
    if as_json:
        print_json({"folder": str(folder)})
    else:
        print(f"{folder}: copy it to the device, and run there: python check.py --precision low")


def _show_choice(path: Path, as_json: bool) -> None:
    """Print the record of a choice, of `backend="best"` or of minnow_open_best."""
    from minnow.backend_choice import read_choice
    from minnow.cli.tables import console_for, table_of

    choice = read_choice(path)
    if as_json:
        print_json(asdict(choice))
        return
    console = console_for(sys.stdout)
    table = table_of(
        f"{choice.device}, MNN {choice.mnn}, threads {choice.threads}",
        "", "backend", "precision", "memory", "vectors", "worst", "ms", "",
    )  # fmt: skip
    for number, each in enumerate(choice.attempts):
        table.add_row(
            "chosen" if number == choice.chosen else "",
            each.backend,
            each.precision,
            each.memory,
            each.outcome,
            "" if each.worst is None else f"{each.worst:.6f}",
            "" if each.seconds is None else f"{each.seconds * 1e3:.1f}",
            each.message,
        )
    console.print(table)
    console.print(choice.reason)


def _show(found: list[DeviceResult], folder: Path, as_json: bool) -> None:
    """Print every answer, and fail where one failed."""
    import numpy as np

    if as_json:
        print_json([_facts(each) for each in found])
    else:
        _print(found)
    failed = [each for each in found if not each.passed]
    if failed:
        measure = failed[0].parity.measure
        values = measure.ranked(np.array([each.parity.worst.worst for each in failed]))
        result = failed[int(values.argmin())]
        worst, ids_differ = result.parity.worst, result.answer.ids_differ
        raise ParityError(
            f"{len(failed)} of {len(found)} answers in {folder} do not give the reference's "
            f"{measure.compared}. The worst text of {result.name}, {worst.worst_text}, has "
            f"{measure.value} {worst.worst:.6f}; the bar is {result.parity.bar:g}."
            + (f" Other token ids: {', '.join(ids_differ[:4])}." if ids_differ else ""),
            worst=worst.worst,
        )


def _facts(each: DeviceResult) -> dict[str, Any]:
    answer = {k: v for k, v in asdict(each.answer).items() if k not in ("rows", "format")}
    rows = []
    for run, vectors in zip(each.parity.runs, each.vectors, strict=True):
        row = {"batching": run.batching, "vectors": vectors, **structs.asdict(run)}
        del row["threads"]  # stands in the answer
        rows.append({k: None if v != v else v for k, v in row.items()})  # NaN is not JSON
    bar = each.parity.bar
    return {"answer": each.name, **answer, "bar": bar, "passed": each.passed, "runs": rows}


def _print(found: list[DeviceResult]) -> None:
    from minnow.cli.tables import console_for, table_of

    console = console_for(sys.stdout)
    for each in found:
        answer = each.answer
        percentile = f"{each.parity.measure.percentile}th percentile"
        shape = f", shape {answer.shape[0]}x{answer.shape[1]}" if answer.shape else ""
        table = table_of(
            f"{each.name}: {answer.runner} on {answer.machine}, MNN {answer.mnn}, precision "
            f"{answer.precision}{shape}, threads {answer.threads}",
            "batches", "texts", "mean", percentile, "worst", "worst text", "shape",
        )  # fmt: skip
        for row, vectors in zip(each.parity.runs, each.vectors, strict=True):
            cosines = (f"{value:.6f}" for value in (row.mean, row.p5, row.worst))
            where = f"{row.worst_shape[0]}x{row.worst_shape[1]}"
            table.add_row(row.batching, str(vectors), *cosines, row.worst_text, where)
        console.print(table)
        console.print(f"{'passed' if each.passed else 'failed'}: the bar is {each.parity.bar:g}")
