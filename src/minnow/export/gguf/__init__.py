"""A model goes in, a GGUF file comes out that llama.cpp runs, proven as a bundle is.

The file is written from the same specs and tensors as a bundle. It also states what llama.cpp does
not know: the model's prompts, and its limit, at which minnow's engine cuts a text off. A model that
llama.cpp cannot represent is refused.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import ConversionError, InputError, MissingExtraError, ParityError
from minnow.export.gguf.file import gguf_metadata, write_file
from minnow.export.gguf.vocabulary import other_tokens
from minnow.files import check_file, staging_folder, sync
from minnow.model.original import read_original, tell_changes
from minnow.model.pairs import PairTokenizer
from minnow.model.source import ModelSource, resolve
from minnow.model.spec import Choices
from minnow.parity import Measure
from minnow.processes import TIMEOUT, run_child
from minnow.proof.references import CheckpointReference
from minnow.proof.verdict import (
    Candidate,
    Run,
    equal_ids,
    judge,
    listed,
    measure_lowest,
    thread_counts,
)
from minnow.recipe import RANKING_BARS, Precision
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.model.original import Original
    from minnow.proof.probes import Probe
    from minnow.proof.references import Reference

    Progress = Callable[[str], None]

CHILD = (sys.executable, "-m", "minnow.export.gguf.child")
OTHER_IDS = 1 / 8
"""The largest share of probe texts with other token ids than the model's.

llama.cpp's WordPiece has no longest word (the original stops at 100 characters), and it takes more
marks for accents (it drops Hindi's vowel signs, and all but the first letter of a Korean syllable)
and more characters for spaces (U+000B): 7 of 131 texts differ with an English vocabulary. A wrong
setting, such as kept accents, shows in three times as many.
"""


@dataclass(frozen=True)
class GgufType:
    """Storage of the matrices in a file.

    Attributes:
        number: llama.cpp's number of such a file.
        bar: The lowest cosine that any probe text may have.
        like: The precision of bundles whose bar a reranker's logits have to reach; None where
            minnow writes no reranker.
        written: The type that minnow writes itself; None leaves it to llama.cpp's quantiser.
    """

    number: int
    bar: float
    like: Precision | None = None
    written: str | None = None


GGUF_TYPES = {
    "f32": GgufType(0, 0.9999, Precision.FP16, "F32"),
    "f16": GgufType(1, 0.9999, Precision.FP16, "F16"),
    "bf16": GgufType(32, 0.999, Precision.INT8, "BF16"),
    "q8_0": GgufType(7, 0.995, Precision.INT8),
    "q6_k": GgufType(18, 0.99, Precision.INT6),
    "q5_k_m": GgufType(17, 0.95, Precision.INT5),
    "q5_k_s": GgufType(16, 0.93, Precision.INT5),
    "q5_1": GgufType(9, 0.94, Precision.INT5),
    "q5_0": GgufType(8, 0.92, Precision.INT5),
    "q4_k_m": GgufType(15, 0.92, Precision.INT4),
    "q4_k_s": GgufType(14, 0.91, Precision.INT4),
    "q4_1": GgufType(3, 0.79, Precision.INT4),
    "q4_0": GgufType(2, 0.76, Precision.INT4),
    "iq4_nl": GgufType(25, 0.84, Precision.INT4),
    "iq4_xs": GgufType(30, 0.83, Precision.INT4),
    "q3_k_l": GgufType(13, 0.84),
    "q3_k_m": GgufType(12, 0.83),
    "q3_k_s": GgufType(11, 0.64),
    "q2_k": GgufType(10, 0.64),
}
"""Name -> type. A quantised type's bar leaves twice the error of all-MiniLM-L6-v2's worst probe."""


@dataclass(frozen=True)
class GgufProof:
    """The figures of the proof: the staged file in llama.cpp against the checkpoint.

    A text's cosine is its lowest over four runs: with one thread and with several, alone and in
    a batch. The cosines are of the texts whose token ids are the model's own. A reranker's texts
    are pairs that are not too long, and its figures greatest differences of their logits.

    Attributes:
        type: A key of `GGUF_TYPES`.
        size: Bytes of the file.
        engine: The llama.cpp that ran the file.
        reference: What the vectors were compared with.
        texts: The number of probe texts.
        other_ids: Names of the texts that llama.cpp's tokenizer gives other ids than the model's,
            or in which it numbers the tokens otherwise (RoBERTa: after a padding token).
        bar: What the worst of the other texts had to reach.
        mean: Mean cosine.
        p5: 5th percentile.
        worst: The lowest cosine.
        worst_text: The name of the text with the lowest cosine.
        measure: What the figures are.
    """

    type: str
    size: int
    engine: str
    reference: str
    texts: int
    other_ids: tuple[str, ...]
    bar: float
    mean: float
    p5: float
    worst: float
    worst_text: str
    measure: Measure = Measure.COSINE


def write_gguf(
    source: str | ModelSource,
    destination: str | Path,
    *,
    kind: str = "f16",
    choices: Choices = Choices(),
    revision: str | None = None,
    offline: bool = False,
    progress: Progress = lambda _: None,
) -> GgufProof:
    """Write a model as a GGUF file, and prove that llama.cpp gives the same vectors with it.

    Everything is built in a hidden folder beside the destination; only what passes the proof is
    renamed into place. An older file there is replaced at the very end, or not at all.

    Args:
        source: A Hub id, a folder, `package:NAME`, or what `resolve` gave.
        destination: The file.
        kind: A key of `GGUF_TYPES`.
        choices: What the user decides in place of the source's files.
        revision: Branch, tag or commit on the Hub.
        offline: Make no network call at all.
        progress: Receives a line of text before each step.

    Returns:
        The figures of the proof.

    Raises:
        SourceError: The model cannot be found, read or understood, or llama.cpp cannot run it.
        ConversionError: llama.cpp's quantiser failed, crashed or hung.
        ParityError: The file does not give the checkpoint's vectors in llama.cpp.
        OutputError: The destination cannot be written.
        InputError: There is no such type.
        MissingExtraError: The extra `llama-cpp` or `convert` is not installed.
    """
    if kind not in GGUF_TYPES:
        raise InputError(f"There is no GGUF type {kind!r}; choose {', '.join(GGUF_TYPES)}.")
    if not (find_spec("gguf") and find_spec("llama_cpp")):
        raise MissingExtraError("Writing a GGUF file", "llama-cpp")
    target = check_file(Path(destination).absolute())
    with staging_folder(target) as folder:
        progress(f"finding {source.name if isinstance(source, ModelSource) else source}")
        if not isinstance(source, ModelSource):
            source = resolve(source, revision=revision, offline=offline)
        progress("reading the model")
        original = read_original(source, choices)
        if original.reranking is not None and GGUF_TYPES[kind].like is None:
            known = ", ".join(name for name, row in GGUF_TYPES.items() if row.like)
            raise InputError(
                f"{source.name} is a reranker, and minnow writes GGUF files of rerankers as "
                f"{known}, and not as {kind}."
            )
        tell_changes(original, progress)
        progress(f"writing the GGUF ({kind})")
        staged = _write(original, folder, GGUF_TYPES[kind])
        proof = _prove(staged, original, kind, progress)
        with uninterrupted():
            sync(staged)
            staged.replace(target)
            sync(target.parent)
    return proof


def _write(original: Original, folder: Path, row: GgufType) -> Path:
    """Write the staged file; llama.cpp's quantiser makes some types from one of float32."""
    metadata, staged = gguf_metadata(original), folder / "model.gguf"
    if row.written:
        write_file(staged, original, metadata, file_type=row.number, matrices=row.written)
        return staged
    whole = folder / "f32.gguf"
    write_file(whole, original, metadata, file_type=GGUF_TYPES["f32"].number, matrices="F32")
    _run_child("quantize", whole, staged, row.number, log=folder / "quantize.log")
    whole.unlink()
    return staged


def _run_child(job: str, *arguments: object, log: Path) -> None:
    """Run a job of the child program, in the folder of its log."""
    run_child(
        f"llama.cpp ({job})",
        [*CHILD, job, *map(str, arguments)],
        log=log,
        folder=log.parent,
        timeout=TIMEOUT,
        environment={"GGML_NO_BACKTRACE": "1", "OMP_WAIT_POLICY": "passive"},
    )


def _prove(staged: Path, original: Original, kind: str, progress: Progress) -> GgufProof:
    """Compare the staged file in llama.cpp with the checkpoint, on every probe."""
    row, reranking = GGUF_TYPES[kind], original.reranking
    candidate = Candidate(
        staged,
        original.encoder,
        original.embedding,
        bar=row.bar if row.like is None or not reranking else RANKING_BARS[row.like].difference,
        name="the GGUF",
        tokenizer="llama.cpp's tokenizer",
        max_other_ids=OTHER_IDS,
        reranking=reranking,
    )
    reference = CheckpointReference(original)
    if reranking is not None:  # llama.cpp's server refuses pairs over the limit
        reference = CheckpointReference(original, probes=_short_pairs(original, reference))
    reference.compute(progress)
    progress("running the staged file in llama.cpp")
    report, runs = _run_staged(staged, reference)
    _check_stated(original, report["stated"])
    _check_vocabulary(original, report["tokens"])
    equal = equal_ids(candidate, report["ids"], reference)
    positions = original.network.positions
    if positions and positions.padding is not None:  # llama.cpp gives padding a position too
        equal = [i for i in equal if positions.padding not in reference.probe_ids[i]]
    runs = [run.only(equal) for run in runs]
    judge(candidate, runs, reference)
    lowest = measure_lowest(runs, reference, candidate)
    return GgufProof(
        type=kind,
        size=staged.stat().st_size,
        engine=report["engine"],
        reference=reference.name,
        texts=len(reference.probes),
        other_ids=tuple(p.name for i, p in enumerate(reference.probes) if i not in equal),
        bar=candidate.bar_for(reference.probe_vectors),
        mean=lowest.mean,
        p5=lowest.p5,
        worst=lowest.worst,
        worst_text=lowest.worst_text,
        measure=candidate.measure,
    )


def _short_pairs(original: Original, reference: Reference) -> list[Probe]:
    """Return the probe pairs that are not too long for the model."""
    assert original.reranking is not None
    tokenizer = PairTokenizer(original.tokenizer.content, original.embedding, original.reranking)
    rows = [tokenizer.tokenize([(p.text, p.second or "")])[0] for p in reference.probes]
    pairs = zip(reference.probes, rows, strict=True)
    return [probe for probe, row in pairs if not row.truncated]


def _run_staged(staged: Path, reference: Reference) -> tuple[dict[str, Any], list[Run]]:
    """Run the probe texts in the child; return what it says of the file, and its runs."""
    texts, result = staged.with_name("texts.json"), staged.with_name("result.npz")
    given = [p.text if p.second is None else (p.text, p.second) for p in reference.probes]
    texts.write_text(json.dumps(given), encoding="utf-8")
    job = "run" if isinstance(given[0], str) else "rank"
    try:
        _run_child(job, staged, texts, result, log=staged.with_name("run.log"))
    except ConversionError as error:
        raise ParityError(f"The GGUF does not run on the probe texts: {error}") from error
    with np.load(result) as arrays:
        report: dict[str, Any] = json.loads(str(arrays["report"]))
        vectors = arrays["vectors"]
    alone = [(1, len(ids)) for ids in report["ids"]]
    together = [(len(alone), max(tokens for _, tokens in alone))] * len(alone)
    ways = [
        (threads, *way)
        for threads in thread_counts()
        for way in (("one by one", alone), ("all together", together))
    ]
    return report, [
        Run(threads, batching, rows, shapes)
        for (threads, batching, shapes), rows in zip(ways, vectors, strict=True)
    ]


def _check_stated(original: Original, stated: dict[str, Any]) -> None:
    embedding = original.embedding
    wanted: dict[str, Any] = {
        "max_tokens": embedding.max_tokens,
        "normalize": embedding.normalize,
        "similarity_kind": embedding.similarity.value,
        "query_prompt": embedding.role_prompts.query,
        "document_prompt": embedding.role_prompts.document,
    }
    if original.reranking is not None:
        wanted = {"max_tokens": embedding.max_tokens, "labels": list(original.reranking.labels)}
    unlike = [f"{k} {stated[k]!r}, not {v!r}" for k, v in wanted.items() if stated[k] != v]
    if unlike:
        raise ParityError(f"Refused: the GGUF states {'; '.join(unlike)}. Nothing was written.")


def _check_vocabulary(original: Original, tokens: list[str]) -> None:
    unlike = other_tokens(original.source, tokens, original.tokenizer.content)
    if unlike:
        raise ParityError(
            f"Refused: {len(unlike)} tokens of the GGUF are not those of {original.source.name}: "
            f"{listed(unlike)}. Nothing was written."
        )
