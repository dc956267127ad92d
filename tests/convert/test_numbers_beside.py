"""Encoders of many numbers: these are in a file of their own, not inside them."""

from __future__ import annotations

import shutil
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import write_model

from minnow import Embedder
from minnow.convert import convert, encoders
from minnow.engines.base import MemoryMode, TokenBatch
from minnow.engines.mnn import LANES_SHARE, MnnEngine
from minnow.errors import BundleError, EngineError
from minnow.graph.mnn_file import WEIGHTS, missing_numbers
from minnow.graph.stored import stored_tensors
from minnow.manifest import ENCODER, MANIFEST
from minnow.model.families import network_of
from minnow.model.parameters import tensor_shapes
from minnow.resources import FreeMemory

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert")

NUMBERS = ENCODER + WEIGHTS
TEXTS = ["the small red fish", "how do fish sleep in the river", "x"]


@pytest.fixture(scope="module", params=["fp32", "fp16", "int8", "int4"])
def bundles(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, Bundle]:
    """The same model, its numbers inside encoder.mnn and beside it; for reading only."""
    folder = tmp_path_factory.mktemp("large")
    source, recipe = str(write_model(folder / "model", pooling="mean")), quick_recipe(request.param)
    inside = convert(source, folder / "inside", recipe=recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "MANY_NUMBERS", 0)
        return inside, convert(source, folder / "beside", recipe=recipe, shapes=[(1, 8)])


def test_the_bundle_has_a_file_of_numbers(bundles: tuple[Bundle, Bundle]) -> None:
    inside, beside = (bundle.manifest for bundle in bundles)
    assert (inside.format, beside.format) == (1, 8)
    assert NUMBERS not in inside.files
    assert {NUMBERS, f"encoder-1x8.mnn{WEIGHTS}"} < beside.files.keys()
    assert beside.encoder_size > 0.9 * inside.encoder_size > beside.files[ENCODER].size
    assert beside.files[NUMBERS].size == (bundles[1].folder / NUMBERS).stat().st_size
    bundles[1].check_files()


def test_both_give_the_same_vectors(bundles: tuple[Bundle, Bundle]) -> None:
    found = []
    for bundle in bundles:
        with Embedder.open(bundle, engine="mnn") as embedder:
            found.append(embedder.encode(TEXTS))
    np.testing.assert_array_equal(found[0], found[1])


def test_the_same_numbers_are_read_back(bundles: tuple[Bundle, Bundle]) -> None:
    inside, beside = (
        stored_tensors(bundle.encoder, network_of(bundle.manifest.encoder)) for bundle in bundles
    )
    assert inside.keys() == beside.keys()
    for name, tensor in inside.items():
        np.testing.assert_array_equal(tensor, beside[name], err_msg=name)


@pytest.mark.parametrize(
    ("affordable", "lanes"), [(0, 1), (1, 1), (1.9, 1), (2.1, 2), (2.9, 2), (3.1, 3), (99, 3)]
)
def test_lanes_fit_into_a_share_of_the_free_memory(
    bundles: tuple[Bundle, Bundle],
    affordable: float,
    lanes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for bundle in bundles:
        engine = MnnEngine(bundle.encoder, bundle.manifest.encoder, threads=3)
        assert engine._session is not None
        one = engine._session.memory()
        free = FreeMemory(int(LANES_SHARE * affordable * one), "a test")
        monkeypatch.setattr("minnow.engines.mnn.free_memory", lambda free=free: free)
        found = engine.lanes(100)
        assert len(found) == lanes
        assert sum(lane.threads for lane in found) == 3
        engine.close()


def test_a_session_knows_the_memory_of_its_weights(bundles: tuple[Bundle, Bundle]) -> None:
    """Floats in `normal`, also before its first batch; in `low` its whole numbers, if any."""
    few_bits = bundles[0].manifest.recipe.rounds
    for bundle in bundles:
        sizes = []
        for memory in (MemoryMode.NORMAL, MemoryMode.LOW):
            engine = MnnEngine(bundle.encoder, bundle.manifest.encoder, memory=memory)
            assert engine._session is not None
            sizes.append(engine._session.memory())
            engine.close()
        shapes = tensor_shapes(network_of(bundle.manifest.encoder))
        layers = [prod(size) for name, size in shapes.items() if name.startswith("layer.")]
        normal, low = sizes
        assert normal > 4 * sum(layers)
        assert 2 * sum(layers) < normal - low < 4 * sum(layers) if few_bits else normal == low


def test_numbers_that_are_overwritten_are_not_mixed_with_those_that_were_read(
    bundles: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    """MNN reads some of them again for another shape; a copy over an open bundle changes them."""
    copy = shutil.copytree(bundles[1].folder, tmp_path / "copy")
    engine = MnnEngine(copy / ENCODER, bundles[1].manifest.encoder, threads=1)
    short, long = (TokenBatch.pad([[2, *ids, 3]], 0) for ids in ([9, 12], [9, 12, 40]))
    before = engine.run(short)
    content = (copy / NUMBERS).read_bytes()
    (copy / NUMBERS).write_bytes(content[::-1])
    np.testing.assert_array_equal(engine.run(short), before)
    with pytest.raises(EngineError, match=r"was replaced or overwritten .* Open it again"):
        engine.run(long)
    engine.close()


def test_sizes_are_compared_where_hashes_are_not(
    bundles: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    copy = shutil.copytree(bundles[1].folder, tmp_path / "copy")
    content = (copy / NUMBERS).read_bytes()
    (copy / NUMBERS).write_bytes(content[:-7])
    with pytest.raises(BundleError, match=f"{NUMBERS} has {len(content) - 7} bytes, sealed were"):
        Embedder.open(copy, check_files=False)
    (copy / NUMBERS).unlink()
    with pytest.raises(BundleError, match=f"{NUMBERS} is missing"):
        Embedder.open(copy, check_files=False)


def test_missing_numbers_are_counted(bundles: tuple[Bundle, Bundle], tmp_path: Path) -> None:
    assert [missing_numbers(bundle.encoder) for bundle in bundles] == [0, 0]
    copy = shutil.copytree(bundles[1].folder, tmp_path / "copy")
    content = (copy / NUMBERS).read_bytes()
    (copy / NUMBERS).write_bytes(content[:-7])
    assert missing_numbers(copy / ENCODER) == 7
    (copy / NUMBERS).unlink()
    assert missing_numbers(copy / ENCODER) == len(content)


def test_another_file_of_numbers_is_noticed(bundles: tuple[Bundle, Bundle], tmp_path: Path) -> None:
    copy = shutil.copytree(bundles[1].folder, tmp_path / "copy")
    content = bytearray((copy / NUMBERS).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / NUMBERS).write_bytes(content)
    with pytest.raises(BundleError, match="not the bundle that was proven"):
        Embedder.open(copy)
    (copy / NUMBERS).unlink()
    with pytest.raises(BundleError, match=r"encoder\.mnn\.weight"):
        Embedder.open(copy)
    (copy / NUMBERS).write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=r"cannot be read: the file beside it ends before"):
        stored_tensors(copy / ENCODER, network_of(bundles[1].manifest.encoder))
    assert (copy / MANIFEST).exists()
