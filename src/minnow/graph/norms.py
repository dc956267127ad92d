"""Norms as nodes, and states that are multiplied, by their norm where they have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.graph.disentangled import DisentangledNodes
from minnow.model.network import LayerNorm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from minnow.graph.multiplied import Multiplied
    from minnow.graph.nodes import Outside
    from minnow.model.network import Network, Norm, RmsNorm


class NormNodes(DisentangledNodes):
    """The nodes of norms."""

    def __init__(
        self,
        network: Network,
        tensors: Mapping[str, NDArray[np.float32]],
        shape: tuple[int, int] | None,
        outside: Outside,
        multiplied: Multiplied,
        *,
        for_mnn: bool = False,
    ) -> None:
        super().__init__(network, tensors, shape, outside, for_mnn=for_mnn)
        self._multiplied = multiplied
        self._normed: dict[str, tuple[str, Norm, str]] = {}

    def _norm(
        self,
        states: str,
        norm: Norm | None,
        name: str,
        tail: str = "",
        by: NDArray[np.float32] | float = 1,
        named: str = "",
    ) -> str:
        """Normalise states, and multiply them.

        A norm that is applied a second time needs a tail for its name, or another name.
        """
        if norm is None:
            return states
        parts = ("weight", "bias") if isinstance(norm, LayerNorm) and norm.bias else ("weight",)
        named = named or name
        tables = [
            self.table(f"{named}.{part}", self._tensors[f"{name}.{part}"] * np.float32(by))
            for part in parts
        ]
        result = f"{named}{tail}"
        self._normed[result] = (states, norm, name)
        if not isinstance(norm, LayerNorm):
            return self._rms_norm(states, norm, tables[0], result)
        return self.node("LayerNormalization", [states, *tables], result, axis=-1, epsilon=norm.eps)

    def _rms_norm(self, states: str, norm: RmsNorm, weight: str, name: str) -> str:
        square = self.node("Mul", [states, states], f"{name}.square")
        mean = self.node("ReduceMean", [square], f"{name}.mean", axes=[-1], keepdims=1)
        root = self.with_number("Add", mean, norm.eps, f"{name}.eps")
        root = self.node("Sqrt", [root], f"{name}.root")
        scaled = self.node("Div", [states, root], f"{name}.scaled")
        return self.node("Mul", [scaled, weight], name)

    def _multiply(
        self, states: str, by: NDArray[np.float32] | None, name: str, tail: str = ""
    ) -> str:
        """Multiply states, if by anything.

        States that a norm gave are made anew by it: MNN takes four times as long for a product.
        """
        if by is None:
            return states
        if states in self._normed:
            return self._norm(*self._normed[states], tail, by, name)
        return self.node("Mul", [states, self.table(f"{name}.by", by)], f"{name}{tail}")
