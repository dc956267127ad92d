"""Tensors read back from encoders: exactly the numbers that the converter was given."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import CONFIGS, write_model

from minnow.convert.encoders import write_encoders
from minnow.convert.quantize import quantize
from minnow.errors import BundleError
from minnow.graph.mnn_file import read_numbers, stored_bits
from minnow.graph.positions import distance_rows
from minnow.graph.stored import stored_tensors
from minnow.model.network import RelativeBuckets
from minnow.model.original import read_original
from minnow.model.parameters import distance_tensors
from minnow.model.reference import ReferenceModel
from minnow.model.source import resolve
from minnow.model.spec import Interface
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.original import Original
    from minnow.recipe import Recipe

pytestmark = pytest.mark.extra("convert")


def written(folder: Path, family: str, recipe: Recipe) -> Original:
    """Write the encoder of a tiny model; return the model with the numbers that it was given."""
    original = read_original(resolve(str(write_model(folder / "model", family=family))))
    return write_encoders(original, folder, recipe)


def check(folder: Path, given: Original, *, halves: bool = False) -> None:
    network = given.network
    found = stored_tensors(folder / "encoder.mnn", network)
    expected = dict(given.tensors)
    multiplied = distance_tensors(network)
    tables = {name for name in found if name.endswith(".table")}
    assert found.keys() - tables == expected.keys() - multiplied
    assert len(tables) == (2 * len(network.blocks) if multiplied else 0)
    expected = {name: expected[name] for name in found.keys() - tables}
    if network.positions:  # rows before the first position are in no encoder
        for tensors in (found, expected):
            name, start = "embeddings.position", network.positions.offset
            tensors[name] = tensors[name][start:]
    if isinstance(
        network.relative, RelativeBuckets
    ):  # and neither are buckets of distances that the model does not reach
        for tensors in (found, expected):
            rows = distance_rows(network.relative, tensors, network.longest)
            tensors["relative_bias"] = rows
    for name, values in expected.items():
        is_half = halves and values.ndim > 1 and name != "embeddings.word"  # fractions
        rounded = values.astype(np.float16) if is_half else values
        # A packed table is turned back by a product, whose last bits depend on its rows.
        tolerance = 1e-6 if name == "embeddings.position" and not halves else 0
        np.testing.assert_allclose(found[name], rounded, 0, tolerance, err_msg=name)


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family(tmp_path: Path, family: str) -> None:
    check(tmp_path, written(tmp_path, family, quick_recipe("int4")))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int6", "int5"])
def test_every_precision(tmp_path: Path, precision: str) -> None:
    given = written(tmp_path, "bert", quick_recipe(precision))
    check(tmp_path, given, halves=precision == "fp16")


@pytest.mark.parametrize("family", ["bert", "modernbert", "gemma3"])
def test_an_encoder_that_multiplies_inputs(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Norms before a part multiply what they give; the states are those of the rounded numbers."""
    rows = [[2, *range(start, start + 9), 3] for start in range(5, 45)]
    monkeypatch.setattr(sys.modules[quantize.__module__], "calibration_rows", lambda *_: rows)
    given = written(tmp_path, family, RECIPES["int8"])
    stored = stored_tensors(tmp_path / "encoder.mnn", given.network)
    found, expected = (
        ReferenceModel(given.network, given.head, tensors).hidden_states(rows[0])
        for tensors in (stored, given.tensors)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "eurobert"])
def test_an_encoder_that_pools(tmp_path: Path, family: str) -> None:
    recipe = quick_recipe("fp16", Interface.SENTENCE_EMBEDDING)
    check(tmp_path, written(tmp_path, family, recipe), halves=True)


def test_another_file_is_refused(tmp_path: Path) -> None:
    given = written(tmp_path, "bert", quick_recipe("int8"))
    encoder = tmp_path / "encoder.mnn"
    content = encoder.read_bytes()
    for broken in (b"", b"text" * 100, content[: len(content) // 2], content[len(content) // 3 :]):
        encoder.write_bytes(broken)
        with pytest.raises(BundleError, match=r"encoder\.mnn (cannot be read|has no operator)"):
            stored_tensors(encoder, given.network)
    encoder.write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match="cannot be read"):
        stored_bits(encoder)
    with pytest.raises(BundleError, match="cannot be read"):
        read_numbers(tmp_path / "gone.mnn")


def test_another_network_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "bert", quick_recipe("fp32"))
    other = read_original(resolve(str(write_model(tmp_path / "other", num_hidden_layers=3))))
    with pytest.raises(BundleError, match=r"has no operator layer\.2\.query"):
        stored_tensors(tmp_path / "encoder.mnn", other.network)
