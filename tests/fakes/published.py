"""MNN models as others publish them: an MNN file with the tokenizer's files and no manifest."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from fakes.checkpoint import source_of
from minnow.convert.graph_file import write_graph
from minnow.convert.mnn import convert_to_mnn
from minnow.graph.encoder import build_graph
from minnow.graph.form import GraphForm
from minnow.model.original import read_original
from minnow.model.spec import Interface
from minnow.recipe import RECIPES, Recipe
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from minnow.model.head import Head
    from minnow.model.network import Network

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
)  # fmt: skip


def publish(
    source: Path,
    folder: Path,
    *,
    pooled: bool = False,
    network: Callable[[Network], Network] = lambda network: network,
    head: Mapping[str, Any] = {},
    tensors: Callable[[dict[str, Any]], None] = lambda _: None,
    graph: Callable[[Any], None] = lambda _: None,
    shape: tuple[int, int] | None = None,
    recipe: Recipe = RECIPES["fp32"],
    inputs: tuple[str, ...] | None = None,
    as_it_is: bool = False,
    beside: bool = False,
) -> Path:
    """Convert a tiny model as somebody else would, perhaps with a fault.

    Args:
        source: The model's folder.
        folder: Where; made if need be.
        pooled: Whether the graph gives vectors; a reranker's always gives scores.
        network: Changes the network that the graph computes.
        head: Fields of the head to change in the graph.
        tensors: Changes the tensors, in place.
        graph: Changes the ONNX graph, in place.
        shape: The only (batch, tokens) that the graph takes.
        recipe: Precision of the file.
        inputs: The names of the graph's inputs, where `graph` changed them.
        as_it_is: Hand numbers to the converter unrounded, as a bare call of it does.
        beside: Write the numbers to a file of their own.
    """
    original = read_original(source_of(source))
    changed = dict(original.tensors)
    tensors(changed)
    ranks = original.reranking is not None
    output = Interface.SCORES if ranks else Interface.SENTENCE_EMBEDDING
    whole: Head | None = replace(original.head, **head) if pooled or ranks else None

    def build(**options: Any) -> Any:
        model = build_graph(
            network(original.network), changed, head=whole, output=output,
            form=GraphForm(shape=shape, exact_gelu=True), **options,
        )  # fmt: skip
        graph(model)
        return model

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "graph.onnx"
    if as_it_is:
        path.write_bytes(build().SerializeToString())
    else:
        write_graph(build, path, recipe)
    size = f":int:{shape[0]}x{shape[1]}" if shape else ""
    named = [name + size for name in inputs or original.encoder.inputs]
    convert_to_mnn(
        path, folder / "encoder.mnn", recipe, named, log=folder / "log.txt", outside=beside
    )
    for left in (path, folder / "log.txt"):
        left.unlink()
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, folder / name)
    return folder


def without_mask(model: Any) -> None:
    """Read a mask of ones made of the token ids, and leave the input unread or out."""
    import numpy as np
    from onnx import helper, numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int32), "no.zero"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int32), "no.one"))
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[i] = "no.mask"
    zeros = helper.make_node("Mul", ["input_ids", "no.zero"], ["no.zeros"], name="no.zeros")
    ones = helper.make_node("Add", ["no.zeros", "no.one"], ["no.mask"], name="no.mask")
    model.graph.node.insert(0, zeros)
    model.graph.node.insert(1, ones)
    kept = [each for each in model.graph.input if each.name != "attention_mask"]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def with_added_mask(model: Any) -> None:
    """Take a float mask that is added to scores: 0 for a token, -10000 for padding."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "attention_mask":
                node.input[i] = "added.mask"
    for name, value in (("added.far", np.float32(1e-4)), ("added.one", np.float32(1))):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    scaled = helper.make_node("Mul", ["attention_mask", "added.far"], ["added.scaled"])
    whole = helper.make_node("Add", ["added.scaled", "added.one"], ["added.whole"])
    cast = helper.make_node("Cast", ["added.whole"], ["added.mask"], to=TensorProto.INT32)
    for place, node in enumerate((scaled, whole, cast)):
        node.name = node.output[0]
        model.graph.node.insert(place, node)
    for each in model.graph.input:
        if each.name == "attention_mask":
            each.type.tensor_type.elem_type = TensorProto.FLOAT


def with_joined_axes(model: Any) -> None:
    """Give states of shape (batch * tokens, width)."""
    import numpy as np
    from onnx import helper, numpy_helper

    (output,) = model.graph.output
    last = next(node for node in model.graph.node if output.name in node.output)
    last.output[0] = "joined.states"
    shape = np.array([-1, output.type.tensor_type.shape.dim[-1].dim_value], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(shape, "joined.shape"))
    model.graph.node.append(
        helper.make_node("Reshape", ["joined.states", "joined.shape"], [output.name], name="joined")
    )
    del output.type.tensor_type.shape.dim[0]


def renamed(names: Mapping[str, str]) -> Callable[[Any], None]:
    """Return a change of a graph that renames values, inputs and outputs among them."""

    def change(model: Any) -> None:
        for node in model.graph.node:
            for owner in (node.input, node.output):
                for i, name in enumerate(owner):
                    owner[i] = names.get(name, name)
        for each in [*model.graph.input, *model.graph.output]:
            each.name = names.get(each.name, each.name)

    return change
