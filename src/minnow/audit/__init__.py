"""Audits MNN models that others published: right, right only alone, or wrong, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minnow.audit.causes import Cause, Finding
from minnow.audit.judging import judge_outcome
from minnow.audit.published import find_published
from minnow.audit.report import AuditReport, Verdict
from minnow.audit.sealed import check_sealable, seal_published
from minnow.audit.trying import try_file, try_mnn_llm
from minnow.bundle import check_destination
from minnow.convert.provenance import tools
from minnow.convert.room import check_room
from minnow.errors import AmbiguousModelError
from minnow.graph.mnn_file import numbers_file, stored_bits
from minnow.model.original import read_original
from minnow.model.source import resolve
from minnow.recipe import Precision
from minnow.records import replace
from minnow.sealing import sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.bundle import Bundle
    from minnow.model.source import ModelSource

    Progress = Callable[[str], None]

__all__ = ["AuditReport", "Cause", "Finding", "Verdict", "audit"]

_PRECISIONS = {
    32: Precision.FP32, 16: Precision.FP16, 8: Precision.INT8, 7: Precision.INT6, 6: Precision.INT5,
}  # fmt: skip
"""Bits of most numbers -> the precision whose bar counts; fewer bits are INT4."""


def audit(
    model: str | Path,
    *,
    source: str | ModelSource | None = None,
    revision: str | None = None,
    seal: str | Path | None = None,
    offline: bool = False,
    progress: Progress = lambda _: None,
) -> tuple[AuditReport, Bundle | None]:
    """Compare a published MNN model that minnow did not make with the model it was made from.

    The interface is found by trying. All probe texts are run alone and in padded batches, in a
    process of its own, and compared with the source's forward pass by the verdict of every proof.

    Args:
        model: A folder, an MNN file, or a repository on the Hub.
        source: The model that it was made from; by default the one that its files name.
        revision: Branch, tag or commit of the repository.
        seal: The folder of a bundle to make of a model that is right; None makes none.
        offline: Make no network call at all.
        progress: Receives a line of text before each step.

    Returns:
        The report, and the bundle that was made.

    Raises:
        SourceError: The model or its source cannot be found, or the source cannot be read.
        AmbiguousModelError: It does not name its source, or holds several models.
        InputError: It is right, but cannot be made a bundle; the message says why.
        OutputError: The bundle cannot be written; a wrong place is refused before any work.
    """
    if seal is not None:
        check_destination(Path(seal).resolve())
    progress(f"finding {model}")
    published = find_published(str(model), revision=revision, offline=offline)
    named = source or published.base_model
    if named is None:
        raise AmbiguousModelError(
            f"{model} does not say which model it was made from. Name that with `source=`."
        )
    origin = resolve(named, offline=offline)
    progress(f"reading {origin.name}")
    original = read_original(origin)
    check_room(original, converts=False)
    precision = _PRECISIONS.get(stored_bits(published.model), Precision.INT4)
    attempt = try_mnn_llm if published.for_mnn_llm else try_file
    outcome = attempt(published, original, precision, progress)
    verdict, causes, parity = judge_outcome(outcome)
    if parity is not None:
        magnitude = outcome.trial.reference.magnitude(original.network)
        parity = replace(parity, magnitude=magnitude)
    numbers = numbers_file(published.model)
    report = AuditReport(
        verdict=verdict,
        model=published.name,
        revision=published.revision,
        file=published.model.name,
        sha256=sha256(published.model),
        numbers_sha256=sha256(numbers) if numbers else None,
        source=origin.name,
        source_revision=origin.revision,
        precision=precision.value,
        inputs={name: role.value for name, role in outcome.reading.roles.items()},
        output=f"{outcome.reading.output}: {outcome.reading.kind.value}",
        shape=outcome.reading.shape,
        pooling=outcome.trial.head.description,
        normalize=outcome.trial.head.normalize,
        max_tokens=outcome.trial.candidate.embedding.max_tokens,
        other_ids=outcome.other_ids,
        causes=tuple(causes),
        parity=parity,
        tools=tools(),
    )
    if seal is None or verdict is not Verdict.RIGHT:
        return report, None
    check_sealable(published, outcome)
    return report, seal_published(published, outcome, precision, Path(seal), progress)
