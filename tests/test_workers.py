"""Child processes that answer requests."""

from __future__ import annotations

import os
import tempfile
from threading import Timer
from typing import TYPE_CHECKING

import pytest
from fakes.programs import ECHO, has_ended

from minnow.errors import EngineError, InputError
from minnow.processes import python_command
from minnow.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


class TestRequests:
    @pytest.fixture
    def worker(self) -> Iterator[Worker]:
        with Worker("The worker", python_command(ECHO), timeout=60, hint="it is a fake") as worker:
            yield worker

    def test_requests_are_answered_in_order(self, worker: Worker) -> None:
        texts = ["fish", "é\n", "x" * 1_000_000]
        assert [worker.request({"text": text}, str) for text in texts] == texts
        worker.send_end()
        assert worker.receive(str) is None

    def test_a_request_that_was_given_up(self, worker: Worker) -> None:
        worker.send({"text": "first"})
        assert worker.request({"text": "second"}, str) == "second"

    def test_an_error_of_minnow_is_raised_here(self, worker: Worker) -> None:
        with pytest.raises(InputError, match=r"^no fish$"):
            worker.request({"code": "raise InputError('no fish')"}, str)

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("1 / 0", r"The worker failed\. It printed last: a line for the log \| ZeroDiv"),
            ("os.abort()", r"worker crashed with SIGABRT: it is a fake\. It printed last: a line"),
            ("os.kill(os.getpid(), 9)", "The worker was killed, most likely because memory ran"),
            ("os._exit(0)", "The worker ended without an answer"),
        ],
    )
    def test_how_it_ended(self, worker: Worker, code: str, message: str) -> None:
        code = f"sys.stdout.flush(); {code}"
        for _ in range(2):
            with pytest.raises(EngineError, match=message):
                worker.request({"code": code}, str)

    def test_a_hang(self) -> None:
        with Worker("The worker", python_command(ECHO), timeout=2) as worker:
            assert worker.request({"text": "a"}, str) == "a"
            with pytest.raises(EngineError, match="did not answer within 2 s and was stopped"):
                worker.request({"code": "time.sleep(600)"}, str)
            with pytest.raises(EngineError, match="The worker is closed; open it again"):
                worker.request({"text": "a"}, str)
        assert has_ended(worker.pid)

    def test_a_hang_before_it_reads(self) -> None:
        """The request is larger than a pipe."""
        command = python_command("import time; time.sleep(600)")
        with (
            Worker("The worker", command, timeout=1) as worker,
            pytest.raises(EngineError, match="did not answer within 1 s"),
        ):
            worker.request("x" * 10_000_000, str)

    def test_a_hang_at_its_end(self) -> None:
        command = python_command("import os, time; os.close(1); time.sleep(600)")
        with (
            Worker("The worker", command, timeout=1) as worker,
            pytest.raises(EngineError, match="did not end within 1 s"),
        ):
            worker.receive(str)

    def test_closing_kills_what_it_started(self, worker: Worker) -> None:
        code = "import subprocess; request['text'] = str(subprocess.Popen(['sleep', '600']).pid)"
        pid = int(worker.request({"code": code}, str))
        worker.close()
        assert has_ended(pid)
        assert has_ended(worker.pid)

    def test_a_terminals_signals_are_for_it(self, worker: Worker) -> None:
        """Ctrl-Z stops it with its parent."""
        assert os.getpgid(worker.pid) == os.getpgid(0)

    def test_with_its_own_session_they_are_not(self) -> None:
        with Worker("A", python_command(ECHO), timeout=60, own_session=True) as worker:
            assert os.getsid(worker.pid) == worker.pid

    def test_closing_in_another_thread(self, worker: Worker) -> None:
        closing = Timer(0.3, worker.close)
        closing.start()
        for _ in range(2):
            with pytest.raises(EngineError, match=r"^The worker is closed; open it again\.$"):
                worker.request({"code": "time.sleep(600)"}, str)
        closing.join()

    def test_an_end_in_the_middle_of_a_line(self, worker: Worker) -> None:
        code = "parent._replies.write(b'{'); parent._replies.flush(); os.abort()"
        with pytest.raises(EngineError, match=r"^The worker crashed with SIGABRT: it is a fake"):
            worker.request({"code": code}, str)

    def test_a_hang_names_the_parameter(self) -> None:
        command = python_command("import time; time.sleep(600)")
        with (
            Worker("The worker", command, timeout=0.1) as worker,
            pytest.raises(EngineError, match="give a larger `timeout=`"),
        ):
            worker.receive(str)
