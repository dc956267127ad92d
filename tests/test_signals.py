"""A request to stop is raised once, and never within a section that must not be interrupted."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from fakes.sealed import press_ctrl_c

from minnow import signals
from minnow.signals import (
    Stopped,
    ignore_requests,
    stop_on_request,
    stop_was_requested,
    uninterrupted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(signals, "_requested", [])
    handlers = [signal.getsignal(number) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, handlers, strict=True):
        signal.signal(number, handler)


class TestRequests:
    @pytest.mark.parametrize("number", NUMBERS)
    def test_every_request_is_raised(self, number: int) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop_on_request()
        assert not stop_was_requested()
        with pytest.raises(Stopped):
            signal.raise_signal(number)
        assert stop_was_requested()

    def test_a_second_one_at_once_is_the_same(self) -> None:
        stop_on_request()
        with pytest.raises(Stopped):
            press_ctrl_c()
        press_ctrl_c()

    def test_a_later_one_is_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where a library has swallowed the first, the program can still be stopped."""
        monkeypatch.setattr(signals, "_SAME_REQUEST", 0.0)
        stop_on_request()
        for _ in range(2):
            with pytest.raises(Stopped):
                press_ctrl_c()

    def test_what_is_ignored_stays_ignored(self) -> None:
        """As `nohup` asks for."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stop_on_request()
        signal.raise_signal(signal.SIGHUP)
        assert not stop_was_requested()

    def test_at_the_end_nothing_interrupts(self) -> None:
        stop_on_request()
        ignore_requests()
        for number in NUMBERS:
            signal.raise_signal(number)
        assert not stop_was_requested()


class TestUninterrupted:
    def test_ctrl_c_waits_for_the_end(self) -> None:
        done = []

        def work() -> None:
            with uninterrupted():
                press_ctrl_c()
                press_ctrl_c()
                done.append("inside")
            done.append("after")

        with pytest.raises(KeyboardInterrupt):
            work()
        assert done == ["inside"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_within_another_the_outer_one_counts(self) -> None:
        done = []

        def work() -> None:
            with uninterrupted():
                with uninterrupted():
                    press_ctrl_c()
                done.append("between")

        with pytest.raises(KeyboardInterrupt):
            work()
        assert done == ["between"]

    def test_handlers_come_back_after_an_error(self) -> None:
        with pytest.raises(ZeroDivisionError), uninterrupted():
            raise ZeroDivisionError
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()

    def test_signals_that_are_ignored_stay_ignored(self) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with uninterrupted():
                press_ctrl_c()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)
