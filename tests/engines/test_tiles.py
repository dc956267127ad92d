"""Padding of single texts to lengths that MNN runs quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from minnow.engines import TokenBatch, tiles
from minnow.engines.mnn import MnnEngine
from minnow.engines.tiles import quick_length
from minnow.model.spec import Interface

if TYPE_CHECKING:
    from fakes.bundles import Tiny


@pytest.mark.parametrize(
    ("tokens", "length"),
    [(1, 1), (16, 16), (17, 24), (23, 24), (24, 24), (40, 40), (41, 48), (95, 96), (113, 113)],
)
def test_what_is_left_over_fills_a_tile(
    tokens: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "_AVX2", True)
    assert quick_length(tokens, 512) == length


def test_no_text_grows_beyond_the_limit_or_on_other_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiles, "_AVX2", True)
    assert quick_length(20, 23) == 20
    monkeypatch.setattr(tiles, "_AVX2", False)
    assert quick_length(20, 512) == 20


@pytest.mark.extra("convert")
@pytest.mark.parametrize("tokens", [16, 17, 20, 23, 24])
@pytest.mark.parametrize("interface", [Interface.LAST_HIDDEN_STATE, Interface.SENTENCE_EMBEDDING])
def test_padding_changes_no_result(
    made: Tiny, pooled: Tiny, tokens: int, interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "_AVX2", True)
    per_text = interface is Interface.SENTENCE_EMBEDDING
    bundle = (pooled if per_text else made).bundle
    batch = TokenBatch.pad([[2, *range(10, 8 + tokens), 3]], 0)
    spec, found, shapes = bundle.manifest.encoder, [], []
    for exact in (True, False):
        engine = MnnEngine(bundle.encoder, spec, interface=interface, exact=exact)
        found.append(engine.run(batch))
        assert engine._session is not None
        shapes.append(engine._session.shape)
        engine.close()
    assert shapes == [(1, tokens), (1, tokens if tokens in (16, 24) else 24)]
    assert found[0].shape == found[1].shape == ((1, 32) if per_text else (1, tokens, 32))
    np.testing.assert_allclose(found[0], found[1], atol=2e-6)


@pytest.mark.extra("convert")
def test_low_memory_and_batches_keep_their_shape(
    made: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "_AVX2", True)
    row = [2, *range(10, 28), 3]
    for memory, rows in (("low", [row]), ("normal", [row, row])):
        spec = made.bundle.manifest.encoder
        engine = MnnEngine(made.bundle.encoder, spec, memory=memory)  # type: ignore[arg-type]
        engine.run(TokenBatch.pad(rows, 0))
        assert engine._session is not None
        assert engine._session.shape == (len(rows), 20)
        engine.close()
