"""Tiny models, and bundles made of them by the real pipeline."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fakes.checkpoint import write_model
from fakes.programs import run_minnow
from minnow.bundle import Bundle
from minnow.convert import convert
from minnow.engines.fastembed import widen_inputs
from minnow.graph.encoder import build_graph
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_embedding_spec, read_encoder_spec
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.model.source import ModelSource
from minnow.model.spec import Interface
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = {"query": "query: ", "document": "passage: ", "red": "red "}


@dataclass(frozen=True)
class Tiny:
    """A tiny model, its bundle in float32, and its forward pass in NumPy."""

    source: ModelSource
    bundle: Bundle
    reference: ReferenceModel


def make_tiny(folder: Path, interface: Interface = Interface.LAST_HIDDEN_STATE) -> Tiny:
    """Write a tiny model with mean pooling and prompts, and convert it."""
    model = write_model(folder / "model", pooling="mean", prompts=PROMPTS)
    source = ModelSource(str(model), "folder", model, None, None)
    encoder = read_encoder_spec(source)
    embedding = read_embedding_spec(source, encoder)
    recipe = replace(RECIPES["fp32"], interface=interface)
    bundle = convert(str(model), folder / "tiny.minnow", recipe=recipe)
    reference = ReferenceModel(encoder, embedding, read_tensors(source, encoder))
    return Tiny(source, bundle, reference)


def convert_two(folder: Path) -> None:
    """Write tiny.minnow and other.minnow, of the same shape and other weights, by the program."""
    for name, seed in (("tiny", 0), ("other", 1)):
        write_model(folder / name, pooling="mean", prompts=PROMPTS, seed=seed)
        options = ("-o", f"{name}.minnow", "--precision", "fp32")
        done = run_minnow("convert", name, *options, cwd=folder)
        assert done.code == 0, done.stderr


def with_author_graph(made: Tiny, folder: Path) -> Path:
    """A copy of the model with a graph of its author, which is another network."""
    shutil.copytree(made.source.folder, folder)
    original = read_original(replace(made.source, folder=folder))
    tensors = {**original.tensors, "embeddings.word": original.tensors["embeddings.word"][::-1]}
    graph = widen_inputs(build_graph(original.encoder, tensors).SerializeToString())
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(graph)
    return folder
