"""Integer recipes: the tensors that they round, and MNN's results with them."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import CONFIGS, change_tokenizer, edit_json, ids_of, write_model
from tokenizers import normalizers

from minnow.convert import convert
from minnow.convert.calibration import TOKENS, calibration_rows
from minnow.convert.mnn import convert_to_mnn
from minnow.convert.quantize import Rounded, quantize
from minnow.convert.rounding import SecondMoment
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.errors import InputError
from minnow.graph.encoder import build_graph
from minnow.graph.packed import PackedTable
from minnow.model.original import Original, read_original
from minnow.model.reference import ReferenceModel
from minnow.model.source import resolve
from minnow.recipe import RECIPES, Graph, Grid, Rounding
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fakes.bundles import BundleStore
    from numpy.typing import NDArray

    from minnow.engines.base import MemoryName
    from minnow.recipe import Recipe

pytestmark = pytest.mark.extra("convert")

WHOLE = [name for name, recipe in RECIPES.items() if recipe.rounds]
FLOATS = replace(RECIPES["fp32"], exact_gelu=False)
"""No numbers rounded, and the GELU of integer recipes."""
ROWS = [[2, 9, 12, 3], [2, 3], [2, 40, 41, 42, 43, 44, 7, 3]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("model") / "model"
    return read_original(resolve(str(write_model(folder))))


def states(
    original: Original,
    rounded: Rounded,
    recipe: Recipe,
    folder: Path,
    memory: MemoryName = "normal",
) -> NDArray[np.float32]:
    graph = folder / "graph.onnx"
    network = build_graph(
        original.network, rounded.tensors, rounded.packed, multiplied=rounded.multiplied
    )
    graph.write_bytes(network.SerializeToString())
    convert_to_mnn(
        graph, folder / "encoder.mnn", recipe, original.encoder.inputs,
        grids=rounded.grids, log=folder / "log",
    )  # fmt: skip
    engine = MnnEngine(folder / "encoder.mnn", original.encoder, threads=1, memory=memory)
    try:
        return engine.run(TokenBatch.pad(ROWS, original.encoder.pad_token_id))
    finally:
        engine.close()


@pytest.mark.parametrize("name", WHOLE)
def test_mnn_computes_with_the_rounded_numbers(tmp_path: Path, model: Original, name: str) -> None:
    """Stored as whole numbers or as the floats that they stand for: the same states."""
    recipe = replace(RECIPES[name], rounding=Rounding.NEAREST)
    rounded = quantize(model, recipe)
    whole = states(model, rounded, recipe, tmp_path)
    floats = states(model, Rounded(rounded.tensors), FLOATS, tmp_path)
    np.testing.assert_allclose(whole, floats, atol=2e-5)


def few_rows(monkeypatch: pytest.MonkeyPatch, original: Original) -> None:
    rows = calibration_rows(original)[::40]
    monkeypatch.setattr(sys.modules[quantize.__module__], "calibration_rows", lambda *_: rows)


def test_the_result_does_not_keep_what_calibration_measured(
    model: Original, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_rows(monkeypatch, model)
    rounded = quantize(model, RECIPES["int8"])
    assert rounded.grids
    assert not [kept for kept in gc.get_objects() if type(kept) is SecondMoment]


LARGE = np.arange(32) % 16 == 3


def with_large_states(original: Original) -> Original:
    """Make a few inputs of every part of a layer thirty times as large, but not what is made."""
    tensors = dict(original.tensors)
    by = np.where(LARGE, 30, 1).astype(np.float32)
    for name in tensors:
        if name.endswith(("norm.weight", "norm.bias")) and name != "final_norm.weight":
            tensors[name] = tensors[name] * by
        elif name.endswith(("query.weight", "key.weight", "value.weight", "inner.weight")):
            tensors[name] = tensors[name] / by
    return replace(original, tensors=tensors)


class TestMultipliedInputs:
    @pytest.mark.parametrize("family", ["bert", "modernbert", "qwen3"])
    def test_mnn_computes_with_the_rounded_numbers(
        self, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = read_original(resolve(str(write_model(tmp_path / "model", family=family))))
        few_rows(monkeypatch, original)
        rounded = quantize(original, RECIPES["int8"])
        assert len(rounded.multiplied.inputs) == 2 * len(original.network.blocks)
        whole = states(original, rounded, RECIPES["int8"], tmp_path)
        floats = states(original, Rounded(rounded.tensors), FLOATS, tmp_path)
        np.testing.assert_allclose(whole, floats, atol=3e-5)

    def test_those_of_fewer_bits_are_left(
        self, model: Original, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few_rows(monkeypatch, model)
        rounded = quantize(model, RECIPES["int6"])
        assert not rounded.multiplied.inputs
        assert not rounded.multiplied.weights

    def test_low_memory_loses_less(
        self, tmp_path: Path, model: Original, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = with_large_states(model)
        few_rows(monkeypatch, original)
        rounded = quantize(original, RECIPES["int8"])
        plain = quantize(original, replace(RECIPES["int8"], rounding=Rounding.NEAREST))

        def loss(rounded: Rounded) -> float:
            normal = states(original, rounded, RECIPES["int8"], tmp_path)
            low = states(original, rounded, RECIPES["int8"], tmp_path, memory="low")
            return float(np.square(low - normal)[..., ~LARGE].sum())

        assert loss(rounded) < 0.1 * loss(plain)


@pytest.mark.parametrize("weights", [Grid(8, 16), Grid(3, 16), Grid(2), Grid(6, 32)], ids=str)
def test_every_grid_reaches_the_encoder(tmp_path: Path, model: Original, weights: Grid) -> None:
    recipe = replace(RECIPES["int8"], weights=weights, rounding=Rounding.NEAREST)
    rounded = quantize(model, recipe)
    whole = states(model, rounded, recipe, tmp_path)
    floats = states(model, Rounded(rounded.tensors), FLOATS, tmp_path)
    np.testing.assert_allclose(whole, floats, atol=2e-5)


def test_tables_alone_can_be_rounded(tmp_path: Path, model: Original) -> None:
    recipe = replace(RECIPES["int8"], weights=None)
    rounded = quantize(model, recipe)
    assert set(rounded.packed) == {"embeddings.word", "embeddings.position"}
    assert not rounded.grids
    for part in ("query", "key", "value", "attention_output", "inner", "output"):
        name = f"layer.0.{part}.weight"
        np.testing.assert_array_equal(rounded.tensors[name], model.tensors[name])
    floats = states(model, Rounded(rounded.tensors), FLOATS, tmp_path)
    np.testing.assert_allclose(states(model, rounded, recipe, tmp_path), floats, atol=2e-5)


def test_floats_stay_as_they_are(model: Original) -> None:
    rounded = quantize(model, RECIPES["fp32"])
    assert not rounded.packed
    for name in model.tensors:
        np.testing.assert_array_equal(rounded.tensors[name], model.tensors[name])


def losses(original: Original, rows: list[list[int]], *rounded: Rounded) -> list[float]:
    """Return the mean squared distances of the last states from the published model's."""

    def last_states(tensors: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float64]]:
        model = ReferenceModel(original.network, original.head, dict(tensors))
        return [model.hidden_states(row) for row in rows]

    exact = last_states(original.tensors)
    return [
        float(np.mean([((a - b) ** 2).mean() for a, b in zip(exact, other, strict=True)]))
        for other in (last_states(each.tensors) for each in rounded)
    ]


GAINS = dict.fromkeys(CONFIGS, 0.7) | dict.fromkeys(
    ("modernbert", "eurobert", "gemma3", "t5", "t5-gated"), 0.85
)
GAINS |= {"embedding_gemma2": 0.9, "lfm2": 0.9}
"""Where no norm follows a sum, the errors of all layers add up in the states."""


@pytest.mark.parametrize("family", CONFIGS)
def test_calibration_pays(tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On sequences of the same kind that it has not seen; Gemma 3 needs all of the others."""
    original = read_original(resolve(str(write_model(tmp_path / "model", family=family))))
    rows = calibration_rows(original)
    half = len(rows) // 2
    seen = rows[: half : 1 if family == "gemma3" else 3]
    monkeypatch.setattr(sys.modules[quantize.__module__], "calibration_rows", lambda *_: seen)
    recipe = replace(RECIPES["int4"], weights=Grid(3, 16), words=None, positions=None)
    calibrated = quantize(original, recipe)
    nearest = quantize(original, replace(recipe, rounding=Rounding.NEAREST))
    ours, plain = losses(original, rows[half : half + 40], calibrated, nearest)
    assert ours < GAINS[family] * plain


def test_the_same_numbers_every_time(model: Original) -> None:
    once, again = (quantize(model, RECIPES["int6"]) for _ in range(2))
    for name, tensor in once.tensors.items():
        np.testing.assert_array_equal(tensor, again.tensors[name])


class TestCalibrationText:
    def test_it_is_as_long_as_it_says(self, model: Original) -> None:
        rows = calibration_rows(model)
        longest = model.embedding.max_tokens
        assert TOKENS <= sum(map(len, rows)) <= TOKENS + 2 * longest
        assert max(map(len, rows)) <= longest
        assert {row[0] for row in rows} == {2}
        assert {row[-1] for row in rows} == {3}

    def test_the_whole_vocabulary_takes_part(self, model: Original) -> None:
        seen = {token for row in calibration_rows(model) for token in row}
        assert len(seen) > 0.95 * model.encoder.vocab_size

    def test_the_user_s_text_takes_the_prose_s_place(self, model: Original) -> None:
        texts = [f"fish {'keel ' * (i % 9)}" for i in range(1000)]
        rows = calibration_rows(model, texts)
        ours = calibration_rows(model)
        assert rows != ours
        assert rows == calibration_rows(model, texts)

    def test_text_is_lowercased_where_sentence_transformers_does_it(self, tmp_path: Path) -> None:
        folder = write_model(tmp_path / "model")
        keeps_case = normalizers.BertNormalizer(lowercase=False)
        change_tokenizer(folder / "tokenizer.json", lambda t: setattr(t, "normalizer", keeps_case))
        edit_json(folder / "tokenizer_config.json", do_lower_case=False)
        edit_json(folder / "sentence_bert_config.json", do_lower_case=True)
        texts = ["FISH Sleep IN Water"] * 400

        prose = calibration_rows(read_original(resolve(str(folder))), texts)[:400]

        assert prose == [ids_of("fish sleep in water")] * 400

    def test_too_little_text_is_refused(self, model: Original) -> None:
        with pytest.raises(InputError, match=r"have \d+ tokens, of at least 2000"):
            calibration_rows(model, ["fish"])


class TestRefused:
    @pytest.mark.parametrize(
        ("recipe", "said"),
        [
            (replace(RECIPES["int8"], graph=Graph.AUTHOR), "take minnow's own graph"),
            (replace(RECIPES["fp16"], weights=Grid(8)), "fp16 rounds nothing"),
            (replace(RECIPES["int8"], weights=Grid(9)), "weights can have 2 to 8 bits, not 9"),
            (replace(RECIPES["int8"], words=Grid(1)), "words can have 2 to 8 bits, not 1"),
            (replace(RECIPES["int8"], weights=Grid(8, 20)), "MNN knows multiples of 16"),
            (replace(RECIPES["int8"], words=Grid(8, -1)), "give 0 or more"),
        ],
    )
    def test_a_recipe_that_cannot_be(self, tmp_path: Path, recipe: Recipe, said: str) -> None:
        with pytest.raises(InputError, match=said):
            convert("nowhere", tmp_path / "out", recipe=recipe)
        assert not list(tmp_path.iterdir())

    def test_calibration_text_for_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="calibrates nothing"):
            convert("nowhere", tmp_path / "out", recipe=RECIPES["fp16"], calibration=["fish"])


def test_the_manifest_says_what_it_was_calibrated_on(
    tmp_path: Path, model: Original, bundle_store: BundleStore
) -> None:
    texts = [f"fish {'keel ' * (i % 9)}" for i in range(1000)]
    recipe = replace(RECIPES["int8"], max_ndcg_drop=None)
    bundle = convert(model.source, tmp_path / "own", recipe=recipe, calibration=texts)
    assert bundle.manifest.recipe.calibration.startswith("1000 texts of the user's, SHA-256 ")
    assert bundle.manifest.recipe.weights == Grid(8, 64)
    usual = bundle_store.calibrated()
    assert usual.manifest.recipe == RECIPES["int8"]
    assert usual.manifest.recipe.calibration == "built-in text"


@pytest.mark.parametrize(
    ("block", "row", "expected"),
    [(96, 384, 96), (96, 1024, 64), (64, 96, 48), (96, 312, 312), (0, 384, 384), (8, 32, 8)],
)
def test_a_block_that_does_not_divide_a_row_shrinks(block: int, row: int, expected: int) -> None:
    assert Grid(5, block).block_in(row) == expected


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_tables_are_turned(model: Original, precision: str) -> None:
    """Some rows have a number seven times as large as others: a step of its size is too coarse."""
    recipe = replace(RECIPES[precision], rounding=Rounding.NEAREST)
    packed = quantize(model, recipe).packed
    assert set(packed) == {"embeddings.word", "embeddings.position"}
    for table in packed.values():
        assert isinstance(table, PackedTable)
        assert table.turn is not None
