"""A model goes in, a proven bundle comes out."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from minnow.bundle import CARD, ENCODER, Bundle, Manifest, seal, staging
from minnow.convert.author import adopt_graph
from minnow.convert.card import model_card
from minnow.convert.mnn import convert_to_mnn
from minnow.convert.provenance import source_record, tools
from minnow.convert.quantize import quantize
from minnow.convert.shapes import check_limit, check_shapes, file_of, named, prove_shapes
from minnow.errors import InputError, ParityError
from minnow.graph.encoder import build_graph
from minnow.model.layout import WEIGHTS, WEIGHTS_INDEX, needed_files
from minnow.model.original import read_original
from minnow.model.source import ModelSource, author_graph, resolve
from minnow.model.spec import Choices, Interface
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.origin import find_origin
from minnow.proof.probes import probe_texts
from minnow.proof.references import REFERENCES, CheckpointReference
from minnow.proof.retrieval import prove_retrieval, searched_dataset
from minnow.proof.verdict import prove
from minnow.recipe import RECIPES, Graph, Precision, Recipe, Rounding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from minnow.bundle import FixedShape, Parity
    from minnow.datasets import Dataset
    from minnow.model.original import Original
    from minnow.model.spec import EncoderSpec
    from minnow.proof.verdict import Reference
    from minnow.recipe import Grid

    Progress = Callable[[str], None]

__all__ = ["REFERENCES", "Choices", "convert", "verify"]

LOG = "conversion.log"
_ADVICE = "Take a precision of more bits, or calibrate on text like yours (`calibration=`)."


def convert(
    source: str | ModelSource,
    destination: str | Path,
    *,
    recipe: Recipe = RECIPES["fp16"],
    choices: Choices = Choices(),
    calibration: Sequence[str] | None = None,
    reference: str = "checkpoint",
    shapes: Sequence[tuple[int, int]] = (),
    revision: str | None = None,
    offline: bool = False,
    progress: Progress = lambda _: None,
) -> Bundle:
    """Convert a model to a bundle, and prove that it gives the same vectors.

    Everything is built in a hidden folder beside the destination; only what passes the proof is
    renamed into place. An older bundle there is replaced at the very end, or not at all.

    Args:
        source: A Hub id, a folder, `package:NAME`, or what `resolve` gave.
        destination: The folder for the bundle.
        recipe: Precision, graph, interface and bar.
        choices: What the user decides in place of the source's files.
        calibration: Text of the kind that will be embedded, for recipes that calibrate; by
            default text that comes with Python, and made-up sequences.
        reference: "checkpoint", "sentence-transformers" or "author-onnx".
        shapes: Each (batch, tokens) to write an encoder of that fixed shape for, beside the one
            that takes any; its weights are a copy.
        revision: Branch, tag or commit on the Hub.
        offline: Make no network call at all.
        progress: Told each step.

    Returns:
        The sealed bundle.

    Raises:
        InputError: The recipe, the reference or a shape is not one that can be had.
        SourceError: The model cannot be found, read or understood.
        ConversionError: MNN's converter failed.
        ParityError: The result does not give the reference's vectors.
        OutputError: The destination cannot be written.
        MissingExtraError: The extra `convert`, or the reference's, is not installed.
    """
    destination = Path(destination).absolute()
    _check_reference(reference)
    _check_recipe(recipe)
    check_shapes(shapes)
    if shapes and recipe.graph is Graph.AUTHOR:
        raise InputError("The author's graph has no fixed shapes; take `graph=canonical`.")
    if calibration is not None:
        recipe = replace(recipe, calibration=calibration_in_words(calibration, recipe))
    wants_author = recipe.graph is Graph.AUTHOR or reference == "author-onnx"
    dataset = _searched(recipe)
    with staging(destination) as folder:
        progress(f"finding {source.name if isinstance(source, ModelSource) else source}")
        origin = resolve(source, revision=revision, offline=offline, with_author_graph=wants_author)
        progress("reading the model")
        original = read_original(origin, choices)
        check_limit(shapes, original.embedding)
        yardstick = REFERENCES[reference](original)
        _copy_metadata(origin, folder)
        stored = _convert_graph(original, folder, recipe, shapes, calibration, progress)
        if recipe.rounds:
            _prove_rounded(folder, stored, recipe, shapes, progress)
        parity = _prove(folder, original, recipe, yardstick, dataset, progress)
        fixed = _prove_shapes(folder, original, recipe, shapes, yardstick, progress)
        manifest = Manifest(
            source=source_record(origin),
            encoder=original.encoder,
            embedding=original.embedding,
            choices=choices,
            recipe=recipe,
            parity=parity,
            tools=tools(),
            fixed_shapes=fixed,
        )
        card = model_card(manifest, (folder / ENCODER).stat().st_size)
        (folder / CARD).write_text(card, encoding="utf-8")
        progress("sealing")
        return seal(folder, manifest, destination)


def verify(
    bundle: str | Path | Bundle,
    *,
    source: str | ModelSource | None = None,
    reference: str = "checkpoint",
    offline: bool = False,
    progress: Progress = lambda _: None,
) -> Parity:
    """Repeat the proof of a sealed bundle: first every file's hash, then every probe text.

    Encoders of fixed shapes are proven again too.

    Args:
        bundle: The bundle.
        source: The model it was made from; by default the one that its manifest names.
        reference: "checkpoint", "sentence-transformers" or "author-onnx".
        offline: Make no network call at all.
        progress: Told each step.

    Returns:
        What the proof of encoder.mnn found.

    Raises:
        BundleError: A file is missing or has changed, or the source has other weights.
        SourceError: The source cannot be found; name it with `source`.
        ParityError: The bundle does not give the reference's vectors.
    """
    _check_reference(reference)
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    manifest = bundle.manifest
    dataset = _searched(manifest.recipe)
    progress("checking the hash of every file")
    bundle.check_files()
    progress(f"finding {source or manifest.source.name}")
    origin = find_origin(
        bundle, source, offline=offline, with_author_graph=reference == "author-onnx"
    )
    progress("reading the model")
    original = read_original(origin, manifest.choices)
    _check_claim(manifest, original)
    sealed = replace(original, encoder=manifest.encoder, embedding=manifest.embedding)
    yardstick = REFERENCES[reference](original)
    parity = _prove(bundle.folder, sealed, manifest.recipe, yardstick, dataset, progress)
    shapes = [(fixed.batch, fixed.tokens) for fixed in manifest.fixed_shapes]
    _prove_shapes(bundle.folder, sealed, manifest.recipe, shapes, yardstick, progress)
    return parity


def _check_claim(manifest: Manifest, original: Original) -> None:
    """Compare how vectors are made where the graph makes them: nothing there reads the manifest."""
    said, meant = manifest.embedding, original.embedding
    same = (said.pooling, said.normalize) == (meant.pooling, meant.normalize)
    if manifest.recipe.interface is Interface.SENTENCE_EMBEDDING and not same:
        raise ParityError(
            f"Refused: the manifest says pooling {said.pooling.value}, normalize {said.normalize}; "
            f"its source says {meant.pooling.value}, {meant.normalize}."
        )


def _searched(recipe: Recipe) -> Dataset | None:
    """What the proof will search; found at the start, so that it is not missing at the end."""
    return None if recipe.largest_fall is None else searched_dataset()


def _prove(
    folder: Path,
    claimed: Original,
    recipe: Recipe,
    yardstick: Reference,
    dataset: Dataset | None,
    progress: Progress,
) -> Parity:
    """Every probe text, and then a search if the recipe asks for one."""
    encoder, embedding = claimed.encoder, claimed.embedding
    advice = _ADVICE if recipe.rounds else ""
    parity = prove(
        folder,
        encoder,
        embedding,
        yardstick,
        probe_texts(embedding.max_tokens, token_counter(claimed.source)),
        bar=recipe.bar,
        interface=recipe.interface,
        advice=advice,
        progress=progress,
    )
    if dataset is None or recipe.largest_fall is None:
        return parity
    found = prove_retrieval(
        folder,
        encoder,
        embedding,
        yardstick,
        dataset,
        largest_fall=recipe.largest_fall,
        interface=recipe.interface,
        advice=advice,
        progress=progress,
    )
    return replace(parity, retrieval=found)


def _prove_shapes(
    folder: Path,
    claimed: Original,
    recipe: Recipe,
    shapes: Sequence[tuple[int, int]],
    yardstick: Reference,
    progress: Progress,
) -> tuple[FixedShape, ...]:
    embedding = claimed.embedding
    return prove_shapes(
        folder, shapes, claimed.encoder, embedding, yardstick,
        probe_texts(embedding.max_tokens, token_counter(claimed.source)),
        bar=recipe.bar, interface=recipe.interface, progress=progress,
        advice=_ADVICE if recipe.rounds else "",
    )  # fmt: skip


def _prove_rounded(
    folder: Path,
    stored: Original,
    recipe: Recipe,
    shapes: Sequence[tuple[int, int]],
    progress: Progress,
) -> None:
    """Compare with the rounded numbers themselves, which the encoder has to compute with exactly.

    The bar of few bits leaves room for what rounding takes; a fault of the graph must not hide in
    it, as wrong pooling can, or a mask that is ignored.
    """
    encoder, embedding = stored.encoder, stored.embedding
    yardstick = CheckpointReference(stored, "the rounded numbers'")
    probes = probe_texts(embedding.max_tokens, token_counter(stored.source))
    how: dict[str, Any] = {
        "bar": RECIPES["fp32" if recipe.exact_gelu else "fp16"].bar,
        "interface": recipe.interface,
        "advice": "This is no matter of precision: the converted graph computes something else.",
        "progress": progress,
    }
    prove(folder, encoder, embedding, yardstick, probes, **how)
    prove_shapes(folder, shapes, encoder, embedding, yardstick, probes, **how)


def _check_reference(reference: str) -> None:
    if reference not in REFERENCES:
        raise InputError(f"There is no reference {reference!r}; choose {', '.join(REFERENCES)}.")


def _check_recipe(recipe: Recipe) -> None:
    name, floats = recipe.precision.value, (Precision.FP32, Precision.FP16)
    if recipe.rounds and recipe.precision in floats:
        raise InputError(f"{name} rounds nothing; take another precision and change its grids.")
    if recipe.rounds and recipe.graph is Graph.AUTHOR:
        raise InputError(
            f"The author's graph is converted as fp32 or fp16; for {name} take minnow's own graph."
        )
    if recipe.interface is not Interface.LAST_HIDDEN_STATE and recipe.graph is Graph.AUTHOR:
        raise InputError(
            f"The author's graph gives {Interface.LAST_HIDDEN_STATE.value}; for "
            f"{recipe.interface.value} take minnow's own graph (`graph=canonical`)."
        )
    for what, grid in recipe.grids.items():
        if not 2 <= grid.bits <= 8:
            raise InputError(f"{what} can have 2 to 8 bits, not {grid.bits}.")
        if grid.block < 0 or (what == "weights" and grid.block % 16):
            raise InputError(
                f"{what} cannot share steps in blocks of {grid.block}: "
                + ("MNN knows multiples of 16." if what == "weights" else "give 0 or more.")
            )


def calibration_in_words(texts: Sequence[str], recipe: Recipe) -> str:
    """What a manifest says of the user's calibration text.

    Raises:
        InputError: The recipe calibrates nothing.
    """
    if recipe.rounding is not Rounding.CALIBRATED:
        raise InputError(
            f"{recipe.precision.value} with rounding {recipe.rounding.value} calibrates nothing: "
            "leave the calibration text out, or take int8 or less."
        )
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return f"{len(texts)} texts of the user's, SHA-256 {digest[:16]}"


def _copy_metadata(origin: ModelSource, folder: Path) -> None:
    """Copy tokenizer, configuration and licence under their own names; no weights."""
    for name in metadata_files(origin):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin.folder / name, target)


def metadata_files(origin: ModelSource) -> list[str]:
    """Relative paths of the source's files that a bundle carries: no weights, no model card."""
    paths = (path for path in origin.folder.rglob("*") if path.is_file())
    names = {path.relative_to(origin.folder).as_posix() for path in paths}
    left = {WEIGHTS, WEIGHTS_INDEX, CARD}
    return [name for name in needed_files(names, with_author_graph=False) if name not in left]


def _convert_graph(
    original: Original,
    folder: Path,
    recipe: Recipe,
    shapes: Sequence[tuple[int, int]],
    calibration: Sequence[str] | None,
    progress: Progress,
) -> Original:
    """Write the encoders; returns the model with the numbers that are stored in them."""
    encoder = original.encoder
    step = f"converting to MNN ({recipe.precision.value}"
    if recipe.graph is Graph.AUTHOR:
        progress(f"{step}, the author's graph)")
        _write_encoder(adopt_graph(author_graph(original.source), encoder), folder, recipe, encoder)
        return original
    rounded = quantize(original, recipe, calibration, progress)
    pools = recipe.interface is Interface.SENTENCE_EMBEDDING
    head = original.head if pools else None
    build = partial(  # weights that share a step are not taken apart
        build_graph, original.network, rounded.tensors, rounded.packed, head,
        in_parts=not recipe.rounds,
    )  # fmt: skip
    progress(f"{step})")
    _write_encoder(build(), folder, recipe, encoder, rounded.grids)
    for shape in shapes:
        progress(f"{step}, {named(shape)})")
        _write_encoder(build(shape=shape), folder, recipe, encoder, rounded.grids, shape)
    return replace(original, tensors=rounded.tensors)


def _write_encoder(
    model: Any,
    folder: Path,
    recipe: Recipe,
    encoder: EncoderSpec,
    grids: Mapping[str, Grid] = MappingProxyType({}),
    shape: tuple[int, int] | None = None,
) -> None:
    """An ONNX model as an MNN file: encoder.mnn, or that of a fixed shape."""
    graph = folder / "graph.onnx"
    graph.write_bytes(model.SerializeToString())
    to = folder / (file_of(shape) if shape else ENCODER)
    log = folder / (f"{to.stem}.log" if shape else LOG)
    inputs = [f"{name}:int:{named(shape)}" if shape else name for name in encoder.inputs]
    convert_to_mnn(graph, to, recipe, inputs, grids=grids, log=log)
    graph.unlink()


def token_counter(origin: ModelSource) -> Callable[[str], int]:
    """A function from text to the number of its ids in the source's tokenizer, untruncated."""
    tokenizer = load_whole_tokenizer(origin.file("tokenizer.json"))
    return lambda text: len(tokenizer.encode(text).ids)
