"""Tables of fractions: unpacked they are near the given numbers, in NumPy and in the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import write_model
from hypothesis import given
from hypothesis import strategies as st

from minnow.convert.encoders import write_encoders
from minnow.convert.graph_file import nearest_halves
from minnow.engines.base import TokenBatch
from minnow.graph.encoder import build_graph
from minnow.graph.fractions import FractionTable, fraction_table
from minnow.graph.mnn_file import read_numbers, stored_bits
from minnow.graph.stored import stored_tensors
from minnow.model.original import read_original
from minnow.model.source import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WORDS = "embeddings.word"


def table(rows: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return random.standard_normal((rows, width)).astype(np.float32)


@given(
    rows=st.integers(1, 9),
    width=st.integers(1, 17),
    seed=st.integers(0, 1000),
    power=st.integers(-10, 10),
)
def test_no_number_is_further_off_than_a_fraction_of_its_row(
    rows: int, width: int, seed: int, power: int
) -> None:
    numbers = table(rows, width, seed) * np.float32(2.0**power)
    packed = fraction_table(numbers)
    powers = packed.steps * 128
    largest = np.abs(numbers).max(axis=1, keepdims=True)
    assert (powers > largest).all()
    assert (powers <= np.maximum(2 * largest, 2**-7)).all()
    assert (np.frexp(powers)[0] == 0.5).all()
    # half a step, and a whole one for a number that is nearly the power
    near = np.abs(numbers) > powers * (1 - 2**-15)
    bounds = powers * np.where(near, 2**-15, 2**-16)
    assert (np.abs(packed.unpack() - numbers) <= bounds).all()


def test_halves_that_are_not_small_pass_unchanged() -> None:
    halves = table(200, 384).astype(np.float16).astype(np.float32)
    packed = fraction_table(halves)
    found = packed.unpack()
    small = np.abs(halves) < packed.steps * 4
    assert 0.01 < small.mean() < 0.2
    np.testing.assert_array_equal(found[~small], halves[~small])
    np.testing.assert_array_equal(found, found.astype(np.float16))
    assert (np.abs(found - halves)[small] <= (packed.steps / 512).repeat(384, 1)[small]).all()


def test_zeros_stay_zeros_beside_any_row() -> None:
    numbers = np.array([[0, 0, 0], [0, 65504, -65504], [1e-30, 0, -1e-30]], np.float32)
    found = fraction_table(numbers).unpack()
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_array_equal(found[1], numbers[1])
    np.testing.assert_allclose(found[2], 0, atol=2**-22)


def test_a_table_is_what_it_says() -> None:
    upper, lower = (np.array([row], np.int8) for row in ([64, -1, 0], [-128, 127, 0]))
    packed = FractionTable(upper, lower, steps=np.array([[2]], np.float32))
    np.testing.assert_array_equal(packed.unpack(), [[128, -2 / 256, 1]])


@pytest.mark.extra("convert")
class TestInTheGraph:
    """An encoder of float16 has its words as fractions."""

    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory: pytest.TempPathFactory) -> Any:
        return read_original(resolve(str(write_model(tmp_path_factory.mktemp("m") / "model"))))

    def test_mnn_computes_the_same_rows(self, tmp_path: Path, model: Any) -> None:
        from minnow.convert.mnn import convert_to_mnn
        from minnow.engines.mnn import MnnEngine
        from minnow.recipe import RECIPES

        words = fraction_table(model.tensors[WORDS])
        states: list[NDArray[np.float32]] = []
        for tensors, tables in (
            (model.tensors, {WORDS: words}),
            (model.tensors | {WORDS: words.unpack()}, {}),
        ):
            graph, encoder = tmp_path / "graph.onnx", tmp_path / f"encoder{len(states)}.mnn"
            graph.write_bytes(build_graph(model.network, tensors, tables).SerializeToString())
            recipe = RECIPES["fp32"]
            convert_to_mnn(graph, encoder, recipe, model.encoder.inputs, log=tmp_path / "log")
            engine = MnnEngine(encoder, model.encoder, threads=1)
            states.append(engine.run(TokenBatch.pad([[2, 9, 12, 3], [2, 3], [2, 40, 41, 3]], 0)))
            engine.close()
        np.testing.assert_allclose(states[0], states[1], atol=1e-5)

    def test_an_encoder_of_float16_gives_them_back(self, tmp_path: Path, model: Any) -> None:
        write_encoders(model, tmp_path, quick_recipe("fp16"))
        encoder = tmp_path / "encoder.mnn"
        kinds = {name: held.values.dtype for name, held in read_numbers(encoder).items()}
        assert WORDS not in kinds
        assert kinds[f"{WORDS}.upper"] == kinds[f"{WORDS}.lower"] == np.int8
        halves = nearest_halves(model.tensors[WORDS], WORDS)
        expected = fraction_table(halves).unpack()
        np.testing.assert_array_equal(stored_tensors(encoder, model.network)[WORDS], expected)
        assert stored_bits(encoder) == 16
