"""The proof: the staged bytes, through the real embedder, against a reference of another path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from minnow.bundle import Parity, ParityRun
from minnow.embedder import Embedder
from minnow.engines.base import default_threads
from minnow.errors import EngineError, ParityError
from minnow.model.spec import Interface
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.spec import EmbeddingSpec, EncoderSpec
    from minnow.proof.probes import Probe

    Vectors = NDArray[np.floating]
    Progress = Callable[[str], None]

UNIT_ERROR = 1e-3
"""How far a length may be from 1. Of vectors that are not scaled to it, lengths may differ as much
as a vector at the bar differs in direction."""

MIXED_BATCH = 4
_SHOWN = 8


class Reference(Protocol):
    """What a candidate is measured against; it shares neither engine, batching nor pooling."""

    name: str

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, special tokens included, cut off at the model's limit."""
        ...

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """One vector per text: shape (texts, width)."""
        ...


@dataclass(frozen=True)
class Run:
    """One way to run the probes.

    Attributes:
        threads: CPU threads.
        batching: "one by one", or "mixed" for padded batches of unlike lengths.
        vectors: One per probe.
        shapes: The (batch, tokens) that each was run in.
    """

    threads: int
    batching: str
    vectors: Vectors
    shapes: list[tuple[int, int]]


def prove(
    folder: Path,
    encoder: EncoderSpec,
    embedding: EmbeddingSpec,
    reference: Reference,
    probes: Sequence[Probe],
    *,
    bar: float,
    interface: Interface = Interface.LAST_HIDDEN_STATE,
    advice: str = "",
    progress: Progress = lambda _: None,
) -> Parity:
    """Compare a folder's encoder.mnn and tokenizer.json with a reference, on every probe.

    Token ids must be equal. Vectors are compared one by one and in padded batches of unlike
    lengths, each with one thread and with several.

    Args:
        folder: Staged or sealed files.
        encoder: The network that the files claim to hold.
        embedding: How the files claim that vectors are made.
        reference: The yardstick.
        probes: The texts.
        bar: The lowest cosine that any text may have, in any run.
        interface: What the files claim that the encoder gives.
        advice: What to do if the bar is missed.
        progress: Told what is going on.

    Returns:
        What was found, all of it at or above the bar.

    Raises:
        ParityError: Ids differ, a vector is below the bar or not finite, or its length differs;
            the message names texts, shapes and cosines.
    """
    texts = [probe.text for probe in probes]
    progress(f"computing the reference ({reference.name})")
    expected_ids = reference.token_ids(texts)
    expected = reference.vectors(texts)
    runs: list[Run] = []
    for threads in (1, max(2, default_threads())):
        progress(f"running the staged encoder, {threads} thread{'s' * (threads > 1)}")
        try:
            with Embedder.from_files(
                folder,
                encoder,
                embedding,
                threads=threads,
                interface=interface,
                on_truncate="ignore",
            ) as embedder:
                check_ids(probes, embedder.token_ids(texts), expected_ids, "the bundle's tokenizer")
                runs += _run(embedder, texts, expected_ids, threads)
        except EngineError as error:
            raise ParityError(
                f"The converted model does not run on the probe texts: {error}"
            ) from error
    return judge(
        runs, expected, probes, reference.name, bar, normalized=embedding.normalize, advice=advice
    )


def judge(
    runs: Sequence[Run],
    expected: Vectors,
    probes: Sequence[Probe],
    reference: str,
    bar: float,
    *,
    normalized: bool,
    advice: str = "",
) -> Parity:
    """Compare the vectors of several runs with a reference's.

    Args:
        runs: Vectors of all probes, one for each way to run them.
        expected: The reference's, of shape (probes, width).
        probes: The texts.
        reference: The reference's name.
        bar: The lowest cosine that any text may have, in any run.
        normalized: Whether lengths are to be 1.
        advice: What to do if the bar is missed.

    Raises:
        ParityError: A vector is below the bar or not finite, or its length differs.
    """
    rows: list[ParityRun] = []
    faults: list[str] = []
    for run in runs:
        row, below = _compare(run, expected, probes, bar, normalized=normalized)
        rows.append(row)
        faults += below
    parity = Parity(reference=reference, texts=len(probes), bar=bar, runs=tuple(rows))
    if faults:
        raise ParityError(_refusal(parity, faults, advice), worst=parity.worst.worst)
    return parity


def check_ids(
    probes: Sequence[Probe],
    ids: Sequence[Sequence[int]],
    expected: Sequence[Sequence[int]],
    who: str,
) -> None:
    """Compare token ids with a reference's.

    Raises:
        ParityError: They differ; the message names texts.
    """
    unlike = [probe.name for probe, a, b in zip(probes, ids, expected, strict=True) if a != b]
    if unlike:
        shown = ", ".join(unlike[:_SHOWN]) + (", ..." if unlike[_SHOWN:] else "")
        raise ParityError(
            f"Refused: {who} gives other token ids than the reference's for "
            f"{len(unlike)} of {len(probes)} probe texts ({shown})."
        )


def _run(embedder: Embedder, texts: list[str], ids: list[list[int]], threads: int) -> list[Run]:
    lengths = [len(row) for row in ids]
    singles = np.stack([embedder.encode(text, prompt="") for text in texts])
    mixed = np.empty_like(singles)
    mixed_shapes = [(0, 0)] * len(texts)
    for batch in mixed_batches(lengths):
        mixed[batch] = embedder.encode_batch([texts[i] for i in batch])
        for i in batch:
            mixed_shapes[i] = (len(batch), max(lengths[j] for j in batch))
    return [
        Run(threads, "one by one", singles, [(1, length) for length in lengths]),
        Run(threads, "mixed", mixed, mixed_shapes),
    ]


def mixed_batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of batches of the longest with the shortest, so that padding is heavy."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    half = MIXED_BATCH // 2
    batches = []
    while order:
        batches.append(order[-half:] + order[:-half][:half])
        order = order[:-half][half:]
    return batches


def _compare(
    run: Run, expected: Vectors, probes: Sequence[Probe], bar: float, *, normalized: bool
) -> tuple[ParityRun, list[str]]:
    cosines = rowwise_cosine(run.vectors, expected)
    ranked = np.where(np.isnan(cosines), -2.0, cosines)
    worst = int(ranked.argmin())
    row = ParityRun(
        threads=run.threads,
        batching=run.batching,
        mean=float(cosines.mean()),
        p5=float(np.percentile(cosines, 5)),
        worst=float(cosines[worst]),
        worst_text=probes[worst].name,
        worst_shape=run.shapes[worst],
    )
    where = f"{run.batching}, {run.threads} thread{'s' * (run.threads > 1)}"
    faults = [
        f"{probes[i].name}: cosine {cosines[i]:.6f} in shape {run.shapes[i]} ({where})"
        for i in np.argsort(ranked, kind="stable")
        if not cosines[i] >= bar
    ]
    allowed = UNIT_ERROR if normalized else float(np.sqrt(2 * (1 - bar)))
    return row, faults + _length_faults(run, expected, probes, allowed)


def _length_faults(
    run: Run, expected: Vectors, probes: Sequence[Probe], allowed: float
) -> list[str]:
    ratios = np.linalg.norm(run.vectors, axis=1) / np.linalg.norm(expected, axis=1)
    return [
        f"{probes[i].name}: {ratio:.6f} times the reference's length in shape {run.shapes[i]}"
        for i, ratio in enumerate(ratios)
        if not abs(ratio - 1) <= allowed
    ]


def _refusal(parity: Parity, faults: list[str], advice: str) -> str:
    worst = parity.worst
    more = f"\n  and {len(faults) - _SHOWN} more" if faults[_SHOWN:] else ""
    return (
        f"Refused: the converted model does not give the vectors of {parity.reference}. The worst "
        f"text, {worst.worst_text}, has cosine {worst.worst:.6f}; the bar is {parity.bar}. "
        f"Nothing was written. {advice}".rstrip()
        + "\n  "
        + "\n  ".join(faults[:_SHOWN])
        + more
    )
