"""Norms as nodes, and products of states and multipliers, which a norm before them takes up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.graph.disentangled import DisentangledNodes
from minnow.model.network import LayerNorm

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from minnow.graph.form import GraphForm
    from minnow.graph.multiplied import Multiplied
    from minnow.graph.nodes import Outside
    from minnow.model.network import Network, Norm, RmsNorm


class NormNodes(DisentangledNodes):
    """The nodes of norms."""

    def __init__(
        self,
        network: Network,
        tensors: Mapping[str, NDArray[np.float32]],
        form: GraphForm,
        multiplied: Multiplied,
        outside: Outside,
    ) -> None:
        super().__init__(network, tensors, form, outside)
        self._multiplied = multiplied
        self._norms: dict[str, tuple[str, Norm]] = {}  # by the name that norm and result share

    def _norm(
        self,
        states: str,
        norm: Norm | None,
        name: str,
        tail: str = "",
        by: NDArray[np.float32] | None = None,
        again: str = "",
    ) -> str:
        """Normalise states.

        Args:
            states: The states.
            norm: The norm; None leaves the states as they are.
            name: Name of the norm, and of the result.
            tail: What the name of the result ends in where other states have the norm too, with
                the same multipliers.
            by: Multipliers of the result, which the norm's weight and bias take up.
            again: Name of the result where the states have the norm once more, for multipliers.
        """
        if norm is None:
            return states
        parts = ("weight", "bias") if isinstance(norm, LayerNorm) and norm.bias else ("weight",)
        result, tables = f"{again or name}{tail}", []
        for part in parts:
            values = self._tensors[f"{name}.{part}"]
            values = values if by is None else values * by
            tables.append(self.table(f"{again or name}.{part}", values))
        self._norms[result] = (states, norm)
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
        """Multiply states; None leaves them as they are.

        Where a norm gave the states, it is applied again with another weight: MNN takes four times
        as long for a product.
        """
        if by is None:
            return states
        if states in self._norms:
            return self._norm(*self._norms[states], states, by=by, again=name)
        return self.node("Mul", [states, self.table(f"{name}.by", by)], f"{name}{tail}")
