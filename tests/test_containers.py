"""What `encode` takes for texts, and sentence-transformers' arguments at their defaults."""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import VOCABULARY, write_tokenizer
from fakes.engine import FakeEngine

from minnow.embedder import Embedder
from minnow.errors import InputError
from minnow.model.spec import Activation, EmbeddingSpec, EncoderSpec
from minnow.model.tokenizer import TextTokenizer
from minnow.options import PeerOptions, PeerSettings, split_arguments
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")

ENCODER = EncoderSpec(
    "bert", len(VOCABULARY), 32, 2, 4, 64, 4000, 0, 2, Activation.GELU, 1e-12, 0
)  # fmt: skip
TEXTS = ["fish sleep", "water", "a river"]
FRAME = {"text": ["fish", "water"]}


class Escaping(str):
    """A string that changes what is put before it, as markupsafe's Markup does."""

    __slots__ = ()

    def __radd__(self, other: str) -> str:
        return other.replace("<", "&lt;") + str(self)

    def __str__(self) -> str:
        return "water"


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    tokenizer = TextTokenizer(folder / "tokenizer.json", max_tokens=24)
    spec = EmbeddingSpec(Pooling.MEAN, normalize=True, max_tokens=24)
    return Embedder.from_parts(FakeEngine(ENCODER), tokenizer, ENCODER, spec, name="tiny")


@pytest.mark.parametrize(
    "texts",
    [
        pandas.DataFrame(FRAME), pandas.DataFrame(FRAME)[["text"]], polars.DataFrame(FRAME),
        polars.LazyFrame(FRAME), pyarrow.table(FRAME), pyarrow.table(FRAME).to_batches()[0],
        {"a": "fish", "b": "water"}, MappingProxyType({"a": "fish"}), {"fish", "water"},
        frozenset({"fish"}), b"fish", bytearray(b"fish"), memoryview(b"fish"), np.array("fish"),
        np.array([["fish"], ["water"]]), 3, None,
    ],
    ids=lambda texts: type(texts).__name__,
)  # fmt: skip
def test_what_would_yield_something_else_is_refused(embedder: Embedder, texts: Any) -> None:
    for encode in (embedder.encode, embedder.encode_query, embedder.encode_stream):
        with pytest.raises(InputError, match=f"texts is {type(texts).__name__}") as caught:
            encode(texts)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrap",
    [
        list, tuple, iter, np.array, lambda texts: np.array(texts, dtype=object),
        lambda texts: pandas.Series(texts, index=[7, 3, 9]), pandas.Index,
        lambda texts: pandas.DataFrame({"text": texts})["text"],
        lambda texts: pandas.Series(texts).astype("category"), polars.Series, pyarrow.array,
        lambda texts: pyarrow.chunked_array([texts[:1], texts[1:]]),
        lambda texts: dict.fromkeys(texts).keys(), lambda texts: map(Escaping, texts),
    ],
)  # fmt: skip
def test_containers_of_texts_are_taken(
    embedder: Embedder, wrap: Callable[[list[str]], Any]
) -> None:
    expected = embedder.encode(TEXTS, prompt="<q> ")
    assert len(np.unique(expected, axis=0)) == len(TEXTS)
    assert np.array_equal(embedder.encode(wrap(TEXTS), prompt="<q> "), expected)
    blocks = list(embedder.encode_stream(wrap(TEXTS), prompt="<q> "))
    assert np.array_equal(blocks[0][1], expected)


@pytest.mark.parametrize("text", [np.str_("fish"), Escaping("fish")])
def test_a_string_of_another_class_is_its_characters(embedder: Embedder, text: str) -> None:
    expected = embedder.encode("fish", prompt="<q> ")
    assert np.array_equal(embedder.encode(text, prompt="<q> "), expected)


@pytest.mark.parametrize("missing", [None, float("nan"), pandas.NA])
def test_a_missing_value_of_a_column_is_named(embedder: Embedder, missing: Any) -> None:
    column = pandas.Series(["fish", missing], dtype=object)
    with pytest.raises(InputError, match=r"Text 1 is .*, not a string"):
        embedder.encode(column)


def test_the_defaults_of_sentence_transformers_are_taken(embedder: Embedder) -> None:
    """The installed version's own signature decides what has to be accepted."""
    peer = pytest.importorskip("sentence_transformers").SentenceTransformer
    given = {
        name: parameter.default
        for name, parameter in inspect.signature(peer.encode).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    own = {"inputs", "sentences", "ranges"}
    assert given.keys() >= PeerOptions.__annotations__.keys() - own
    expected = embedder.encode(TEXTS)
    for encode in (embedder.encode, embedder.encode_query, embedder.encode_document):
        assert np.array_equal(encode(TEXTS, **given), expected)
    settings = {
        name: parameter.default
        for name, parameter in inspect.signature(peer.__init__).parameters.items()
        if name not in ("self", "model_name_or_path")
    }
    engine, _ = split_arguments({**settings, "threads": 2})  # type: ignore[typeddict-item]
    assert engine == {"threads": 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output_value", None),
        ("output_value", "all"),
        ("device", "cuda"),
        ("device", ["cpu", "mps"]),
    ],
)
def test_another_value_is_refused_by_name(embedder: Embedder, name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name}=.*is not possible here: "):
        embedder.encode(TEXTS, **{name: value})  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "name",
    sorted(  # the order of a set differs between two test workers
        PeerSettings.__annotations__.keys()
        - {"prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim", "revision",
           "local_files_only"}
    ),
)  # fmt: skip
def test_another_setting_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=f"`{name}=.*` is not possible here"):
        split_arguments({name: "other"})  # type: ignore[misc]


def test_unknown_arguments_are_type_errors(embedder: Embedder) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'normalise'"):
        embedder.encode(TEXTS, normalise=True)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="unexpected keyword argument 'thread'"):
        split_arguments({"thread": 2})  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", "32"), ("batch_size", True), ("truncate_dim", 8.0), ("truncate_dim", True)],
)
def test_numbers_of_another_type_are_refused(embedder: Embedder, name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name} should be a whole number"):
        embedder.encode(TEXTS, **{name: value})  # type: ignore[call-overload]
    eight: Any = np.int64(8)
    assert embedder.encode(TEXTS, truncate_dim=eight).shape == (3, 8)
