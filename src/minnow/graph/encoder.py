"""Writer of a network's canonical ONNX graph, straight from its description and tensors.

The graph has the shape that MNN's converter turns into fused operators: LayerNormalization as
one node; an RMS norm with a weight always (without one, the converter takes the next constant that
is multiplied for its weight); GELU as `minnow.graph.activations` says; the attention scale as a
node of its own after the product of queries and keys (folded into the weights it makes the second
product many times slower). It holds no ConstantOfShape, which MNN miscompiles.

A feed-forward part can be split into parts as wide as a state. Phones compute in float16, and MNN
sums in it too: a longer sum loses more, above all in large batches, which it multiplies by
Strassen's method.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.graph.activations import activate
from minnow.graph.convolved import filter_tokens, token_column
from minnow.graph.form import GraphForm
from minnow.graph.mnn_file import CONVERTED
from minnow.graph.multiplied import ATTENTION_INPUT, FEED_FORWARD_INPUT, Multiplied
from minnow.graph.nodes import Input
from minnow.graph.norms import NormNodes
from minnow.graph.pooled import (
    MASK,
    first_numbers,
    one_token,
    pass_layers,
    pooling_mask,
    several_tokens,
    unit_length,
)
from minnow.model.network import Placement
from minnow.model.parameters import OUTPUT_PROJECTION, PROJECTION
from minnow.model.spec import Interface
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from minnow.graph.nodes import Outside
    from minnow.graph.packed import StoredTable
    from minnow.model.head import Head
    from minnow.model.network import Attention, Block, Convolution, FeedForward, Network, Norm

OUTPUT = Interface.LAST_HIDDEN_STATE.value


def build_graph(
    network: Network,
    tensors: Mapping[str, NDArray[np.float32]],
    packed: Mapping[str, StoredTable] = MappingProxyType({}),
    head: Head | None = None,
    form: GraphForm = GraphForm(),
    *,
    multiplied: Multiplied | None = None,
    output: Interface = Interface.SENTENCE_EMBEDDING,
    outside: Outside = lambda *_: None,
) -> Any:
    """Write a network as an ONNX model.

    Inputs are `network.inputs`, int32 of shape (batch, seq), both dynamic. The output is
    `last_hidden_state`, float32 of shape (batch, seq, width); with a head it is
    `sentence_embedding` or `scores`, float32 of shape (batch, width), and `head.inputs` are inputs
    too.

    Args:
        network: The network.
        tensors: Its tensors under the names of `minnow.model.parameters.tensor_shapes`.
        packed: Tables to store packed, in place of the tensor of that name: embeddings.word,
            embeddings.position.
        head: What follows the token states, to have the graph do that too.
        form: What the graph is written for.
        multiplied: Matrices whose inputs the graph multiplies.
        output: What the head gives: vectors, or a reranker's logits.
        outside: Takes the values of tables that need not be in the graph.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    writer = GraphWriter(network, tensors, packed, form, multiplied or Multiplied(), outside)
    return writer.write(head, output.value)


def _pooling_names(head: Head) -> list[str]:
    return ["pooling", *(f"pooling.{i}" for i in range(1, len(head.poolings)))]


class GraphWriter(NormNodes):
    """The nodes of a network; a method that adds some returns the name of their value.

    Attributes:
        token_mask: The value that pooling reads: 1 for a token, 0 for padding; (batch, seq).
    """

    token_mask = MASK

    def __init__(
        self,
        network: Network,
        tensors: Mapping[str, NDArray[np.float32]],
        packed: Mapping[str, StoredTable],
        form: GraphForm,
        multiplied: Multiplied,
        outside: Outside,
    ) -> None:
        super().__init__(network, tensors, form, multiplied, outside)
        self._in_parts = form.in_parts
        self._exact_gelu = form.exact_gelu
        self._long = form.long and network.distances is None
        self._packed = packed

    def write(self, head: Head | None, output: str) -> Any:
        """Write all nodes, from the inputs to the output, as an `onnx.ModelProto`.

        Args:
            head: What follows the token states; None gives the states.
            output: Name of the head's output.
        """
        network, padding, states = self._network, self._padding(), self._embeddings()
        self._words_read = states
        blocks = [(f"layer.{i}", block) for i, block in enumerate(network.blocks)]
        for name, block in blocks[:-1]:
            states = self._block(states, states, name, block)
        last = blocks[-1:]
        if head is None:
            seq = self._shape[1] if self._shape else "seq"
            return self._end(self._last(states, states, *last), OUTPUT, [seq, network.output_width])
        mask = pooling_mask(self, self.token_mask, head)
        token = None
        is_first = head.pooling is Pooling.CLS and head.include_prompt
        first = is_first and network.distances is None
        reads_words = any(block.words for block in network.blocks)
        alone = (first and not network.is_causal) or not network.compares_positions
        filters = any(block.attention.convolution for _, block in last)  # over its neighbours
        takes_one = alone and not filters and not reads_words  # the words of that token only
        if last and takes_one and not head.joined:
            token = one_token(self, states, head.pooling, mask)
        pooled = [self._last(token or states, states, *last)]
        if token is None:
            pooled = [
                one_token(self, pooled[0], pooling, mask, name)
                or several_tokens(self, pooled[0], padding, pooling, network.longest, mask, name)
                for pooling, name in zip(head.poolings, _pooling_names(head), strict=True)
            ]
        widths = head.widths(network.output_width)
        joined = self.node("Concat", pooled, "joined", axis=-1) if head.joined else pooled[0]
        vectors = self.reshape(joined, [0, widths[0]], "vectors")
        vectors = pass_layers(self, vectors, head, self._tensors)
        if head.normalize:
            vectors = unit_length(self, vectors)
        kept = head.width(network.output_width)
        if kept < widths[-1]:
            vectors = first_numbers(self, vectors, kept)
        return self._end(vectors, output, [kept], head.inputs)

    def _end(
        self, value: str, output: str, axes: list[str | int], also: tuple[str, ...] = ()
    ) -> Any:
        self.node("Identity", [value], output)
        batch = self._shape[0] if self._shape else "batch"
        more = [Input(name, self._shape or ("batch", "seq")) for name in also]
        return self.model([*self._inputs(), *more], output, [batch, *axes])

    def _inputs(self) -> list[Input]:
        return [Input(name, self._shape or ("batch", "seq")) for name in self._network.inputs]

    def _embeddings(self) -> str:
        network, states = self._network, self._word_states()
        if network.words.token_types:
            states = self.node("Add", [states, self._token_type()], "word_and_type")
        if network.positions:
            rows = self._rows("embeddings.position", self._position_rows)
            states = self.node("Add", [states, rows], "embedded")
        states = self._norm(states, network.embedding_norm, "embeddings.norm")
        return self._linear(states, PROJECTION) if network.words.width else states

    def _word_states(self) -> str:
        return self._rows("embeddings.word", self._words)

    def _token_type(self) -> str:
        name = "embeddings.token_type"
        table = self.table(name, self._tensors[name])
        return self.node("Gather", [table, "token_type_ids"], "token_type", axis=0)

    def _words(self, name: str, table: NDArray[Any]) -> str:
        """Fetch a table's rows of the batch's ids: shape (batch, seq, columns)."""
        return self.node("Gather", [self.table(name, table), "input_ids"], f"{name}.rows", axis=0)

    def _rows(self, name: str, fetch: Callable[[str, NDArray[Any]], str]) -> str:
        """Fetch rows of a table, packed or not: float of shape (.., seq, width)."""
        packed = self._packed.get(name)
        return packed.add_rows(self, name, fetch) if packed else fetch(name, self._tensors[name])

    def _last(self, states: str, context: str, *last: tuple[str, Block]) -> str:
        for name, block in last:
            states = self._block(states, context, name, block)
        states = self._norm(states, self._network.final_norm, "final_norm")
        return self._linear(states, OUTPUT_PROJECTION) if self._network.projection else states

    def _block(self, states: str, context: str, name: str, block: Block) -> str:
        """Compute new states of all tokens, or of each text's one, which attend to the context."""
        is_pre = block.placement is Placement.PRE

        def read(states: str, norm: Norm | None, part: str, given: str, tail: str = "") -> str:
            """Return what the first matrices of a part read."""
            by = self._multiplied.inputs.get(f"{name}.{given}")
            if is_pre and norm:
                return self._norm(states, norm, f"{name}.{part}_norm", tail, by)
            return self._multiply(states, by, f"{name}.{given}", tail)

        first = (block.attention_norm, "attention", ATTENTION_INPUT)
        known = read(context, *first)
        asking = known if states == context else read(states, *first, ".asking")
        attended = self._attention(asking, known, name, block.attention)
        attended = self._norm(attended, block.attention_end_norm, f"{name}.attention_end_norm")
        states = self.node("Add", [attended, states], f"{name}.attended")
        if not is_pre:
            states = self._norm(states, block.attention_norm, f"{name}.attention_norm")
        fed = read(states, block.output_norm, "output", FEED_FORWARD_INPUT)
        summed = self._feed_forward(fed, states, name, block)
        if is_pre:
            return self._end_block(summed, name, block)
        return self._norm(summed, block.output_norm, f"{name}.output_norm")

    def _end_block(self, states: str, name: str, block: Block) -> str:
        """Add a layer's third part, and multiply the states, where it does so."""
        part = block.words
        if part:
            words = self._linear(self._words_read, f"{name}.words_inner")
            words = self._norm(words, part.norm, f"{name}.words_norm")
            gate = self._linear(states, f"{name}.words_gate")
            gate = activate(
                self, gate, f"{name}.words_activated", part.activation, exact=self._exact_gelu
            )
            units = self.node("Mul", [gate, words], f"{name}.words_units")
            added = self._linear(units, f"{name}.words_output")
            added = self._norm(added, part.end_norm, f"{name}.words_end_norm")
            states = self.node("Add", [added, states], f"{name}.words_added")
        if block.scaled:
            scale = self.table(f"{name}.scale", self._tensors[f"{name}.scale"])
            states = self.node("Mul", [states, scale], f"{name}.scaled_states")
        return states

    def _feed_forward(self, read: str, states: str, layer: str, block: Block) -> str:
        """Add a feed-forward part's output to states, a part of its units after another."""
        part, total = block.feed_forward, ""
        step = self._network.width if self._in_parts else part.width
        rows = self._tokens_as_rows(read, f"{layer}.rows")
        for start in range(0, part.width, step):
            units = slice(start, start + step)
            tail = f".{start}" if start else ""
            some = self._units(rows, layer, part, units, tail)
            weight = self._tensors[f"{layer}.output.weight"][:, units]
            bias = None if start else self._tensors.get(f"{layer}.output.bias")
            some = self._row_product(some, f"{layer}.output{tail}", weight, bias)
            total = self.node("Add", [some, total], f"{layer}.units{tail}") if total else some
        total = self._rows_as_tokens(total, read, f"{layer}.tokens")
        total = self._norm(total, block.output_end_norm, f"{layer}.output_end_norm")
        return self.node("Add", [total, states], f"{layer}.fed")

    def _units(self, rows: str, layer: str, part: FeedForward, units: slice, tail: str) -> str:
        """Compute some units of a feed-forward part."""

        def product(name: str) -> str:
            weight = self._weight(f"{layer}.{name}")[units]
            bias = self._tensors.get(f"{layer}.{name}.bias")
            some = None if bias is None else bias[units]
            operator = self._multiplied.operator(f"{layer}.{name}")
            return self._row_product(rows, f"{operator}{tail}", weight, some)

        name = f"{layer}.activation{tail}"
        if not part.gated:
            return self._activate(product("inner"), name, part)
        gate = self._activate(product("gate"), name, part)
        return self.node("Mul", [gate, product("inner")], f"{layer}.gated{tail}")

    def _tokens_as_rows(self, states: str, name: str) -> str:
        """Give each token a row of its own, for MNN: shape (batch * seq, width, 1, 1).

        Products of rows follow each other in the layout of MNN's convolutions. For products of
        states MNN turns what each takes and gives into another layout and back.
        """
        rows = [-1, self._network.width, 1, 1]
        return self.reshape(states, rows, name) if self._for_mnn else states

    def _rows_as_tokens(self, rows: str, like: str, name: str) -> str:
        """Give rows the shape of the states that they were made of."""
        if not self._for_mnn:
            return rows
        return self.node("Reshape", [rows, self.node("Shape", [like], f"{name}.shape")], name)

    def _row_product(
        self, rows: str, name: str, weight: NDArray[Any], bias: NDArray[Any] | None
    ) -> str:
        """Multiply rows as `_product` multiplies states."""
        if not self._for_mnn:
            return self._product(rows, name, weight, bias)
        tables = [self.table(f"{name}.weight", weight[:, :, None, None])]
        if bias is not None:
            tables.append(self.table(f"{name}.bias", bias))
        return self.node("Conv", [rows, *tables], f"{name}{CONVERTED}", kernel_shape=[1, 1])

    def _activate(self, x: str, name: str, part: FeedForward) -> str:
        return activate(self, x, name, part.activation, exact=self._exact_gelu)

    def _linear(self, states: str, name: str) -> str:
        bias, operator = self._tensors.get(f"{name}.bias"), self._multiplied.operator(name)
        return self._product(states, operator, self._weight(name), bias)

    def _weight(self, name: str) -> NDArray[np.float32]:
        """Return a matrix, divided where its inputs are multiplied."""
        divided = self._multiplied.weights.get(name)
        return self._tensors[f"{name}.weight"] if divided is None else divided

    def _product(
        self, states: str, name: str, weight: NDArray[Any], bias: NDArray[Any] | None
    ) -> str:
        """Multiply states of shape (.., inputs) by a weight (outputs, inputs), and add a bias."""
        table = self.table(f"{name}.weight", weight.T)
        if bias is None:
            return self.node("MatMul", [states, table], name)
        product = self.node("MatMul", [states, table], f"{name}.product")
        return self.node("Add", [product, self.table(f"{name}.bias", bias)], name)

    def _attention(self, states: str, context: str, name: str, attention: Attention) -> str:
        if attention.convolution:
            mixed = self._convolve(context, name, attention.convolution)
            return self._linear(mixed, f"{name}.attention_output")
        one = states != context
        long = self._long and not one
        query = self._heads(states, f"{name}.query", attention, turned=not one)
        key = self._heads(context, f"{name}.key", attention, turned=True, columns=not long)
        value = self._heads(context, f"{name}.value", attention, turned=False)
        if long:
            mixed = self._mix_long(query, key, value, name, attention)
        else:
            mixed = self._mix(query, key, value, name, attention, first=one)
        mixed = self.node("Transpose", [mixed], f"{name}.joined", perm=[0, 2, 1, 3])
        mixed = self.reshape(mixed, [0, 0, attention.width], f"{name}.flattened")
        return self._linear(mixed, f"{name}.attention_output")

    def _convolve(self, states: str, name: str, convolution: Convolution) -> str:
        """Let each token mix the values of its neighbours, between two gates."""
        query, key, value = (
            self._linear(states, f"{name}.{part}") for part in ("query", "key", "value")
        )
        gated = self.node("Mul", [key, value], f"{name}.gated_values")
        column = self._once("column", lambda: token_column(self, self.token_mask))
        gated = self.node("Mul", [gated, column], f"{name}.values_of_tokens")
        weight = self._tensors[f"{name}.convolution.weight"]
        mixed = filter_tokens(self, gated, f"{name}.convolution", convolution, weight)
        return self.node("Mul", [query, mixed], f"{name}.mixed")

    def _mix(
        self, query: str, key: str, value: str, name: str, attention: Attention, *, first: bool
    ) -> str:
        """Let all tokens, or each text's first, mix the values of those that they see."""
        scores = self.node("MatMul", [query, key], f"{name}.query_key")
        scores = self._distance_scores(scores, query, key, name, attention)
        scores = self.with_number("Mul", scores, attention.scale, f"{name}.scaled")
        mask = self._mask(attention, first=first)
        scores = self.node("Add", [scores, mask], f"{name}.masked")
        weights = self._weights(scores, name, attention)
        return self.node("MatMul", [weights, value], f"{name}.mixed")

    def _heads(
        self, states: str, part: str, attention: Attention, *, turned: bool, columns: bool = False
    ) -> str:
        """Compute queries, keys or values by head: shape (batch, heads, seq, size).

        Args:
            states: What they are computed from.
            part: Name of the linear layer.
            attention: Heads, their norm and rotations.
            turned: Turn them by their positions; the first token's do not turn.
            columns: Exchange the last two axes.
        """
        shape = [0, 0, -1, attention.head_size]
        split = self.reshape(self._linear(states, part), shape, f"{part}.heads")
        if not part.endswith("value"):
            split = self._norm(split, attention.norm, f"{part}_norm")
        elif attention.value_norm:
            ones = self.table(f"{part}_norm.weight", np.ones(attention.head_size, np.float32))
            split = self._rms_norm(split, attention.value_norm, ones, f"{part}_norm")
        rotary = attention.rotary if turned else None
        order = [0, 2, 3, 1] if columns and not rotary else [0, 2, 1, 3]
        heads = self.node("Transpose", [split], f"{part}.turned", perm=order)
        if rotary:
            heads = self._turn(heads, rotary, part)
            if columns:
                heads = self.node("Transpose", [heads], f"{part}.columns", perm=[0, 1, 3, 2])
        if attention.group == 1 or part.endswith("query"):
            return heads
        shared = np.arange(attention.key_heads).repeat(attention.group)
        shared_by = self.constant(f"{part}.group", shared, np.int32)
        return self.node("Gather", [heads, shared_by], f"{part}.shared", axis=1)
