"""A bundle of a published model that is right."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from minnow.audit.session import Role
from minnow.bundle import seal, staging
from minnow.convert.card import model_card
from minnow.convert.provenance import copy_metadata, source_record, tools
from minnow.errors import InputError
from minnow.graph.mnn_file import WEIGHTS, numbers_file, stored_size
from minnow.manifest import CARD, ENCODER, Manifest
from minnow.model.spec import Choices
from minnow.proof.bundles import prove_bundle
from minnow.recipe import RECIPES, Graph, Recipe
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.audit.published import Published
    from minnow.audit.trying import Outcome
    from minnow.bundle import Bundle
    from minnow.proof.verdict import Progress
    from minnow.recipe import Precision

_NAMES = {
    "input_ids": Role.IDS, "attention_mask": Role.MASK, "token_type_ids": Role.TYPES,
}  # fmt: skip


def check_sealable(published: Published, outcome: Outcome) -> None:
    """Check that a model has the interface of a bundle's encoder.

    Raises:
        InputError: It has another; the message names it.
    """
    original, reading = outcome.trial.original, outcome.reading
    advice = f"Convert the source instead: minnow convert {original.source.name}."
    if published.for_mnn_llm:
        raise InputError(f"{published.name} is a folder for MNN-LLM, not an encoder. {advice}")
    if reading.shape is not None:
        shape = "x".join(map(str, reading.shape))
        raise InputError(
            f"{published.name} takes the shape {shape} only; a bundle's encoder takes any. {advice}"
        )
    wanted = {name: _NAMES[name] for name in original.encoder.inputs}
    if dict(reading.roles) != wanted or reading.output != reading.kind.value:
        raise InputError(
            f"{published.name} has the inputs {', '.join(reading.roles)} and the output "
            f"{reading.output}; a bundle of this model has {', '.join(wanted)} and "
            f"{reading.kind.value}. {advice}"
        )


def seal_published(
    published: Published, outcome: Outcome, precision: Precision, destination: Path,
    progress: Progress,
) -> Bundle:  # fmt: skip
    """Make a bundle of a model, with the source's tokenizer, and prove it as any other.

    Raises:
        ParityError: The bundle's own engine gives other vectors.
        OutputError: The destination cannot be written.
    """
    original, trial = outcome.trial.original, outcome.trial
    recipe = Recipe(
        precision,
        bar=RECIPES[precision.value].bar,
        exact_gelu=False,
        graph=Graph.PUBLISHED,
        biz_code="",
        interface=outcome.reading.kind,
    )
    destination = destination.absolute()
    with staging(destination) as folder:
        progress("making a bundle of it")
        shutil.copyfile(published.model, folder / ENCODER)
        if numbers := numbers_file(published.model):
            shutil.copyfile(numbers, folder / (ENCODER + WEIGHTS))
        copy_metadata(original.source, folder, original.tokenizer)
        candidate = replace(
            trial.candidate,
            path=folder,
            interface=outcome.reading.kind,
            agreement=recipe.ranking_bars.agreement,
        )
        parity, _ = prove_bundle(candidate, trial.reference, progress=progress)
        magnitude = trial.reference.magnitude(original.network)
        manifest = Manifest(
            source=source_record(original.source, original.tokenizer),
            encoder=original.encoder,
            embedding=original.embedding,
            choices=Choices(),
            recipe=recipe,
            parity=replace(parity, magnitude=magnitude),
            tools=tools(),
            reranking=original.reranking,
        )
        card = model_card(manifest, stored_size(folder / ENCODER))
        (folder / CARD).write_text(card, encoding="utf-8")
        progress("sealing")
        return seal(folder, manifest, destination)
