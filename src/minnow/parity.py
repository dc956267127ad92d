"""The figures of a proof, as a manifest keeps them."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Measure(str, Enum):
    """What a proof compares: vectors by their cosine, logits by their absolute difference."""

    COSINE = "cosine"
    DIFFERENCE = "difference"

    @property
    def percentile(self) -> int:
        """The percentile of the figures that 95 % of the texts reach."""
        return 5 if self is Measure.COSINE else 95

    @property
    def compared(self) -> str:
        """What is compared, as messages name it."""
        return "vectors" if self is Measure.COSINE else "logits"

    def ranked(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return numbers that are lower for worse values, and lowest for NaN."""
        ranked = values if self is Measure.COSINE else -values
        return np.where(np.isnan(ranked), -np.inf, ranked)

    def reaches(self, value: float, bar: float) -> bool:
        """Return whether a value is at the bar or better; NaN is not."""
        return value >= bar if self is Measure.COSINE else value <= bar


class ParityRun(Struct, frozen=True):
    """The figures of one way to run the probe texts: cosines, or differences of logits.

    Attributes:
        threads: CPU threads.
        batching: "one by one", or "mixed" for padded batches of unlike lengths.
        mean: Mean over the texts.
        p5: The value that 95 % of the texts reach.
        worst: The lowest cosine, or the greatest difference.
        worst_text: The name of the text that has it.
        worst_shape: The (batch, tokens) that this text was run in.
        worst_score: The greatest difference of scores; None for vectors.
    """

    threads: int
    batching: str
    mean: float
    p5: float
    worst: float
    worst_text: str
    worst_shape: tuple[int, int]
    worst_score: float | None = None


class Retrieval(Struct, frozen=True):
    """Retrieval quality of the staged bytes on a data set, compared with the reference.

    Attributes:
        dataset: The name of the data set.
        fingerprint: SHA-256 of its texts and judgements.
        documents: The number of documents.
        queries: The number of queries.
        measure: The name of the measure.
        reference: The reference's value, from 0 to 1.
        candidate: The value of the staged bytes.
        max_ndcg_drop: How far the candidate may be below the reference.
    """

    dataset: str
    fingerprint: str
    documents: int
    queries: int
    measure: str
    reference: float
    candidate: float
    max_ndcg_drop: float


class RankAgreement(Struct, frozen=True):
    """Agreement of the staged bytes with the reference about the order of documents.

    Attributes:
        dataset: The name of the data set.
        fingerprint: SHA-256 of its texts and judgements.
        queries: The number of queries.
        documents: The number of documents that each query ranks.
        agreement: The share of pairs of documents that both put in the same order; those whose
            logits are closer than half precision tells apart count as such.
        least: What the share had to reach.
    """

    dataset: str
    fingerprint: str
    queries: int
    documents: int
    agreement: float
    least: float


HALF_MAX = 65504.0
"""The largest finite number of half precision (IEEE 754's binary16)."""
HALF_MIN = 2.0**-14
"""Its smallest normal number; smaller ones have fewer digits."""


class Magnitude(Struct, frozen=True):
    """The largest absolute value of any tensor inside the network, on the probe texts.

    Attributes:
        largest: The value, as the encoder computes it.
        where: The tensor that has it, such as "layer.3.units".
        least: The largest absolute value of the tensor where that is the smallest; 0 where it was
            not measured.
        least_where: That tensor.
    """

    largest: float
    where: str
    least: float = 0.0
    least_where: str = ""

    @property
    def head_room(self) -> float:
        """Bits between the value and the end of half precision; negative beyond it."""
        return math.log2(HALF_MAX / self.largest) if self.largest else math.inf

    @property
    def foot_room(self) -> float:
        """Bits between `least` and half precision's smallest normal number; NaN without it."""
        return math.log2(self.least / HALF_MIN) if self.least else math.nan


class ModeProof(Struct, frozen=True):
    """The proof of one way in which MNN computes, on one kind of processor.

    Attributes:
        processor: The kind of processor: aarch64 or x86_64.
        emulated: Whether an emulator ran its instructions.
        mnn: MNN's version there.
        precision: MNN's mode of precision.
        memory: MNN's mode of memory.
        texts: The number of probe texts, or of a reranker's pairs.
        bar: The cosine or the difference that the worst text had to reach.
        worst: The lowest cosine, or the greatest difference.
        worst_text: The name of the text that has it.
        worst_shape: The (batch, tokens) that this text was run in.
    """

    processor: str
    emulated: bool
    mnn: str
    precision: str
    memory: str
    texts: int
    bar: float
    worst: float
    worst_text: str
    worst_shape: tuple[int, int]


class Parity(Struct, frozen=True):
    """The figures of a proof: the staged bytes against a reference on another path.

    Attributes:
        reference: What the vectors were compared with.
        texts: The number of probe texts; of a reranker, of pairs.
        bar: The cosine or the difference that the worst text had to reach.
        runs: The figures, one row per way to run; at least one.
        retrieval: The figures of a search with the vectors; None if the recipe asks for none.
        measure: What the figures are.
        ranking: A reranker's agreement about the order of documents.
        magnitude: The largest number inside the network, on the same texts.
        modes: The proofs of other modes than the one of `runs`, which is MNN's default.
    """

    reference: str
    texts: int
    bar: float
    runs: tuple[ParityRun, ...]
    retrieval: Retrieval | None = None
    measure: Measure = Measure.COSINE
    ranking: RankAgreement | None = None
    magnitude: Magnitude | None = None
    modes: tuple[ModeProof, ...] = ()

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("a proof without a run proves nothing")

    @property
    def worst(self) -> ParityRun:
        """The run with the worst figure; NaN counts as the worst of all."""
        ranked = self.measure.ranked(np.array([run.worst for run in self.runs]))
        return self.runs[int(ranked.argmin())]

    @property
    def passed(self) -> bool:
        """Whether the worst text reaches the bar."""
        return self.measure.reaches(self.worst.worst, self.bar)
