"""Faults that the field ships, planted one by one: none of them may be sealed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import VOCABULARY, write_model, write_tokenizer

from minnow.convert import convert
from minnow.convert import mnn as converter
from minnow.convert.verify import prove as real_prove
from minnow.errors import ConversionError, MinnowError, ParityError
from minnow.recipe import RECIPES
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.extra("convert")

PIPELINE = "minnow.convert"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", pooling="mean")


def refuse(model: Path, error: type[MinnowError] = ParityError) -> str:
    """Convert, expect a refusal, and check that nothing at all was left behind."""
    destination = model.parent / "out"
    with pytest.raises(error) as caught:
        convert(str(model), destination)
    assert sorted(path.name for path in model.parent.iterdir()) == ["model"]
    return str(caught.value)


def change_graph_tensors(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]
) -> None:
    """Let the graph, but not the reference, be written from changed tensors."""
    from minnow.model.graph import build_graph

    def build(spec: Any, tensors: dict[str, Any], packed: Any) -> Any:
        changed = dict(tensors)
        change(changed)
        return build_graph(spec, changed, packed)

    monkeypatch.setattr(f"{PIPELINE}.build_graph", build)


def test_the_unchanged_model_is_sealed(model: Path) -> None:
    bundle = convert(str(model), model.parent / "out")
    assert bundle.manifest.parity.worst.worst >= RECIPES["fp16"].bar


def test_wrong_pooling(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(folder: Any, encoder: Any, embedding: Any, *rest: Any, **more: Any) -> Any:
        wrong = replace(embedding, pooling=Pooling.CLS)
        return real_prove(folder, encoder, wrong, *rest, **more)

    monkeypatch.setattr(f"{PIPELINE}.prove", prove)
    message = refuse(model)
    assert "Refused" in message
    assert "cosine" in message


def test_permuted_vocabulary_in_the_bundle(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(origin: Any, folder: Path) -> None:
        del origin
        at = VOCABULARY.index("fish")
        swapped = (*VOCABULARY[:at], VOCABULARY[at + 1], VOCABULARY[at], *VOCABULARY[at + 2 :])
        write_tokenizer(folder, swapped)

    monkeypatch.setattr(f"{PIPELINE}._copy_metadata", copy)
    assert "other token ids" in refuse(model)


def test_permuted_vocabulary_in_the_source(model: Path) -> None:
    path = model / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["fish"], vocabulary["sleep"] = vocabulary["sleep"], vocabulary["fish"]
    path.write_text(json.dumps(content))
    assert "vocab.txt" in refuse(model, MinnowError)


def test_permuted_word_table(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["embeddings.word"] = np.roll(tensors["embeddings.word"], 1, axis=0)

    change_graph_tensors(monkeypatch, change)
    refuse(model)


@pytest.mark.parametrize("part", ["query", "value", "attention_output", "inner", "output"])
def test_zeroed_layer(model: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    def change(tensors: dict[str, Any]) -> None:
        name = f"layer.1.{part}.weight"
        tensors[name] = np.zeros_like(tensors[name])

    change_graph_tensors(monkeypatch, change)
    refuse(model)


def test_positions_off_by_one(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["embeddings.position"] = np.roll(tensors["embeddings.position"], 1, axis=0)

    change_graph_tensors(monkeypatch, change)
    refuse(model)


def test_mask_is_ignored(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minnow.model.graph.MASKED", 0.0)
    message = refuse(model)
    assert "mixed" in message
    assert "one by one" not in message


def test_transformer_fuse(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = converter.converter_options

    def fused(recipe: Any) -> list[str]:
        return [*options(recipe), "--transformerFuse"]

    monkeypatch.setattr("minnow.convert.mnn.converter_options", fused)
    refuse(model)


def test_truncated_encoder(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(graph: Path, encoder: Path, *rest: Any, **more: Any) -> None:
        converter.convert_to_mnn(graph, encoder, *rest, **more)
        encoder.write_bytes(encoder.read_bytes()[:-1000])

    monkeypatch.setattr(f"{PIPELINE}.convert_to_mnn", cut)
    refuse(model, MinnowError)


def test_nan_in_the_encoder(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["layer.0.inner.bias"] = np.full_like(tensors["layer.0.inner.bias"], np.nan)

    change_graph_tensors(monkeypatch, change)
    assert "NaN" in refuse(model)


def test_converter_that_writes_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: Any) -> Any:
        class Garbage:
            def SerializeToString(self) -> bytes:  # noqa: N802
                return b"not a graph"

        return Garbage()

    monkeypatch.setattr(f"{PIPELINE}.build_graph", write)
    assert "converter" in refuse(model, ConversionError)
