"""A model goes in, a proven bundle comes out."""

from __future__ import annotations

import hashlib
import platform
import shutil
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import CARD, ENCODER, Bundle, Manifest, SourceRecord, seal, sha256, staging
from minnow.convert.author import adopt_graph
from minnow.convert.card import model_card
from minnow.convert.mnn import convert_to_mnn
from minnow.convert.probes import probe_texts
from minnow.convert.quantize import quantize
from minnow.convert.references import REFERENCES, CheckpointReference
from minnow.convert.retrieval import prove_retrieval, searched_dataset
from minnow.convert.verify import prove
from minnow.errors import InputError, ParityError
from minnow.model.checkpoint import weight_files
from minnow.model.config import Choices
from minnow.model.graph import build_graph
from minnow.model.layout import WEIGHTS, WEIGHTS_INDEX, needed_files
from minnow.model.original import read_original
from minnow.model.source import ModelSource, author_graph, resolve
from minnow.model.spec import Interface
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.origin import find_origin
from minnow.recipe import RECIPES, Graph, Precision, Recipe, Rounding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minnow.bundle import Parity
    from minnow.convert.verify import Reference
    from minnow.evaluate import Dataset
    from minnow.model.original import Original

    Progress = Callable[[str], None]

__all__ = ["REFERENCES", "Choices", "convert", "verify"]

LOG = "conversion.log"
_ADVICE = "Take a precision of more bits, or calibrate on text like yours (--calibration FILE)."


def convert(
    source: str | ModelSource,
    destination: str | Path,
    *,
    recipe: Recipe = RECIPES["fp16"],
    choices: Choices = Choices(),
    calibration: Sequence[str] | None = None,
    reference: str = "checkpoint",
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
        revision: Branch, tag or commit on the Hub.
        offline: Make no network call at all.
        progress: Told each step.

    Returns:
        The sealed bundle.

    Raises:
        InputError: The recipe or the reference is not one that can be had.
        SourceError: The model cannot be found, read or understood.
        ConversionError: MNN's converter failed.
        ParityError: The result does not give the reference's vectors.
        OutputError: The destination cannot be written.
        MissingExtraError: The extra `convert`, or the reference's, is not installed.
    """
    destination = Path(destination).absolute()
    _check_reference(reference)
    _check_recipe(recipe)
    if calibration is not None:
        recipe = replace(recipe, calibration=calibration_in_words(calibration, recipe))
    wants_author = recipe.graph is Graph.AUTHOR or reference == "author-onnx"
    dataset = _searched(recipe)
    with staging(destination) as folder:
        progress(f"finding {source.name if isinstance(source, ModelSource) else source}")
        origin = resolve(source, revision=revision, offline=offline, with_author_graph=wants_author)
        progress("reading the model")
        original = read_original(origin, choices)
        yardstick = REFERENCES[reference](original)
        _copy_metadata(origin, folder)
        stored = _convert_graph(original, folder, recipe, calibration, progress)
        if recipe.rounds:
            _prove_rounded(folder, stored, recipe, progress)
        parity = _prove(folder, original, recipe, yardstick, dataset, progress)
        manifest = Manifest(
            source=_record(origin),
            encoder=original.encoder,
            embedding=original.embedding,
            choices=choices,
            recipe=recipe,
            parity=parity,
            tools=tools(),
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

    Args:
        bundle: The bundle.
        source: The model it was made from; by default the one that its manifest names.
        reference: "checkpoint", "sentence-transformers" or "author-onnx".
        offline: Make no network call at all.
        progress: Told each step.

    Returns:
        What the proof found.

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
    return _prove(bundle.folder, sealed, manifest.recipe, yardstick, dataset, progress)


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


def _prove_rounded(folder: Path, stored: Original, recipe: Recipe, progress: Progress) -> None:
    """Compare with the rounded numbers themselves, which the encoder has to compute with exactly.

    The bar of few bits leaves room for what rounding takes; a fault of the graph must not hide in
    it, as wrong pooling can, or a mask that is ignored.
    """
    encoder, embedding = stored.encoder, stored.embedding
    prove(
        folder,
        encoder,
        embedding,
        CheckpointReference(stored, "the rounded numbers'"),
        probe_texts(embedding.max_tokens, token_counter(stored.source)),
        bar=RECIPES["fp32" if recipe.exact_gelu else "fp16"].bar,
        interface=recipe.interface,
        advice="This is no matter of precision: the converted graph computes something else.",
        progress=progress,
    )


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
            f"{recipe.interface.value} take minnow's own graph (--graph canonical)."
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
    calibration: Sequence[str] | None,
    progress: Progress,
) -> Original:
    """Write encoder.mnn; returns the model with the numbers that are stored in it."""
    encoder, grids, tensors = original.encoder, {}, original.tensors
    if recipe.graph is Graph.AUTHOR:
        model = adopt_graph(author_graph(original.source), encoder)
    else:
        rounded = quantize(original, recipe, calibration, progress)
        pools = recipe.interface is Interface.SENTENCE_EMBEDDING
        embedding = original.embedding if pools else None
        model = build_graph(encoder, rounded.tensors, rounded.packed, embedding)
        grids, tensors = dict(rounded.grids), rounded.tensors
    progress(f"writing the graph ({recipe.graph.value})")
    graph = folder / "graph.onnx"
    graph.write_bytes(model.SerializeToString())
    del model
    progress(f"converting to MNN ({recipe.precision.value})")
    convert_to_mnn(graph, folder / ENCODER, recipe, encoder.inputs, grids=grids, log=folder / LOG)
    graph.unlink()
    return replace(original, tensors=tensors)


def token_counter(origin: ModelSource) -> Callable[[str], int]:
    """A function from text to the number of its ids in the source's tokenizer, untruncated."""
    tokenizer = load_whole_tokenizer(origin.file("tokenizer.json"))
    return lambda text: len(tokenizer.encode(text).ids)


def _record(origin: ModelSource) -> SourceRecord:
    return SourceRecord(
        name=origin.name,
        kind=origin.kind,
        revision=origin.revision,
        model_id=origin.model_id,
        weights_sha256=sha256(*weight_files(origin)),
        license=_license(origin),
    )


def _license(origin: ModelSource) -> str | None:
    """The licence in the front matter of the source's README, if it states one."""
    readme = origin.optional_file("README.md")
    if readme is None:
        return None
    from huggingface_hub import metadata_load

    try:
        metadata = metadata_load(readme) or {}
    except (ValueError, OSError):
        return None
    stated = metadata.get("license")
    return stated if isinstance(stated, str) else None


def tools() -> dict[str, str]:
    """Name -> version of what makes a bundle."""
    names = {"minnow": "minnow-embed", **{n: n for n in ("mnn", "onnx", "numpy", "tokenizers")}}
    found = {"python": platform.python_version()}
    for name, distribution in names.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
