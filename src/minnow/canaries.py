"""Canaries: a few texts in a bundle, with the vectors that the bundle gave when it was proven.

Whatever opens the bundle in another mode, on another backend or on another device can run them, and
tell by their vectors whether it computes the same. `canaries.json` has the texts, in batches, and
`canaries.f32` a row of little-endian float32 for each text: its vector, or a pair's logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from minnow.errors import BundleError, ParityError
from minnow.files import read_regular
from minnow.parity import Measure
from minnow.record_json import read_json
from minnow.scores import logit_scale
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.bundle import Bundle
    from minnow.recipe import Recipe

    Floats = NDArray[np.float32]

CANARIES, VECTORS = "canaries.json", "canaries.f32"
FORMAT = 1
_LARGEST = 1 << 24
_FLOATS, _INTEGERS, _LOGITS = 0.9999, 0.999, 0.02
UNIT_ERROR = 0.01
"""How far the length of a vector may be from the one that was recorded, as a share of it."""


@dataclass(frozen=True)
class Canary:
    """A text, or a reranker's pair.

    Attributes:
        name: Unique and short.
        text: The text; the first one of a pair.
        prompt: What stands before it, where pooling leaves that out.
        second: The second text of a pair.
    """

    name: str
    text: str
    prompt: str = ""
    second: str | None = None


@dataclass(frozen=True)
class CanaryTexts:
    """The content of canaries.json.

    Attributes:
        format: The version of this form.
        bar: The least cosine to the recorded vector; of a reranker the greatest difference of a
            logit, in units of the largest one where that is above 1.
        texts: The texts.
        batches: Indices of texts that run together, padded to the longest: each text alone, then
            the shorter ones.
    """

    format: int
    bar: float
    texts: tuple[Canary, ...]
    batches: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Canaries:
    """A bundle's canaries.

    Attributes:
        given: The texts and batches.
        expected: Their vectors or logits: float32 of shape (texts, width).
        measure: How rows are compared.
    """

    given: CanaryTexts
    expected: Floats
    measure: Measure

    @property
    def rows(self) -> list[int]:
        """The text of each row that `run` returns."""
        return [text for batch in self.given.batches for text in batch]

    def run(self, opened: Any) -> Floats:
        """Run all batches on an open `Embedder` or `Reranker`: float32 of shape (rows, width)."""
        together: Callable[[Sequence[Canary]], Floats] = _of_texts(opened)
        if self.measure is Measure.DIFFERENCE:
            together = _of_pairs(opened)
        texts = self.given.texts
        return np.concatenate([together([texts[i] for i in batch]) for batch in self.given.batches])

    def judge(self, found: Floats) -> tuple[float, str]:
        """Compare the rows of `run` with what was recorded.

        Returns:
            The worst cosine or difference, and the name of its text.

        Raises:
            ParityError: A row is not finite, misses the bar, or has another length.
        """
        expected, rows = self.expected[self.rows].astype(float), found.astype(float)
        if expected.shape != rows.shape:
            raise ParityError(f"It gives rows of shape {rows.shape}, not {expected.shape}.")
        if self.measure is Measure.DIFFERENCE:
            values = np.abs(rows - expected).max(axis=1) / logit_scale(self.expected)
            lengths = np.ones(len(rows))
        else:
            zeros = ~expected.any(axis=1)  # the vectors of texts without a token
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                values = np.where(zeros & ~rows.any(axis=1), 1.0, rowwise_cosine(rows, expected))
                lengths = np.linalg.norm(rows, axis=1) / np.linalg.norm(expected, axis=1)
            lengths[zeros] = 1
        worst = int(self.measure.ranked(values).argmin())
        name = self.given.texts[self.rows[worst]].name
        if not self.measure.reaches(values[worst], self.given.bar):
            raise ParityError(
                f"It does not give the {self.measure.compared} of the bundle's canaries: {name} "
                f"has {self.measure.value} {values[worst]:.6f}; the bar is {self.given.bar:g}.",
                worst=float(values[worst]),
            )
        if not (np.abs(lengths - 1) <= UNIT_ERROR).all():
            raise ParityError(f"Its vectors have {lengths.min():.4f} to {lengths.max():.4f} times "
                              "the length of the canaries' vectors.")  # fmt: skip
        return float(values[worst]), name


def _of_texts(opened: Any) -> Callable[[Sequence[Canary]], Floats]:
    return lambda batch: opened.encode_batch([c.text for c in batch], [c.prompt for c in batch])


def _of_pairs(opened: Any) -> Callable[[Sequence[Canary]], Floats]:
    return lambda batch: opened.logits_batch([(c.text, c.second) for c in batch])


def canary_bar(recipe: Recipe, measure: Measure) -> float:
    """Return what canaries have to reach: the bar between two modes of one bundle."""
    if measure is Measure.DIFFERENCE:
        return _LOGITS
    return _INTEGERS if recipe.rounds else _FLOATS


def write_canaries(folder: Path, given: CanaryTexts, expected: Floats) -> None:
    """Write canaries into a folder that is not sealed yet.

    Args:
        folder: The folder.
        given: The texts.
        expected: Their vectors or logits: shape (texts, width).
    """
    content = msgspec.json.format(msgspec.json.encode(given), indent=1)
    (folder / CANARIES).write_bytes(content + b"\n")
    (folder / VECTORS).write_bytes(expected.astype("<f4").tobytes())


def read_canaries(bundle: Bundle) -> Canaries | None:
    """Read a bundle's canaries; older bundles have none.

    Raises:
        BundleError: They cannot be read, or are not canaries of this bundle.
    """
    if not {CANARIES, VECTORS} <= bundle.manifest.files.keys():
        return None
    path, vectors = bundle.folder / CANARIES, bundle.folder / VECTORS
    given = read_json(path, CanaryTexts, _LARGEST, version=FORMAT, error=BundleError)
    try:
        content = read_regular(vectors, _LARGEST)
    except OSError as error:
        raise BundleError(f"{vectors} cannot be read ({error.strerror}).") from error
    texts, width = len(given.texts), bundle.manifest.width
    indices = {i for batch in given.batches for i in batch}
    ranks = bundle.manifest.reranking is not None
    pairs = all((text.second is not None) is ranks for text in given.texts)
    whole = bool(texts) and all(given.batches) and indices == {*range(texts)}
    if len(content) != 4 * texts * width or not whole or not pairs:
        raise BundleError(f"{path} and {VECTORS} do not fit each other or the bundle.")
    measure = Measure.DIFFERENCE if ranks else Measure.COSINE
    return Canaries(given, np.frombuffer(content, "<f4").reshape(texts, width), measure)
