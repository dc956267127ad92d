"""A device's answers: read, checked, and compared with the reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.device.folder import BUNDLE, LARGEST, PROBES, Probes, read_probes
from minnow.errors import InputError
from minnow.files import read_regular
from minnow.manifest import MANIFEST
from minnow.parity import Parity
from minnow.proof.verdict import Candidate, Run, measure
from minnow.recipe import RECIPES, Precision
from minnow.record_json import read_json
from minnow.sealing import sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.bundle import Bundle

FORMAT = 1
LOW = "low"
MODE_BARS = {Precision.INT8: 0.999}
"""The least cosine in low precision or low memory of bundles whose own proof may be lower; others
have to reach their recipe's bar, or that of fp16 if it is lower."""
HALF_DIFFERENCE = 0.02
"""How far half precision may move a logit, in units of the largest where that is above 1.

Twice what it takes from a trained reranker on an emulated ARM processor, nearly the same from every
pair; see docs/benchmarks.md. A fault of the graph moves logits by several times as much.
"""


@dataclass(frozen=True)
class DeviceAnswer:
    """Facts that a runner states about its vectors or logits; `answer.json` is its JSON form.

    Attributes:
        format: The version of this form.
        runner: The name of the program.
        machine: What the program ran on.
        mnn: MNN's version there.
        precision: low, normal or high.
        threads: CPU threads.
        rows: (text, batch) of each vector.
        memory: MNN's mode of memory.
        shape: The (batch, tokens) of the fixed-shape file that ran, if one did.
        ids_differ: Names of texts that the runner's own tokenizer gives other ids.
        lengths: The least and the greatest length before vectors were scaled; None where one is
            not finite, and for logits.
        manifest_sha256: The hash of the bundle's manifest there.
        probes_sha256: The hash of probes.json there.
    """

    format: int
    runner: str
    machine: str
    mnn: str
    precision: str
    threads: int
    rows: tuple[tuple[int, int], ...]
    memory: str = "normal"
    shape: tuple[int, int] | None = None
    ids_differ: tuple[str, ...] = ()
    lengths: tuple[float | None, float | None] | None = None
    manifest_sha256: str | None = None
    probes_sha256: str | None = None


@dataclass(frozen=True)
class DeviceResult:
    """An answer, compared with the reference.

    Attributes:
        name: The name of the answer's file.
        answer: What the runner says.
        parity: The cosines, or differences of logits, one row for each way to run the texts, and
            the bar.
        vectors: The number of vectors, or of pairs, in each row.
    """

    name: str
    answer: DeviceAnswer
    parity: Parity
    vectors: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether the ids are the reference's, and every cosine or difference is at the bar."""
        return not self.answer.ids_differ and self.parity.passed


def read_answers(folder: str | Path, bar: float | None = None) -> list[DeviceResult]:
    """Read all answers in a folder that `write_check` wrote, answer*.json, in the order of names.

    Args:
        folder: The folder, with the answers copied into it.
        bar: What the worst cosine has to reach, or the greatest difference of a logit, in units of
            the largest one where that is above 1; by default the recipe's bar, and in low precision
            or memory the one of `MODE_BARS`, or `HALF_DIFFERENCE` for a reranker.

    Raises:
        InputError: There is no answer, or one is damaged, incomplete, or of another folder.
        BundleError: The folder's bundle cannot be read.
    """
    folder = Path(folder)
    bundle, probes, expected = read_probes(folder)
    names = sorted(path.name for path in folder.glob("answer*.json"))
    if not names:
        raise InputError(
            f"{folder} holds no answer. Run check.py on the device, and copy answer.json and "
            "answer.f32 back here."
        )
    results = []
    for name in names:
        answer = read_json(
            folder / name,
            DeviceAnswer,
            LARGEST,
            version=FORMAT,
            fault="is not an answer of a runner",
        )
        _check_origin(folder, name, answer)
        vectors = _vectors(folder / name, answer, expected.shape[1])
        _check_rows(folder / name, answer, probes)
        candidate = _candidate(bundle, answer, bar)
        results.append(
            DeviceResult(name, answer, *_parity(answer, probes, vectors, expected, candidate))
        )
    return results


def _candidate(bundle: Bundle, answer: DeviceAnswer, bar: float | None) -> Candidate:
    """Return what the device ran, and what it has to reach."""
    manifest, low = bundle.manifest, LOW in (answer.precision, answer.memory)
    if manifest.reranking is not None:
        ours = manifest.recipe.ranking_bars.difference
        usual = max(ours, HALF_DIFFERENCE) if low else ours
    else:
        ours = manifest.recipe.bar
        usual = ours
        if low:
            usual = MODE_BARS.get(manifest.recipe.precision, min(ours, RECIPES["fp16"].bar))
    return Candidate(
        bundle.folder,
        manifest.encoder,
        manifest.embedding,
        usual if bar is None else bar,
        reranking=manifest.reranking,
    )


def _check_origin(folder: Path, name: str, answer: DeviceAnswer) -> None:
    """Compare the hashes that the runner gave, if any, with the folder's own."""
    files = {"manifest_sha256": f"{BUNDLE}/{MANIFEST}", "probes_sha256": PROBES}
    for attribute, file in files.items():
        stated = getattr(answer, attribute)
        if stated is not None and stated != sha256(folder / file):
            raise InputError(
                f"{folder / name} answers another folder: its {file} is not the one here. Copy "
                "this folder to the device again."
            )


def _vectors(path: Path, answer: DeviceAnswer, width: int) -> NDArray[np.float32]:
    file = path.with_suffix(".f32")
    try:
        content = read_regular(file, LARGEST)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from error
    if len(content) != 4 * width * len(answer.rows):
        raise InputError(
            f"{file} has {len(content)} bytes; {len(answer.rows)} rows of {width} numbers are "
            f"{4 * width * len(answer.rows)}. Copy it again, with {path.name}."
        )
    return np.frombuffer(content, "<f4").reshape(-1, width)


def _check_rows(path: Path, answer: DeviceAnswer, probes: Probes) -> None:
    """Check that every text of every batch is there, once."""
    wanted = {
        (text, number)
        for number, batch in enumerate(probes.batches)
        for text in batch
        if _fits(batch, probes, answer.shape)
    }
    missing, unknown = wanted - set(answer.rows), set(answer.rows) - wanted
    if missing or unknown or len(answer.rows) != len(wanted) or not wanted:
        raise InputError(
            f"{path} does not answer the texts of {PROBES}: of {len(wanted)} rows, {len(missing)} "
            f"are missing, and {len(answer.rows) - len(wanted) + len(missing)} are unknown or "
            "repeated. Run the check again."
        )


def _fits(batch: Sequence[int], probes: Probes, shape: tuple[int, int] | None) -> bool:
    longest = max(len(probes.texts[i].ids) for i in batch)
    return shape is None or (len(batch) <= shape[0] and longest <= shape[1])


def _parity(
    answer: DeviceAnswer,
    probes: Probes,
    vectors: NDArray[np.float32],
    expected: NDArray[np.float32],
    candidate: Candidate,
) -> tuple[Parity, tuple[int, ...]]:
    """Measure the texts that ran alone, and those in padded batches; return the counts too."""
    names = [text.name for text in probes.texts]
    alone = np.array([len(probes.batches[batch]) == 1 for _, batch in answer.rows])
    runs = [
        Run(
            answer.threads,
            batching,
            vectors[chosen],
            [_shape(answer, probes, answer.rows[i][1]) for i in chosen],
            [answer.rows[i][0] for i in chosen],
        )
        for batching, mask in (("one by one", alone), ("mixed", ~alone))
        if len(chosen := np.flatnonzero(mask))
    ]
    rows = tuple(measure(run, expected, names, candidate) for run in runs)
    counts = tuple(len(run.vectors) for run in runs)
    bar = candidate.bar_for(expected)
    parity = Parity(probes.reference, len(names), bar, rows, measure=candidate.measure)
    return parity, counts


def _shape(answer: DeviceAnswer, probes: Probes, batch: int) -> tuple[int, int]:
    """Return the (batch, tokens) that a batch ran in."""
    texts = probes.batches[batch]
    return answer.shape or (len(texts), max(len(probes.texts[i].ids) for i in texts))
