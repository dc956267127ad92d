"""Tests of every engine: a suite for token engines, one for text engines, over one tiny model.

A test class of an engine inherits the suite of its kind and gives it a fixture `rig`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from minnow.engines import TextEmbedder, TokenBatch
from minnow.engines.lanes import run_batches
from minnow.errors import EngineError, InputError
from minnow.model.reference import ReferenceModel
from minnow.model.spec import EncoderSpec
from minnow.records import replace
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from minnow.engines import Engine

CLOSE = 2e-5
CLS, SEP = 2, 3


class OpenEngine(Protocol):
    def __call__(self, model: Path, spec: EncoderSpec, *, threads: int | None = None) -> Engine: ...


@dataclass(frozen=True)
class Rig:
    """An engine under test: how to open it, its form of the model, and the reference."""

    open: OpenEngine
    model: Path
    spec: EncoderSpec
    reference: ReferenceModel

    def engine(self, *, threads: int | None = 1) -> Engine:
        return self.open(self.model, self.spec, threads=threads)


def row(tokens: int, seed: int = 0) -> list[int]:
    """Return the ids of a text with this number of tokens."""
    inner = np.random.default_rng([seed, tokens]).integers(5, 60, max(0, tokens - 2)).tolist()
    return [CLS, *inner, SEP][:tokens]


def arrays(batch: TokenBatch) -> dict[str, NDArray[np.int32]]:
    return {
        "input_ids": batch.input_ids.copy(),
        "attention_mask": batch.attention_mask.copy(),
        "token_type_ids": batch.token_type_ids.copy(),
    }


def cut(name: str) -> Callable[[TokenBatch], TokenBatch]:
    """Make one array of a batch a token shorter than the others."""
    return lambda batch: TokenBatch(**{**arrays(batch), name: arrays(batch)[name][:, :-1]})


def put(name: str, value: int, *, column: int = 1) -> Callable[[TokenBatch], TokenBatch]:
    """Change one value of a batch, in the last row."""

    def change(batch: TokenBatch) -> TokenBatch:
        changed = arrays(batch)
        changed[name][-1, column] = value
        return TokenBatch(**changed)

    return change


def every(change: Callable[[NDArray[np.int32]], NDArray[np.int32]]) -> Callable[..., TokenBatch]:
    """Change all three arrays of a batch alike."""
    return lambda batch: TokenBatch(**{name: change(a) for name, a in arrays(batch).items()})


BAD_BATCHES = {
    "an id below 0": put("input_ids", -1),
    "an id behind the word table": put("input_ids", 10_000),
    "a token type that the model has not": put("token_type_ids", 2),
    "a mask that is no mask": put("attention_mask", 2),
    "a hole in the mask": put("attention_mask", 0),
    "padding on the left": put("attention_mask", 0, column=0),
    "a row of nothing but padding": lambda batch: TokenBatch(
        batch.input_ids, np.zeros_like(batch.input_ids), batch.token_type_ids
    ),
    "ids shorter than the mask": cut("input_ids"),
    "a mask shorter than the ids": cut("attention_mask"),
    "token types shorter than the ids": cut("token_type_ids"),
    "no rows": every(lambda array: array[:0]),
    "no tokens": every(lambda array: array[:, :0]),
    "one axis": every(lambda array: array[0]),
    "three axes": every(lambda array: array[None]),
    "floats": every(lambda array: array.astype(np.float32)),
    "more tokens than positions": every(lambda array: np.repeat(array, 20, axis=1)),
}


class TokenEngineSuite:
    """Tests of every token engine; inherit it, and give it a fixture `rig`."""

    @pytest.mark.parametrize(
        "rows",
        [
            pytest.param([row(1)], id="one token"),
            pytest.param([row(7)], id="one text"),
            pytest.param([row(40)], id="one text at the limit"),
            pytest.param([row(9, seed) for seed in range(6)], id="many of one length"),
            pytest.param([row(40, seed) for seed in range(3)], id="many at the limit"),
            pytest.param([row(n) for n in (12, 2, 40, 1, 5)], id="padded"),
            pytest.param([row(1), row(40)], id="hardly anything but padding"),
            pytest.param([row(5)] * 65, id="the same text many times"),
        ],
    )
    def test_states_are_those_of_the_reference(self, rig: Rig, rows: list[list[int]]) -> None:
        engine = rig.engine()
        hidden = engine.run(TokenBatch.pad(rows, rig.spec.pad_token_id))
        engine.close()

        assert hidden.dtype == np.float32
        assert hidden.shape == (len(rows), max(map(len, rows)), rig.spec.width)
        for ids, states in zip(rows, hidden, strict=True):
            expected = rig.reference.hidden_states(ids)
            np.testing.assert_allclose(states[: len(ids)], expected, atol=CLOSE)

    def test_what_fills_up_a_row_does_not_matter(self, rig: Rig) -> None:
        engine = rig.engine()
        rows = [row(3), row(20)]
        one, other = (engine.run(TokenBatch.pad(rows, pad)) for pad in (0, 50))
        engine.close()

        np.testing.assert_allclose(one[0, :3], other[0, :3], atol=CLOSE)

    def test_the_same_batch_twice_gives_the_same_bits(self, rig: Rig) -> None:
        engine = rig.engine()
        batch = TokenBatch.pad([row(6), row(11)], 0)
        first = engine.run(batch)
        between = engine.run(TokenBatch.pad([row(30)], 0))
        again = engine.run(batch)
        engine.close()

        assert between.shape == (1, 30, rig.spec.width)
        assert np.array_equal(first, again)

    def test_a_result_is_the_callers_to_keep(self, rig: Rig) -> None:
        """It is no window on memory that the next run writes to."""
        engine = rig.engine()
        first = engine.run(TokenBatch.pad([row(6, seed=1)], 0))
        kept = first.copy()
        engine.run(TokenBatch.pad([row(6, seed=2)], 0))
        engine.close()

        assert np.array_equal(first, kept)

    def test_wider_integers_will_do(self, rig: Rig) -> None:
        engine = rig.engine()
        batch = TokenBatch.pad([row(4), row(8)], 0)
        wide = every(lambda array: array.astype(np.int64))(batch)
        one, other = engine.run(batch), engine.run(wide)
        engine.close()

        assert np.array_equal(one, other)

    @pytest.mark.parametrize("fault", BAD_BATCHES)
    def test_a_batch_that_does_not_fit_is_refused(self, rig: Rig, fault: str) -> None:
        engine = rig.engine()
        good = TokenBatch.pad([row(4), row(3)], 0)
        before = engine.run(good)

        with pytest.raises(EngineError) as caught:
            engine.run(BAD_BATCHES[fault](good))
        assert "\n" not in str(caught.value)
        assert np.array_equal(engine.run(good), before)
        engine.close()

    def test_several_threads_at_once(self, rig: Rig) -> None:
        engine = rig.engine(threads=2)
        batches = [TokenBatch.pad([row(n, n), row(3)], 0) for n in (2, 5, 9, 17, 33, 40)] * 4
        alone = [engine.run(batch) for batch in batches]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(engine.run, batches))
        engine.close()

        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(other, one, atol=CLOSE)

    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_lanes_side_by_side(self, rig: Rig, threads: int) -> None:
        engine = rig.engine(threads=threads)
        batches = [TokenBatch.pad([row(n, n), row(3)], 0) for n in (40, 33, 17, 9, 5, 2)] * 4
        alone = [engine.run(batch) for batch in batches]
        lanes = engine.lanes(len(batches))
        assert 1 <= len(lanes) <= threads
        assert list(engine.lanes(len(batches))) == list(lanes)
        assert list(engine.lanes(1)) == [engine]
        found = dict(run_batches(engine, batches, lambda lane, batch: lane.run(batch)))
        for number, expected in enumerate(alone):
            np.testing.assert_allclose(found[number], expected, atol=CLOSE)
        engine.close()
        for lane in lanes:
            with pytest.raises(EngineError, match="closed"):
                lane.run(batches[0])
        with pytest.raises(EngineError, match="closed"):
            list(run_batches(engine, batches, lambda lane, batch: lane.run(batch)))

    def test_two_engines_on_one_file_do_not_meet(self, rig: Rig) -> None:
        engines = [rig.engine(), rig.engine()]
        batches = [TokenBatch.pad([row(n)] * 3, 0) for n in (4, 31)]
        expected = [engines[0].run(batch) for batch in batches]
        with ThreadPoolExecutor(2) as pool:
            for _ in range(20):
                found = pool.map(lambda engine, batch: engine.run(batch), engines, batches)
                for one, other in zip(found, expected, strict=True):
                    np.testing.assert_allclose(one, other, atol=CLOSE)
        engines[0].close()

        assert np.array_equal(engines[1].run(batches[0]), expected[0])
        engines[1].close()

    def test_a_closed_engine_refuses(self, rig: Rig) -> None:
        engine = rig.engine()
        engine.run(TokenBatch.pad([row(4)], 0))
        engine.close()
        engine.close()

        with pytest.raises(EngineError, match="closed"):
            engine.run(TokenBatch.pad([row(4)], 0))

    @pytest.mark.parametrize("threads", [0, -1])
    def test_threads_below_one_are_refused(self, rig: Rig, threads: int) -> None:
        with pytest.raises(EngineError, match=f"at least 1, not {threads}"):
            rig.engine(threads=threads)

    @pytest.mark.parametrize("size", [None, 0, 4, 100, 4000])
    def test_a_file_that_is_no_model_is_refused(
        self, rig: Rig, tmp_path: Path, size: int | None
    ) -> None:
        """Missing, or only the beginning of a whole one."""
        model = tmp_path / "not a model"
        if size is not None:
            model.write_bytes(rig.model.read_bytes()[:size])

        with pytest.raises(EngineError) as caught:
            rig.open(model, rig.spec)
        assert str(model) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_file_of_something_else_is_refused(self, rig: Rig, tmp_path: Path) -> None:
        model = tmp_path / "foreign"
        model.write_bytes(np.random.default_rng(0).bytes(20_000))

        with pytest.raises(EngineError, match="foreign"):
            rig.open(model, rig.spec)

    def test_a_network_of_another_width_is_refused(self, rig: Rig) -> None:
        engine = rig.open(rig.model, replace(rig.spec, width=16))

        with pytest.raises(EngineError, match=r"shape \(1, 4, 32\), not \(1, 4, 16\)"):
            engine.run(TokenBatch.pad([row(4)], 0))
        engine.close()


TEXTS = ["fish", "how do fish sleep", "a", "two small fish run in the river " * 2, "", "fish"]
LONG = "the big red river " * 9
ODD = ["\u9c7c 鱼 fish", "🐟", "Füße", "\x00\t\n", "[SEP] fish [CLS]", "a" * 5000, "​"]


@dataclass(frozen=True)
class TextRig:
    """A text engine under test: how to open it, and what its vectors should be.

    Attributes:
        open: Opens the engine over the tiny model with `fakes.bundles.PROMPTS`.
        vectors: Texts, behind their prompts -> the reference's vectors.
        close: How far the engine's numbers may be from the reference's.
    """

    open: Callable[[], TextEmbedder]
    vectors: Callable[[list[str]], NDArray[np.float64]]
    close: float = CLOSE


class TextEngineSuite:
    """Tests of every text engine; inherit it, with fixtures `rig` and `embedder` (`rig.open()`)."""

    def test_vectors_are_those_of_the_reference(self, rig: TextRig, embedder: TextEmbedder) -> None:
        query, document = embedder.encode_query(TEXTS), embedder.encode_document(TEXTS)

        for found, prompt in ((query, "query: "), (document, "passage: ")):
            assert found.dtype == np.float32
            expected = rig.vectors([prompt + text for text in TEXTS])
            np.testing.assert_allclose(found, expected, atol=rig.close)

    def test_it_says_what_it_is(self, embedder: TextEmbedder) -> None:
        assert embedder.name
        assert embedder.similarity_kind is Similarity.COSINE

    def test_a_text_alone_is_as_in_company(self, rig: TextRig, embedder: TextEmbedder) -> None:
        together = embedder.encode_document([*TEXTS, LONG, *TEXTS])
        alone = np.concatenate([embedder.encode_document([text]) for text in (*TEXTS, LONG)])

        np.testing.assert_allclose(together[: len(alone)], alone, atol=rig.close)
        np.testing.assert_allclose(together[len(alone) :], alone[:-1], atol=rig.close)

    def test_no_text_gives_no_vectors(self, embedder: TextEmbedder) -> None:
        width = embedder.encode_query(["fish"]).shape[1]
        for found in (embedder.encode_query([]), embedder.encode_document([])):
            assert found.shape == (0, width)
            assert found.dtype == np.float32

    def test_a_long_text_is_its_beginning(self, rig: TextRig, embedder: TextEmbedder) -> None:
        long, longer = embedder.encode_document([LONG, LONG + " not seen any more"])

        np.testing.assert_allclose(long, longer, atol=rig.close)

    def test_odd_texts_have_vectors(self, embedder: TextEmbedder) -> None:
        assert np.isfinite(embedder.encode_document(ODD)).all()

    def test_the_same_texts_twice_give_the_same_vectors(
        self, rig: TextRig, embedder: TextEmbedder
    ) -> None:
        first, again = (embedder.encode_document([*TEXTS, *ODD]) for _ in range(2))

        np.testing.assert_allclose(first, again, atol=rig.close / 10)

    def test_half_of_a_surrogate_pair_is_read_as_u_fffd(self, embedder: TextEmbedder) -> None:
        with pytest.warns(UserWarning, match="Text 1 holds half of a surrogate pair"):
            found = embedder.encode_query(["fish", "fish \ud800"])
        np.testing.assert_array_equal(found, embedder.encode_query(["fish", "fish \ufffd"]))

    def test_a_text_that_is_no_text_is_refused(self, embedder: TextEmbedder) -> None:
        with pytest.raises(InputError, match="Text 0 is int, not a string"):
            embedder.encode_document([7])  # type: ignore[list-item]
        assert len(embedder.encode_query(["fish"])) == 1

    def test_a_closed_embedder_refuses(self, rig: TextRig) -> None:
        embedder = rig.open()
        embedder.encode_query(["fish"])
        embedder.close()
        embedder.close()

        with pytest.raises(EngineError, match="closed"):
            embedder.encode_query(["fish"])
