"""A network's tensors, read back from the encoder that was converted from its graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minnow.errors import BundleError
from minnow.graph.fractions import FractionTable
from minnow.graph.mnn_file import CONVERTED, FRACTION_BYTES, Held, read_numbers
from minnow.graph.multiplied import MULTIPLIED, input_name, norm_before
from minnow.graph.packed import PLANES, PackedTable
from minnow.graph.positions import distance_rows
from minnow.model.head import Head, layer_shapes
from minnow.model.network import Network
from minnow.model.parameters import distance_tensors, linear_layers, tensor_shapes

Tensors = dict[str, NDArray[np.float32]]


def stored_tensors(encoder: Path, network: Network, head: Head | None = None) -> Tensors:
    """Read the numbers with which an encoder computes.

    Args:
        encoder: An MNN file made of `minnow.graph.encoder.build_graph`, for any shape.
        network: The network.
        head: What follows the token states, to read the tensors of its layers too.

    Returns:
        Tensors under the names of `minnow.model.parameters.tensor_shapes` and
        `minnow.model.head.layer_shapes`, float32, rounded as the encoder has them; a bias more
        where calibration added one. Where the encoder multiplies inputs, the norm before a matrix
        has the multipliers in it, or else the matrix. In place of those of
        `minnow.model.parameters.distance_tensors`, of which the encoder has products, are the
        tables that `minnow.graph.disentangled` makes of them.

    Raises:
        BundleError: The file cannot be read, or lacks a tensor of the network.
    """
    reader = _Reader(encoder, read_numbers(encoder), network)
    tensors: Tensors = {}
    layers = {} if head is None else layer_shapes(head, network.output_width)
    products = [name.removesuffix(".weight") for name, shape in layers.items() if len(shape) == 2]
    for name in (*linear_layers(network), *products):
        weight, bias = reader.linear(name)
        tensors[f"{name}.weight"] = weight
        if bias.any():
            tensors[f"{name}.bias"] = bias
    distances = distance_tensors(network)
    tensors |= {name: reader.find(name).values for name in reader.distance_tables()}
    for name, shape in (tensor_shapes(network) | layers).items():
        if name in distances:
            continue
        if name not in tensors:
            tensors[name] = reader.other(name, shape)
        if tensors[name].shape != shape:
            raise BundleError(
                f"{encoder} holds {name} in the shape {tensors[name].shape}, not {shape}."
            )
    return tensors


@dataclass(frozen=True)
class _Reader:
    """Reader of tensors from the numbers of an encoder's operators."""

    encoder: Path
    numbers: Mapping[str, Held]
    network: Network

    def linear(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Join the parts in which a linear layer was written; weight and bias."""
        by = None
        if self.is_multiplied(name):
            by = self.multipliers(name)
            name += MULTIPLIED
        whole = self.find(name + CONVERTED)
        tails = [key.removesuffix(CONVERTED).removeprefix(f"{name}.") for key in self.numbers]
        starts = sorted(int(tail) for tail in tails if tail.isdecimal())
        parts = [whole, *(self.find(f"{name}.{start}{CONVERTED}") for start in starts)]
        by_columns = name.endswith(".output")
        weight = np.concatenate([part.values for part in parts], axis=1 if by_columns else 0)
        weight = weight if by is None else weight * by
        return weight, whole.bias if by_columns else np.concatenate([p.bias for p in parts])

    def is_multiplied(self, name: str) -> bool:
        """Return whether the inputs of a linear layer are multiplied."""
        return name + MULTIPLIED + CONVERTED in self.numbers

    def multipliers(self, name: str) -> NDArray[np.float32] | None:
        """Read what the inputs of a linear layer are multiplied by; None if by its norm's weight.

        Multipliers are exact in half precision. Where the norm before is applied a second time,
        they are the quotients of the weights of both, or of the biases where a weight is 0.
        """
        given = input_name(name)
        by = self.numbers.get(f"{given}.by")
        if by is not None:
            values: NDArray[np.float32] = by.values.reshape(-1)
            return values
        again = self.numbers.get(given)
        if again is None:
            return None
        norm = self.find(norm_before(given))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = again.values / norm.values
            if norm.bias.size:
                found = np.where(norm.values == 0, again.bias / norm.bias, found)
        exact: NDArray[np.float32] = np.nan_to_num(found, nan=1).astype(np.float16)
        return exact.astype(np.float32)

    def other(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Read a table, a part of a norm, or the bias of a product that has zeros only."""
        if name.startswith("embeddings.") and len(shape) == 2:
            return self.table(name, shape)
        if name == "relative_bias":
            return self.relative(shape)
        operator, _, part = name.rpartition(".")
        if part == "scale":
            return self.find(name).values.reshape(shape)
        if operator.endswith(".convolution"):
            taps = [self.find(f"{name}{i}").values.reshape(-1) for i in range(shape[-1])]
            return np.stack(taps, axis=-1).reshape(shape)
        if operator + CONVERTED in self.numbers or self.is_multiplied(operator):
            return np.zeros(shape, np.float32)
        held = self.find(operator)
        return held.values if part == "weight" else held.bias

    def table(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Read a table, packed or not; rows before the first that the graph reads are zeros."""
        if f"{name}.scales" in self.numbers:
            rows = self.packed(name, shape[1])
        elif name + FRACTION_BYTES[0] in self.numbers:
            rows = self.fractions(name, shape[1])
        else:
            rows = self.find(name).values
        rows = rows.reshape(-1, shape[-1])
        unread = np.zeros((max(shape[0] - len(rows), 0), shape[1]), np.float32)
        return np.concatenate([unread, rows])

    def fractions(self, name: str, width: int) -> NDArray[np.float32]:
        """Compute the numbers of a table of fractions."""
        upper, lower = (self.find(name + end).values.reshape(-1, width) for end in FRACTION_BYTES)
        steps = self.find(f"{name}.steps").values.reshape(-1, 1)
        return FractionTable(upper, lower, steps).unpack()

    def packed(self, name: str, width: int) -> NDArray[np.float32]:
        """Unpack a table."""
        planes = [
            (bits, self.find(f"{name}.plane{bits}").values)
            for bits in (8, 4, 2, 1)
            if f"{name}.plane{bits}" in self.numbers
        ]
        flat = tuple((bits, plane.reshape(-1, plane.shape[-1])) for bits, plane in planes)
        scales = self.find(f"{name}.scales").values
        turn = self.numbers.get(f"{name}.turned{CONVERTED}")
        bits = next(each for each, kinds in PLANES.items() if kinds == tuple(b for b, _ in flat))
        unit = self.find(f"{name}.steps.number").values
        table = PackedTable(
            bits=bits,
            width=width,
            planes=flat,
            scales=scales.reshape(-1, scales.shape[-1]),
            unit=float(unit.reshape(())),
            turn=None if turn is None else turn.values.T,
        )
        return table.unpack()

    def relative(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Read biases by bucket from rows by distance; buckets of no distance are zeros."""
        relative, longest = self.network.relative, self.network.longest
        if relative is None:
            raise ValueError("the network has no relative positions")
        buckets = np.arange(shape[0], dtype=np.float32)[:, None]
        bucket_of = distance_rows(relative, {"relative_bias": buckets}, longest)[0].astype(int)
        table = np.zeros(shape, np.float32)
        table[bucket_of] = self.find("relative").values.reshape(shape[1], -1).T
        return table

    def distance_tables(self) -> list[str]:
        """Name the tables of keys and of queries of distances, of all layers."""
        given = self.network.distances
        parts = () if given is None else filter(None, given.matrices())
        layers = range(len(self.network.blocks))
        return [f"layer.{i}.{part}.table" for part in parts for i in layers]

    def find(self, name: str) -> Held:
        """Return the numbers of an operator.

        Raises:
            BundleError: There is none of that name.
        """
        if name not in self.numbers:
            raise BundleError(f"{self.encoder} has no operator {name}: minnow did not write it.")
        return self.numbers[name]
