"""Every engine through the suite of its kind."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.programs import run_python

from minnow.embedder import Embedder
from minnow.engines import EngineOptions, TokenBatch, open_engine
from minnow.engines.fastembed import FastembedEmbedder, write_model
from minnow.engines.llama_cpp import LlamaCppEmbedder
from minnow.engines.mnn import MnnEngine
from minnow.engines.sentence_transformers import SentenceTransformersEmbedder
from minnow.errors import EngineError, MissingExtraError
from minnow.model.original import read_original
from minnow.model.spec import Choices
from minnow.origin import rebuild_graph
from minnow.proof.references import CheckpointReference
from minnow.systems.exports import export_with_sentence_transformers

pytest.register_assert_rewrite("conformance")
from conformance import (  # noqa: E402
    CLOSE,
    LONG,
    TEXTS,
    Rig,
    TextEngineSuite,
    TextRig,
    TokenEngineSuite,
    row,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.engines import Engine, TextEmbedder
    from minnow.engines.sentence_transformers import Backend
    from minnow.model.spec import EncoderSpec

pytestmark = pytest.mark.extra("convert")


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


class OnnxEngineSuite(TokenEngineSuite):
    """Tests of engines that run an ONNX file; inherit it, and name the engine."""

    engine: str

    def open(self, model: Path | bytes, spec: EncoderSpec, *, threads: int | None = None) -> Engine:
        return open_engine(model, spec, EngineOptions(self.engine, threads))

    @pytest.fixture(scope="class")
    def rig(self, made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Rig:
        spec = made.bundle.manifest.encoder
        path = tmp_path_factory.mktemp("onnx") / "model.onnx"
        path.write_bytes(rebuild_graph(made.bundle))
        return Rig(self.open, path, spec, made.reference)

    def test_the_content_of_a_file_will_do(self, rig: Rig) -> None:
        batch = TokenBatch.pad([row(4), row(9)], 0)
        engines = [rig.engine(), self.open(rig.model.read_bytes(), rig.spec)]
        one, other = (engine.run(batch) for engine in engines)

        np.testing.assert_allclose(one, other, atol=CLOSE)
        with pytest.raises(EngineError, match="cannot load the rebuilt graph"):
            self.open(b"no model", rig.spec)

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

    def test_a_runtime_that_is_not_installed(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, self.engine, None)
        with pytest.raises(MissingExtraError, match=rf"minnow-embed\[{self.engine}\]") as caught:
            rig.engine()
        assert caught.value.extra == self.engine


@pytest.mark.extra("onnxruntime")
class TestOnnxRuntime(OnnxEngineSuite):
    engine = "onnxruntime"

    def test_layers_with_8_bit_weights_are_computed_as_written(
        self, rig: Rig, tmp_path: Path
    ) -> None:
        """ONNX Runtime's default rounds their inputs to 8 bits."""
        stored, whole = (write_rounded(rig.model, tmp_path / f"{n}.onnx", n == 1) for n in (1, 2))
        batch = TokenBatch.pad([row(12), row(5)], 0)
        one, other = (self.open(path, rig.spec).run(batch) for path in (stored, whole))
        np.testing.assert_allclose(one, other, atol=CLOSE)


def write_rounded(model: Path, path: Path, stored: bool) -> Path:
    """Write a graph with 8-bit weights, stored as such or as the numbers that they stand for."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(model))
    tables = {table.name: table for table in graph.graph.initializer}
    nodes: list[Any] = []
    for node in graph.graph.node:
        table = tables.pop(node.input[1], None) if node.op_type == "MatMul" else None
        if table is not None:
            weights = numpy_helper.to_array(table)
            steps = np.abs(weights).max(axis=0) / np.float32(127)
            codes = np.rint(weights / steps).astype(np.int8)
            added = {"codes": codes, "steps": steps} if stored else {"whole": codes * steps}
            names = [f"{table.name}.{name}" for name in added]
            for name, array in zip(names, added.values(), strict=True):
                graph.graph.initializer.append(numpy_helper.from_array(array, name))
            graph.graph.initializer.remove(table)
            node.input[1] = names[0]
            if stored:
                node.input[1] = f"{table.name}.read"
                nodes.append(
                    onnx.helper.make_node("DequantizeLinear", names, [node.input[1]], axis=1)
                )
        nodes.append(node)
    assert len(nodes) > len(graph.graph.node) or not stored
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    onnx.save(graph, str(path))
    return path


@pytest.mark.extra("openvino")
class TestOpenVino(OnnxEngineSuite):
    engine = "openvino"

    def test_bfloat16_is_coarser_but_not_wrong(self, rig: Rig) -> None:
        rows = [row(n) for n in (12, 2, 40, 1, 5)]
        engine = open_engine(rig.model, rig.spec, EngineOptions("openvino-bf16"))
        hidden = engine.run(TokenBatch.pad(rows, 0))
        engine.close()

        for ids, states in zip(rows, hidden, strict=True):
            expected = rig.reference.hidden_states(ids)
            np.testing.assert_allclose(states[: len(ids)], expected, atol=0.1)

    def test_fewer_threads_than_cpus_are_not_bound_to_the_first(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("minnow.engines.openvino.usable_cpus", lambda: 2)
        engine: Any = open_engine(rig.model, rig.spec, EngineOptions("openvino", threads=1))
        engine.run(TokenBatch.pad([row(3)], 0))
        compiled = engine._whole._request.get_compiled_model()
        engine.close()
        assert compiled.get_property("ENABLE_CPU_PINNING") is False


def in_a_forked_child(job: Callable[[], str]) -> str:
    """Return the result of a job in a forked child; a hang is an error after some seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            answer = job()
        except EngineError as error:
            answer = f"error: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return answer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.extra("onnxruntime")
@pytest.mark.extra("openvino")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_an_engine_outlives_a_fork(made: Tiny, engine: str) -> None:
    with Embedder.open(made.bundle, engine=engine, threads=2) as embedder:
        here = str(embedder.encode(TEXTS * 20).round(3).tolist())
        assert in_a_forked_child(lambda: str(embedder.encode(TEXTS * 20).round(3).tolist())) == here


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.extra("onnxruntime")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_model_from_memory_does_not_outlive_a_fork(made: Tiny) -> None:
    """ONNX Runtime's threads are the parent's, and nothing is left to load again."""
    model, spec = rebuild_graph(made.bundle), made.bundle.manifest.encoder
    batch = TokenBatch.pad([row(5)], 0)

    def states(engine: Engine) -> str:
        return str(engine.run(batch).dtype)

    for threads, expected in ((1, "float32"), (2, "error: ONNX Runtime loaded this model from")):
        engine = open_engine(model, spec, EngineOptions("onnxruntime", threads=threads))
        assert states(engine) == "float32"
        assert in_a_forked_child(partial(states, engine)).startswith(expected)
        engine.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.extra("openvino")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_lanes_of_openvino_stay_behind_at_a_fork(made: Tiny) -> None:
    """Their threads are the parent's: a child that waited for one would hang."""
    with Embedder.open(made.bundle, engine="openvino", threads=2) as embedder:

        def many() -> str:
            return str(embedder.encode(TEXTS * 20, batch_size=2).round(3).tolist())

        here = many()
        assert len(embedder.pipeline.engine.lanes(20)) == 2
        assert in_a_forked_child(many) == here
        assert many() == here


@pytest.mark.extra("openvino")
def test_ctrl_c_after_two_openvino_engines_is_no_crash(made: Tiny, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(rebuild_graph(made.bundle))
    ended = run_python(_TWO_ENGINES, made.bundle.folder, model)
    assert (ended.stdout, ended.returncode) == ("stopped\n", 0), ended.stderr


_TWO_ENGINES = """
import gc, signal, sys
from pathlib import Path
from minnow import Bundle
from minnow.engines import EngineOptions, open_engine

spec = Bundle.open(sys.argv[1]).manifest.encoder
first, second = (open_engine(Path(sys.argv[2]), spec, EngineOptions("openvino")) for _ in range(2))
for engine in (first, second):
    engine.close()
del engine, first
gc.collect()
del second
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.extra("openvino")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_openvino_is_not_loaded_where_it_would_hang(made: Tiny) -> None:
    Embedder.open(made.bundle, engine="openvino").close()

    def open_again() -> str:
        return Embedder.open(made.bundle, engine="openvino").name

    assert "used before this process was forked" in in_a_forked_child(open_again)


def test_an_engine_that_is_not_in_the_table(made: Tiny) -> None:
    with pytest.raises(EngineError, match="no engine 'tensorrt'; choose mnn, onnxruntime"):
        open_engine(made.bundle.encoder, made.bundle.manifest.encoder, EngineOptions("tensorrt"))


def test_sentence_transformers_that_is_not_installed(
    made: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"minnow-embed\[sentence-transformers\]"):
        SentenceTransformersEmbedder(made.source.folder)


def text_rig(made: Tiny, open_it: Callable[[], TextEmbedder], close: float = CLOSE) -> TextRig:
    """A text engine over the tiny model, beside the forward pass in NumPy."""
    tokens = CheckpointReference(read_original(made.source, Choices()))
    return TextRig(
        open_it,
        lambda texts: np.stack([made.reference.vector(ids) for ids in tokens.token_ids(texts)]),
        close,
    )


class EmbedderSuite(TextEngineSuite):
    """Tests of minnow's own embedder over a token engine; inherit it, and name the engine."""

    engine = "mnn"
    close = CLOSE

    @pytest.fixture(scope="class")
    def rig(self, made: Tiny) -> TextRig:
        opened = partial(Embedder.open, made.bundle, engine=self.engine, on_truncate="ignore")
        return text_rig(made, opened, self.close)

    @pytest.fixture(scope="class")
    def embedder(self, rig: TextRig) -> TextEmbedder:
        return rig.open()


class TestEmbedderOnMnn(EmbedderSuite):
    pass


class TestEmbedderOnMnnThatPools(EmbedderSuite):
    """A bundle whose encoder gives vectors."""

    @pytest.fixture(scope="class")
    def rig(self, pooled: Tiny) -> TextRig:
        return text_rig(pooled, partial(Embedder.open, pooled.bundle, on_truncate="ignore"))


@pytest.mark.extra("onnxruntime")
class TestEmbedderOnOnnxRuntime(EmbedderSuite):
    engine = "onnxruntime"


@pytest.mark.extra("openvino")
class TestEmbedderOnOpenVino(EmbedderSuite):
    engine = "openvino"


@pytest.mark.extra("openvino")
class TestEmbedderOnOpenVinoInBfloat16(EmbedderSuite):
    engine = "openvino-bf16"
    close = 0.03

    @pytest.fixture(scope="class", autouse=True)
    def _processor(self) -> None:
        from minnow.engines.openvino import computes_bf16

        if not computes_bf16():
            pytest.skip("openvino-bf16 needs a CPU with instructions for bfloat16")


@pytest.mark.extra("llama-cpp")
class TestLlamaCpp(TextEngineSuite):
    """llama.cpp computes GELU from a table in half precision, float32 weights or not."""

    @pytest.fixture(scope="class")
    def rig(self, made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> TextRig:
        from minnow.export.gguf import write_gguf

        file = tmp_path_factory.mktemp("gguf") / "tiny-f32.gguf"
        write_gguf(made.source, file, kind="f32")
        return text_rig(made, partial(LlamaCppEmbedder, file, threads=2), 2e-3)

    @pytest.fixture(scope="class")
    def embedder(self, rig: TextRig) -> TextEmbedder:
        return rig.open()


@pytest.mark.extra("sentence-transformers")
class TestSentenceTransformers(TextEngineSuite):
    @pytest.fixture(scope="class")
    def rig(self, made: Tiny) -> TextRig:
        return text_rig(made, partial(SentenceTransformersEmbedder, made.source.folder))

    @pytest.fixture(scope="class")
    def embedder(self, rig: TextRig) -> SentenceTransformersEmbedder:
        opened = rig.open()
        assert isinstance(opened, SentenceTransformersEmbedder)
        return opened

    def test_it_names_its_version(self, embedder: SentenceTransformersEmbedder) -> None:
        assert embedder.name.startswith("sentence-transformers ")

    def test_token_ids_are_cut_at_the_limit(self, embedder: SentenceTransformersEmbedder) -> None:
        assert [len(ids) for ids in embedder.token_ids(["fish", LONG, ""])] == [3, 24, 2]

    def test_plain_encoding_puts_no_prompt_first(
        self, embedder: SentenceTransformersEmbedder
    ) -> None:
        plain = embedder.encode(["query: fish"])
        np.testing.assert_allclose(plain, embedder.encode_query(["fish"]), atol=CLOSE)

    def test_a_folder_that_is_no_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match="cannot load"):
            SentenceTransformersEmbedder(tmp_path)


class BackendSuite(TextEngineSuite):
    """Tests of sentence-transformers on a back end other than torch; inherit it, and name that."""

    backend: Backend
    close = CLOSE

    @pytest.fixture(scope="class")
    def rig(self, made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> TextRig:
        folder = tmp_path_factory.mktemp("exported")
        export_with_sentence_transformers(made.source.folder, self.backend, folder)
        opened = partial(
            SentenceTransformersEmbedder,
            folder,
            threads=1,
            query_prompt="query: ",
            document_prompt="passage: ",
            backend=self.backend,
        )
        return text_rig(made, opened, self.close)

    @pytest.fixture(scope="class")
    def embedder(self, rig: TextRig) -> TextEmbedder:
        return rig.open()

    def test_it_names_its_back_end(self, embedder: TextEmbedder) -> None:
        assert embedder.name.endswith(f" on {self.backend}")


@pytest.mark.extra("st-backends")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
class TestSentenceTransformersOnOnnx(BackendSuite):
    backend = "onnx"

    def test_it_runs_on_the_given_number_of_threads(self, embedder: TextEmbedder) -> None:
        assert isinstance(embedder, SentenceTransformersEmbedder)
        session = embedder._model[0].auto_model.session
        assert session.get_session_options().intra_op_num_threads == 1


@pytest.mark.extra("st-backends")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
class TestSentenceTransformersOnOpenVino(BackendSuite):
    """In bfloat16, where the processor has it."""

    backend = "openvino"
    close = 0.03

    def test_it_runs_on_the_given_number_of_threads(self, embedder: TextEmbedder) -> None:
        assert isinstance(embedder, SentenceTransformersEmbedder)
        request = embedder._model[0].auto_model.request
        assert request.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.extra("fastembed")
@pytest.mark.extra("onnxruntime")
class TestFastembed(TextEngineSuite):
    @pytest.fixture(scope="class")
    def rig(self, made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> TextRig:
        folder = tmp_path_factory.mktemp("fastembed")
        manifest = made.bundle.manifest
        write_model(
            folder,
            tokenizer=made.source.file("tokenizer.json"),
            encoder=manifest.encoder,
            embedding=manifest.embedding,
            graph=rebuild_graph(made.bundle),
        )
        opened = partial(
            FastembedEmbedder, folder, manifest.embedding, encoder=manifest.encoder, threads=1
        )
        return text_rig(made, opened)

    @pytest.fixture(scope="class")
    def embedder(self, rig: TextRig) -> TextEmbedder:
        return rig.open()
