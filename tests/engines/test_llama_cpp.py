"""The llama.cpp engine: the suite of all text engines, and behaviour of its own."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.gguf_files import Made, make, write_decoder
from fakes.programs import run_python

from minnow.engines.llama_cpp import LlamaCppEmbedder, batches
from minnow.engines.llama_cpp_model import BATCH_TEXTS, BATCH_TOKENS, stated_prompts
from minnow.errors import EngineError, InputError, MissingExtraError
from minnow.export.gguf.file import gguf_metadata, write_file
from minnow.records import replace
from minnow.vectors import Similarity, rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from minnow.engines import TextEmbedder

pytestmark = [pytest.mark.extra("llama-cpp"), pytest.mark.extra("convert")]

PROMPTS = {"query": "query: ", "passage": "passage: "}
CLOSE = 1 - 1e-5
"""llama.cpp's own floor, whatever the weights' type: its gelu is a table of half precision."""

TEXTS = [
    "fish", "how do fish sleep", "a", "", "   ", "the big red river " * 9, "zqx " * 3, "🦊 ok",
    "图书馆周末几点关门", "café", "in [SEP] on [CLS]", "not", "one two three", "3.5!",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("gguf"), pooling="mean", prompts=PROMPTS)


@pytest.fixture(scope="module")
def engine(made: Made) -> Iterator[LlamaCppEmbedder]:
    engine = LlamaCppEmbedder(made.file, threads=1)
    yield engine
    engine.close()


def test_it_is_a_text_engine_that_names_its_version(engine: LlamaCppEmbedder) -> None:
    text_engine: TextEmbedder = engine
    assert text_engine.name.startswith("llama.cpp (llama-cpp-python ")
    assert text_engine.similarity_kind is Similarity.COSINE
    assert (engine.width, engine.max_tokens, engine.pooling) == (32, 24, "mean")


@pytest.mark.parametrize("pooling", ["cls", "mean", "lasttoken"])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_those_of_the_reference(tmp_path: Path, pooling: str, normalize: bool) -> None:
    made = make(tmp_path, pooling=pooling, normalize=normalize)
    engine = LlamaCppEmbedder(made.file, threads=1)
    vectors, expected = engine.encode(TEXTS), made.expected(engine.token_ids(TEXTS))
    engine.close()

    assert engine.normalize is normalize
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 32)
    assert rowwise_cosine(vectors, expected).min() > CLOSE
    np.testing.assert_allclose(
        np.linalg.norm(vectors, axis=1), np.linalg.norm(expected, axis=1), rtol=1e-3
    )


def test_a_foreign_file_is_normalised_and_has_no_prompts(tmp_path: Path) -> None:
    ours = (
        "minnow.normalize",
        "minnow.similarity",
        "minnow.prompt.query",
        "minnow.prompt.document",
    )
    made = make(tmp_path, without=ours, normalize=False, prompts=PROMPTS)
    engine = LlamaCppEmbedder(made.file, threads=1)

    np.testing.assert_allclose(np.linalg.norm(engine.encode(TEXTS), axis=1), 1, rtol=1e-6)
    assert engine.similarity_kind is Similarity.COSINE
    assert np.array_equal(engine.encode_query(["fish"]), engine.encode(["fish"]))
    assert stated_prompts(made.file) is None
    engine.close()


def test_the_similarity_is_the_files(tmp_path: Path, made: Made) -> None:
    embedding = replace(made.original.embedding, similarity=Similarity.DOT)
    original = replace(made.original, embedding=embedding)
    file = tmp_path / "dot.gguf"
    write_file(file, original, gguf_metadata(original), file_type=0, matrices="F32")
    engine = LlamaCppEmbedder(file, threads=1)
    assert engine.similarity_kind is Similarity.DOT
    engine.close()


class TestPrompts:
    def test_roles_put_their_prompt_first(self, engine: LlamaCppEmbedder, made: Made) -> None:
        query, document = engine.encode_query(["fish"]), engine.encode_document(["fish"])
        plain = engine.encode(["query: fish", "passage: fish"])

        assert rowwise_cosine(np.concatenate([query, document]), plain).min() > CLOSE
        assert stated_prompts(made.file) == ("query: ", "passage: ")

    def test_arguments_win_even_if_empty(self, made: Made) -> None:
        engine = LlamaCppEmbedder(made.file, threads=1, query_prompt="", document_prompt="big ")
        assert np.array_equal(engine.encode_query(["fish"]), engine.encode(["fish"]))
        assert np.array_equal(engine.encode_document(["fish"]), engine.encode(["big fish"]))
        engine.close()

    def test_a_file_can_state_that_there_are_none(self, tmp_path: Path) -> None:
        assert stated_prompts(make(tmp_path).file) == ("", "")

    def test_long_prompts_are_read_whole(self, tmp_path: Path) -> None:
        prompt = "instruct: é " * 400
        assert stated_prompts(make(tmp_path, prompts={"query": prompt}).file) == (prompt, "")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match="no such file"):
            stated_prompts(tmp_path / "none.gguf")


class TestBatches:
    def test_no_text_gives_no_rows(self, engine: LlamaCppEmbedder) -> None:
        for encode in (engine.encode, engine.encode_query, engine.encode_document):
            assert encode([]).shape == (0, 32)
            assert encode([]).dtype == np.float32
        assert engine.token_ids([]) == []

    def test_the_order_is_kept_and_batches_change_nothing(self, engine: LlamaCppEmbedder) -> None:
        texts = [f"{text} {i}" for i in range(12) for text in TEXTS]
        alone = np.concatenate([engine.encode([text]) for text in texts])
        assert rowwise_cosine(engine.encode(texts), alone).min() > CLOSE
        assert rowwise_cosine(engine.encode(texts[::-1])[::-1], alone).min() > CLOSE

    def test_the_same_texts_twice_give_the_same_bits(self, engine: LlamaCppEmbedder) -> None:
        first = engine.encode(TEXTS)
        kept = first.copy()
        engine.encode(["something else"] * 40)
        assert np.array_equal(engine.encode(TEXTS), kept)
        assert np.array_equal(first, kept)

    def test_threads_change_nothing(self, engine: LlamaCppEmbedder, made: Made) -> None:
        several = LlamaCppEmbedder(made.file, threads=2)
        assert rowwise_cosine(several.encode(TEXTS), engine.encode(TEXTS)).min() > CLOSE
        several.close()

    @pytest.mark.parametrize(
        ("lengths", "expected"),
        [
            ([], []),
            ([5], [[0]]),
            ([BATCH_TOKENS + 9, 3], [[0], [1]]),
            ([3, BATCH_TOKENS + 9, 3, 4], [[0], [1], [2, 3]]),
            ([300, 212, 1], [[0, 1], [2]]),
            ([1] * (BATCH_TEXTS + 1), [list(range(BATCH_TEXTS)), [BATCH_TEXTS]]),
        ],
    )
    def test_a_batch_is_as_full_as_it_may_be(
        self, lengths: list[int], expected: list[list[int]]
    ) -> None:
        assert batches(lengths) == expected

    def test_texts_longer_than_a_batch(self, tmp_path: Path) -> None:
        made = make(tmp_path, max_tokens=700, max_position_embeddings=720)
        engine = LlamaCppEmbedder(made.file, threads=1)
        texts = ["fish", "the big river is red " * 150, "the water " * 300, "fish"]
        vectors, ids = engine.encode(texts), engine.token_ids(texts)
        engine.close()

        assert [len(row) for row in ids] == [3, 700, 602, 3]
        assert rowwise_cosine(vectors, made.expected(ids)).min() > CLOSE

    def test_several_threads_at_once(self, engine: LlamaCppEmbedder) -> None:
        parts = [TEXTS[i : i + 3] for i in range(10)]
        alone = [engine.encode(part) for part in parts]
        with ThreadPoolExecutor(4) as pool:
            for one, other in zip(pool.map(engine.encode, parts), alone, strict=True):
                assert np.array_equal(one, other)


class TestTokens:
    def test_ids_are_the_tokenizers(self, engine: LlamaCppEmbedder, made: Made) -> None:
        from minnow.model.tokenizer import TextTokenizer

        theirs = TextTokenizer(made.original.source.file("tokenizer.json"), max_tokens=24)
        assert engine.token_ids(TEXTS) == [row.ids for row in theirs.tokenize(TEXTS)]

    def test_a_long_text_keeps_its_closing_token(self, engine: LlamaCppEmbedder) -> None:
        long, short = engine.token_ids(["fish " * 100, "fish"])
        assert (len(long), len(set(long))) == (24, 3)
        assert long[-1] == short[-1]

    def test_without_a_limit_of_its_own_a_file_loses_it(self, tmp_path: Path) -> None:
        engine = LlamaCppEmbedder(make(tmp_path, without=("minnow.max_tokens",)).file, threads=1)
        long, short = engine.token_ids(["fish " * 100, "fish"])
        engine.close()
        assert (engine.max_tokens, len(long), len(set(long))) == (40, 40, 2)
        assert short[-1] not in long

    def test_a_nul_does_not_end_a_text(self, engine: LlamaCppEmbedder) -> None:
        assert engine.token_ids(["fish\0 river"]) == engine.token_ids(["fish river"])

    def test_the_vocabulary_is_reported(self, engine: LlamaCppEmbedder) -> None:
        tokens = engine.vocabulary()
        assert tokens[:3] == ["[PAD]", "[UNK]", "[CLS]"]
        assert tokens[engine.token_ids(["fish"])[0][1]] == "\u2581fish"

    @pytest.mark.parametrize("text", [None, 3, b"fish"])
    def test_what_is_no_text_is_refused(self, engine: LlamaCppEmbedder, text: Any) -> None:
        for encode in (engine.encode, engine.encode_query, engine.encode_document):
            with pytest.raises(InputError, match="Text 1 "):
                encode(["fish", text])


class TestOpening:
    @pytest.mark.parametrize("threads", [0, -1])
    def test_threads_below_one_are_refused(self, made: Made, threads: int) -> None:
        with pytest.raises(EngineError, match=f"at least 1, not {threads}"):
            LlamaCppEmbedder(made.file, threads=threads)

    @pytest.mark.parametrize("size", [None, 0, 4, 100, 4000, -1])
    def test_a_file_that_is_no_model_is_refused(
        self, made: Made, tmp_path: Path, size: int | None
    ) -> None:
        """Missing, or only the beginning of a whole one."""
        file = tmp_path / "cut.gguf"
        if size is not None:
            file.write_bytes(made.file.read_bytes()[:size])
        with pytest.raises(EngineError) as caught:
            LlamaCppEmbedder(file)
        assert f"cannot load {file}: " in str(caught.value)
        assert "does not say why" not in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_file_of_something_else_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "foreign.gguf"
        file.write_bytes(np.random.default_rng(0).bytes(20_000))
        with pytest.raises(EngineError, match=r"foreign\.gguf: .*magic"):
            LlamaCppEmbedder(file)
        with pytest.raises(EngineError, match="no such file"):
            LlamaCppEmbedder(tmp_path)

    def test_a_file_without_pooling_is_refused(self, tmp_path: Path) -> None:
        made = make(tmp_path, without=("bert.pooling_type",))
        with pytest.raises(EngineError, match="not an embedding model: bert with no pooling"):
            LlamaCppEmbedder(made.file)

    def test_a_language_model_is_refused(self, made: Made, tmp_path: Path) -> None:
        file = write_decoder(tmp_path / "decoder.gguf", made.original)
        with pytest.raises(EngineError, match="not an embedding model: llama with no pooling"):
            LlamaCppEmbedder(file)

    def test_a_decoder_made_for_embedding_runs(self, made: Made, tmp_path: Path) -> None:
        """Such as Qwen's: causal, with a cache that must not remember the batch before."""
        file = write_decoder(tmp_path / "decoder.gguf", made.original, pooling=3)
        engine = LlamaCppEmbedder(file, threads=1)
        texts = [*TEXTS, "fish " * 500]
        alone = np.concatenate([engine.encode([text]) for text in texts])
        assert engine.pooling == "last"
        assert rowwise_cosine(engine.encode(texts * 5)[: len(texts)], alone).min() > CLOSE
        engine.close()

    def test_nan_is_an_error(self, made: Made, tmp_path: Path) -> None:
        tensors = dict(made.original.tensors)
        tensors["layer.1.output.bias"] = np.full_like(tensors["layer.1.output.bias"], np.nan)
        broken = replace(made.original, tensors=tensors)
        write_file(
            tmp_path / "nan.gguf", broken, gguf_metadata(broken), file_type=0, matrices="F32"
        )
        engine = LlamaCppEmbedder(tmp_path / "nan.gguf", threads=1)
        with pytest.raises(EngineError, match="NaN or infinity for text 0"):
            engine.encode(TEXTS)
        engine.close()

    def test_a_closed_engine_refuses(self, made: Made) -> None:
        engine = LlamaCppEmbedder(made.file, threads=1)
        engine.encode(["fish"])
        engine.close()
        engine.close()
        calls: list[Callable[..., object]] = [
            engine.encode, engine.encode_query, engine.encode_document, engine.token_ids,
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(EngineError, match="closed"):
                call(["fish"])

    def test_one_that_is_forgotten_is_freed(self, made: Made) -> None:
        engine = LlamaCppEmbedder(made.file, threads=1)
        free = engine._free
        del engine
        gc.collect()
        assert not free.alive


class TestTheProcess:
    """What llama.cpp does to the process around it."""

    def test_nothing_is_printed(self, made: Made, tmp_path: Path) -> None:
        garbage = tmp_path / "garbage.gguf"
        garbage.write_bytes(b"GGUF" + b"\xff" * 100)
        code = """
import sys
from pathlib import Path
from minnow.engines.llama_cpp import LlamaCppEmbedder
engine = LlamaCppEmbedder(Path(sys.argv[1]), threads=2)
engine.encode(["fish", "[SEP] [CLS]", "river " * 99])
engine.close()
try:
    LlamaCppEmbedder(Path(sys.argv[2]))
except Exception:
    print("done")
"""
        done = run_python(code, made.file, garbage)
        assert (done.stdout, done.stderr) == ("done\n", "")

    @pytest.mark.parametrize("opened", ["before", "after"])
    def test_a_fork_does_not_hang(self, made: Made, opened: str) -> None:
        code = """
import os, sys
from pathlib import Path
from minnow.engines.llama_cpp import LlamaCppEmbedder
engine = LlamaCppEmbedder(Path(sys.argv[1]), threads=2)
engine.encode(["fish"] * 3)
child = os.fork()
if child == 0:
    if sys.argv[2] == "after":
        engine = LlamaCppEmbedder(Path(sys.argv[1]), threads=2)
    print(engine.threads, engine.encode(["fish"] * 3).shape, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(engine.threads, engine.encode(["fish"]).shape)
"""
        done = run_python(code, made.file, opened)
        assert done.stdout.splitlines() == ["1 (3, 32)", "2 (1, 32)"], done.stderr

    def test_llama_cpp_that_is_not_installed(
        self, made: Made, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "llama_cpp", None)
        with pytest.raises(MissingExtraError, match=r"minnow-embed\[llama-cpp\]") as caught:
            LlamaCppEmbedder(made.file)
        assert caught.value.extra == "llama-cpp"

    def test_llama_cpp_whose_library_does_not_load(
        self, made: Made, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(name: str) -> None:
            raise RuntimeError("Failed to load\nshared library")

        monkeypatch.setattr("minnow.engines.llama_cpp_model.importlib.import_module", fail)
        with pytest.raises(EngineError, match="cannot be imported: Failed to load shared"):
            LlamaCppEmbedder(made.file)
