"""The fastembed engine, beyond what every text engine does: its form of a model."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import (
    change_tokenizer,
    edit_json,
    embedding_of,
    encoder_of,
    ids_of,
    source_of,
    write_model,
)

from minnow.engines import EngineOptions, TokenBatch, open_engine
from minnow.engines.fastembed import GRAPH, FastembedEmbedder, widen_inputs
from minnow.engines.fastembed import write_model as write_form
from minnow.errors import EngineError, MissingExtraError
from minnow.graph.encoder import build_graph
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.model.tokenizer import TextTokenizer
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("onnxruntime")]

needs_fastembed = pytest.mark.extra("fastembed")
TEXTS = ["fish", "How DO fish sleep", "", "the big red river " * 9]


def graph_of(model: Path) -> bytes:
    original = read_original(source_of(model))
    content: bytes = build_graph(original.network, original.tensors).SerializeToString()
    return content


def form_of(model: Path, folder: Path, graph: Path | bytes) -> Path:
    folder.mkdir()
    write_form(
        folder,
        tokenizer=model / "tokenizer.json",
        encoder=encoder_of(model),
        embedding=embedding_of(model),
        graph=graph,
    )
    return folder


def opened(model: Path, folder: Path, threads: int = 1) -> FastembedEmbedder:
    return FastembedEmbedder(
        folder, embedding_of(model), encoder=encoder_of(model), threads=threads
    )


@needs_fastembed
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize(
    ("pooling", "normalize"), [("cls", True), ("mean", False), ("lasttoken", True)]
)
def test_vectors_are_those_of_the_reference(
    tmp_path: Path, family: str, pooling: str, normalize: bool
) -> None:
    model = write_model(tmp_path / "m", family=family, pooling=pooling, normalize=normalize)
    original = read_original(source_of(model))
    reference = ReferenceModel(original.network, original.head, dict(original.tensors))
    tokenizer = TextTokenizer(model / "tokenizer.json", max_tokens=original.embedding.max_tokens)
    rows = [text.ids for text in tokenizer.tokenize(TEXTS)]
    embedder = opened(model, form_of(model, tmp_path / "form", graph_of(model)))

    assert embedder.token_ids(TEXTS) == rows
    expected = np.stack([reference.vector(ids) for ids in rows])
    np.testing.assert_allclose(embedder.encode(TEXTS), expected, atol=2e-5)


@needs_fastembed
def test_texts_are_lowercased_where_the_model_says_so(tmp_path: Path) -> None:
    from tokenizers.normalizers import BertNormalizer

    model = write_model(tmp_path / "m")
    change_tokenizer(
        model / "tokenizer.json",
        lambda t: setattr(t, "normalizer", BertNormalizer(lowercase=False)),
    )
    edit_json(model / "tokenizer_config.json", do_lower_case=False)
    graph = graph_of(model)
    cased = opened(model, form_of(model, tmp_path / "cased", graph))
    assert cased.token_ids(["FISH"]) != cased.token_ids(["fish"])

    settings = {"max_seq_length": 24, "do_lower_case": True}
    (model / "sentence_bert_config.json").write_text(json.dumps(settings))
    lowered = opened(model, form_of(model, tmp_path / "lowered", graph))
    assert lowered.token_ids(["FISH"]) == cased.token_ids(["fish"])


@needs_fastembed
def test_the_number_of_threads_is_passed_on(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    embedder = opened(model, form_of(model, tmp_path / "form", graph_of(model)), threads=2)
    session = embedder._model.model.model
    assert session.get_session_options().intra_op_num_threads == 2
    with pytest.raises(EngineError, match="at least 1, not 0"):
        opened(model, tmp_path / "form", threads=0)


@needs_fastembed
def test_a_graph_of_something_else_is_refused(tmp_path: Path) -> None:
    model, broken = write_model(tmp_path / "m"), tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(EngineError, match=r"fastembed cannot load .*form"):
        opened(model, form_of(model, tmp_path / "form", broken))


@needs_fastembed
def test_a_graph_of_another_width_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    folder = form_of(model, tmp_path / "form", graph_of(model))
    narrow = replace(encoder_of(model), width=16)
    embedder = FastembedEmbedder(folder, embedding_of(model), encoder=narrow)
    with pytest.raises(EngineError, match=r"shape \(1, 32\), not \(1, 16\)"):
        embedder.encode(["fish"])


def test_the_authors_graph_is_linked_with_its_weights(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    (model / "onnx").mkdir()
    author = model / "onnx/model.onnx"
    author.write_bytes(b"graph")
    author.with_name("model.onnx_data").write_bytes(b"weights")
    folder = form_of(model, tmp_path / "form", author)
    assert (folder / GRAPH).samefile(author)
    assert (folder / "model.onnx_data").read_bytes() == b"weights"


def test_an_unsupported_pooling_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", pooling="max")
    for refused in (
        lambda: form_of(model, tmp_path / "form", b""),
        lambda: opened(model, tmp_path / "form"),
    ):
        with pytest.raises(EngineError, match="pools by cls, mean, lasttoken; this model by max"):
            refused()
    assert list((tmp_path / "form").iterdir()) == []


def test_wider_inputs_change_nothing_else(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m")
    narrow = graph_of(model)
    batch = TokenBatch.pad([ids_of("fish sleep in the river"), ids_of("fish")], 0)
    rows = []
    for graph in (narrow, widen_inputs(narrow), widen_inputs(widen_inputs(narrow))):
        engine = open_engine(graph, encoder_of(model), EngineOptions("onnxruntime", threads=1))
        rows.append((engine.run(batch), set(engine._inputs.values())))  # type: ignore[attr-defined]
    assert [kinds for _, kinds in rows] == [{np.int32}, {np.int64}, {np.int64}]
    assert all(np.array_equal(states, rows[0][0]) for states, _ in rows)


def test_a_library_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path / "m")
    monkeypatch.setitem(sys.modules, "fastembed", None)
    with pytest.raises(MissingExtraError, match=r"minnow-embed\[fastembed\]"):
        opened(model, tmp_path)
