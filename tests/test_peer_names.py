"""What code written for `SentenceTransformer` gets of an embedder, beside the class itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.programs import answer_of

from minnow import Embedder
from minnow.errors import InputError
from minnow.outputs import quantize_embeddings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.bundles import Tiny

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("sentence-transformers")]

TEXTS = ["how do fish sleep?", "two small fish run in the river", "red", "the big ship " * 9]
RANGES = np.array([[-0.5] * 32, [0.5] * 32], dtype=np.float32)


@pytest.fixture(scope="module")
def embedder(made: Tiny) -> Iterator[Embedder]:
    with Embedder.open(made.bundle, on_truncate="ignore") as opened:
        yield opened


@pytest.fixture(scope="module")
def peer(made: Tiny) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(made.source.folder), device="cpu")


@pytest.fixture
def own(made: Tiny) -> Iterator[Embedder]:
    """An embedder that a test may change."""
    with Embedder.open(made.bundle, on_truncate="ignore") as opened:
        yield opened


def close(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=2e-5)


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[0]], ids=["several", "one"])
@pytest.mark.parametrize(
    "options",
    [
        {"convert_to_tensor": True},
        {"convert_to_tensor": True, "convert_to_numpy": False, "normalize_embeddings": True},
        {"precision": "ubinary"},
        {"precision": "binary", "convert_to_tensor": True},
        {"device": "cpu", "chunk_size": 2, "truncate_dim": 8},
    ],
    ids=str,
)
def test_vectors_have_the_form_of_the_peer(
    embedder: Embedder, peer: Any, texts: Any, options: dict[str, Any]
) -> None:
    close(embedder.encode(texts, **options), peer.encode(texts, **options))


@pytest.mark.parametrize("name", ["encode", "encode_query", "encode_document"])
def test_roles_and_names_of_the_texts_are_those_of_the_peer(
    embedder: Embedder, peer: Any, name: str
) -> None:
    expected = getattr(peer, name)(inputs=TEXTS)
    close(getattr(embedder, name)(inputs=TEXTS), expected)
    close(getattr(embedder, name)(sentences=TEXTS), expected)
    with pytest.raises(TypeError, match="takes the texts once, not 2 times"):
        getattr(embedder, name)(TEXTS, sentences=TEXTS)


def test_a_list_of_tensors(embedder: Embedder, peer: Any) -> None:
    found = embedder.encode(TEXTS, convert_to_numpy=False)
    expected = peer.encode(TEXTS, convert_to_numpy=False)
    assert isinstance(found, list)
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_token_embeddings(embedder: Embedder, peer: Any) -> None:
    """Arrays, or tensors where these are asked for; the peer always gives tensors."""
    options: dict[str, Any] = {"output_value": "token_embeddings", "prompt_name": "query"}
    expected = peer.encode(TEXTS, **options)
    found = embedder.encode(TEXTS, **options)
    assert all(isinstance(each, np.ndarray) for each in found)
    for tensor, array, other in zip(
        embedder.encode(TEXTS, **options, convert_to_tensor=True), found, expected, strict=True
    ):
        close(tensor, other)
        assert np.array_equal(tensor.numpy(), array)
    close(embedder.encode(TEXTS[0], **options, convert_to_tensor=True), expected[0])


def test_token_embeddings_of_an_encoder_that_pools_are_refused(pooled: Tiny) -> None:
    with (
        Embedder.open(pooled.bundle) as embedder,
        pytest.raises(InputError, match="output_value='token_embeddings' is not possible here"),
    ):
        embedder.encode(TEXTS, output_value="token_embeddings")


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary", "float32"])
def test_quantising_gives_the_bytes_of_the_peer(embedder: Embedder, precision: Any) -> None:
    from sentence_transformers.util import quantize_embeddings as peer_quantize

    vectors = embedder.encode(TEXTS)
    ranges = RANGES if precision in ("int8", "uint8") else None
    expected: Any = peer_quantize(vectors, precision=precision, ranges=ranges)
    found: Any = quantize_embeddings(vectors, precision, ranges)
    assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist())
    encoded = embedder.encode(TEXTS, precision=precision, ranges=ranges)
    assert (encoded.dtype, encoded.tolist()) == (expected.dtype, expected.tolist())
    calibrated: Any = peer_quantize(vectors[:2], precision, calibration_embeddings=vectors)
    again = quantize_embeddings(vectors[:2], precision, calibration_embeddings=vectors)
    assert again.tolist() == calibrated.tolist()


def test_ranges_of_few_texts_are_warned_of_and_of_one_refused(embedder: Embedder) -> None:
    with pytest.warns(UserWarning, match="ranges for int8 were computed from 4 vectors"):
        assert embedder.encode(TEXTS, precision="int8").dtype == np.int8
    with pytest.raises(InputError, match="precision='int8' needs the range of each dimension"):
        embedder.encode(TEXTS[0], precision="int8")
    for wrong in (RANGES[:, :5], RANGES[::-1], RANGES * np.nan):
        with pytest.raises(InputError, match=r"ranges should be .* of shape \(2, 32\)"):
            embedder.encode(TEXTS, precision="uint8", ranges=wrong)
    with pytest.raises(InputError, match="ranges belong to int8 and uint8"):
        embedder.encode(TEXTS, precision="binary", ranges=RANGES)
    with pytest.raises(InputError, match="precision should be float32, int8"):
        embedder.encode(TEXTS, precision="int4")


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities_are_those_of_the_peer(own: Embedder, peer: Any, kind: Any) -> None:
    from sentence_transformers import SimilarityFunction

    own.similarity_fn_name = kind
    peer.similarity_fn_name = kind
    assert own.similarity_fn_name == kind
    a = own.encode(TEXTS, convert_to_tensor=True) * 3
    b = own.encode(TEXTS[::-1])
    close(own.similarity(a, b), peer.similarity(a, b))
    close(own.similarity_pairwise(a, b), peer.similarity_pairwise(a, b))
    assert isinstance(own.similarity(b, list(b)), np.ndarray)
    assert isinstance(own.similarity_pairwise(b, b), np.ndarray)
    own.similarity_fn_name = SimilarityFunction.COSINE  # type: ignore[assignment]
    assert own.similarity_fn_name == "cosine"
    peer.similarity_fn_name = "cosine"


def test_a_lower_limit_is_honoured(own: Embedder, peer: Any) -> None:
    before = peer.max_seq_length
    assert own.max_seq_length == own.get_max_seq_length() == before
    own.max_seq_length = peer.max_seq_length = 6
    try:
        close(own.encode(TEXTS), peer.encode(TEXTS))
        assert own.truncated_texts == 3
    finally:
        peer.max_seq_length = before
    for wrong in (before + 1, 0, None, True):
        with pytest.raises(InputError, match=f"proven for 1 to {before} tokens"):
            own.max_seq_length = wrong  # type: ignore[assignment]
    own.max_seq_length = before
    close(own.encode(TEXTS), peer.encode(TEXTS))


def test_prompts_can_be_replaced(own: Embedder, peer: Any, made: Tiny) -> None:
    from sentence_transformers import SentenceTransformer

    assert dict(own.prompts) == peer.prompts
    settings: Any = {"prompts": {"query": "red ", "new": "big "}, "default_prompt_name": "new"}
    other = SentenceTransformer(str(made.source.folder), device="cpu", **settings)
    with Embedder.open(made.bundle, **settings) as changed:
        assert dict(changed.prompts) == other.prompts
        for name in ("encode", "encode_query", "encode_document"):
            close(getattr(changed, name)(TEXTS[:2]), getattr(other, name)(TEXTS[:2]))
    with pytest.raises(TypeError):
        own.prompts["query"] = "x"  # type: ignore[index]
    own.prompts = {"query": "red "}
    close(own.encode_query(TEXTS[:2]), other.encode_query(TEXTS[:2]))
    with pytest.raises(InputError, match="default_prompt_name should be one of query, document"):
        own.default_prompt_name = "absent"


def test_vectors_can_be_shortened(own: Embedder, peer: Any, made: Tiny) -> None:
    assert own.get_embedding_dimension() == peer.get_embedding_dimension() == 32
    with own.truncate_embeddings(8), peer.truncate_embeddings(8):
        assert own.get_sentence_embedding_dimension() == own.width == 8
        close(own.encode(TEXTS), peer.encode(TEXTS))
        assert own.encode(TEXTS, truncate_dim=9).shape == (4, 9)
    with Embedder.open(made.bundle, truncate_dim=5) as short:
        assert short.encode(TEXTS[0]).shape == (5,)
        assert short.get_embedding_dimension() == 5
    with pytest.raises(InputError, match="truncate_dim should be 1 to 32"):
        Embedder.open(made.bundle, truncate_dim=33)


def test_a_pool_is_taken_and_answered(embedder: Embedder) -> None:
    pool = embedder.start_multi_process_pool(["cpu"] * 4)
    try:
        expected = embedder.encode(TEXTS)
        assert np.array_equal(embedder.encode(TEXTS, pool=pool, chunk_size=1), expected)
        assert np.array_equal(embedder.encode(TEXTS, device=["cpu", "cpu"]), expected)
        assert np.array_equal(embedder.encode_multi_process(TEXTS, pool), expected)
    finally:
        embedder.stop_multi_process_pool(pool)
    with pytest.raises(InputError, match="`device='cuda:0'` is not possible here"):
        embedder.start_multi_process_pool(["cuda:0"])


def test_the_tokenizer_has_the_methods_of_one_of_transformers(
    embedder: Embedder, peer: Any
) -> None:
    ours, theirs = embedder.tokenizer, peer.tokenizer
    assert len(ours) == len(theirs)
    assert ours.vocab_size == theirs.vocab_size
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.model_max_length == embedder.max_seq_length
    for text in [*TEXTS, ""]:
        assert ours.encode(text) == theirs.encode(text)
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(
            text, add_special_tokens=False
        )
        assert ours.tokenize(text) == theirs.tokenize(text)
        cut = ours.encode(text, truncation=True, max_length=7)
        assert cut == theirs.encode(text, truncation=True, max_length=7)
        assert ours.convert_ids_to_tokens(cut) == theirs.convert_ids_to_tokens(cut)
    ids = theirs.encode(TEXTS[1])
    assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(
        ids, skip_special_tokens=True
    )
    options: dict[str, Any] = {"padding": True, "truncation": True, "max_length": 9}
    for form in (None, "np", "pt"):
        found = ours(TEXTS, **options, return_tensors=form)
        expected = theirs(TEXTS, **options, return_tensors=form)
        for name in ("input_ids", "attention_mask"):
            assert type(found[name]) is type(expected[name])
            assert np.asarray(found[name]).tolist() == np.asarray(expected[name]).tolist()
    assert ours(TEXTS[0])["input_ids"] == theirs(TEXTS[0])["input_ids"]
    features, others = embedder.tokenize(TEXTS), peer.tokenize(TEXTS)
    assert features["input_ids"].tolist() == others["input_ids"].tolist()


def test_an_embedder_is_on_the_cpu_and_stays_there(embedder: Embedder, peer: Any) -> None:
    assert embedder.device == str(peer.device) == "cpu"
    assert embedder.to("cpu") is embedder.cpu() is embedder.eval() is embedder
    assert embedder.to(peer.device) is embedder
    with pytest.raises(InputError, match="`device='cuda'` is not possible here"):
        embedder.to("cuda")


@pytest.mark.parametrize("name", ["fit", "save_pretrained", "half", "cuda", "push_to_hub"])
def test_what_differs_on_purpose_says_why(embedder: Embedder, peer: Any, name: str) -> None:
    assert hasattr(peer, name)
    assert not hasattr(embedder, name)
    with pytest.raises(AttributeError, match=f"no '{name}': ") as caught:
        getattr(embedder, name)
    assert str(caught.value).count("\n") == 0
    with pytest.raises(AttributeError, match="'Embedder' object has no attribute 'encod'"):
        embedder.encod  # type: ignore[attr-defined]  # noqa: B018


def test_no_torch_is_imported_unless_it_is_asked_for(made: Tiny) -> None:
    code = """
from minnow import Embedder
with Embedder.open(sys.argv[1]) as embedder:
    vectors = embedder.encode(["a", "b"], precision="ubinary", output_value="sentence_embedding")
    embedder.similarity(embedder.encode("a"), embedder.encode("b"))
    embedder.tokenizer.encode("a")
    print("torch" in sys.modules, "transformers" in sys.modules)
"""
    assert answer_of("import sys\n" + code, str(made.bundle.folder)).split() == ["False", "False"]


def test_a_tensor_without_torch_is_an_error_of_one_line(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minnow.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="A tensor of torch needs an optional dependency"):
        embedder.encode(TEXTS, convert_to_tensor=True)


def test_an_index_refuses_an_embedder_whose_vectors_were_changed(made: Tiny) -> None:
    from minnow.indexfile.models import BundleModel

    for settings in ({"truncate_dim": 8}, {"prompts": {"query": "red "}}):
        with (
            Embedder.open(made.bundle, **settings) as changed,
            pytest.raises(InputError, match="prompts, limit or length of vectors were changed"),
        ):
            BundleModel(made.bundle, changed)
