"""The texts and the rows of the benchmark on an emulated ARM processor."""

from __future__ import annotations

import arm64
from arm64 import chosen, row

from minnow.device import DeviceAnswer, DeviceResult
from minnow.parity import Parity, ParityRun
from minnow.proof.probes import Probe, probe_texts


def test_the_texts_differ_in_length() -> None:
    probes = probe_texts(256, lambda text: len(text.split()) + 2)
    found = chosen(probes, arm64.FULL_EFFORT.words)
    lengths = [len(probe.text.split()) for probe in found]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] > 80
    assert len({probe.name for probe in found}) == len(found)


def test_a_text_is_chosen_once() -> None:
    probes = [Probe("a", "x"), Probe("b", "x")]
    assert chosen(probes, (1, 1)) == probes


def test_a_row_says_the_worst() -> None:
    answer = DeviceAnswer(1, "check.py", "m", "3.6.1", "low", 1, ((0, 0),))
    runs = (
        ParityRun(1, "one by one", 0.99, 0.98, 0.97, "ocean", (1, 3)),
        ParityRun(1, "mixed", 0.99, 0.96, 0.95, "fox", (4, 9)),
    )
    parity = Parity("a reference", 4, 0.96, runs)
    written = row("fp16", DeviceResult("answer.json", answer, parity, (1, 4)))
    assert written == (
        "| fp16 | low | 0.970000 | 0.950000 | 0.960000 | fox | 4x9 | 0.96 | failed |"
    )
