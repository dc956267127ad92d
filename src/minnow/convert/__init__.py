"""A model goes in, a proven bundle comes out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import Bundle, seal, staging
from minnow.convert.card import model_card
from minnow.convert.encoders import write_encoders
from minnow.convert.provenance import check_claims, copy_metadata, source_record, tools
from minnow.convert.room import check_room
from minnow.convert.shapes import check_limit, check_shapes
from minnow.errors import InputError, UnsupportedModelError
from minnow.graph.mnn_file import stored_size
from minnow.manifest import CARD, ENCODER, QUERIES, Manifest
from minnow.model.magnitudes import fit_halves
from minnow.model.original import read_original, tell_changes
from minnow.model.router import read_routes
from minnow.model.source import ModelSource, resolve
from minnow.model.spec import STATIC, Choices, Interface
from minnow.origin import find_origin
from minnow.proof.bundles import prove_bundle
from minnow.proof.canaries import check_canaries, record_canaries
from minnow.proof.references import (
    REFERENCES,
    CheckpointReference,
    check_reference,
    stored_reference,
)
from minnow.proof.retrieval import searched_dataset
from minnow.proof.verdict import Candidate
from minnow.recipe import RECIPES, Graph, Recipe, check_recipe, describe_calibration
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minnow.model.original import Original
    from minnow.model.spec import EmbeddingSpec, EncoderSpec, RerankingSpec
    from minnow.parity import Parity
    from minnow.proof.references import Reference
    from minnow.recipe import ReferenceName

    Progress = Callable[[str], None]

__all__ = ["REFERENCES", "Choices", "convert", "verify"]

_ADVICE = "Take a precision of more bits, or calibrate on text like yours (`calibration=`)."


def convert(
    source: str | ModelSource,
    destination: str | Path,
    *,
    recipe: Recipe = RECIPES["fp16"],
    choices: Choices = Choices(),
    calibration: Sequence[str] | None = None,
    reference: ReferenceName = "checkpoint",
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
        progress: Receives a line of text before each step.

    Returns:
        The sealed bundle.

    Raises:
        InputError: The recipe, the reference or a shape contradicts itself or the model.
        SourceError: The model cannot be found, read or understood.
        ConversionError: MNN's converter failed.
        ParityError: The result does not give the reference's vectors.
        OutputError: The destination cannot be written.
        MissingExtraError: The extra `convert`, or the reference's, is not installed.
    """
    destination = Path(destination).absolute()
    recipe = _checked(recipe, reference, shapes, calibration)
    with staging(destination) as folder:
        progress(f"finding {source.name if isinstance(source, ModelSource) else source}")
        wants_author = recipe.graph is Graph.AUTHOR or reference == "author-onnx"
        origin = resolve(source, revision=revision, offline=offline, with_author_graph=wants_author)
        build = partial(
            _build, recipe=recipe, choices=choices, calibration=calibration,
            reference=reference, shapes=shapes, progress=progress,
        )  # fmt: skip
        routes = read_routes(origin)
        manifest = build(origin if routes is None else routes.document, folder)
        if routes is not None and routes.query != routes.document:
            progress("the encoder of queries")
            (folder / QUERIES).mkdir()
            queries = build(routes.query, folder / QUERIES)
            _check_widths(manifest, queries)
            manifest = replace(manifest, queries=queries, default_role=routes.default)
        card = model_card(manifest, stored_size(folder / ENCODER))
        (folder / CARD).write_text(card, encoding="utf-8")
        progress("sealing")
        return seal(folder, manifest, destination)


def _build(
    origin: ModelSource,
    folder: Path,
    *,
    recipe: Recipe,
    choices: Choices,
    calibration: Sequence[str] | None,
    reference: ReferenceName,
    shapes: Sequence[tuple[int, int]],
    progress: Progress,
) -> Manifest:
    """Write the encoders and the tokenizer of a model, prove them, and describe them."""
    progress("reading the model")
    original = read_original(origin, choices)
    whole = recipe.graph is Graph.AUTHOR
    check_limit(shapes, original.encoder, original.embedding, whole=whole)
    check_room(original, converts=True)
    recipe = _with_interface(recipe, original, progress)
    yardstick = REFERENCES[reference](original)
    tell_changes(original, progress)
    copy_metadata(origin, folder, original.tokenizer)
    own = _own_reference(original, yardstick, progress)
    if not whole:
        original = fit_halves(original, own.magnitudes.values)
        if original.encoder.stream != 1:
            progress(f"states times {original.encoder.stream:g}: half precision ends at 65504")
        if original.encoder.powers:
            named = ", ".join(f"{name} {n:+}" for name, n in original.encoder.powers.items())
            progress(f"powers of two for half precision: {named}")
    magnitude = own.magnitude(original.network)
    stored = write_encoders(
        original, folder, recipe, shapes=shapes, calibration=calibration, progress=progress
    )
    candidate = _candidate(folder, original.encoder, original.embedding, original.reranking, recipe)
    parity, fixed = prove_bundle(
        candidate,
        yardstick,
        shapes=shapes,
        stored=stored_reference(stored, yardstick) if recipe.rounds else None,
        progress=progress,
    )
    record_canaries(candidate, yardstick, recipe)
    parity = replace(parity, magnitude=magnitude)
    return Manifest(
        source=source_record(origin, original.tokenizer),
        encoder=original.encoder,
        embedding=original.embedding,
        choices=choices,
        recipe=recipe,
        parity=parity,
        tools=tools(),
        fixed_shapes=fixed,
        reranking=original.reranking,
    )


def _own_reference(
    original: Original, yardstick: Reference, progress: Progress
) -> CheckpointReference:
    """Compute the probe texts by minnow's own forward pass, whose tensors can be measured."""
    own = yardstick
    if not isinstance(own, CheckpointReference):
        own = CheckpointReference(original, probes=yardstick.probes)
    own.compute(progress)
    return own


def _check_widths(documents: Manifest, queries: Manifest) -> None:
    if documents.width != queries.width:
        raise UnsupportedModelError(
            f"{documents.source.name} gives documents vectors of {documents.width} numbers, and "
            f"queries of {queries.width}: they cannot be compared."
        )


def verify(
    bundle: str | Path | Bundle,
    *,
    source: str | ModelSource | None = None,
    reference: ReferenceName = "checkpoint",
    offline: bool = False,
    progress: Progress = lambda _: None,
) -> Parity:
    """Repeat the proof of a sealed bundle: every file's hash, every claim, every probe text.

    What the manifest says of the model is compared with the source: each hyperparameter, pooling,
    prompts, limits, similarity and licence, and the files that the bundle took over. Encoders of
    fixed shapes are proven again too.

    Args:
        bundle: The bundle.
        source: The model it was made from; by default the one that its manifest names.
        reference: "checkpoint", "sentence-transformers" or "author-onnx".
        offline: Make no network call at all.
        progress: Receives a line of text before each step.

    Returns:
        What the proof of encoder.mnn found; that of an encoder of queries has passed too.

    Raises:
        BundleError: A file is missing or has changed, or the source has other weights.
        SourceError: The source cannot be found; name it with `source`.
        ParityError: The manifest or a file says something else than the source, or the bundle
            does not give the reference's vectors.
    """
    check_reference(reference)
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    manifest = bundle.manifest
    _check_searchable(manifest.recipe)
    progress("checking the hash of every file")
    bundle.check_files()
    progress(f"finding {source or manifest.source.name}")
    parities = []
    for part in bundle.parts:
        manifest = part.manifest
        origin = find_origin(
            part, source, offline=offline, with_author_graph=reference == "author-onnx"
        )
        progress("reading the model")
        original = read_original(origin, manifest.choices)
        check_claims(part, origin, original)
        check_room(original, converts=False)
        parity, _ = prove_bundle(
            _candidate(
                part.folder,
                manifest.encoder,
                manifest.embedding,
                manifest.reranking,
                manifest.recipe,
            ),
            REFERENCES[reference](original),
            shapes=[(fixed.batch, fixed.tokens) for fixed in manifest.fixed_shapes],
            progress=progress,
        )
        check_canaries(part, progress)
        parities.append(parity)
    return parities[0]


def _checked(
    recipe: Recipe,
    reference: ReferenceName,
    shapes: Sequence[tuple[int, int]],
    calibration: Sequence[str] | None,
) -> Recipe:
    """Check what can be checked before a model is read; return the recipe to record."""
    check_reference(reference)
    check_recipe(recipe)
    check_shapes(shapes)
    if recipe.graph is Graph.PUBLISHED:
        raise InputError("A published file is not converted: `minnow audit` seals one.")
    if shapes and recipe.graph is Graph.AUTHOR:
        raise InputError("The author's graph has no fixed shapes; take `graph=canonical`.")
    _check_searchable(recipe)
    if calibration is None:
        return recipe
    return replace(recipe, calibration=describe_calibration(calibration, recipe))


def _with_interface(recipe: Recipe, original: Original, progress: Progress) -> Recipe:
    """Have the encoder give scores, or vectors where a head needs more than one pooling."""
    if original.reranking is not None:
        if recipe.graph is Graph.AUTHOR:
            raise InputError(
                "An author's graph of a reranker is not converted; take `graph=canonical`."
            )
        progress("the model is a reranker: the encoder gives scores of pairs")
        return replace(recipe, interface=Interface.SCORES, max_ndcg_drop=None)
    if recipe.interface is Interface.SCORES:
        raise InputError(
            f"{original.source.name} is an embedding model and gives no scores; take another "
            "`interface=`."
        )
    embedding, is_table = original.embedding, original.encoder.family == STATIC
    plain = embedding.head.is_plain and not is_table
    if plain or recipe.interface is Interface.SENTENCE_EMBEDDING:
        return recipe
    if recipe.graph is Graph.AUTHOR:
        raise InputError(
            f"The model's head ({embedding.head.description}) is not in the author's graph; take "
            "minnow's own (`graph=canonical`)."
        )
    progress(f"the encoder gives vectors: it holds the head ({embedding.head.description})")
    return replace(recipe, interface=Interface.SENTENCE_EMBEDDING)


def _check_searchable(recipe: Recipe) -> None:
    """Check before the work, not after it, that the data set which the proof searches is there."""
    if recipe.max_ndcg_drop is not None:
        searched_dataset()


def _candidate(
    folder: Path,
    encoder: EncoderSpec,
    embedding: EmbeddingSpec,
    reranking: RerankingSpec | None,
    recipe: Recipe,
) -> Candidate:
    ranks, bars = reranking is not None, recipe.ranking_bars
    return Candidate(
        folder,
        encoder,
        embedding,
        bar=bars.difference if ranks else recipe.bar,
        interface=recipe.interface,
        max_ndcg_drop=recipe.max_ndcg_drop,
        advice=_ADVICE if recipe.rounds else "",
        stored_bar=recipe.stored_difference if ranks else recipe.stored_bar,
        reranking=reranking,
        agreement=bars.agreement,
    )
