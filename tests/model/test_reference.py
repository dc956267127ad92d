"""The reference model, checked by hand; `test_families` holds it against `transformers`."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import source_of, write_model

from minnow.errors import MissingExtraError
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.families import network_of
from minnow.model.head import Head
from minnow.model.network import (
    Attention,
    Block,
    FeedForward,
    LayerNorm,
    LearnedPositions,
    Network,
    Words,
)
from minnow.model.parameters import tensor_shapes
from minnow.model.reference import ReferenceModel, pool_one
from minnow.model.spec import Activation
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

pytestmark = pytest.mark.extra("convert")

CLS = Head(Pooling.CLS)


# --- one layer, by hand ------------------------------------------------------------------

ATTENTION = Attention(heads=1, head_size=2, scale=2**-0.5)


def network(activation: Activation = Activation.RELU) -> Network:
    norm = LayerNorm(eps=3.0)
    block = Block(ATTENTION, FeedForward(1, activation), norm, norm)
    positions = LearnedPositions(4, offset=1)
    return Network(2, 3, Words(3, token_types=1), positions, norm, (block,))


BY_HAND = network()


def tensors_by_hand() -> dict[str, Floats]:
    """All zero, except what a test's arithmetic mentions; norms scale by 1."""
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(BY_HAND).items()}
    for name, tensor in tensors.items():
        if name.endswith("norm.weight"):
            tensor += 1
    return tensors


def states_by_hand(tensors: dict[str, Floats], ids: list[int]) -> list[list[float]]:
    states = ReferenceModel(BY_HAND, CLS, tensors).hidden_states(ids)
    return [[float(x) for x in state] for state in states]


def normed(a: float, b: float) -> list[float]:
    """LayerNorm of two numbers with epsilon 3: the variance is the square of half their gap."""
    half = (a - b) / 2
    return [half / math.sqrt(half**2 + 3), -half / math.sqrt(half**2 + 3)]


def test_embeddings_add_up_and_are_normalised() -> None:
    tensors = tensors_by_hand()
    tensors["embeddings.word"][:] = [[9, 9], [1, 0], [0, 4]]
    tensors["embeddings.position"][:] = [[9, -9], [2, 0], [-1, 0], [9, 9]]
    tensors["embeddings.token_type"][:] = [[0.5, 1]]

    states = states_by_hand(tensors, [1, 2])

    normed_three_times = [normed(*normed(*normed(*x))) for x in ([3.5, 1], [-0.5, 5])]
    np.testing.assert_allclose(states, normed_three_times, rtol=1e-12)


def test_attention_mixes_the_values_by_the_softmax_of_query_times_key() -> None:
    tensors = tensors_by_hand()
    tensors["embeddings.word"][:] = [[0, 0], [2, 0], [0, 6]]
    tensors["layer.0.query.weight"][:] = [[1, 0], [0, 0]]
    tensors["layer.0.key.weight"][:] = [[3, 0], [0, 0]]
    tensors["layer.0.value.weight"][:] = [[1, 0], [0, 1]]
    tensors["layer.0.value.bias"][:] = [0, 7]
    tensors["layer.0.attention_output.weight"][:] = [[0, 1], [5, 0]]

    states = states_by_hand(tensors, [1, 2])

    x, y = normed(2, 0), normed(0, 6)
    expected = []
    for state in (x, y):
        scores = [math.exp(state[0] * 3 * key[0] / math.sqrt(2)) for key in (x, y)]
        share = scores[0] / sum(scores)
        mixed = [share * x[0] + (1 - share) * y[0], share * x[1] + (1 - share) * y[1] + 7]
        expected.append(normed(*normed(state[0] + mixed[1], state[1] + 5 * mixed[0])))
    np.testing.assert_allclose(states, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        (Activation.RELU, lambda x: max(x, 0)),
        (Activation.GELU, lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2))),
        (
            Activation.GELU_TANH,
            lambda x: x / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
@pytest.mark.parametrize("bias", [-3.0, -0.5, 0.0, 0.5, 3.0])
def test_feed_forward_adds_what_the_activation_lets_through(
    activation: Activation, function: object, bias: float
) -> None:
    assert callable(function)
    tensors = tensors_by_hand()
    tensors["embeddings.word"][1] = [4, 0]
    tensors["layer.0.inner.weight"][:] = [[2, 1]]
    tensors["layer.0.inner.bias"][:] = bias
    tensors["layer.0.output.weight"][:] = [[10], [-1]]
    tensors["layer.0.output.bias"][:] = [0, 1]
    model = ReferenceModel(network(activation), CLS, tensors)

    state = model.hidden_states([1])[0]

    x = normed(*normed(4, 0))
    through = function(2 * x[0] + x[1] + bias)
    expected = normed(x[0] + 10 * through, x[1] - through + 1)
    np.testing.assert_allclose(state, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "norm", ["embeddings.norm", "layer.0.attention_norm", "layer.0.output_norm"]
)
def test_a_norm_scales_and_shifts(norm: str) -> None:
    tensors = tensors_by_hand()
    tensors[f"{norm}.weight"][:] = 0
    tensors[f"{norm}.bias"][:] = [5, 1]

    state = states_by_hand(tensors, [1])[0]

    left = ["embeddings.norm", "layer.0.attention_norm", "layer.0.output_norm"].index(norm)
    expected = [5.0, 1.0]
    for _ in range(2 - left):
        expected = normed(*expected)
    assert state == pytest.approx(expected, abs=1e-12)


# --- a random network --------------------------------------------------------------------


@pytest.fixture
def model(tiny: Path) -> ReferenceModel:
    return model_of(tiny)


def model_of(folder: Path, head: Head | None = None) -> ReferenceModel:
    source = source_of(folder)
    spec = read_encoder_spec(source)
    return ReferenceModel(network_of(spec), head or CLS, read_tensors(source, spec))


IDS = [2, 17, 30, 9, 41, 3]


def test_states_are_float64_one_per_token(model: ReferenceModel) -> None:
    states = model.hidden_states(IDS)

    assert states.dtype == np.float64
    assert states.shape == (len(IDS), 32)
    assert np.isfinite(states).all()


def test_order_matters(model: ReferenceModel) -> None:
    forward = model.hidden_states(IDS)[0]
    swapped = model.hidden_states([IDS[0], *reversed(IDS[1:-1]), IDS[-1]])[0]

    assert np.abs(forward - swapped).max() > 1e-3


def test_every_token_sees_every_other(model: ReferenceModel) -> None:
    states = model.hidden_states(IDS)

    for changed in range(len(IDS)):
        others = model.hidden_states([50 if i == changed else t for i, t in enumerate(IDS)])
        assert (np.abs(states - others).max(1) > 1e-4).all()


def test_heads_attend_on_their_own(tmp_path: Path) -> None:
    four = model_of(write_model(tmp_path / "4", num_attention_heads=4)).hidden_states(IDS)
    one = model_of(write_model(tmp_path / "1", num_attention_heads=1)).hidden_states(IDS)

    assert np.abs(four - one).max() > 1e-3


def test_scores_that_would_overflow_do_not(tiny: Path) -> None:
    source = source_of(tiny)
    spec = read_encoder_spec(source)
    tensors = dict(read_tensors(source, spec))
    tensors["layer.0.query.weight"] = tensors["layer.0.query.weight"] * 1e4

    states = ReferenceModel(network_of(spec), CLS, tensors).hidden_states(IDS)

    assert np.isfinite(states).all()


def test_the_tensors_are_left_as_they_are(tiny: Path) -> None:
    source = source_of(tiny)
    spec = read_encoder_spec(source)
    tensors = read_tensors(source, spec)
    before = {name: tensor.copy() for name, tensor in tensors.items()}

    ReferenceModel(network_of(spec), CLS, tensors).hidden_states(IDS)

    for name, tensor in before.items():
        np.testing.assert_array_equal(tensors[name], tensor)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", Pooling)
def test_a_vector_is_the_pooled_states(tiny: Path, pooling: Pooling, normalize: bool) -> None:
    head = Head(pooling, normalize)
    model = model_of(tiny, head)

    vector = model.vector(IDS)

    np.testing.assert_array_equal(vector, pool_one(model.hidden_states(IDS), head))
    assert vector.dtype == np.float64
    assert math.isclose(math.hypot(*vector), 1) is normalize


# --- pooling -----------------------------------------------------------------------------

POOLED = {
    Pooling.CLS: [1, 6],
    Pooling.LAST_TOKEN: [4, -6],
    Pooling.MAX: [4, 9],
    Pooling.MEAN: [7 / 3, 3],
    Pooling.MEAN_SQRT_LEN: [7 / math.sqrt(3), 9 / math.sqrt(3)],
    Pooling.WEIGHTED_MEAN: [(1 + 4 + 12) / 6, (6 + 18 - 18) / 6],
}


def test_every_pooling_is_computed_by_hand() -> None:
    assert set(POOLED) == set(Pooling)


@pytest.mark.parametrize(("pooling", "expected"), POOLED.items())
def test_pooling_is_its_formula(pooling: Pooling, expected: list[float]) -> None:
    hidden = np.array([[1, 6], [2, 9], [4, -6]], np.float64)

    vector = pool_one(hidden, Head(pooling))
    unit = pool_one(hidden, Head(pooling, normalize=True))

    assert vector.tolist() == pytest.approx(expected)
    assert unit.tolist() == pytest.approx([x / math.hypot(*expected) for x in expected])


@pytest.mark.parametrize("pooling", Pooling)
def test_one_token_is_its_own_vector(pooling: Pooling) -> None:
    assert pool_one(np.array([[1.0, -2.0]]), Head(pooling)).tolist() == [1, -2]


def test_the_extra_is_named_where_scipy_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'minnow-embed\[convert\]'"):
        ReferenceModel(BY_HAND, CLS, {})
