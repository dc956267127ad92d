"""The verdict on a model that was tried, and a guess at the cause of what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.audit.causes import Cause, Finding, explain
from minnow.audit.report import Verdict
from minnow.audit.session import Role
from minnow.audit.trial import TRIED
from minnow.errors import ParityError
from minnow.model.spec import Interface
from minnow.parity import HALF_MAX
from minnow.proof.bundles import MIXED
from minnow.proof.verdict import compare, judge, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.audit.trying import Outcome
    from minnow.parity import Parity
    from minnow.proof.verdict import Run

Judged = tuple[Verdict, list[Finding], "Parity | None"]

_COARSE = 0.9999
"""A bar below this leaves room in which a fault of the graph could hide."""


def judge_outcome(outcome: Outcome) -> Judged:
    """Say whether a model is right, right only alone, or wrong.

    Returns:
        The verdict; likely causes, none where it is right; the figures, None where it does not run.
    """
    trial, runs = outcome.trial, list(outcome.runs)
    if outcome.problem:
        return Verdict.WRONG, [Finding(Cause.RUNTIME, outcome.problem)], None
    try:
        parity = compare(trial.candidate, runs, trial.reference)
    except ParityError as error:
        return Verdict.WRONG, [Finding(Cause.UNKNOWN, str(error))], None
    causes = _tokenizer_causes(outcome)
    alone = [run for run in runs if run.batching != MIXED]
    if not _equal(outcome):
        return Verdict.WRONG, causes, parity
    if _passes(outcome, runs):
        causes += _hidden_faults(outcome, alone[0])
        if not causes and outcome.batch_problem:
            return Verdict.ALONE, [Finding(Cause.SHAPE, outcome.batch_problem)], parity
        return (Verdict.WRONG if causes else Verdict.RIGHT), causes, parity
    if _passes(outcome, alone):
        both = [*causes, _padding_fault(outcome)]
        return (Verdict.WRONG if causes else Verdict.ALONE), both, parity
    return Verdict.WRONG, causes + _network_causes(outcome, alone), parity


def _passes(outcome: Outcome, runs: Sequence[Run]) -> bool:
    """Return whether the texts with the right tokens pass the verdict of every proof."""
    equal = _equal(outcome)
    try:
        judge(outcome.trial.candidate, [run.only(equal) for run in runs], outcome.trial.reference)
    except ParityError:
        return False
    return True


def _equal(outcome: Outcome) -> list[int]:
    """Return the probes with the right tokens."""
    other = {*outcome.other_ids}
    probes = outcome.trial.reference.probes
    return [i for i, probe in enumerate(probes) if probe.name not in other]


def _tokenizer_causes(outcome: Outcome) -> list[Finding]:
    found = []
    if outcome.tokenizer_fault:
        found.append(Finding(Cause.TOKENIZER, outcome.tokenizer_fault))
    if outcome.other_ids:
        number, names = len(outcome.other_ids), listed(outcome.other_ids)
        total = len(outcome.trial.reference.probes)
        detail = f"other token ids than the source's for {number} of {total} texts ({names})"
        found.append(Finding(Cause.TOKENIZER, detail))
    return found


def _hidden_faults(outcome: Outcome, run: Run) -> list[Finding]:
    """Look for a fault that a low bar leaves room for."""
    if outcome.trial.original.reranking is None and outcome.trial.candidate.bar >= _COARSE:
        return []
    finding = _explained(outcome, run)
    return [finding] if finding else []


def _padding_fault(outcome: Outcome) -> Finding:
    if Role.MASK not in outcome.reading.roles.values():
        return Finding(Cause.MASK, "it has no attention mask: padding is read like text")
    ignoring = "attention ignores"
    if outcome.reading.kind is not Interface.LAST_HIDDEN_STATE:
        ignoring = "attention or pooling ignores"
    return Finding(Cause.MASK, f"{ignoring} the attention mask: padding changes what it gives")


def _network_causes(outcome: Outcome, alone: Sequence[Run]) -> list[Finding]:
    """Guess why texts that are run alone have other vectors."""
    candidate, reference = outcome.trial.candidate, outcome.trial.reference
    equal, run = _equal(outcome), alone[0]
    if limit := _limit(outcome, run):
        detail = f"texts of up to {limit} tokens are right, and all longer ones are not"
        return [Finding(Cause.LIMIT, detail)]
    broken = [i for i in equal if not all(np.isfinite(each.vectors[i]).all() for each in alone)]
    if broken:
        name = reference.probes[broken[0]].name
        detail = (
            f"{len(broken)} texts have numbers that are not finite, as {name!r}: a weight or a "
            f"state is beyond {HALF_MAX:g}, where half precision ends"
        )
        return [Finding(Cause.HALF_RANGE, detail)]
    figures = candidate.figures(run.vectors[equal], reference.probe_vectors[equal])
    bar = candidate.bar_for(reference.probe_vectors)
    if all(candidate.measure.reaches(value, bar) for value in figures):
        lengths = np.linalg.norm(run.vectors[equal], axis=1)
        wanted = np.linalg.norm(reference.probe_vectors[equal], axis=1)
        detail = (
            f"vectors have lengths of {lengths.min():.3g} to {lengths.max():.3g}, and the "
            f"source's {wanted.min():.3g} to {wanted.max():.3g}"
        )
        return [Finding(Cause.NORMALIZATION, detail)]
    finding = _explained(outcome, run)
    if finding is None and candidate.bar < _COARSE and candidate.reranking is None:
        detail = "its rounded numbers are farther from the source's than this precision needs"
        finding = Finding(Cause.ROUNDING, detail)
    return [finding or Finding(Cause.UNKNOWN, "other weights, or another network")]


def _limit(outcome: Outcome, run: Run) -> int:
    """Return the longest text that is right, in tokens, where all longer ones are wrong; else 0."""
    equal, candidate = _equal(outcome), outcome.trial.candidate
    expected = outcome.trial.reference.probe_vectors
    figures = candidate.figures(run.vectors[equal], expected[equal])
    lengths, bar = [len(outcome.rows[i].ids) for i in equal], candidate.bar_for(expected)
    right = [candidate.measure.reaches(value, bar) for value in figures]
    longest = max((n for n, is_right in zip(lengths, right, strict=True) if is_right), default=0)
    wrong = [n for n, is_right in zip(lengths, right, strict=True) if not is_right]
    return longest if wrong and min(wrong) > longest else 0


def _explained(outcome: Outcome, run: Run) -> Finding | None:
    if outcome.trial.original.reranking is None and not outcome.trial.head.is_plain:
        return None
    chosen = [i for i in outcome.trial.some if i in _equal(outcome)] or _equal(outcome)[:TRIED]
    rows = [outcome.rows[i] for i in chosen]
    return explain(outcome.trial, run.vectors[chosen], rows, chosen)
