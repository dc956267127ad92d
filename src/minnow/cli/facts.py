"""What is printed of a bundle and of its proof, and the command that prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minnow.bundle import Bundle
from minnow.cli.app import app, print_facts
from minnow.cli.options import BundleFolder, Json
from minnow.parity import Measure

if TYPE_CHECKING:
    from minnow.manifest import Manifest
    from minnow.parity import Magnitude, ModeProof, Parity, RankAgreement, Retrieval


@app.command("info")
def info_command(bundle: BundleFolder, as_json: Json = False) -> None:
    """Show what a bundle is and what was proven of it.

    Only the manifest is read; `minnow verify` checks the files too.

    Example: minnow info bge-small.minnow --json
    """
    print_facts(bundle_facts(Bundle.open(bundle)), as_json)


def bundle_facts(bundle: Bundle) -> dict[str, Any]:
    """Return what a bundle is and what was proven of it, to be printed."""
    manifest: Manifest = bundle.manifest
    source, embedding = manifest.source, manifest.embedding
    return {
        "bundle": str(bundle.folder),
        "source": source.name,
        "revision": source.revision,
        "license": source.license,
        "network": f"{manifest.encoder.family}, {manifest.encoder.layers} layers",
        **_kind_facts(manifest),
        **({"truncate_dim": embedding.truncate_dim} if embedding.truncate_dim else {}),
        "max_tokens": embedding.max_tokens,
        "prompts": dict(embedding.prompts),
        "precision": manifest.recipe.precision.value,
        **{f"{name}_bits": str(grid) for name, grid in manifest.recipe.grids.items()},
        "graph": manifest.recipe.graph.value,
        "interface": manifest.recipe.interface.value,
        "output": manifest.output,
        "encoder_bytes": manifest.encoder_size,
        "bundle_bytes": bundle.size,
        **proof_facts(manifest.parity),
        **_query_facts(bundle),
        "fixed_shapes": [
            f"{fixed.batch}x{fixed.tokens} ({manifest.files[fixed.file].size / 1e6:.1f} MB, worst "
            f"{fixed.parity.measure.value} {fixed.parity.worst.worst:.7f})"
            for fixed in manifest.fixed_shapes
        ],
        "tools": dict(manifest.tools),
    }


def _query_facts(bundle: Bundle) -> dict[str, Any]:
    """Return what is told of an encoder of queries, where they have one of their own."""
    if bundle.queries is None:
        return {}
    manifest = bundle.queries.manifest
    return {
        "queries": f"{manifest.encoder.family}, {manifest.encoder.layers} layers, "
        f"{manifest.embedding.head.description}, worst cosine {manifest.parity.worst.worst:.7f}",
        "queries_encoder_bytes": manifest.encoder_size,
        "text_without_a_role": bundle.manifest.default_role or "refused",
    }


def _kind_facts(manifest: Manifest) -> dict[str, Any]:
    """Return what the encoder makes of token states: vectors, or a reranker's scores."""
    embedding, reranking = manifest.embedding, manifest.reranking
    head = {"pooling": embedding.head.description}
    if reranking is None:
        return {"width": manifest.width, **head, "normalize": embedding.normalize}
    return {
        "kind": "reranker",
        "labels": list(reranking.labels),
        **head,
        "activation": reranking.activation.value,
        "truncation": reranking.truncation.value,
    }


def proof_facts(parity: Parity) -> dict[str, Any]:
    """Return the figures of a proof as plain values."""
    worst, kind = parity.worst, parity.measure
    lowest = min if kind is Measure.COSINE else max
    scores = [run.worst_score for run in parity.runs if run.worst_score is not None]
    return {
        "reference": parity.reference,
        "probe_texts" if kind is Measure.COSINE else "probe_pairs": parity.texts,
        "bar": parity.bar,
        f"worst_{kind.value}": worst.worst,
        "worst_text": worst.worst_text,
        "worst_shape": list(worst.worst_shape),
        f"p{kind.percentile}_{kind.value}": lowest(run.p5 for run in parity.runs),
        f"mean_{kind.value}": lowest(run.mean for run in parity.runs),
        **({"worst_score_difference": max(scores)} if scores else {}),
        **_retrieval(parity.retrieval),
        **_ranking(parity.ranking),
        **_magnitude(parity.magnitude),
        "proven_modes": [shown_mode(proof, kind) for proof in parity.modes],
    }


def shown_place(found: ModeProof) -> str:
    """Say on which processor, and in which mode, a proof ran."""
    on = f"{'emulated ' * found.emulated}{found.processor}"
    return f"{on}, precision {found.precision}, memory {found.memory}"


def shown_mode(found: ModeProof, kind: Measure) -> str:
    """Say in a line what was proven of a mode."""
    return (
        f"{shown_place(found)}: worst {kind.value} "
        f"{found.worst:.6f} ({found.worst_text}), bar {found.bar:g}"
    )


def _magnitude(found: Magnitude | None) -> dict[str, Any]:
    if found is None:
        return {}
    facts = {"largest_number": f"{found.largest:.4g} ({found.where})"}
    room = f"{found.head_room:.1f} bits below its end"
    if found.least:
        facts["faintest_tensor"] = f"{found.least:.4g} ({found.least_where})"
        room += f", {found.foot_room:.1f} above where it loses digits"
    return {**facts, "half_precision": room}


def _ranking(found: RankAgreement | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "ranked": f"{found.dataset}, {found.queries} questions with {found.documents} documents",
        "order_agreement": found.agreement,
        "least_agreement": found.least,
    }


def _retrieval(found: Retrieval | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "searched": f"{found.dataset}, {found.queries} questions",
        "reference_ndcg_10": found.reference,
        "ndcg_10": found.candidate,
        "largest_fall": found.max_ndcg_drop,
    }
