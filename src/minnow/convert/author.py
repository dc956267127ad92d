"""The author's own ONNX graph: its interface checked, and what MNN miscompiles removed.

The first fault: the converter folds a rank-0 `ConstantOfShape` (the usual export of an attention
mask) to uninitialised memory, so that the same command gives right vectors one day and wrong ones
the next. A `ConstantOfShape` whose shape is known is replaced by the constant that it stands for.

The second: `Where(IsNaN(x), 0, x)` around a softmax, which guards rows without any token and which
the converter lacks. Every text has its special tokens, so there are no such rows; x is taken.

Four more are written otherwise, with the same meaning: a cast to bool, which keeps the number in
MNN; `Less`, which compares negative numbers the wrong way round; the lengths of opset 18 and newer,
which are those of the whole batch there; and `Gemm` of a transposed input, whose result is mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import UnsupportedModelError
from minnow.graph.encoder import OUTPUT
from minnow.graph.nodes import import_onnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from minnow.model.spec import EncoderSpec


def adopt_graph(path: Path, spec: EncoderSpec) -> Any:
    """Read an author's graph and make it safe for the converter.

    Args:
        path: The ONNX file; external data beside it is read too.
        spec: The network that config.json describes.

    Returns:
        An `onnx.ModelProto` with inputs `spec.inputs` and the one output `last_hidden_state`.

    Raises:
        UnsupportedModelError: It is not ONNX, has other inputs or no output of token states,
            or a `ConstantOfShape` in it cannot be made safe.
        MissingExtraError: The extra `convert` is not installed.
    """
    onnx = import_onnx()
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's DecodeError, or a missing data file
        raise UnsupportedModelError(
            f"{path} is not an ONNX model that can be read: {error}."
        ) from error
    _check_inputs(model, spec, path)
    drop_nan_guards(model)
    compare_with_zero(model)
    turn_less_round(model)
    add_lengths_up(model)
    transpose_before_products(model)
    _name_output(onnx, model, spec, path)
    fold_constant_shapes(model, path)
    return model


def drop_nan_guards(model: Any) -> int:
    """Take x for every `Where(IsNaN(x), other, x)`.

    Args:
        model: An `onnx.ModelProto`; changed in place. Unread nodes stay in it.

    Returns:
        How many guards were dropped.
    """
    guarded = {
        node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "IsNaN"
    }
    dropped = 0
    for node in model.graph.node:
        if node.op_type == "Where" and guarded.get(node.input[0]) == node.input[2]:
            node.op_type = "Identity"
            del node.input[:2]
            dropped += 1
    return dropped


def compare_with_zero(model: Any) -> int:
    """Replace every cast to bool by `x != 0`, computed in float32: MNN's cast keeps the number.

    Args:
        model: An `onnx.ModelProto`; changed in place.

    Returns:
        How many were replaced.
    """
    onnx = import_onnx()
    to_bool, to_float = onnx.TensorProto.BOOL, onnx.TensorProto.FLOAT

    def compared(node: Any) -> list[Any] | None:
        if node.op_type != "Cast" or node.attribute[0].i != to_bool:
            return None
        (given,), (result,) = node.input, node.output
        number, zero, is_zero = (f"{result}.{name}" for name in ("number", "zero", "is_zero"))
        make = onnx.helper.make_node
        value = onnx.helper.make_tensor(zero, to_float, [], [0.0])
        return [
            make("Cast", [given], [number], name=number, to=to_float),
            make("Constant", [], [zero], name=zero, value=value),
            make("Equal", [number, zero], [is_zero], name=is_zero),
            make("Not", [is_zero], [result], name=node.name),
        ]

    return _replace_nodes(model, compared)


def _replace_nodes(model: Any, replacement: Callable[[Any], list[Any] | None]) -> int:
    """Put other nodes in the place of some; return how many were replaced.

    Args:
        model: An `onnx.ModelProto`; changed in place.
        replacement: Returns what takes a node's place, or None to leave it.
    """
    nodes: list[Any] = []
    replaced = 0
    for node in model.graph.node:
        others = replacement(node)
        nodes += [node] if others is None else others
        replaced += others is not None
    if replaced:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return replaced


def turn_less_round(model: Any) -> int:
    """Write every `a < b` as `b > a`: MNN's Less says that -1 is less than -2.

    Args:
        model: An `onnx.ModelProto`; changed in place.

    Returns:
        How many were turned round.
    """
    turned = [node for node in model.graph.node if node.op_type == "Less"]
    for node in turned:
        node.op_type = "Greater"
        node.input[:] = reversed(node.input)
    return len(turned)


def transpose_before_products(model: Any) -> int:
    """Write every `Gemm` with transA as Transpose and Gemm: MNN mixes the rows of its result.

    Args:
        model: An `onnx.ModelProto`; changed in place.

    Returns:
        How many were written so.
    """
    make = import_onnx().helper.make_node

    def transposed(node: Any) -> list[Any] | None:
        turned = [a for a in node.attribute if a.name == "transA" and a.i]
        if node.op_type != "Gemm" or not turned:
            return None
        name = f"{node.output[0]}.turned"
        before = make("Transpose", [node.input[0]], [name], name=name, perm=[1, 0])
        node.input[0], turned[0].i = name, 0
        return [before, node]

    return _replace_nodes(model, transposed)


_ADDED_UP = {"ReduceL1": "Abs", "ReduceL2": "Mul", "ReduceSumSquare": "Mul"}


def add_lengths_up(model: Any) -> int:
    """Write lengths by ReduceSum since opset 18: of their own nodes MNN drops the axes.

    Args:
        model: An `onnx.ModelProto`; changed in place.

    Returns:
        How many were written so.
    """
    make = import_onnx().helper.make_node
    newest = max(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    if newest < 18:
        return 0

    def added_up(node: Any) -> list[Any] | None:
        step = _ADDED_UP.get(node.op_type)
        if step is None:
            return None
        (given, *axes), (result,) = node.input, node.output
        parts, total = f"{result}.parts", f"{result}.total"
        rooted = node.op_type == "ReduceL2"
        sum_ = make("ReduceSum", [parts, *axes], [total if rooted else result], name=total)
        sum_.attribute.extend(node.attribute)
        root = [make("Sqrt", [total], [result], name=node.name)] if rooted else []
        factors = [given] * (1 + (step == "Mul"))
        return [make(step, factors, [parts], name=parts), sum_, *root]

    return _replace_nodes(model, added_up)


def _check_inputs(model: Any, spec: EncoderSpec, path: Path) -> None:
    stored = {tensor.name for tensor in model.graph.initializer}
    names = {value.name for value in model.graph.input} - stored
    if names != set(spec.inputs):
        raise UnsupportedModelError(
            f"{path} has inputs {sorted(names)}, not {sorted(spec.inputs)}. Use `graph=canonical`."
        )


def _name_output(onnx: Any, model: Any, spec: EncoderSpec, path: Path) -> None:
    """Keep only the output of token states, under its usual name."""
    graph = model.graph
    states = [value for value in graph.output if _is_states(value, spec)]
    if not states:
        raise UnsupportedModelError(
            f"{path} has outputs {[value.name for value in graph.output]}, none of them "
            f"token states of shape (batch, tokens, {spec.width}). Use `graph=canonical`."
        )
    chosen = next((value for value in states if value.name == OUTPUT), states[0])
    if chosen.name != OUTPUT:
        graph.node.append(onnx.helper.make_node("Identity", [chosen.name], [OUTPUT], name=OUTPUT))
    shape = ["batch", "seq", spec.width]
    value = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, shape)
    del graph.output[:]
    graph.output.append(value)
    _drop_unread(graph)


def _is_states(value: Any, spec: EncoderSpec) -> bool:
    shape = value.type.tensor_type.shape.dim
    return len(shape) == 3 and shape[2].dim_value in (0, spec.width)


def _drop_unread(graph: Any) -> None:
    """Remove nodes, such as a pooler's, that no output depends on; nodes are in order of use."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            for attribute in node.attribute:
                needed |= {name for inner in attribute.g.node for name in inner.input}
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def fold_constant_shapes(model: Any, path: Path) -> int:
    """Replace every `ConstantOfShape` of known shape by its constant.

    Args:
        model: An `onnx.ModelProto`; changed in place.
        path: Its name in messages.

    Returns:
        How many were replaced.

    Raises:
        UnsupportedModelError: One has rank 0 by a shape that is computed at run time.
    """
    onnx = import_onnx()
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            known[node.output[0]] = node.attribute[0].t
    ranks = _vector_lengths(onnx, model)
    folded = 0
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            continue
        name = node.input[0]
        if name in known:
            shape = onnx.numpy_helper.to_array(known[name]).astype(int).tolist()
        elif ranks.get(name) == 0:
            shape = []
        elif name in ranks:
            continue
        else:
            raise UnsupportedModelError(
                f"{path} has a ConstantOfShape ({node.name}) whose rank is computed at run time; "
                "MNN may compile it to garbage. Use `graph=canonical`."
            )
        _become_constant(onnx, node, shape)
        folded += 1
    return folded


def _vector_lengths(onnx: Any, model: Any) -> dict[str, int]:
    """Return the lengths of vectors by name: the rank of a shape made of one."""
    # Weights are left out: inference needs types and shapes only, and protobuf stops at 2 GB.
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for tensor in bare.graph.initializer:
        if len(tensor.raw_data) > 4096:
            tensor.ClearField("raw_data")
    inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    lengths = {}
    for value in inferred.graph.value_info:
        tensor = value.type.tensor_type
        axes = tensor.shape.dim
        if tensor.HasField("shape") and len(axes) == 1 and axes[0].HasField("dim_value"):
            lengths[value.name] = axes[0].dim_value
    return lengths


def _become_constant(onnx: Any, node: Any, shape: list[int]) -> None:
    fill = onnx.numpy_helper.to_array(node.attribute[0].t) if node.attribute else np.zeros(1, "f4")
    values = np.full(shape, fill.reshape(-1)[0], dtype=fill.dtype)
    tensor = onnx.numpy_helper.from_array(values, node.output[0])
    constant = onnx.helper.make_node(
        "Constant", [], list(node.output), name=node.name, value=tensor
    )
    node.CopyFrom(constant)
