"""Batches too large for MNN or for the memory are divided, or refused by name, before any harm."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import source_of, write_model
from fakes.gguf_files import make
from fakes.programs import answer_of

from minnow import resources
from minnow.convert.mnn import convert_to_mnn
from minnow.embedder import Embedder
from minnow.engines import TokenBatch, sizes
from minnow.engines.mnn import MnnEngine
from minnow.engines.sizes import batch_memory, check_scores, count_scores
from minnow.errors import BatchSizeError
from minnow.graph.encoder import build_graph
from minnow.graph.form import GraphForm
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.families import network_of
from minnow.model.spec import Activation, EncoderSpec
from minnow.recipe import RECIPES
from minnow.resources import FreeMemory
from minnow.serve.errors import ApiError
from minnow.serve.models import ServedEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakes.bundles import Tiny

BASE = EncoderSpec(
    "modernbert", 50000, 768, 22, 12, 1152, 8192, 0, 0, Activation.GELU, 1e-5, 0
)  # fmt: skip
WORDS = "the small red fish run in the blue water of the river and sleep"
TEXTS = ["a fish", WORDS, "the sea", "blue water", "red fish run", "the river"]


def test_the_limit_of_mnn_is_met_where_it_was_measured() -> None:
    """12 heads run at 6656 tokens, and end the process at 6720."""
    check_scores((1, 6656), BASE, heads_apart=False)
    with pytest.raises(BatchSizeError, match="one text padded to 6720 tokens has 541900800 "):
        check_scores((1, 6720), BASE, heads_apart=False)
    check_scores((7, 8192), BASE, heads_apart=True)
    with pytest.raises(BatchSizeError, match="8 texts padded to 8192 tokens"):
        check_scores((8, 8192), BASE, heads_apart=True)
    assert count_scores((2, 10), BASE, heads_apart=False) == 2 * 12 * 100


@pytest.mark.extra("convert")
def test_an_engine_refuses_before_it_resizes(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = MnnEngine(made.bundle.folder / "encoder.mnn", made.bundle.manifest.encoder)
    batch = TokenBatch.pad([[2, 9, 12, 3]], 0)
    before = engine.run(batch)
    monkeypatch.setattr(sizes, "MOST_SCORES", 64)
    with pytest.raises(BatchSizeError, match="one text padded to 4 tokens has 64"):
        engine.run(batch)
    monkeypatch.undo()
    np.testing.assert_array_equal(engine.run(batch), before)
    engine.close()


@pytest.mark.extra("convert")
@pytest.mark.parametrize("kind", ["scores", "memory"])
def test_batches_are_divided_and_a_text_that_is_too_long_is_named(
    made: Tiny, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = made.bundle.manifest.encoder
    with Embedder.open(made.bundle) as embedder:
        expected = embedder.encode(TEXTS, prompt="")
        embedder.encode("sea", prompt="")  # a session that has the memory already is not asked
        lengths = [len(ids) for ids in embedder.token_ids(TEXTS)]
        longest = max(lengths)
        if kind == "scores":
            most = count_scores((1, longest), spec, heads_apart=False)
            monkeypatch.setattr(sizes, "MOST_SCORES", most + 1)
        else:
            most = batch_memory((1, longest), spec, heads_apart=False)
            plant(monkeypatch, most)
        found = embedder.encode(TEXTS, prompt="")
        np.testing.assert_allclose(found, expected, atol=1e-6)
        if kind == "scores":
            monkeypatch.setattr(sizes, "MOST_SCORES", most)
        else:
            plant(monkeypatch, most - 1)
        with pytest.raises(BatchSizeError, match=rf"Text 1 of {longest} tokens is too long"):
            embedder.encode(TEXTS, prompt="")
        with pytest.raises(BatchSizeError, match="smaller limit"):
            embedder.encode_batch(TEXTS)


def plant(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Leave so many bytes free."""
    for module in (resources, sizes):
        monkeypatch.setattr(module, "free_memory", lambda: FreeMemory(free, "this machine"))
    monkeypatch.setattr(resources, "UNCHECKED", 0)
    monkeypatch.setattr(sizes, "_UNCHECKED", 0)


@pytest.mark.extra("convert")
def test_a_server_answers_413_and_goes_on(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with Embedder.open(made.bundle) as embedder:
        model = ServedEmbedder("tiny", made.bundle, embedder)
        rows = model.tokens(TEXTS, "")
        plant(monkeypatch, 1000)
        with pytest.raises(ApiError, match="of memory, and this machine has") as caught:
            model.forward(model.whole, [rows[1]])
        assert (caught.value.status, caught.value.code) == (413, "request_too_large")
        monkeypatch.undo()
        assert len(model.forward(model.whole, [rows[0]])) == 1


def test_libraries_that_divide_texts_get_a_batch_size_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def count(texts: Sequence[str]) -> list[list[int]]:
        counted.append(len(texts))
        return [[0] * (5 if text == "a fish" else 9) for text in texts]

    counted: list[int] = []
    one = batch_memory((1, 9), BASE, heads_apart=False)
    assert sizes.fit_texts(TEXTS, 32, BASE, count) == 32
    assert counted == []
    for free, fitting in ((6 * one, 6), (3 * one + 1, 3), (one, 1)):
        plant(monkeypatch, free)
        assert sizes.fit_texts(TEXTS, 32, BASE, count) == fitting
        assert sizes.fit_texts(TEXTS, 2, BASE, count) == min(2, fitting)
    plant(monkeypatch, one - 1)
    with pytest.raises(BatchSizeError, match="one text padded to 9 tokens would take about"):
        sizes.fit_texts(TEXTS, 32, BASE, count)
    assert set(counted) == {len(TEXTS)}


@pytest.mark.extra("sentence-transformers")
@pytest.mark.extra("convert")
def test_sentence_transformers_gets_batches_that_fit(
    made: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minnow.engines.sentence_transformers import SentenceTransformersEmbedder

    engine = SentenceTransformersEmbedder(made.source.folder, threads=1)
    expected = engine.encode(TEXTS)
    longest = max(len(ids) for ids in engine.token_ids(TEXTS))
    spec = made.bundle.manifest.encoder
    asked = sizes.NetworkSizes(spec.width, spec.inner_width, 1)  # torch holds no scores
    one = batch_memory((1, longest), asked, heads_apart=False)
    plant(monkeypatch, 2 * one)
    batch_sizes: list[int] = []
    encode = engine._model.encode

    def watched(*args: Any, **options: Any) -> Any:
        batch_sizes.append(options["batch_size"])
        return encode(*args, **options)

    monkeypatch.setattr(engine._model, "encode", watched)
    np.testing.assert_allclose(engine.encode(TEXTS), expected, atol=1e-6)
    assert batch_sizes == [2]
    plant(monkeypatch, one - 1)
    with pytest.raises(BatchSizeError, match=f"one text padded to {longest} tokens"):
        engine.encode(TEXTS)


@pytest.mark.extra("llama-cpp")
@pytest.mark.extra("convert")
def test_llama_cpp_makes_no_context_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minnow.engines.llama_cpp import LlamaCppEmbedder

    file = make(tmp_path, max_position_embeddings=2048, max_tokens=2048).file
    with closing(LlamaCppEmbedder(file, threads=1)) as engine:
        engine.encode(["fish"])
        plant(monkeypatch, 10_000_000)
        with pytest.raises(BatchSizeError, match=r"one text padded to \d+ tokens"):
            engine.encode(["fish sleep in the water " * 400])


_PEAK = """
import json, sys
from pathlib import Path
from minnow.engines import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.model.spec import EncoderSpec

def peak():
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM")) * 1024

path, family, batch, tokens, apart, *numbers = sys.argv[1:]
spec = EncoderSpec(family, *map(int, numbers), "gelu", 1e-5, 0)
engine = MnnEngine(Path(path), spec, threads=1, heads_apart=apart == "True")
rows = [[5 + i % 30 for i in range(int(tokens))]] * int(batch)
engine.run(TokenBatch.pad([[5, 6]], 0))
before = peak()
engine.run(TokenBatch.pad(rows, 0))
print(json.dumps(peak() - before))
"""


@pytest.mark.extra("convert")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak in /proc")
@pytest.mark.parametrize(
    ("long", "shape"),
    [(False, (1, 1000)), (True, (1, 3000))],
)
def test_the_estimate_is_within_a_factor_of_two_of_the_peak(
    long: bool, shape: tuple[int, int], tmp_path: Path
) -> None:
    sized: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "max_position_embeddings": 4096,
    }
    source = source_of(write_model(tmp_path / "model", family="modernbert", **sized))
    spec = read_encoder_spec(source)
    graph = build_graph(network_of(spec), read_tensors(source, spec), form=GraphForm(long=long))
    (tmp_path / "graph.onnx").write_bytes(graph.SerializeToString())
    encoder, recipe = tmp_path / "encoder.mnn", RECIPES["fp32"]
    convert_to_mnn(tmp_path / "graph.onnx", encoder, recipe, spec.inputs, log=tmp_path / "log")
    numbers = (
        spec.vocab_size, spec.width, spec.layers, spec.heads, spec.inner_width, spec.positions,
        spec.position_offset, spec.token_types,
    )  # fmt: skip
    given = (encoder, spec.family, *shape, long, *numbers)
    measured = int(answer_of(_PEAK, *given))
    estimate = batch_memory(shape, spec, heads_apart=long)
    assert measured / 2 < estimate < 2 * measured, (estimate, measured)
