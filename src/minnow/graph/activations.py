"""Activations as nodes of a graph.

MNN's converter fuses GELU where its nodes come in one order with Constant nodes, and computes it by
a polynomial of tanh, with errors up to 5e-4. In another order they stay as they are and are exact,
in the time of the converter's own exact GELU. The same goes for GELU by tanh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.model.spec import Activation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from minnow.graph.nodes import Nodes


def activate(nodes: Nodes, x: str, name: str, activation: Activation, *, exact: bool) -> str:
    """Add the nodes of an activation.

    Args:
        nodes: The graph.
        x: A float value of any shape.
        name: Name of the result, and prefix of the names between.
        activation: The function.
        exact: Keep the converter from fusing GELU.

    Returns:
        The name of the result.
    """
    if activation is Activation.RELU:
        return nodes.node("Relu", [x], name)
    if activation is Activation.SILU:
        return nodes.node("Mul", [x, nodes.node("Sigmoid", [x], f"{name}.sigmoid")], name)
    return _GELUS[activation, exact](nodes, x, name)


def _fused_gelu(nodes: Nodes, x: str, name: str) -> str:
    root = nodes.with_number("Div", x, 2**0.5, f"{name}.div")
    error = nodes.node("Erf", [root], f"{name}.erf")
    shifted = nodes.with_number("Add", error, 1.0, f"{name}.add")
    product = nodes.node("Mul", [x, shifted], f"{name}.mul")
    return nodes.with_number("Mul", product, 0.5, name)


def _exact_gelu(nodes: Nodes, x: str, name: str) -> str:
    half = nodes.with_number("Mul", x, 0.5, f"{name}.half")
    root = nodes.with_number("Mul", x, 0.5**0.5, f"{name}.root")
    error = nodes.node("Erf", [root], f"{name}.erf")
    shifted = nodes.with_number("Add", error, 1.0, f"{name}.add")
    return nodes.node("Mul", [half, shifted], name)


def _fused_gelu_tanh(nodes: Nodes, x: str, name: str) -> str:
    return _gelu_tanh(nodes, x, nodes.with_number("Pow", x, 3.0, f"{name}.cube"), name)


def _exact_gelu_tanh(nodes: Nodes, x: str, name: str) -> str:
    square = nodes.node("Mul", [x, x], f"{name}.square")
    return _gelu_tanh(nodes, x, nodes.node("Mul", [square, x], f"{name}.cube"), name)


def _gelu_tanh(nodes: Nodes, x: str, cube: str, name: str) -> str:
    small = nodes.with_number("Mul", cube, 0.044715, f"{name}.small")
    inner = nodes.node("Add", [x, small], f"{name}.inner")
    argument = nodes.with_number("Mul", inner, (2 / np.pi) ** 0.5, f"{name}.argument")
    tanh = nodes.node("Tanh", [argument], f"{name}.tanh")
    shifted = nodes.with_number("Add", tanh, 1.0, f"{name}.add")
    gate = nodes.with_number("Mul", shifted, 0.5, f"{name}.gate")
    return nodes.node("Mul", [x, gate], name)


_GELUS: Mapping[tuple[Activation, bool], Callable[[Nodes, str, str], str]] = {
    (Activation.GELU, False): _fused_gelu,
    (Activation.GELU, True): _exact_gelu,
    (Activation.GELU_TANH, False): _fused_gelu_tanh,
    (Activation.GELU_TANH, True): _exact_gelu_tanh,
    (Activation.GELU_QUOTIENT, False): _fused_gelu,
    (Activation.GELU_QUOTIENT, True): _fused_gelu,
}
