"""A bundle goes in, a folder that another library loads comes out, proven by that library."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.bundle import Bundle
from minnow.convert.encoders import graph_form
from minnow.convert.gelu import stored_model
from minnow.convert.graph_file import remove_graph, write_graph
from minnow.convert.mnn import convert_to_mnn
from minnow.convert.provenance import tools
from minnow.convert.quantize import quantize
from minnow.errors import BundleError, ConversionError, InputError
from minnow.export import WordKind
from minnow.export.mnn_llm.byte_fallback import byte_fallback_file
from minnow.export.mnn_llm.byte_level import byte_level_file, takes_form_c
from minnow.export.mnn_llm.card import export_card
from minnow.export.mnn_llm.mtok import mtok_bytes, require_expressible
from minnow.export.mnn_llm.mtok_reader import read_mtok
from minnow.export.mnn_llm.proof import FORM_C, LIMITS, prove_export
from minnow.export.mnn_llm.record import MNN_LLM, RECORD, Export, ExportRecord, check_destination
from minnow.export.mnn_llm.settings import MODEL, WORDS, chat_template, write_settings
from minnow.export.mnn_llm.settings import TOKENIZER as MTOK
from minnow.export.mnn_llm.word_table import read_words, store_words
from minnow.export.mnn_llm.wordpiece import wordpiece_file
from minnow.files import writing
from minnow.graph.embedded import build_embedded_graph, embedded_inputs
from minnow.manifest import CARD, TOKENIZER
from minnow.model.magnitudes import with_factors
from minnow.model.original import read_original
from minnow.model.tensors import LazyTensors
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.origin import find_origin, has_tokenizer_of
from minnow.proof.references import REFERENCES, check_reference
from minnow.recipe import RECIPES, Graph, Precision, Rounding, describe_calibration
from minnow.record_json import to_json
from minnow.records import replace
from minnow.sealing import file_records, put_in_place, staging_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minnow.export.mnn_llm.mtok import TokenizerFile
    from minnow.export.mnn_llm.word_table import WordTable
    from minnow.graph.nodes import Outside
    from minnow.model.original import Original
    from minnow.model.source import ModelSource
    from minnow.recipe import Recipe, ReferenceName

    Progress = Callable[[str], None]

__all__ = ["Export", "ExportRecord", "WordKind", "export_mnn_llm"]

LONGEST = 4096
"""Tokens; the engine makes a mask of float32 for each pair of a text's tokens, 64 MB here."""
_WORD = "embeddings.word"
_LOG = "conversion.log"
BUILT_IN = RECIPES["int8"].calibration
EXPRESSED = {
    "WordPiece": wordpiece_file,
    "BPE": byte_level_file,
    "BPE with bytes": byte_fallback_file,
}
"""Model of a tokenizer -> what expresses it."""
_OTHER_MODELS = {
    "Unigram": "the engine divides a word otherwise where two ways have the same score",
    "WordLevel": "the engine has no such model",
}
"""Model of the `tokenizers` library -> why the engine does not give its ids."""
_DEFAULT_WORDS = {Precision.FP32: WordKind.FP16, Precision.FP16: WordKind.BF16}


def _check_kind(bundle: Bundle) -> None:
    """Refuse a reranker: both of MNN's classes for them read other tokens than the model.

    Source: llm/reranker.hpp of MNN 3.6.1. docs/mnn-llm.md has the details.
    """
    reranking = bundle.manifest.reranking
    if reranking is None:
        return
    fault = "GteReranker puts the ids 0, 6 before any query, 2, 2 behind it, and 2 at the end"
    if reranking.chat is not None or bundle.manifest.encoder.family == "qwen3":
        fault = "Qwen3Reranker tokenises its own prompt, with the query, and each document apart"
    raise BundleError(
        f"{bundle.folder} is a reranker, and MNN's class for such models gives other scores: "
        f"{fault}. Ship the bundle, which the C++ core (native/) ranks with."
    )


def export_mnn_llm(
    bundle: str | Path | Bundle,
    destination: str | Path,
    *,
    words: WordKind | str | None = None,
    source: str | ModelSource | None = None,
    calibration: Sequence[str] | None = None,
    reference: ReferenceName = "checkpoint",
    offline: bool = False,
    progress: Progress = lambda _: None,
) -> Export:
    """Write a bundle's model as the folder that MNN's own embedding engine loads, and prove it.

    An app that links MNN-LLM then needs no tokenizer and no pooling:
    `Embedding::createEmbedding("DIR/config.json")->txt_embedding(text)`. The graph is rebuilt from
    the model that the bundle was made from, by the bundle's recipe; its word table becomes a file
    of its own. Everything is built in a hidden folder beside the destination; only what passes the
    proof is renamed into place.

    Args:
        bundle: The bundle.
        destination: The folder to write.
        words: How the word table is stored; by default float16 for fp32, bfloat16 for fp16, and
            int8 for recipes that round.
        source: The model it was made from; by default the one that its manifest names.
        calibration: The text that the bundle was calibrated on, where that was not built in.
        reference: "checkpoint", "sentence-transformers" or "author-onnx".
        offline: Make no network call at all.
        progress: Receives a line of text before each step.

    Returns:
        The exported folder.

    Raises:
        BundleError: It is not an intact bundle, is a reranker, or the source is not what it was
            made from.
        InputError: MNN's engine cannot tokenise as the model does, or the model is too long for it.
        SourceError: The source cannot be found; name it with `source`.
        ConversionError: MNN's converter failed.
        ParityError: The engine does not give the reference's ids and vectors.
        OutputError: The destination cannot be written.
        MissingExtraError: The extra `convert`, or the reference's, is not installed.
    """
    destination = Path(destination).absolute()
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    _check_kind(bundle)
    check_reference(reference)
    recipe = bundle.manifest.recipe
    kind = _word_kind(words, recipe)
    _check(bundle, calibration)
    with staging_beside(destination, check_destination) as folder:
        progress("checking the hash of every file")
        bundle.check_files()
        progress("reading the tokenizer")
        tokenizer, composed = _tokenizer(bundle)
        original = _original(bundle, source, reference, offline=offline, progress=progress)
        yardstick = REFERENCES[reference](original)
        stored, table = _write(original, folder, recipe, kind, tokenizer, calibration, progress)
        _check_written(folder, tokenizer, table)
        parity = prove_export(folder, original, stored, recipe, yardstick, progress)
        _copy_licence(bundle, folder)
        manifest, embedding = bundle.manifest, original.embedding
        record = ExportRecord(
            target=MNN_LLM,
            source=manifest.source,
            recipe=recipe,
            words=kind.value,
            width=bundle.manifest.width,
            pooling=embedding.head.description,
            normalize=embedding.normalize,
            similarity=embedding.similarity,
            max_tokens=embedding.max_tokens,
            lowercase=embedding.lowercase,
            prompts=embedding.prompts,
            default_prompt_name=embedding.default_prompt_name,
            limits=(*LIMITS, FORM_C) if composed else LIMITS,
            normal_form="NFC" if composed else None,
            parity=parity,
            tools=tools(),
        )
        (folder / CARD).write_text(export_card(record, _sizes(folder)), encoding="utf-8")
        progress("sealing")
        with writing(destination):
            record = replace(record, files=file_records(folder))
            put_in_place(folder, to_json(record), RECORD, destination, check_destination)
        return Export(destination, record)


def _word_kind(words: WordKind | str | None, recipe: Recipe) -> WordKind:
    if words is None:
        return _DEFAULT_WORDS.get(recipe.precision, WordKind.INT8)
    try:
        return WordKind(words)
    except ValueError:
        names = ", ".join(kind.value for kind in WordKind)
        raise InputError(f"Words cannot be stored as {words!r}; choose {names}.") from None


def _check(bundle: Bundle, calibration: Sequence[str] | None) -> None:
    """Refuse what cannot be exported, before any long work starts."""
    recipe, limit = bundle.manifest.recipe, bundle.manifest.embedding.max_tokens
    if not bundle.manifest.encoder.layers:
        raise InputError(
            f"{bundle.folder} is a table of vectors without a network, which MNN's embedding "
            "engine does not run. Use the bundle as it is."
        )
    if bundle.manifest.queries is not None:
        raise InputError(
            f"{bundle.folder} has an encoder of queries and one of documents; the mnn-llm layout "
            "holds one. Use the bundle as it is."
        )
    if not bundle.manifest.embedding.include_prompt:
        raise InputError(
            f"{bundle.folder} leaves the prompt out of pooling, and MNN's embedding engine cannot "
            "tell it from a text. Use the bundle as it is."
        )
    if recipe.graph is not Graph.CANONICAL:
        raise InputError(
            f"{bundle.folder} has somebody else's graph, whose word table is part of it. Convert "
            "the model with minnow's own graph (`graph=canonical`), and export that."
        )
    if limit > LONGEST:
        raise InputError(
            f"{bundle.folder} takes texts of {limit} tokens; MNN's own engine, which makes a mask "
            f"of that length squared for a text, is given {LONGEST} at most. Convert the model "
            f"with `max_tokens={LONGEST}` or less, and export that."
        )
    if calibration is None and recipe.rounding is not Rounding.CALIBRATED:
        return
    given = BUILT_IN if calibration is None else describe_calibration(calibration, recipe)
    if given != recipe.calibration:
        known = recipe.calibration or "text that it does not name"
        raise InputError(
            f"{bundle.folder} was calibrated on {known}, not on {given}. Give the same text with "
            "`calibration=`, or convert the model again."
        )


def _tokenizer(bundle: Bundle) -> tuple[TokenizerFile, bool]:
    """Express the tokenizer; return also whether the app has to give texts in form C."""
    from tokenizers import models

    lowercase = bundle.manifest.embedding.lowercase
    tokenizer = load_whole_tokenizer(bundle.folder / TOKENIZER, lowercase=lowercase)
    kind = type(tokenizer.model).__name__
    if isinstance(tokenizer.model, models.BPE) and tokenizer.model.byte_fallback:
        kind = "BPE with bytes"
    if kind not in EXPRESSED:
        require_expressible([f"its model is {kind}, and {_OTHER_MODELS[kind]}"])
    return EXPRESSED[kind](tokenizer, chat_template(tokenizer)), takes_form_c(tokenizer)


def _original(
    bundle: Bundle,
    source: str | ModelSource | None,
    reference: ReferenceName,
    *,
    offline: bool,
    progress: Progress,
) -> Original:
    """Read the model that the bundle was made from; refuse it if its files have changed."""
    manifest = bundle.manifest
    progress(f"finding {source or manifest.source.name}")
    origin = find_origin(
        bundle, source, offline=offline, with_author_graph=reference == "author-onnx"
    )
    progress("reading the model")
    original = read_original(origin, manifest.choices)
    original = with_factors(original, manifest.encoder.stream, manifest.encoder.powers)
    same = (original.encoder, original.embedding) == (manifest.encoder, manifest.embedding)
    if not same or not has_tokenizer_of(bundle, original):
        raise BundleError(
            f"{origin.name} has the weights that {bundle.folder} was made from, but its other "
            "files have changed since. Convert it again, and export that."
        )
    return original


def _write(
    original: Original,
    folder: Path,
    recipe: Recipe,
    kind: WordKind,
    tokenizer: TokenizerFile,
    calibration: Sequence[str] | None,
    progress: Progress,
) -> tuple[Original, WordTable]:
    """Write the engine's files; return the model as they compute it."""
    width = original.network.table_width
    table = store_words(original.tensors[_WORD], kind)
    rounded = quantize(original, replace(recipe, words=None), calibration, progress)
    tensors = LazyTensors(rounded.tensors)
    tensors.put(_WORD, table.unpack)
    progress("writing the graph")

    def build(outside: Outside) -> Any:
        return build_embedded_graph(
            original.network, tensors, original.head, rounded.packed,
            graph_form(recipe, long=original.embedding.is_long),
            multiplied=rounded.multiplied, outside=outside,
        )  # fmt: skip

    graph = folder / "graph.onnx"
    write_graph(build, graph, recipe)
    progress(f"converting to MNN ({recipe.precision.value}, words {kind.value})")
    convert_to_mnn(
        graph, folder / MODEL, recipe, embedded_inputs(width), grids=rounded.grids,
        log=folder / _LOG,
    )  # fmt: skip
    remove_graph(graph)
    (folder / _LOG).unlink()
    (folder / WORDS).write_bytes(table.to_bytes())
    (folder / MTOK).write_bytes(mtok_bytes(tokenizer))
    write_settings(folder, width, tokenizer.template, table.settings())
    return stored_model(original, tensors, recipe), table


def _check_written(folder: Path, tokenizer: TokenizerFile, table: WordTable) -> None:
    """Read back the files that the engine reads without checking them."""
    found = read_words(folder / WORDS, table.width, table.settings())
    same = read_mtok(folder / MTOK) == tokenizer and bool((found.rows == table.rows).all())
    if not same:
        raise ConversionError("The tokenizer or the word table does not come back from its file.")


def _copy_licence(bundle: Bundle, folder: Path) -> None:
    for name in bundle.manifest.files:
        if name.lower().startswith(("licen", "notice")):
            shutil.copyfile(bundle.folder / name, folder / name)


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
