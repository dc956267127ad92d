"""The option `memory`: it reaches MNN, and its effect on vectors."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import embedding_of, encoder_of, source_of, write_model
from fakes.programs import answer_of, refused, run_minnow
from fakes.sealed import MANIFEST_OF_A_TEST

from minnow.bundle import Bundle, seal, staging
from minnow.convert.mnn import CHILD, converter_options
from minnow.embedder import Embedder
from minnow.engines import EngineOptions, TokenBatch, open_engine
from minnow.engines.mnn import MnnEngine
from minnow.errors import EngineError, InputError
from minnow.graph.encoder import build_graph
from minnow.manifest import ENCODER, TOKENIZER
from minnow.model.checkpoint import read_tensors
from minnow.model.families import network_of
from minnow.model.reference import ReferenceModel
from minnow.processes import run_child
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.engines.base import MemoryName

pytestmark = pytest.mark.extra("convert")

ROWS = [[2, *range(10, 10 + n), 3] for n in (30, 12, 3, 21, 1)]
BLOCK = 16

# Of MNN 3.6.1's converter: its option --weightQuantAsymmetric turns that off, not on.
WHOLE_NUMBERS = [
    "--weightQuantBits", "8", "--weightQuantBlock", str(BLOCK), "--weightQuantScaleBit", "16",
]  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A bundle, and the forward pass in NumPy with the weights that are in it."""

    bundle: Bundle
    reference: ReferenceModel

    def states(self, memory: MemoryName, *, threads: int = 1) -> NDArray[np.float32]:
        """Return the token states of ROWS, in one batch."""
        engine = MnnEngine(
            self.bundle.encoder, self.bundle.manifest.encoder, threads=threads, memory=memory
        )
        states = engine.run(TokenBatch.pad(ROWS, 0))
        engine.close()
        return states


def on_a_grid(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
    """Return weights that 8 bits hold exactly: every block spans -128 to 127, by 2**-9."""
    if name.startswith("embeddings.") or tensor.ndim != 2:
        return tensor
    rng = np.random.default_rng(len(name))
    codes = rng.integers(-128, 128, (tensor.shape[0], tensor.shape[1] // BLOCK, BLOCK))
    codes[:, :, 0], codes[:, :, 1] = -128, 127
    return (codes.reshape(tensor.shape) * 2.0**-9).astype(np.float32)


def make(folder: Path, options: list[str]) -> Made:
    """Make a bundle of a tiny model, converted with options that no recipe has."""
    model = write_model(folder / "model", pooling="mean")
    spec, embedding = encoder_of(model), embedding_of(model)
    read = read_tensors(source_of(model), spec)
    tensors = {name: on_a_grid(name, tensor) for name, tensor in read.items()}
    manifest = replace(MANIFEST_OF_A_TEST, encoder=spec, embedding=embedding)
    with staging(folder / "tiny.minnow") as staged:
        graph = folder / "graph.onnx"
        graph.write_bytes(build_graph(network_of(spec), tensors).SerializeToString())
        command = [
            sys.executable, str(CHILD), str(graph), str(staged / ENCODER), ",".join(spec.inputs),
            *converter_options(RECIPES["fp32"]), *options,
        ]  # fmt: skip
        run_child("the converter", command, log=folder / "log", folder=folder)
        (staged / TOKENIZER).write_bytes((model / TOKENIZER).read_bytes())
        bundle = seal(staged, manifest, folder / "tiny.minnow")
    return Made(bundle, ReferenceModel(network_of(spec), embedding.head, tensors))


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("int8"), WHOLE_NUMBERS)


@pytest.fixture(scope="module")
def fp16(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("fp16"), ["--fp16"])


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of every real token's states."""
    tokens = TokenBatch.pad(ROWS, 0).attention_mask.astype(bool)
    return rowwise_cosine(one[tokens], other[tokens])


class TestWholeNumbers:
    @pytest.mark.parametrize("memory", ["normal", "high"])
    def test_normal_and_high_are_the_weights_themselves(
        self, int8: Made, memory: MemoryName
    ) -> None:
        for ids, states in zip(ROWS, int8.states(memory), strict=True):
            expected = int8.reference.hidden_states(ids)
            np.testing.assert_allclose(states[: len(ids)], expected, atol=2e-5)

    def test_normal_is_the_default(self, int8: Made) -> None:
        engine = open_engine(
            int8.bundle.encoder, int8.bundle.manifest.encoder, EngineOptions(threads=1)
        )
        assert np.array_equal(engine.run(TokenBatch.pad(ROWS, 0)), int8.states("normal"))
        engine.close()

    def test_low_reaches_mnn(self, int8: Made) -> None:
        """MNN takes a string for the default, without a word."""
        found = cosines(int8.states("low"), int8.states("normal"))
        assert 0.9 < found.min() < 1 - 1e-7

    def test_low_rounds_by_block(self, int8: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        exact = int8.states("normal")
        by_block = cosines(int8.states("low"), exact)
        monkeypatch.setattr("minnow.engines.mnn.BY_BLOCK", 0)
        by_token = cosines(int8.states("low"), exact)

        assert 1 - by_block.mean() < 0.8 * (1 - by_token.mean())

    def test_the_other_texts_of_a_batch_do_not_matter(self, int8: Made) -> None:
        """A token's scales are its own; padding may move a number to the next step."""
        engine = MnnEngine(int8.bundle.encoder, int8.bundle.manifest.encoder, memory="low")
        first, *others = ROWS
        (alone,) = engine.run(TokenBatch.pad([first], 0))
        for other in others:
            together = engine.run(TokenBatch.pad([first, other], 0))
            np.testing.assert_allclose(together[0], alone, atol=1e-5)
            (unpadded,) = engine.run(TokenBatch.pad([other], 0))
            assert rowwise_cosine(together[1][: len(other)], unpadded).min() > 0.999
        engine.close()

    def test_low_does_not_depend_on_the_threads(self, int8: Made) -> None:
        one, two = (int8.states("low", threads=threads) for threads in (1, 2))
        assert cosines(one, two).min() > 0.9999

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_low_survives_a_fork(self, int8: Made) -> None:
        code = f"""
import os, signal, sys
import numpy as np
from minnow.bundle import Bundle
from minnow.engines import TokenBatch
from minnow.engines.mnn import MnnEngine

bundle = Bundle.open(sys.argv[1])
batch = TokenBatch.pad({ROWS}, 0)
low, normal = (
    MnnEngine(bundle.encoder, bundle.manifest.encoder, threads=1, memory=memory)
    for memory in ("low", "normal")
)
expected, exact = low.run(batch), normal.run(batch)
child = os.fork()
if child == 0:
    signal.alarm(20)
    found = low.run(batch)
    as_before = np.abs(found - expected).max() < 1e-5
    os._exit(0 if as_before and np.abs(found - exact).max() > 1e-3 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        assert answer_of(code, int8.bundle.folder) == "0\n"


@pytest.mark.parametrize("memory", ["low", "high"])
def test_floats_give_the_same_states(fp16: Made, memory: MemoryName) -> None:
    found, exact = fp16.states(memory), fp16.states("normal")
    np.testing.assert_allclose(found, exact, atol=1e-5)


class TestEmbedder:
    def test_it_passes_the_option_on(self, int8: Made) -> None:
        vectors: dict[MemoryName, NDArray[np.float32]] = {}
        modes: tuple[MemoryName, ...] = ("normal", "low", "high")
        for memory in modes:
            with Embedder.open(int8.bundle, threads=1, memory=memory) as embedder:
                vectors[memory] = embedder.encode(["how do fish sleep", "red", ""])
        folder, manifest = int8.bundle.folder, int8.bundle.manifest
        with Embedder.from_files(
            folder, manifest.encoder, manifest.embedding, threads=1, memory="low"
        ) as embedder:
            again = embedder.encode(["how do fish sleep", "red", ""])

        assert np.array_equal(vectors["high"], vectors["normal"])
        assert np.array_equal(vectors["low"], again)
        assert 0.9 < rowwise_cosine(vectors["low"], vectors["normal"]).min() < 1 - 1e-7

    @pytest.mark.parametrize("engine", ["mnn", "onnxruntime"])
    def test_another_word_is_refused(self, int8: Made, engine: str) -> None:
        with pytest.raises(InputError, match="should be normal, low, high, not 'tiny'"):
            Embedder.open(int8.bundle, engine=engine, memory="tiny")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="should be normal, low, high, not 2"):
            MnnEngine(
                int8.bundle.encoder,
                int8.bundle.manifest.encoder,
                memory=2,  # type: ignore[arg-type]
            )

    @pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "openvino-bf16"])
    def test_other_engines_have_no_such_option(self, int8: Made, engine: str) -> None:
        """Whether or not they are installed, and before the checkpoint is looked for."""
        with pytest.raises(InputError, match=f"an option of MNN; the engine '{engine}' does not"):
            Embedder.open(int8.bundle, engine=engine, memory="low", source="nowhere")

    def test_an_unknown_engine_is_the_first_fault(self, int8: Made) -> None:
        with pytest.raises(EngineError, match="no engine 'tensorrt'"):
            Embedder.open(int8.bundle, engine="tensorrt", memory="low")


class TestCommand:
    def test_embed_passes_the_option_on(self, int8: Made) -> None:
        with Embedder.open(int8.bundle, threads=1, memory="low") as embedder:
            expected = embedder.encode("how do fish sleep")
        done = run_minnow(
            "embed", int8.bundle.folder, "how do fish sleep", "--memory", "low", "--threads", "1"
        )
        assert (done.code, done.stderr) == (0, "")
        np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-6)

    def test_another_word_is_wrong_usage(self, int8: Made) -> None:
        done = run_minnow("embed", int8.bundle.folder, "fish", "--memory", "tiny")
        assert "'tiny' is not one of 'normal', 'low', 'high'" in refused(done, 2)
