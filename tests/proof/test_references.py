"""References compute ids and vectors of the probe texts once for all that is compared with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import source_of

from minnow.errors import InputError
from minnow.model.original import read_original
from minnow.proof.references import CheckpointReference, check_reference, stored_reference

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.extra("convert"), pytest.mark.whole_proof]


def test_probes_are_computed_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("token_ids", "vectors"):
        real: Any = getattr(CheckpointReference, name)

        def count(self: Any, *given: Any, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(self, *given)

        monkeypatch.setattr(CheckpointReference, name, count)
    steps: list[str] = []
    reference = CheckpointReference(read_original(source_of(tiny)))
    reference.compute(steps.append)
    reference.compute(steps.append)
    assert len(reference.probe_vectors) == len(reference.probe_ids) == len(reference.probes)
    assert calls.count("vectors") == 1
    assert len(steps) == 1


def test_rounded_numbers_share_the_probes(tiny: Path) -> None:
    original = read_original(source_of(tiny))
    reference = CheckpointReference(original)
    assert stored_reference(original, reference).probes is reference.probes


def test_a_reference_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="no reference 'x'; choose checkpoint"):
        check_reference("x")
