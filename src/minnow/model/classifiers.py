"""Heads of classifiers: what `*ForSequenceClassification` of each family makes of token states.

Source: the classes of these names in transformers 5.24, with dropout left out. Each is a pooling,
then dense layers and norms, of which the last has a number for each label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minnow.errors import UnsupportedModelError
from minnow.model.head import Head, Layer, LayerActivation, LayerKind
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from minnow.model.spec import EncoderSpec

CLASSIFIES = "ForSequenceClassification"
"""The end of the names of these classes in `architectures` of config.json."""

_ACTIVATIONS = {
    **{activation.value: activation for activation in LayerActivation},
    "gelu_new": LayerActivation.GELU_TANH,
    "gelu_pytorch_tanh": LayerActivation.GELU_TANH,
    "swish": LayerActivation.SILU,
    "linear": LayerActivation.IDENTITY,
}
"""Names of activations in transformers, as far as they are computed here."""


@dataclass(frozen=True)
class NamedLayer:
    """A layer of a classifier, with the name of its tensors.

    Attributes:
        name: The name of its weight and bias in checkpoints, without their ends.
        layer: The layer; a width of 0 is the number of labels.
        plain: Whether a norm has no bias; a layer of ours then has zeros.
    """

    name: str
    layer: Layer
    plain: bool = False


@dataclass(frozen=True)
class Classifier:
    """A classifier's head.

    Attributes:
        pooling: What makes one vector of the states.
        layers: What the vector passes through.
    """

    pooling: Pooling
    layers: tuple[NamedLayer, ...]

    @property
    def head(self) -> Head:
        """The classifier as a head: its pooling and its layers, without the names of tensors."""
        return Head(self.pooling, layers=tuple(row.layer for row in self.layers))

    @property
    def zeros(self) -> tuple[str, ...]:
        """Our names of the biases that the checkpoint lacks, which are then zeros."""
        return tuple(f"head.{i}.bias" for i, row in enumerate(self.layers) if row.plain)

    def tensor_names(self, shapes: Iterable[str]) -> dict[str, str]:
        """Return our name of each tensor (`minnow.model.head.layer_shapes`) -> a checkpoint's."""
        theirs = {f"head.{i}": row.name for i, row in enumerate(self.layers)}
        split = {our: our.rpartition(".") for our in shapes if our not in self.zeros}
        return {our: f"{theirs[stem]}.{kind}" for our, (stem, _, kind) in split.items()}


def _dense(name: str, width: int, activation: LayerActivation, *, bias: bool = True) -> NamedLayer:
    return NamedLayer(name, Layer(LayerKind.DENSE, width, activation, bias=bias))


def _first_token(
    dense: str, activation: LayerActivation | str, output: str
) -> Callable[[EncoderSpec, Mapping[str, Any]], Classifier]:
    """Describe a dense layer on the state of the first token, then the labels.

    Args:
        dense: Name of the layer.
        activation: Its activation, or the key of config.json that names it, with GELU as default.
        output: Name of the layer of labels.
    """

    def describe(spec: EncoderSpec, config: Mapping[str, Any]) -> Classifier:
        found = (
            activation
            if isinstance(activation, LayerActivation)
            else _activation(config, activation)
        )
        first = _dense(dense, spec.width, found)
        return Classifier(Pooling.CLS, (first, _dense(output, 0, LayerActivation.IDENTITY)))

    return describe


def _last_token(_: EncoderSpec, __: Mapping[str, Any]) -> Classifier:
    """Describe labels on the state of the last token, as decoders have them."""
    labels = _dense("score", 0, LayerActivation.IDENTITY, bias=False)
    return Classifier(Pooling.LAST_TOKEN, (labels,))


LABEL_OF_LAST_TOKEN = Classifier(
    Pooling.LAST_TOKEN, (_dense("", 1, LayerActivation.IDENTITY, bias=False),)
)
"""A causal language model's head: one label on the last token's state. The label's row is computed
from two rows of the output table; see `LogitScore`."""


def _modernbert(spec: EncoderSpec, config: Mapping[str, Any]) -> Classifier:
    poolings = {"cls": Pooling.CLS, "mean": Pooling.MEAN}
    stated = config.get("classifier_pooling", "cls")
    if stated not in poolings:
        raise UnsupportedModelError(
            f"config.json has classifier_pooling {stated!r}; transformers knows cls and mean."
        )
    norm = Layer(LayerKind.LAYER_NORM, spec.width, eps=spec.layer_norm_eps)
    return Classifier(
        poolings[stated],
        (
            _dense(
                "head.dense",
                spec.width,
                _activation(config, "classifier_activation"),
                bias=bool(config.get("classifier_bias", False)),
            ),
            NamedLayer("head.norm", norm, plain=not spec.settings["norm_bias"]),
            _dense("classifier", 0, LayerActivation.IDENTITY),
        ),
    )


def _activation(config: Mapping[str, Any], key: str) -> LayerActivation:
    named = config.get(key, "gelu")
    if named not in _ACTIVATIONS:
        raise UnsupportedModelError(
            f"config.json has {key} {named!r}, which minnow does not compute; it knows "
            f"{', '.join(_ACTIVATIONS)}."
        )
    return _ACTIVATIONS[named]


_ROBERTA = _first_token("classifier.dense", LayerActivation.TANH, "classifier.out_proj")

CLASSIFIERS: Mapping[str, Callable[[EncoderSpec, Mapping[str, Any]], Classifier]] = {
    "bert": _first_token("bert.pooler.dense", LayerActivation.TANH, "classifier"),
    "albert": _first_token("albert.pooler", LayerActivation.TANH, "classifier"),
    "electra": _first_token("classifier.dense", LayerActivation.GELU, "classifier.out_proj"),
    "roberta": _ROBERTA,
    "mpnet": _ROBERTA,
    "distilbert": _first_token("pre_classifier", LayerActivation.RELU, "classifier"),
    "deberta-v2": _first_token("pooler.dense", "pooler_hidden_act", "classifier"),
    "modernbert": _modernbert,
    "qwen3": _last_token,
}
"""Name of a family -> a function that describes its classifier, given config.json."""


def read_classifier(spec: EncoderSpec, config: Mapping[str, Any], labels: int) -> Classifier:
    """Describe the classifier of a model.

    Args:
        spec: The network.
        config: The content of config.json.
        labels: How many numbers it gives.

    Raises:
        UnsupportedModelError: No row describes this family's, or a setting of this one.
    """
    if spec.family not in CLASSIFIERS:
        raise UnsupportedModelError(
            f"minnow knows no classifier of the family {spec.family}; it converts rerankers of "
            f"{', '.join(CLASSIFIERS)}."
        )
    found = CLASSIFIERS[spec.family](spec, config)
    last = found.layers[-1]
    whole = replace(last, layer=replace(last.layer, width=labels))
    return replace(found, layers=(*found.layers[:-1], whole))
