"""The proof of the modes that phones run: half precision, and int8 weights kept in memory."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from minnow.bundle import Bundle, seal, staging
from minnow.convert.card import model_card
from minnow.device.answer import read_answers
from minnow.device.folder import RUNNER, read_reference, write_probes
from minnow.device.hard_texts import SHORT, choose_hard_texts
from minnow.device.machines import ARM, arm_machine, this_machine
from minnow.engines.base import Mode, usable_cpus
from minnow.errors import InputError, ParityError
from minnow.files import writing
from minnow.manifest import CARD
from minnow.modes import distinct_modes
from minnow.parity import ModeProof
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minnow.device.answer import DeviceResult
    from minnow.device.machines import Host
    from minnow.model.source import ModelSource


def prove_modes(
    bundle: str | Path | Bundle,
    *,
    arm: bool = False,
    source: str | ModelSource | None = None,
    offline: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Prove a bundle in low precision, in low memory, and in both; record it in the manifest.

    The texts are the short probes that lose most in half precision, alone and in padded batches,
    and longer ones. Modes that compute as the bundle's own proof did are left out. The bundle is
    sealed anew with what passed, and with its model card; a mode that fails loses its older proof.

    Args:
        bundle: The bundle.
        arm: Prove it on aarch64, by QEMU where this machine is another: the first time, Python and
            MNN for it (50 MB) are downloaded into the cache. Otherwise on this machine's processor.
        source: The model that it was made from; by default the one that its manifest names.
        offline: Make no network call at all.
        progress: Receives a line of text before each step.

    Returns:
        The bundle as it is sealed now; the proofs are `manifest.parity.modes`.

    Raises:
        InputError: Every mode computes as the proof did here; or the bundle has two encoders.
        EngineError: There is no such machine; the message says what to install. Or MNN failed.
        ParityError: A mode does not reach its bar. What passed is recorded.
        BundleError, SourceError: As `write_check`.
        OutputError: The bundle cannot be written.
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    modes = distinct_modes(bundle.manifest, ARM if arm else this_machine().processor)
    if not modes:
        raise InputError(
            f"Every mode of MNN computes {bundle.folder} as its proof did on this processor. Prove "
            "it for phones with `arm=True`."
        )
    if bundle.manifest.queries is not None:
        raise InputError(
            f"{bundle.folder} has an encoder of queries and one of documents, and modes are proven "
            "of one encoder. Convert each route as a model of its own, and prove both."
        )
    machine = arm_machine(offline=offline) if arm else this_machine()
    results = _measure(bundle, machine, modes, source, offline, progress)
    proven = [_proof(result, machine) for result in results if result.passed]
    progress("sealing")
    sealed = _seal_again(bundle, machine, modes, proven)
    _refuse(results, machine, "The manifest records the others only.")
    return sealed


def repeat_modes(
    bundle: str | Path | Bundle,
    *,
    source: str | ModelSource | None = None,
    offline: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[ModeProof]:
    """Repeat the proofs of modes that a manifest has for this machine's kind of processor.

    Those of other processors are left alone: MNN computes another way there, in low memory too.

    Args:
        bundle: The bundle, which is not changed.
        source: The model that it was made from; by default the one that its manifest names.
        offline: Make no network call at all.
        progress: Receives a line of text before each step.

    Returns:
        What was found now; empty where the manifest has no proof for this kind of processor.

    Raises:
        EngineError: MNN failed.
        ParityError: A mode does not reach its bar.
        BundleError, SourceError: As `write_check`.
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    machine = this_machine()
    modes = [
        Mode(precision=proof.precision, memory=proof.memory)
        for proof in bundle.manifest.parity.modes
        if proof.processor == machine.processor
    ]
    if not modes:
        return []
    results = _measure(bundle, machine, modes, source, offline, progress)
    _refuse(results, machine, "`minnow prove` records what holds.")
    return [_proof(result, machine) for result in results]


def _measure(
    bundle: Bundle,
    machine: Host,
    modes: Sequence[Mode],
    source: str | ModelSource | None,
    offline: bool,
    progress: Callable[[str], None],
) -> Sequence[DeviceResult]:
    """Run the hard texts in each mode, and compare what they give with the checkpoint."""
    reference = read_reference(bundle, source, offline=offline, progress=progress)
    progress("choosing texts that are hard in half precision")
    hard = choose_hard_texts(reference)
    with TemporaryDirectory(prefix="minnow-prove-") as room:
        folder = write_probes(
            bundle, Path(room) / "check", reference, hard, longest_mixed=SHORT, progress=progress
        )
        _run(machine, folder / RUNNER, modes, progress)
        return read_answers(folder)


def _run(
    machine: Host, program: Path, modes: Sequence[Mode], progress: Callable[[str], None]
) -> None:
    """Run a check in each mode, side by side as far as there are CPUs."""
    where = f"{'an emulated ' * machine.emulated}{machine.processor}"

    def run(number: int, mode: Mode) -> None:
        progress(f"running on {where}: {mode}")
        machine.run(
            program, "--precision", mode.precision, "--memory", mode.memory,
            "--name", f"answer-{number}",
        )  # fmt: skip

    with ThreadPoolExecutor(max(1, min(len(modes), usable_cpus()))) as pool:
        list(pool.map(run, range(len(modes)), modes))


def _proof(result: DeviceResult, machine: Host) -> ModeProof:
    answer, parity, worst = result.answer, result.parity, result.parity.worst
    return ModeProof(
        processor=machine.processor,
        emulated=machine.emulated,
        mnn=answer.mnn,
        precision=answer.precision,
        memory=answer.memory,
        texts=parity.texts,
        bar=parity.bar,
        worst=worst.worst,
        worst_text=worst.worst_text,
        worst_shape=worst.worst_shape,
    )


def _seal_again(
    bundle: Bundle, machine: Host, tried: Sequence[Mode], proven: Sequence[ModeProof]
) -> Bundle:
    """Seal a bundle's files with a manifest and a card of the new proofs, and of older ones."""
    parity = bundle.manifest.parity
    again = {(machine.processor, mode.precision, mode.memory) for mode in tried}
    others = (
        proof
        for proof in parity.modes
        if (proof.processor, proof.precision, proof.memory) not in again
    )
    manifest = replace(bundle.manifest, parity=replace(parity, modes=(*others, *proven)), files={})
    with staging(bundle.folder) as staged:
        with bundle.unchanged(), writing(bundle.folder):
            for name in bundle.manifest.files:
                if name != CARD:
                    _take_over(bundle.folder / name, staged / name)
            card = model_card(manifest, bundle.manifest.encoder_size)
            (staged / CARD).write_text(card, encoding="utf-8")
        return seal(staged, manifest, bundle.folder)


def _take_over(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no such names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _refuse(results: Sequence[DeviceResult], machine: Host, advice: str) -> None:
    failed = [result for result in results if not result.passed]
    if failed:
        faults = [
            f"precision {result.answer.precision}, memory {result.answer.memory}: "
            f"{result.parity.worst.worst_text} has {result.parity.measure.value} "
            f"{result.parity.worst.worst:.6f}; the bar is {result.parity.bar:g}"
            for result in failed
        ]
        raise ParityError(
            f"{len(failed)} of {len(results)} modes do not give the reference's "
            f"{failed[0].parity.measure.compared} on {machine.processor}: {'; '.join(faults)}. "
            f"{advice}",
            worst=failed[0].parity.worst.worst,
        )
