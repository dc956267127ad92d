"""Packed tables: unpacked they are the nearest codes, in NumPy and in the graph alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import write_model
from hypothesis import given
from hypothesis import strategies as st

from minnow.engines.base import TokenBatch
from minnow.graph.encoder import build_graph
from minnow.graph.packed import PLANES, PackedTable, pack_table
from minnow.model.original import read_original
from minnow.model.source import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def table(rows: int = 40, width: int = 32, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    spread = random.uniform(0.01, 2, (rows, 1))
    return (random.standard_normal((rows, width)) * spread).astype(np.float32)


@pytest.mark.parametrize("bits", PLANES)
@pytest.mark.parametrize("group", [0, 8])
def test_no_number_is_further_off_than_a_step(bits: int, group: int) -> None:
    numbers = table()
    packed = pack_table(numbers, bits, group)
    largest = np.abs(numbers.reshape(40, -1, group or 32)).max(-1)
    step = (largest / packed.middle).repeat(group or 32, axis=1)
    assert (np.abs(packed.unpack() - numbers) <= step * packed.middle / 2 + packed.unit * 128).all()


@pytest.mark.parametrize("group", [0, 8])
def test_a_bit_more_is_nearer_by_half(group: int) -> None:
    numbers = table(400)
    errors = [float(((pack_table(numbers, b, group).unpack() - numbers) ** 2).mean())
              for b in PLANES]  # fmt: skip
    assert errors == sorted(errors)
    assert errors[-1] > 1000 * errors[0]


@pytest.mark.parametrize("bits", PLANES)
def test_it_takes_the_bits_that_it_says(bits: int) -> None:
    packed = pack_table(table(), bits, 8)
    stored = sum(plane.nbytes for _, plane in packed.planes)
    assert stored == 40 * 32 * bits / 8
    assert packed.scales.shape == (40, packed.groups) == (40, 4)


@given(
    bits=st.sampled_from(list(PLANES)),
    group=st.sampled_from([0, 8, 16]),
    seed=st.integers(0, 1000),
    magnitude=st.sampled_from([0.0, 1e-30, 1.0, 1e30]),
)
def test_codes_survive_packing(bits: int, group: int, seed: int, magnitude: float) -> None:
    """What is on the grid already comes through unchanged, but for rounding of floats."""
    packed = pack_table(table(5, 16, seed) * np.float32(magnitude), bits, group)
    once = packed.unpack()
    assert np.isfinite(once).all()
    whole = (once.reshape(*packed.scales.shape, -1)
             / ((packed.scales.astype(np.float32) + 128) * np.float32(packed.unit))[..., None]
             + packed.middle)  # fmt: skip
    np.testing.assert_allclose(whole, np.round(whole), atol=2e-3)
    assert whole.min() >= -2e-3
    assert whole.max() <= 2**bits - 1 + 2e-3


@pytest.mark.parametrize(("bits", "group"), [(1, 0), (9, 0), (4, 5)])
def test_what_cannot_be_packed_is_refused(bits: int, group: int) -> None:
    with pytest.raises(ValueError, match="no packed table"):
        pack_table(table(), bits, group)


def test_a_turn_spreads_errors_like_noise() -> None:
    """No column loses more than another, nor a small number more than a large one."""
    numbers = table(2000, 128) * np.linspace(0.01, 1, 128, dtype=np.float32)
    plain, turned = (
        pack_table(numbers, 4, turned=turned).unpack() - numbers for turned in (False, True)
    )
    small = slice(0, 8)  # rounded to half a step, all of them, whatever they are
    signs = np.sign(numbers[:, small]).ravel()
    assert np.corrcoef(plain[:, small].ravel(), signs)[0, 1] > 0.5
    assert abs(np.corrcoef(turned[:, small].ravel(), signs)[0, 1]) < 0.1
    errors = (turned**2).mean(0)
    assert errors.max() < 1.5 * errors.min()
    nearly = pack_table(numbers, 8, turned=True).unpack()
    np.testing.assert_allclose(nearly, numbers, atol=0.05)


@pytest.mark.parametrize(("width", "size"), [(8, 0), (312, 0), (32, 32), (384, 128), (1024, 128)])
def test_a_turn_is_a_rotation_and_exact_in_two_bits(width: int, size: int) -> None:
    turn = pack_table(table(3, width), 3, turned=True).turn
    if not size:
        assert turn is None
        return
    assert turn is not None
    assert turn.shape == (size, size)
    assert set(np.unique(turn)) == {-0.75, 0.75}
    np.testing.assert_array_equal(turn @ turn.T, np.eye(size) * size * 0.75**2)


class TestInTheGraph:
    """The graph with packed tables is the graph of what they unpack to."""

    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory: pytest.TempPathFactory) -> Any:
        return read_original(resolve(str(write_model(tmp_path_factory.mktemp("m") / "model"))))

    @pytest.mark.extra("convert")
    @pytest.mark.parametrize("bits", PLANES)
    @pytest.mark.parametrize("group", [0, 16])
    @pytest.mark.parametrize("turned", [False, True])
    def test_mnn_unpacks_it(
        self, tmp_path: Path, model: Any, bits: int, group: int, turned: bool
    ) -> None:
        from minnow.convert.mnn import convert_to_mnn
        from minnow.engines.mnn import MnnEngine
        from minnow.recipe import RECIPES

        packed = {name: pack_table(model.tensors[name], bits, group, turned=turned)
                  for name in ("embeddings.word", "embeddings.position")}  # fmt: skip
        states: list[NDArray[np.float32]] = []
        for tensors, tables in (
            (model.tensors, packed),
            (model.tensors | {name: t.unpack() for name, t in packed.items()}, {}),
        ):
            graph, encoder = tmp_path / "graph.onnx", tmp_path / f"encoder{len(states)}.mnn"
            graph.write_bytes(build_graph(model.network, tensors, tables).SerializeToString())
            recipe = RECIPES["fp32"]
            convert_to_mnn(graph, encoder, recipe, model.encoder.inputs, log=tmp_path / "log")
            engine = MnnEngine(encoder, model.encoder, threads=1)
            states.append(engine.run(TokenBatch.pad([[2, 9, 12, 3], [2, 3], [2, 40, 41, 3]], 0)))
            engine.close()
        np.testing.assert_allclose(states[0], states[1], atol=1e-5)


def test_a_packed_table_is_what_it_says() -> None:
    stored = np.array([[0x10, 0x32, 0x54, 0x76]]) - 128
    scales = np.array([[2 - 128]], np.int8)
    packed = PackedTable(4, 8, ((4, stored.astype(np.int8)),), scales, unit=0.5)
    np.testing.assert_array_equal(
        packed.unpack(), np.array([[1, 3, 5, 7, 0, 2, 4, 6]], np.float32) - 7.5
    )
