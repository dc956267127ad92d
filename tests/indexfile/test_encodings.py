"""Vectors as rows: reading returns what was written, to the chosen precision."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minnow.errors import IndexFileError
from minnow.indexfile.encodings import decode_rows, encode_rows, page_size
from minnow.vectors import VectorEncoding

NUMBERS = st.floats(-60000, 60000, width=32)
VECTORS = arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(1, 9)), elements=NUMBERS)
F16, INT8 = VectorEncoding.FLOAT16, VectorEncoding.INT8


@given(VECTORS)
def test_float16_is_ieee_half_precision(vectors: np.ndarray) -> None:
    rows = encode_rows(vectors, F16)
    again = decode_rows(rows, vectors.shape[1], F16)
    assert np.array_equal(again, vectors.astype(np.float16).astype(np.float32))
    for row, vector in zip(rows, again, strict=True):
        assert struct.unpack(f"<{len(vector)}e", row) == tuple(vector)


@given(VECTORS)
def test_int8_is_off_by_half_a_step_at_most(vectors: np.ndarray) -> None:
    rows = encode_rows(vectors, INT8)
    again = decode_rows(rows, vectors.shape[1], INT8)
    steps = np.abs(vectors).max(axis=1, initial=0, keepdims=True) / 127
    assert (np.abs(again - vectors) <= 0.5001 * steps + 1e-30).all()
    for row, vector in zip(rows, again, strict=True):
        (scale,) = struct.unpack_from("<f", row)
        whole = struct.unpack_from(f"<{len(vector)}b", row, 4)
        assert np.allclose([scale * number for number in whole], vector, rtol=1e-6)
        assert len(row) == INT8.row_bytes(len(vector))


@pytest.mark.parametrize("encoding", [F16, INT8])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(encoding: VectorEncoding, bad: float) -> None:
    with pytest.raises(ValueError, match="NaN"):
        encode_rows(np.array([[1, bad]], np.float32), encoding)


def test_what_float16_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="65504"):
        encode_rows(np.array([[1e6]], np.float32), F16)


def test_a_row_of_zeros() -> None:
    zeros = np.zeros((1, 3), np.float32)
    assert np.array_equal(decode_rows(encode_rows(zeros, INT8), 3, INT8), zeros)


def test_a_row_of_another_length_is_damage() -> None:
    with pytest.raises(IndexFileError, match="damaged"):
        decode_rows([b"123"], 2, F16)


def test_a_row_that_is_not_finite_is_damage() -> None:
    with pytest.raises(IndexFileError, match="not finite: the file is damaged"):
        decode_rows([np.array([1, np.nan], "<f2").tobytes()], 2, F16)


@pytest.mark.parametrize("row", [388, 516, 768, 772, 1028, 1536, 2048, 4096])
def test_pages_are_filled(row: int) -> None:
    size = page_size(row)
    assert size in (8192, 16384, 32768, 65536)
    assert (size - 8) // (row + 10) * row / size > 0.93


def test_the_pages_of_the_usual_widths() -> None:
    assert page_size(F16.row_bytes(384)) == page_size(INT8.row_bytes(384)) == 16384
