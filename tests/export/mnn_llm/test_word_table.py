"""MNN-LLM's word table: stored, read, and the engine's values recomputed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minnow.errors import InputError
from minnow.export import WordKind
from minnow.export.mnn_llm.word_table import WordTable, read_words, store_words

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH = 64
TABLE = np.random.default_rng(0).normal(0, 0.05, (9, WIDTH)).astype(np.float32)
ERROR = {WordKind.FP16: 1e-4, WordKind.BF16: 1e-3, WordKind.INT8: 2e-3, WordKind.INT4: 2e-2}

every_kind = pytest.mark.parametrize("kind", list(WordKind), ids=lambda kind: kind.value)


def as_the_engine_reads(content: bytes, settings: dict[str, Any] | None, row: int) -> list[float]:
    """Return one row, number by number, as diskembedding.cpp of MNN 3.6.1 reads it."""
    if settings is None:
        halves = np.frombuffer(content, "<u2")[row * WIDTH : (row + 1) * WIDTH]
        return [float(np.uint32(int(h) << 16).view(np.float32)) for h in halves]
    bits, offset = settings["quant_bit"], settings["alpha_offset"]
    if bits == 16:
        return list(map(float, np.frombuffer(content, "<f2")[row * WIDTH : (row + 1) * WIDTH]))
    size, block = WIDTH * bits // 8, settings["quant_block"] or WIDTH
    stored = content[row * size : (row + 1) * size]
    codes = list(stored) if bits == 8 else [half for b in stored for half in (b // 16, b % 16)]
    dtype = {"fp32": "<f4", "fp16": "<f2"}[settings["alpha_dtype"]]
    alphas = np.frombuffer(content[offset : offset + settings["alpha_size"]], dtype)
    values = []
    for i, code in enumerate(codes):
        at = 2 * (row * (WIDTH // block) + i // block)
        start, step = float(alphas[at]), float(alphas[at + 1])
        values.append(code * step + (start - 2 ** (bits - 1) * step))
    return values


@every_kind
def test_it_stands_for_the_table(kind: WordKind, tmp_path: Path) -> None:
    stored = store_words(TABLE, kind)
    assert np.abs(stored.unpack() - TABLE).max() < ERROR[kind]
    (tmp_path / "words").write_bytes(stored.to_bytes())
    found = read_words(tmp_path / "words", WIDTH, stored.settings())
    np.testing.assert_array_equal(found.unpack(), stored.unpack())
    for row in range(len(TABLE)):
        read = as_the_engine_reads(stored.to_bytes(), stored.settings(), row)
        np.testing.assert_allclose(read, stored.unpack()[row], atol=1e-7)


@every_kind
@given(table=arrays(np.float32, (3, 32), elements=st.floats(-1000, 1000, width=32)))
def test_any_table_comes_back_from_its_bytes(kind: WordKind, table: NDArray[np.float32]) -> None:
    stored = store_words(table, kind)
    steps = None if stored.steps is None else stored.steps.shape[1]
    assert np.isfinite(stored.unpack()).all()
    again = read_bytes(stored)
    np.testing.assert_array_equal(again.rows, stored.rows)
    assert (None if again.steps is None else again.steps.shape[1]) == steps


def read_bytes(stored: WordTable) -> WordTable:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words"
        path.write_bytes(stored.to_bytes())
        return read_words(path, stored.width, stored.settings())


@pytest.mark.parametrize("kind", [WordKind.INT8, WordKind.INT4], ids=lambda kind: kind.value)
def test_rounding_beats_the_whole_range(kind: WordKind) -> None:
    """The range of a row, or of 32 neighbours, in equal steps is what the search starts from."""
    levels, block = {WordKind.INT8: (255, WIDTH), WordKind.INT4: (15, 32)}[kind]
    blocks = TABLE.reshape(-1, block)
    low, high = blocks.min(1, keepdims=True), blocks.max(1, keepdims=True)
    step = (high - low) / levels
    plain = (np.rint((blocks - low) / step) * step + low).reshape(TABLE.shape)
    error = ((store_words(TABLE, kind).unpack() - TABLE) ** 2).sum()
    assert error <= 1.0001 * ((plain - TABLE) ** 2).sum()


def test_bfloat16_is_rounded_to_the_nearest_even() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    expected = TABLE.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(store_words(TABLE, WordKind.BF16).unpack(), expected)


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InputError, match="beyond 65504"):
        store_words(np.full((1, 32), 1e6, np.float32), WordKind.FP16)
    with pytest.raises(InputError, match="40 wide"):
        store_words(np.zeros((1, 40), np.float32), WordKind.INT4)


@every_kind
def test_another_size_is_refused(kind: WordKind, tmp_path: Path) -> None:
    stored = store_words(TABLE, kind)
    (tmp_path / "words").write_bytes(stored.to_bytes()[:-2])
    with pytest.raises(InputError, match="not a word table"):
        read_words(tmp_path / "words", WIDTH, stored.settings())


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    stored = store_words(TABLE, WordKind.INT8)
    (tmp_path / "words").write_bytes(stored.to_bytes())
    settings = stored.settings() or {}
    for changes in ({"quant_bit": 3}, {"alpha_dtype": "fp16"}, {"weight_offset": 8}):
        with pytest.raises(InputError, match="not a word table"):
            read_words(tmp_path / "words", WIDTH, {**settings, **changes})
    with pytest.raises(InputError, match="cannot be read"):
        read_words(tmp_path / "none", WIDTH)
