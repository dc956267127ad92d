"""The embedder's own work, over an engine whose states are known."""

from __future__ import annotations

import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import VOCABULARY, write_tokenizer
from fakes.engine import FakeEngine
from hypothesis import given
from hypothesis import strategies as st

from minnow import pipeline as module
from minnow.embedder import Embedder, TruncationWarning
from minnow.engines import TokenBatch
from minnow.errors import EngineError, InputError
from minnow.model.spec import Activation, EmbeddingSpec, EncoderSpec, Interface
from minnow.model.tokenizer import TextTokenizer
from minnow.records import replace
from minnow.vectors import Pooling, Similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

ENCODER = EncoderSpec(
    "bert", len(VOCABULARY), 32, 2, 4, 64, 4000, 0, 2, Activation.GELU, 1e-12, 0
)  # fmt: skip
EMBEDDING = EmbeddingSpec(Pooling.MEAN, normalize=True, max_tokens=24)
TOO_LONG = "fish " * 30


@pytest.fixture(scope="module")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder / "tokenizer.json"


class Made:
    """An embedder, and the engine beneath it."""

    def __init__(
        self,
        path: Path,
        *,
        nan_at: int | None = None,
        interface: Interface = Interface.LAST_HIDDEN_STATE,
        **changes: Any,
    ) -> None:
        embedding = replace(EMBEDDING, **changes)
        self.tokenizer = TextTokenizer(path, max_tokens=embedding.max_tokens)
        self.engine = FakeEngine(ENCODER, nan_at=nan_at, interface=interface)
        self.embedder = Embedder.from_parts(
            self.engine, self.tokenizer, ENCODER, embedding, name="tiny"
        )

    def expected(self, *texts: str) -> NDArray[np.float32]:
        """Return the mean of each text's token states, scaled to length 1."""
        states = (self.engine.states(row.ids) for row in self.tokenizer.tokenize(texts))
        means = np.stack([rows.mean(0) for rows in states])
        scaled: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return scaled


@pytest.fixture
def made(tokenizer_json: Path) -> Made:
    return Made(tokenizer_json)


@pytest.fixture
def make(tokenizer_json: Path) -> Callable[..., Made]:
    return lambda **changes: Made(tokenizer_json, **changes)


def texts_of_many_lengths(count: int) -> list[str]:
    generator = random.Random(1)
    return [f"fish {i} " + "river " * generator.randrange(16) for i in range(count)]


class TestShapes:
    def test_a_string_gives_one_vector(self, made: Made) -> None:
        vector = made.embedder.encode("big fish")
        assert vector.shape == (32,)
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, made.expected("big fish")[0], atol=1e-6)

    @pytest.mark.parametrize(
        "several",
        [
            lambda texts: texts,
            tuple,
            iter,
            lambda texts: (text for text in texts),
            lambda texts: dict.fromkeys(texts).keys(),
            np.array,
        ],
        ids=["list", "tuple", "iterator", "generator", "keys", "array"],
    )
    def test_several_give_a_row_each(self, made: Made, several: Callable[..., Any]) -> None:
        texts = ["one", "two three", "what"]
        vectors = made.embedder.encode(several(texts))
        assert vectors.shape == (3, 32)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, made.expected(*texts), atol=1e-6)

    def test_one_in_a_list_is_a_row(self, made: Made) -> None:
        assert made.embedder.encode(["fish"]).shape == (1, 32)

    @pytest.mark.parametrize("none", [[], (), iter(())])
    def test_none_give_no_rows(self, made: Made, none: Any) -> None:
        vectors = made.embedder.encode(none)
        assert vectors.shape == (0, 32)
        assert vectors.dtype == np.float32
        assert made.embedder.encode([], truncate_dim=5).shape == (0, 5)
        assert made.engine.shapes == []

    def test_an_empty_string_is_a_text_too(self, made: Made) -> None:
        np.testing.assert_allclose(made.embedder.encode([""]), made.expected(""), atol=1e-6)
        assert made.engine.shapes == [(1, 2)]

    def test_a_text_without_any_token_is_refused(self, tmp_path: Path) -> None:
        """A tokenizer need not add special tokens, and then an empty text is nothing at all."""
        from tokenizers import Tokenizer, models

        path = tmp_path / "tokenizer.json"
        Tokenizer(models.WordLevel({"fish": 0, "?": 1}, unk_token="?")).save(str(path))
        with pytest.raises(InputError, match="Text 1 is empty"):
            Made(path).embedder.encode(["fish", ""])

    @given(st.lists(st.text("fish water river ?\0é鱼\n", max_size=150), max_size=12))
    def test_a_row_is_what_its_text_gives_alone(self, tokenizer_json: Path, texts: Any) -> None:
        made = Made(tokenizer_json)
        together = made.embedder.encode(texts, on_truncate="ignore", batch_size=5)
        assert together.shape == (len(texts), 32)
        for text, row in zip(texts, together, strict=True):
            alone = made.embedder.encode(text, on_truncate="ignore")
            np.testing.assert_allclose(row, alone, atol=1e-6)


class TestBatches:
    def test_texts_of_like_length_run_together(self, made: Made) -> None:
        texts = texts_of_many_lengths(500)
        vectors = made.embedder.encode(texts)

        np.testing.assert_allclose(vectors, made.expected(*texts), atol=1e-6)
        assert made.engine.padding < 0.05
        unsorted = FakeEngine(ENCODER)
        for start in range(0, len(texts), 32):
            rows = made.embedder.token_ids(texts[start : start + 32])
            unsorted.run(TokenBatch.pad(rows, 0))
        assert unsorted.padding > 0.3

    def test_the_longest_run_first(self, made: Made) -> None:
        made.embedder.encode(texts_of_many_lengths(200))
        tokens = [shape[1] for shape in made.engine.shapes]
        assert tokens == sorted(tokens, reverse=True)
        assert len(set(tokens)) > 3

    @pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
    def test_batch_size_is_a_limit(self, made: Made, batch_size: int) -> None:
        texts = texts_of_many_lengths(90)
        vectors = made.embedder.encode(texts, batch_size=batch_size)
        np.testing.assert_allclose(vectors, made.expected(*texts), atol=1e-6)
        assert max(rows for rows, _ in made.engine.shapes) <= batch_size
        assert sum(rows for rows, _ in made.engine.shapes) == 90

    def test_tokens_are_a_limit_too(self, make: Callable[..., Made]) -> None:
        made = make(max_tokens=3000)
        made.embedder.encode(["fish " * 2500, "fish " * 400, *["fish " * 200] * 20, *["a"] * 50])
        shapes = made.engine.shapes
        assert shapes[0] == (1, 2502)
        assert all(rows == 1 or rows * tokens <= 1024 for rows, tokens in shapes)
        assert (32, 3) in shapes

    def test_encode_batch_runs_once_and_in_order(self, made: Made) -> None:
        texts = ["a", "fish sleep in water", "one two"]
        vectors = made.embedder.encode_batch(texts)
        np.testing.assert_allclose(vectors, made.expected(*texts), atol=1e-6)
        assert made.engine.lengths == [[3, 6, 4]]


class TestDimensions:
    def test_truncate_dim_keeps_the_beginning(self, made: Made) -> None:
        whole = made.embedder.encode(["fish", "water"])
        short = made.embedder.encode(["fish", "water"], truncate_dim=5)
        assert np.array_equal(short, whole[:, :5])
        assert made.embedder.encode("fish", truncate_dim=5).shape == (5,)
        assert np.array_equal(made.embedder.encode("fish", truncate_dim=32), whole[0])

    def test_normalizing_comes_after_truncation(self, made: Made) -> None:
        short = made.embedder.encode(["fish"], truncate_dim=5, normalize_embeddings=True)
        expected = made.expected("fish")[:, :5]
        np.testing.assert_allclose(short, expected / np.linalg.norm(expected), atol=1e-6)

    def test_a_model_that_does_not_normalize(self, make: Callable[..., Made]) -> None:
        made = make(normalize=False)
        raw = made.embedder.encode("fish")
        scaled = made.embedder.encode("fish", normalize_embeddings=True)
        assert np.linalg.norm(raw) > 1.5
        np.testing.assert_allclose(scaled, raw / np.linalg.norm(raw), atol=1e-6)

    @pytest.mark.parametrize("kind", Similarity)
    def test_similarity_is_the_models(self, make: Callable[..., Made], kind: Similarity) -> None:
        embedder = make(similarity=kind).embedder
        a, b = embedder.encode(["fish", "water"]) * 3, embedder.encode(["a", "big", "river"])
        expected = {
            Similarity.COSINE: a @ b.T / 3,
            Similarity.DOT: a @ b.T,
            Similarity.EUCLIDEAN: -np.linalg.norm(a[:, None] - b, axis=-1),
            Similarity.MANHATTAN: -np.abs(a[:, None] - b).sum(-1),
        }[kind]
        np.testing.assert_allclose(embedder.similarity(a, b), expected, atol=1e-5)
        np.testing.assert_allclose(embedder.similarity(a[0], b[0]), expected[:1, :1], atol=1e-5)


class TestVectorsOfTheEngine:
    """An engine that pools: nothing is pooled or scaled again, the rest is unchanged."""

    @pytest.fixture
    def made(self, make: Callable[..., Made]) -> Made:
        return make(interface=Interface.SENTENCE_EMBEDDING)

    def test_they_are_passed_on(self, made: Made) -> None:
        """Also where the model normalises: an encoder that forgot to is not put right here."""
        texts = [*texts_of_many_lengths(40), "a"]
        rows = made.tokenizer.tokenize(texts)
        sums = np.stack([made.engine.states(row.ids).sum(0) for row in rows])
        assert made.embedder.embedding.normalize
        np.testing.assert_allclose(made.embedder.encode(texts), sums, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(made.embedder.encode_batch(texts), sums, rtol=1e-4, atol=1e-4)

    def test_they_are_cut_and_scaled_on_demand(self, made: Made) -> None:
        whole = made.embedder.encode(["fish", "water"])
        short = made.embedder.encode(["fish", "water"], truncate_dim=5)
        scaled = made.embedder.encode(["fish"], truncate_dim=5, normalize_embeddings=True)
        assert np.array_equal(short, whole[:, :5])
        np.testing.assert_allclose(scaled, short[:1] / np.linalg.norm(short[0]), atol=1e-6)

    def test_nan_is_refused(self, make: Callable[..., Made]) -> None:
        made = make(interface=Interface.SENTENCE_EMBEDDING, nan_at=0)
        with pytest.raises(EngineError, match=r"tiny gave NaN or infinity .* shape \(1, 3\)"):
            made.embedder.encode("a")


class TestTruncation:
    def test_a_long_text_is_cut_with_a_warning(self, made: Made) -> None:
        with pytest.warns(
            TruncationWarning, match="2 of 3 texts are longer than 24 tokens"
        ) as all_:
            vectors = made.embedder.encode([TOO_LONG, "fish", TOO_LONG + "water"])
        np.testing.assert_allclose(vectors[0], made.expected("fish " * 22)[0], atol=1e-6)
        assert len(all_) == 1
        assert made.embedder.truncated_texts == 2

    @pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
    def test_the_warning_points_at_the_caller(self, made: Made, method: str) -> None:
        with pytest.warns(TruncationWarning, match="1 of 1 texts is longer") as all_:
            getattr(made.embedder, method)(TOO_LONG)
        assert [warning.filename for warning in all_] == [__file__]

    def test_exactly_the_limit_is_not_too_long(self, made: Made) -> None:
        made.embedder.encode("fish " * 22, on_truncate="error")
        assert made.engine.shapes == [(1, 24)]

    def test_error_refuses_before_anything_is_run(self, made: Made) -> None:
        with pytest.raises(InputError, match="Text 2 is longer than 24 tokens, the limit of tiny"):
            made.embedder.encode(["a", "fish", TOO_LONG], on_truncate="error")
        assert made.engine.shapes == []
        assert made.embedder.truncated_texts == 0

    def test_ignore_says_nothing_and_counts(self, made: Made) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made.embedder.encode([TOO_LONG] * 3, on_truncate="ignore")
            made.embedder.encode(TOO_LONG, on_truncate="ignore")
        assert made.embedder.truncated_texts == 4

    def test_the_embedders_choice_is_a_default(self, made: Made) -> None:
        made.embedder.on_truncate = "error"
        with pytest.raises(InputError, match="is longer than"):
            made.embedder.encode(TOO_LONG)
        made.embedder.encode(TOO_LONG, on_truncate="ignore")

    def test_a_prompt_counts(self, made: Made) -> None:
        with pytest.raises(InputError, match="Text 0 is longer"):
            made.embedder.encode("fish " * 22, prompt="a ", on_truncate="error")


class TestStream:
    @pytest.fixture(autouse=True)
    def _small_window(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "WINDOW", 10)

    def test_blocks_are_what_encode_gives(self, made: Made) -> None:
        texts = texts_of_many_lengths(35)
        blocks = list(made.embedder.encode_stream(iter(texts), truncate_dim=7))
        assert [len(block) for block, _ in blocks] == [10, 10, 10, 5]
        assert [text for block, _ in blocks for text in block] == texts
        vectors = np.concatenate([rows for _, rows in blocks])
        np.testing.assert_allclose(vectors, made.expected(*texts)[:, :7], atol=1e-6)
        np.testing.assert_allclose(made.embedder.encode(texts, truncate_dim=7), vectors, atol=1e-6)

    def test_no_text_no_block(self, made: Made) -> None:
        assert list(made.embedder.encode_stream([])) == []

    def test_texts_are_read_a_block_ahead(self, made: Made) -> None:
        read = []

        def texts() -> Iterator[str]:
            for i in range(35):
                read.append(i)
                yield f"fish {i}"

        stream = made.embedder.encode_stream(texts())
        assert read == []
        next(stream)
        assert len(read) == 20

    def test_what_reading_raises_comes_after_the_block_before(self, made: Made) -> None:
        def texts() -> Iterator[str]:
            yield from ["fish"] * 10
            raise ConnectionError("gone")

        stream = made.embedder.encode_stream(texts())
        assert len(next(stream)[0]) == 10
        with pytest.raises(ConnectionError, match="gone"):
            next(stream)

    def test_the_next_block_is_tokenised_beside_the_engine(
        self, made: Made, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The engine does not come back before the next block has been tokenised."""
        tokenized = [threading.Event() for _ in range(3)]
        run, tokenize = made.engine.run, TextTokenizer.tokenize
        threads = set()

        def tokenize_and_tell(
            self: TextTokenizer, texts: Any, *, first: int = 0, prompt: str = ""
        ) -> Any:
            threads.add(threading.current_thread())
            rows = tokenize(self, texts, first=first, prompt=prompt)
            tokenized[first // 10].set()
            return rows

        def run_and_wait(batch: TokenBatch) -> Any:
            following = min(len(made.engine.shapes) + 1, 2)
            assert tokenized[following].wait(timeout=30)
            return run(batch)

        monkeypatch.setattr(TextTokenizer, "tokenize", tokenize_and_tell)
        monkeypatch.setattr(made.engine, "run", run_and_wait)
        assert len(list(made.embedder.encode_stream(["fish"] * 30))) == 3
        assert len(threads) > 1

    def test_few_texts_need_no_thread(self, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "ThreadPoolExecutor", None)
        assert made.embedder.encode(["fish"] * 9).shape == (9, made.embedder.width)

    def test_texts_are_counted_from_the_start_of_the_stream(self, made: Made) -> None:
        stream = made.embedder.encode_stream(["fish"] * 23 + [5])  # type: ignore[list-item]
        assert len(next(stream)[0]) + len(next(stream)[0]) == 20
        with pytest.raises(InputError, match="Text 23 is int"):
            next(stream)

        stream = made.embedder.encode_stream(["fish"] * 14 + [TOO_LONG], on_truncate="error")
        next(stream)
        with pytest.raises(InputError, match="Text 14 is longer"):
            next(stream)

    def test_truncation_is_reported_once_at_the_end(self, made: Made) -> None:
        stream = made.embedder.encode_stream([TOO_LONG] * 25 + ["fish"])
        next(stream)
        assert made.embedder.truncated_texts == 10
        with pytest.warns(TruncationWarning, match="25 of 26 texts") as all_:
            list(stream)
        assert [warning.filename for warning in all_] == [__file__]

    def test_wrong_arguments_are_reported_by_the_call(self, made: Made) -> None:
        with pytest.raises(InputError, match="one string"):
            made.embedder.encode_stream("fish")
        with pytest.raises(InputError, match="batch_size"):
            made.embedder.encode_stream(["fish"], batch_size=0)


class TestBadInput:
    @pytest.mark.parametrize("text", [None, 5, 1.5, b"fish", ["fish"], ("a", "b"), {"text": "a"}])
    def test_a_text_that_is_no_string(self, made: Made, text: Any) -> None:
        with pytest.raises(InputError, match=f"Text 1 is {type(text).__name__}, not a string"):
            made.embedder.encode(["fish", text])
        assert made.engine.shapes == []

    @pytest.mark.parametrize("texts", [None, 5, b"fish", True])
    def test_neither_a_string_nor_several(self, made: Made, texts: Any) -> None:
        with pytest.raises(InputError, match=f"texts is {type(texts).__name__}, not a string"):
            made.embedder.encode(texts)

    @pytest.mark.parametrize("text", ["a\ud800b", "\udcff", "fish \ud83d"])
    def test_half_of_a_surrogate_pair_costs_no_other_text(self, made: Made, text: str) -> None:
        with pytest.warns(UserWarning, match="Text 1 holds half of a surrogate pair") as caught:
            found = made.embedder.encode(["fish", text])
        clean = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        assert np.array_equal(found, made.embedder.encode(["fish", clean]))
        assert str(caught[0].message).isascii()

    def test_nul_is_a_character_like_others(self, made: Made) -> None:
        """BERT's normaliser drops it, as in transformers."""
        assert np.array_equal(made.embedder.encode("fi\0sh"), made.embedder.encode("fish"))

    @pytest.mark.parametrize(
        ("option", "value"),
        [("batch_size", 0), ("batch_size", -3), ("truncate_dim", 0), ("truncate_dim", 33)],
    )
    def test_a_number_out_of_range(self, made: Made, option: str, value: int) -> None:
        with pytest.raises(InputError, match=f"{option} should be .*, not {value}"):
            made.embedder.encode("fish", **{option: value})  # type: ignore[call-overload]

    def test_an_unknown_policy(self, made: Made) -> None:
        with pytest.raises(InputError, match="warn, error, ignore, not 'drop'"):
            made.embedder.encode("fish", on_truncate="drop")  # type: ignore[call-overload]

    def test_a_prompt_that_is_no_string(self, made: Made) -> None:
        with pytest.raises(InputError, match="prompt is bytes, not a string"):
            made.embedder.encode("fish", prompt=b"a")  # type: ignore[call-overload]


class TestRuntime:
    @pytest.mark.parametrize("pooling", Pooling)
    def test_nan_is_refused(self, make: Callable[..., Made], pooling: Pooling) -> None:
        made = make(pooling=pooling, nan_at=1)
        with pytest.raises(EngineError, match=r"tiny gave NaN or infinity .* shape \(1, 3\)"):
            made.embedder.encode(["a", "fish sleep"], batch_size=1)

    def test_after_close(self, made: Made) -> None:
        with made.embedder as embedder:
            embedder.encode("fish")
        with pytest.raises(EngineError, match="closed"):
            made.embedder.encode("fish")

    def test_several_threads_at_once(self, made: Made) -> None:
        texts = [*texts_of_many_lengths(60), TOO_LONG]
        expected = made.expected(*texts)
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(made.embedder.encode, texts, on_truncate="ignore")
                    for _ in range(40)]  # fmt: skip
        for job in jobs:
            np.testing.assert_allclose(job.result(), expected, atol=1e-6)
        assert made.embedder.truncated_texts == 40

    def test_progress_is_on_stderr_and_only_on_demand(
        self, made: Made, capfd: pytest.CaptureFixture[str]
    ) -> None:
        made.embedder.encode(["fish"] * 50)
        assert capfd.readouterr() == ("", "")
        made.embedder.encode(["fish"] * 50, show_progress_bar=True)
        list(made.embedder.encode_stream(["fish"] * 50, show_progress_bar=True))
        out, err = capfd.readouterr()
        assert out == ""
        assert "50/50" in err
        assert "50/?" in err

    def test_a_bar_leaves_the_programs_stdout_alone(
        self, made: Made, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        for texts, _ in made.embedder.encode_stream(["fish"] * 50, show_progress_bar=True):
            print("an answer of", len(texts))
        assert capfd.readouterr().out == "an answer of 50\n"
