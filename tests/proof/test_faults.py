"""Faults that the field ships, planted one by one: none of them may be sealed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import VOCABULARY, edit_json, write_model, write_tokenizer

from minnow.convert import convert
from minnow.convert import mnn as converter
from minnow.errors import ConversionError, MinnowError, ParityError
from minnow.graph.encoder import build_graph
from minnow.model.spec import Interface
from minnow.model.tokenizer import TextTokenizer
from minnow.proof.bundles import prove_bundle
from minnow.recipe import RECIPES, Recipe
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from minnow.graph.nodes import Nodes
    from minnow.model.head import Head
    from minnow.proof.verdict import Candidate

pytestmark = pytest.mark.extra("convert")

PIPELINE = "minnow.convert"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", pooling="mean")


RECIPES_OF_A_FAULT = (
    quick_recipe("fp16"),
    quick_recipe("int4", Interface.SENTENCE_EMBEDDING),
)
"""Both interfaces; the bar of int4 would let many a fault through."""


@pytest.fixture(params=RECIPES_OF_A_FAULT, ids=lambda recipe: recipe.precision.value)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    recipe: Recipe = request.param
    return recipe


def refuse(model: Path, recipe: Recipe, error: type[MinnowError] = ParityError) -> str:
    """Convert, expect a refusal, and check that nothing at all was left behind."""
    destination = model.parent / "out"
    with pytest.raises(error) as caught:
        convert(str(model), destination, recipe=recipe)
    assert sorted(path.name for path in model.parent.iterdir()) == ["model"]
    return str(caught.value)


def change_graph_tensors(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]
) -> None:
    """Let the graph, but not the reference, be written from changed tensors."""

    def build(
        network: Any, tensors: dict[str, Any], packed: dict[str, Any], *rest: Any, **options: Any
    ) -> Any:
        changed = dict(tensors)
        change(changed)
        still = {name: table for name, table in packed.items() if changed[name] is tensors[name]}
        return build_graph(network, changed, still, *rest, **options)

    monkeypatch.setattr(f"{PIPELINE}.encoders.build_graph", build)


def change_graph(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let the graph, but neither the manifest nor the reference, pool in another way."""

    def build(network: Any, tensors: Any, packed: Any, head: Head, **options: Any) -> Any:
        return build_graph(network, tensors, packed, replace(head, **changes), **options)

    monkeypatch.setattr(f"{PIPELINE}.encoders.build_graph", build)


def test_the_unchanged_model_is_sealed(model: Path, recipe: Recipe) -> None:
    bundle = convert(str(model), model.parent / "out", recipe=recipe)
    assert bundle.manifest.parity.worst.worst >= recipe.bar


def test_wrong_pooling(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(candidate: Candidate, *rest: Any, **more: Any) -> Any:
        wrong = replace(candidate.embedding, pooling=Pooling.CLS)
        return prove_bundle(replace(candidate, embedding=wrong), *rest, **more)

    monkeypatch.setattr(f"{PIPELINE}.prove_bundle", prove)
    message = refuse(model, RECIPES["fp16"])
    assert "Refused" in message
    assert "cosine" in message


@pytest.mark.whole_proof
def test_permuted_vocabulary_in_the_bundle(
    model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(origin: Any, folder: Path, tokenizer: Any) -> None:
        del origin, tokenizer
        at = VOCABULARY.index("fish")
        swapped = (*VOCABULARY[:at], VOCABULARY[at + 1], VOCABULARY[at], *VOCABULARY[at + 2 :])
        write_tokenizer(folder, swapped)

    monkeypatch.setattr(f"{PIPELINE}.copy_metadata", copy)
    assert "other token ids" in refuse(model, recipe)


def test_permuted_vocabulary_in_the_source(model: Path, recipe: Recipe) -> None:
    path = model / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["fish"], vocabulary["sleep"] = vocabulary["sleep"], vocabulary["fish"]
    path.write_text(json.dumps(content))
    assert "vocab.txt" in refuse(model, recipe, MinnowError)


def test_permuted_word_table(model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["embeddings.word"] = np.roll(tensors["embeddings.word"], 1, axis=0)

    change_graph_tensors(monkeypatch, change)
    refuse(model, recipe)


@pytest.mark.parametrize("part", ["query", "value", "attention_output", "inner", "output"])
def test_zeroed_layer(
    model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def change(tensors: dict[str, Any]) -> None:
        name = f"layer.1.{part}.weight"
        tensors[name] = np.zeros_like(tensors[name])

    change_graph_tensors(monkeypatch, change)
    refuse(model, recipe)


def test_positions_off_by_one(model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["embeddings.position"] = np.roll(tensors["embeddings.position"], 1, axis=0)

    change_graph_tensors(monkeypatch, change)
    refuse(model, recipe)


def test_mask_is_ignored(model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minnow.engines.tiles._AVX2", False)  # a text alone has no padding then
    monkeypatch.setattr("minnow.graph.positions.MASKED", 0.0)
    message = refuse(model, recipe)
    assert "mixed" in message
    assert "one by one" not in message


def test_transformer_fuse(model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    options = converter.converter_options

    def fused(recipe: Any) -> list[str]:
        return [*options(recipe), "--transformerFuse"]

    monkeypatch.setattr("minnow.convert.mnn.converter_options", fused)
    refuse(model, recipe)


def test_truncated_encoder(model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(graph: Path, encoder: Path, *rest: Any, **more: Any) -> None:
        converter.convert_to_mnn(graph, encoder, *rest, **more)
        encoder.write_bytes(encoder.read_bytes()[:-1000])

    monkeypatch.setattr(f"{PIPELINE}.encoders.convert_to_mnn", cut)
    refuse(model, recipe, MinnowError)


def test_nan_in_the_encoder(model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["layer.0.inner.bias"] = np.full_like(tensors["layer.0.inner.bias"], np.nan)

    change_graph_tensors(monkeypatch, change)
    assert "NaN" in refuse(model, recipe)


def test_converter_that_writes_nothing(
    model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: Any, path: Path, __: Recipe) -> None:
        path.write_bytes(b"not a graph")
        path.with_suffix(".tensors").touch()

    monkeypatch.setattr(f"{PIPELINE}.encoders.write_graph", write)
    assert "converter" in refuse(model, recipe, ConversionError)


@pytest.mark.parametrize("precision", ["int8", "int6", "int5", "int4"])
def test_other_numbers_than_the_rounded_ones(
    model: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """The rounding itself may be as coarse as the recipe says; what is stored is what it gave."""

    def change(tensors: dict[str, Any]) -> None:
        tensors["layer.1.value.bias"] = tensors["layer.1.value.bias"] + np.float32(0.01)

    change_graph_tensors(monkeypatch, change)
    message = refuse(model, quick_recipe(precision))
    assert "does not give the vectors of the rounded numbers' forward pass" in message
    assert "no matter of precision" in message


class TestInThePooling:
    """Faults of a graph that pools; the network in it is right."""

    @pytest.fixture(params=["fp16", "int4"])
    def recipe(self, request: pytest.FixtureRequest) -> Recipe:
        return quick_recipe(request.param, Interface.SENTENCE_EMBEDDING)

    @pytest.mark.parametrize("precision", RECIPES)
    def test_none(self, model: Path, precision: str) -> None:
        recipe = replace(quick_recipe(precision, Interface.SENTENCE_EMBEDDING), bar=0.5)
        bundle = convert(str(model), model.parent / "out", recipe=recipe)
        assert bundle.manifest.parity.worst.worst > 0.99

    @pytest.mark.parametrize(
        "pooling", sorted(set(Pooling) - {Pooling.MEAN, Pooling.MEAN_SQRT_LEN})
    )
    def test_it_is_another(
        self, model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, pooling: Pooling
    ) -> None:
        change_graph(monkeypatch, pooling=pooling)
        assert "cosine" in refuse(model, recipe)

    def test_the_length_is_not_1(
        self, model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Cosines do not see it."""
        change_graph(monkeypatch, normalize=False)
        message = refuse(model, recipe)
        assert "times the reference's length" in message
        assert ": cosine" not in message

    def test_the_length_is_1_and_should_not_be(
        self, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = write_model(tmp_path / "model", pooling="mean", normalize=False)
        change_graph(monkeypatch, normalize=True)
        assert "times the reference's length" in refuse(model, recipe)

    def test_sums_in_place_of_means(
        self, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only the length is another, where the model does not scale it."""
        model = write_model(tmp_path / "model", pooling="mean", normalize=False)
        change_graph(monkeypatch, pooling=Pooling.MEAN_SQRT_LEN)
        assert "times the reference's length" in refuse(model, recipe)

    def test_padding_is_pooled_too(
        self, model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def all_tokens(nodes: Nodes, given: str, name: str) -> str:
            one = nodes.scalar(f"{name}.one_for_all", 1.0)
            mask = nodes.cast(given, f"{name}.true_mask")
            return nodes.node("Max", [mask, one], f"{name}.mask")

        monkeypatch.setattr("minnow.graph.pooled._mask", all_tokens)
        monkeypatch.setattr("minnow.engines.tiles._AVX2", False)  # a text alone has no padding then
        message = refuse(model, recipe)
        assert "mixed" in message
        assert "one by one" not in message

    def test_another_length_of_the_prompt(
        self, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One more would leave the vector of a text of one token without any: an error at once."""
        edit_json(model / "1_Pooling/config.json", include_prompt=False)
        right = TextTokenizer.prompt_tokens
        monkeypatch.setattr(
            TextTokenizer, "prompt_tokens", lambda self, prompt: right(self, prompt) - 1
        )
        message = refuse(model, quick_recipe("fp32"))
        assert "behind 'Represent the sentence about fish: '" in message
