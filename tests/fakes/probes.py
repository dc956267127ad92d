"""A choice of the probe texts and one thread, for tests of something else than the proof."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from minnow.proof import bundles, references
from minnow.proof.verdict import thread_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minnow.proof.probes import Probe

EVERY = 6
"""One probe in so many is taken."""
SIZED = 5
"""The last ones are sized for the model and taken all: at its limit, above it, far beyond it."""

_whole = False


@contextmanager
def few_probes() -> Iterator[None]:
    """Prove bundles with few probes and with one thread, unless `take` says otherwise.

    Several threads wait for each other longer than they compute where all is tiny.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "thread_counts", lambda: thread_counts() if _whole else (1,))
        for name in ("probe_texts", "probe_pairs"):
            patch.setattr(references, name, _fewer(getattr(references, name)))
        yield


def _fewer(build: Callable[..., list[Probe]]) -> Callable[..., list[Probe]]:
    def built(*arguments: Any, **options: Any) -> list[Probe]:
        found = build(*arguments, **options)
        return found if _whole else [*found[:-SIZED:EVERY], *found[-SIZED:]]

    return built


@contextmanager
def take(*, whole: bool) -> Iterator[None]:
    """Take all probes or few of them in this block, whatever is taken around it."""
    global _whole
    before, _whole = _whole, whole
    try:
        yield
    finally:
        _whole = before
