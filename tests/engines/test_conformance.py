"""Every engine through the suite of its kind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import Tiny, make_tiny

from minnow.engines.mnn import MnnEngine
from minnow.engines.onnxruntime import OnnxRuntimeEngine
from minnow.engines.sentence_transformers import SentenceTransformersEmbedder
from minnow.errors import EngineError, MissingExtraError
from minnow.model.checkpoint import read_tensors
from minnow.model.graph import build_graph

pytest.register_assert_rewrite("conformance")
from conformance import CLOSE, Rig, TokenEngineSuite  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.engines import TextEmbedder

pytestmark = pytest.mark.extra("convert")

TEXTS = ["fish", "how do fish sleep", "a", "the big red river " * 9, ""]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


class TestMnn(TokenEngineSuite):
    @pytest.fixture(scope="class")
    def rig(self, made: Tiny) -> Rig:
        return Rig(MnnEngine, made.bundle.encoder, made.bundle.manifest.encoder, made.reference)

    def test_a_runtime_that_is_not_installed(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "MNN", None)
        with pytest.raises(EngineError, match="pip install mnn"):
            rig.engine()


@pytest.mark.extra("onnxruntime")
class TestOnnxRuntime(TokenEngineSuite):
    @pytest.fixture(scope="class")
    def rig(self, made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Rig:
        spec = made.bundle.manifest.encoder
        graph = build_graph(spec, read_tensors(made.source, spec))
        path = tmp_path_factory.mktemp("onnx") / "model.onnx"
        path.write_bytes(graph.SerializeToString())
        return Rig(OnnxRuntimeEngine, path, spec, made.reference)

    def test_a_graph_that_is_no_encoder_is_refused(self, rig: Rig, tmp_path: Path) -> None:
        import onnx

        graph = onnx.load(str(rig.model))
        for node in graph.graph.node:
            node.input[:] = ["ids" if name == "input_ids" else name for name in node.input]
        graph.graph.input[0].name = "ids"
        other = tmp_path / "other.onnx"
        onnx.save(graph, str(other))

        with pytest.raises(EngineError, match="has inputs"):
            rig.open(other, rig.spec)


def test_onnxruntime_that_is_not_installed(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"minnow-embed\[onnxruntime\]") as caught:
        OnnxRuntimeEngine(made.bundle.encoder, made.bundle.manifest.encoder)
    assert caught.value.extra == "onnxruntime"


def test_sentence_transformers_that_is_not_installed(
    made: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"minnow-embed\[sentence-transformers\]"):
        SentenceTransformersEmbedder(made.source.folder)


@pytest.mark.extra("sentence-transformers")
class TestSentenceTransformers:
    @pytest.fixture(scope="class")
    def engine(self, made: Tiny) -> SentenceTransformersEmbedder:
        return SentenceTransformersEmbedder(made.source.folder)

    def test_it_is_a_text_engine_that_names_its_version(
        self, engine: SentenceTransformersEmbedder
    ) -> None:
        text_engine: TextEmbedder = engine
        assert text_engine.name.startswith("sentence-transformers ")

    def test_vectors_are_those_of_the_reference(
        self, engine: SentenceTransformersEmbedder, made: Tiny
    ) -> None:
        vectors = engine.encode(TEXTS)
        expected = [made.reference.vector(ids) for ids in engine.token_ids(TEXTS)]

        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=CLOSE)

    def test_token_ids_are_cut_at_the_limit(self, engine: SentenceTransformersEmbedder) -> None:
        assert [len(ids) for ids in engine.token_ids(TEXTS)] == [3, 6, 3, 24, 2]

    def test_roles_put_their_prompt_first(self, engine: SentenceTransformersEmbedder) -> None:
        asked, told = engine.encode_query(["fish"]), engine.encode_document(["fish"])
        plain = engine.encode(["query: fish", "passage: fish"])

        np.testing.assert_allclose(np.concatenate([asked, told]), plain, atol=CLOSE)

    def test_a_folder_that_is_no_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match="cannot load"):
            SentenceTransformersEmbedder(tmp_path)
