"""Canaries: what a bundle brings, and what they catch."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.sealed import change_record

from minnow import Embedder, Reranker
from minnow.bundle import Bundle, seal
from minnow.canaries import CANARIES, VECTORS, read_canaries
from minnow.convert import verify
from minnow.errors import BundleError, ParityError
from minnow.manifest import MANIFEST
from minnow.parity import Measure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.bundles import Tiny
    from numpy.typing import NDArray

    from minnow.canaries import Canaries

    Floats = NDArray[np.float32]

pytestmark = [pytest.mark.extra("convert"), pytest.mark.whole_proof]


@pytest.fixture(scope="module")
def canaries(made: Tiny) -> Canaries:
    found = read_canaries(made.bundle)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def rows(made: Tiny, canaries: Canaries) -> Floats:
    with Embedder.open(made.bundle, engine="mnn") as embedder:
        return canaries.run(embedder)


def test_they_are_short_long_cut_off_and_padded(made: Tiny, canaries: Canaries) -> None:
    with Embedder.open(made.bundle, engine="mnn") as embedder:
        rows = embedder.text_tokenizer.tokenize([c.text for c in canaries.given.texts])
    lengths = [len(row.ids) for row in rows]
    assert lengths == sorted(lengths)
    assert lengths[0] <= 3
    assert lengths[-1] == made.bundle.manifest.embedding.max_tokens
    assert rows[-1].truncated
    count = len(lengths)
    assert 5 <= count <= 6
    assert canaries.given.batches == (*((i,) for i in range(count)), tuple(range(count)))
    size = sum(made.bundle.manifest.files[name].size for name in (CANARIES, VECTORS))
    assert size < 5000


def test_they_are_the_reference_s_vectors(made: Tiny, canaries: Canaries) -> None:
    with Embedder.open(made.bundle, engine="mnn") as embedder:
        ids = embedder.token_ids([canary.text for canary in canaries.given.texts])
    exact = np.stack([made.reference.vector(row) for row in ids])
    np.testing.assert_allclose(canaries.expected, exact, atol=1e-5)


def test_the_bundle_itself_passes(canaries: Canaries, rows: Floats) -> None:
    cosine, name = canaries.judge(rows)
    assert 0.999999 < cosine <= 1.000001
    assert name in {canary.name for canary in canaries.given.texts}


def half_range(rows: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        wide = (rows * 1e6).astype(np.float16).astype(np.float32)
        scaled: Floats = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        return scaled


def permuted(rows: Floats) -> Floats:
    """Permute the batch only: each text alone stays right."""
    changed = rows.copy()
    half = len(rows) // 2
    changed[half:] = np.roll(changed[half:], 1, axis=0)
    return changed


@pytest.mark.parametrize(
    "fault",
    [np.zeros_like, lambda rows: rows * np.nan, permuted, half_range, lambda rows: -rows,
     lambda rows: rows * 1.1, lambda rows: np.repeat(rows[:1], len(rows), axis=0)],
    ids=["zeros", "NaN", "permuted", "half range", "negated", "too long", "one for all"],
)  # fmt: skip
def test_wrong_vectors_are_caught(
    canaries: Canaries, rows: Floats, fault: Callable[[Floats], Floats]
) -> None:
    with pytest.raises(ParityError):
        canaries.judge(fault(rows))


def test_a_reranker_has_pairs(ranker: Bundle) -> None:
    found = read_canaries(ranker)
    assert found is not None
    assert found.measure is Measure.DIFFERENCE
    with Reranker.open(ranker, engine="mnn") as reranker:
        rows = found.run(reranker)
    assert found.judge(rows)[0] < 1e-4
    with pytest.raises(ParityError, match=r"canaries: .* has difference"):
        found.judge(rows + 0.1 * np.abs(found.expected).max())


@pytest.fixture
def copy(made: Tiny, tmp_path: Path) -> Path:
    return shutil.copytree(made.bundle.folder, tmp_path / "tiny.minnow")


def without(names: set[str]) -> Callable[[dict[str, dict[str, object]]], None]:
    def change(values: dict[str, dict[str, object]]) -> None:
        for name in names:
            del values["files"][name]

    return change


def test_a_bundle_without_them_still_opens(made: Tiny, copy: Path) -> None:
    for name in (CANARIES, VECTORS):
        (copy / name).unlink()
    change_record(copy / MANIFEST, without({CANARIES, VECTORS}))
    assert read_canaries(Bundle.open(copy)) is None
    assert verify(copy, source=made.source, offline=True).passed


def test_verify_runs_them(made: Tiny, copy: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    verify(copy, source=made.source, offline=True, progress=steps.append)
    assert "running the canaries" in steps
    vectors = np.fromfile(copy / VECTORS, "<f4")
    vectors[:32] = vectors[32:64]
    vectors.tofile(copy / VECTORS)
    manifest = Bundle.open(copy).manifest
    (copy / MANIFEST).unlink()
    sealed = seal(copy, manifest, tmp_path / "other.minnow")
    with pytest.raises(ParityError, match="does not give the vectors of the bundle's canaries"):
        verify(sealed, source=made.source, offline=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(format=2), "has format 2"),
        (lambda values: values.update(batches=[[9]]), "do not fit each other"),
        (lambda values: values["batches"].append([]), "do not fit each other"),
        (lambda values: values["texts"].pop(), "do not fit each other"),
        (lambda values: values.pop("bar"), "cannot be understood"),
    ],
)
def test_damaged_ones_are_refused(
    copy: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    values = json.loads((copy / CANARIES).read_text())
    change(values)
    (copy / CANARIES).write_text(json.dumps(values))
    with pytest.raises(BundleError, match=message):
        read_canaries(Bundle.open(copy))
