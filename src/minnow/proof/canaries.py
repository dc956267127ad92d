"""The canaries of a bundle: chosen among the probe texts, run once more after the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.backend_child import open_part
from minnow.canaries import (
    FORMAT,
    Canary,
    CanaryTexts,
    canary_bar,
    read_canaries,
    write_canaries,
)
from minnow.engines import EngineOptions
from minnow.errors import ParityError
from minnow.proof.bundles import open_candidate

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.bundle import Bundle
    from minnow.proof.references import Reference
    from minnow.proof.verdict import Candidate
    from minnow.recipe import Recipe

_SHARES = (0.0, 0.2, 0.45, 0.7, 0.9)
"""Where the texts lie among all probe texts, ordered by their number of tokens."""
_LONGEST_CUT = 512
"""Limit of a model up to which one of the texts is cut off at it; longer ones take too long."""
_LONGEST_TOGETHER = 128
"""Tokens of a text that also runs in a padded batch."""


def record_canaries(candidate: Candidate, reference: Reference, recipe: Recipe) -> None:
    """Write the canaries of a folder whose proof has passed, with the vectors that it gives now.

    Args:
        candidate: The folder.
        reference: What it was compared with.
        recipe: How it was made.
    """
    lengths = [len(ids) for ids in reference.probe_ids]
    distinct = {tuple(ids): i for i, ids in reversed([*enumerate(reference.probe_ids)])}
    order = sorted(distinct.values(), key=lambda i: (lengths[i], i))
    chosen = [order[int(share * len(order))] for share in _SHARES]
    if max(lengths) <= _LONGEST_CUT:
        chosen.append(order[-1])
    chosen = [*dict.fromkeys(chosen)]
    together = [n for n, i in enumerate(chosen) if lengths[i] <= _LONGEST_TOGETHER]
    probes = [reference.probes[i] for i in chosen]
    given = CanaryTexts(
        FORMAT,
        canary_bar(recipe, candidate.measure),
        tuple(Canary(p.name, p.text, p.prompt, p.second) for p in probes),
        (*((n,) for n in range(len(chosen))), tuple(together)),
    )
    with open_candidate(candidate, 1) as opened:
        vectors = np.stack([opened.together([probe])[0] for probe in probes])
    write_canaries(candidate.path, given, vectors)


def check_canaries(bundle: Bundle, progress: Callable[[str], None]) -> None:
    """Check that a bundle gives the vectors of its canaries; older bundles have none.

    Raises:
        ParityError: It does not.
        BundleError: The canaries cannot be read.
    """
    canaries = read_canaries(bundle)
    if canaries is None:
        return
    progress("running the canaries")
    with open_part(bundle, EngineOptions()) as opened:
        try:
            canaries.judge(canaries.run(opened))
        except ParityError as error:
            raise ParityError(f"Refused: {bundle.folder}. {error}", worst=error.worst) from error
