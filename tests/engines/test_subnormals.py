"""Subnormal numbers: zeros while MNN runs, numbers before and after."""

from __future__ import annotations

import platform
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest

from minnow.engines import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.engines.subnormals import subnormals_as_zeros

if TYPE_CHECKING:
    from fakes.bundles import Tiny

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="only x86-64 is slow with subnormal numbers",
)

SUBNORMAL = np.full(9, 1e-40, np.float32)
ONE = np.float32(1)


def are_zeros() -> bool:
    return not (SUBNORMAL * ONE).any()


class TestSubnormals:
    def test_are_zeros_inside_only(self) -> None:
        before = are_zeros()
        with subnormals_as_zeros():
            inside = are_zeros()
        assert (before, inside, are_zeros()) == (False, True, False)

    def test_are_numbers_again_after_an_error(self) -> None:
        with pytest.raises(ZeroDivisionError), subnormals_as_zeros():
            raise ZeroDivisionError
        assert not are_zeros()

    def test_stay_zeros_in_a_thread_that_began_inside(self) -> None:
        found: list[bool] = []
        with subnormals_as_zeros():
            thread = Thread(target=lambda: found.append(are_zeros()))
            thread.start()
        thread.join()
        assert found == [True]

    def test_stay_zeros_inside_of_another(self) -> None:
        with subnormals_as_zeros():
            with subnormals_as_zeros():
                pass
            assert are_zeros()
        assert not are_zeros()


def seconds_of(engine: MnnEngine, batch: TokenBatch) -> float:
    times = []
    for _ in range(5):
        started = time.process_time()
        engine.run(batch)
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.extra("convert")
def test_padding_takes_no_longer_than_tokens(made: Tiny) -> None:
    """Weights of padding are subnormal numbers in MNN's softmax."""
    bundle = made.bundle
    engine = MnnEngine(bundle.encoder, bundle.manifest.encoder, threads=1)
    long = [5] * bundle.manifest.encoder.max_positions
    whole = TokenBatch.pad([long] * 8, 0)
    padded = TokenBatch.pad([long, *[long[:8]] * 7], 0)
    assert seconds_of(engine, padded) < 2.5 * seconds_of(
        engine, whole
    )  # 5.7 with subnormal numbers
    assert not are_zeros()
