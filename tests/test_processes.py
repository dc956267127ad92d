"""The supervisor of child processes: programs that fail, crash, hang or fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from fakes.programs import ECHO, TESTS, USUAL, first_on_path, has_ended

import minnow
from minnow.errors import ConversionError, EngineError
from minnow.processes import python_command, run_child

FAMILY = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"


@pytest.fixture(autouse=True)
def _temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def run(code: str, **options: Any) -> str:
    return run_child("The program", python_command(code), **options)


def awaited(file: Path) -> str:
    """Return the first line that a file gets."""
    until = time.monotonic() + 60
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.02)
    return file.read_text()


class TestRunningToTheEnd:
    def test_its_output_is_returned_and_logged(self, tmp_path: Path) -> None:
        code = "import os; print(os.getcwd(), os.environ['FISH'], flush=True); os.system('echo é')"
        log = tmp_path / "log.txt"
        printed = run(code, log=log, folder=tmp_path, environment={"FISH": "small"})
        assert printed == f"{tmp_path} small\né\n"
        assert log.read_text() == printed

    def test_by_default_it_runs_in_a_directory_that_is_removed(self) -> None:
        folder = Path(run("import os; print(os.getcwd())").strip())
        assert folder != Path.cwd()
        assert not folder.exists()

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("sys.exit(3)", r"The program failed\. Its whole log"),
            ("print('a. '); sys.exit('b.')", r"failed\. It printed last: a\. \| b\. Its whole"),
            ("int('fish')", r"failed\. It printed last: ValueError: invalid .*'fish'\. Its whole"),
            ("import os; os.abort()", r"The program crashed with SIGABRT\. Its"),
            ("import os; os.kill(os.getpid(), 40)", r"crashed with signal 40\. Its|SIGRTMIN"),
            ("import os; os.kill(os.getpid(), 9)", "was killed, most likely because memory ran"),
            ("import os; print('std::bad_alloc', flush=True); os.abort()", "because memory ran"),
            ("import time; print('a', flush=True); time.sleep(600)", r"within 1 s.*last: a\."),
        ],
    )
    def test_how_it_failed(self, code: str, message: str) -> None:
        with pytest.raises(ConversionError, match=message):
            run(code, timeout=1 if "sleep" in code else 60)

    def test_only_the_end_of_a_long_log_is_shown(self) -> None:
        with pytest.raises(EngineError, match=r"last: x{300,}y \| 8 \| 9\. ") as caught:
            run("print('x' * 9999 + 'y', 8, 9, sep='\\n'); sys.exit(1)", error=EngineError)
        assert len(str(caught.value)) < 600

    def test_a_result_is_its_own(self, tmp_path: Path) -> None:
        result = tmp_path / "result"
        result.write_text("from an earlier run")
        with pytest.raises(ConversionError, match="The program wrote no result"):
            run("", result=result)
        assert not result.exists()
        run(f"open({str(result)!r}, 'w')", result=result)

    @pytest.mark.parametrize("end", ["", "import time; time.sleep(600)", "import os; os.abort()"])
    def test_what_it_started_is_killed(self, tmp_path: Path, end: str) -> None:
        log = tmp_path / "log.txt"
        try:
            run(FAMILY + end, log=log, timeout=3)
        except ConversionError:
            assert end
        assert has_ended(int(log.read_text().split()[0]))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_parent_that_is_stopped_leaves_nothing(self, tmp_path: Path, number: int) -> None:
        log = tmp_path / "log.txt"
        code = f"""
import tempfile
from pathlib import Path
from minnow.processes import python_command, run_child
from minnow.signals import stop_on_request
stop_on_request()
tempfile.tempdir = {str(tmp_path)!r}
child = "import os, time; print(os.getpid(), flush=True);" + {FAMILY + "time.sleep(600)"!r}
run_child("The program", python_command(child), log=Path({str(log)!r}))
"""
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env={**USUAL, **first_on_path(TESTS)},
            stderr=subprocess.DEVNULL,
        ) as parent:
            until = time.monotonic() + 60
            while not (log.exists() and log.read_text().count("\n") == 2):
                assert time.monotonic() < until
                time.sleep(0.02)
            parent.send_signal(number)
        assert all(has_ended(int(pid)) for pid in log.read_text().split())
        assert list(tmp_path.iterdir()) == [log]

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
    @pytest.mark.parametrize("kind", ["run", "idle worker", "idle worker in its own session"])
    def test_a_signal_to_the_group_leaves_nothing(
        self, tmp_path: Path, number: int, kind: str
    ) -> None:
        file = tmp_path / "pid"
        if kind == "run":
            code = f"""
from minnow.processes import run_child
run_child("A", ["sh", "-c", "echo $$ > {file}; exec sleep 60"])
"""
        else:
            code = f"""
from minnow.processes import python_command
from minnow.workers import Worker
worker = Worker("A", python_command({ECHO!r}), timeout=60, own_session={"session" in kind})
worker.request({{"text": "a"}}, str)
print(worker.pid, file=open({str(file)!r}, "w"), flush=True)
worker.receive(str)
"""
        with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as parent:
            pid = int(awaited(file))
            assert not has_ended(pid, within=0)
            os.killpg(parent.pid, number)
        assert has_ended(pid)


@pytest.mark.parametrize("kind", ["a module's code", "a program"])
def test_a_relative_path_holds_for_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It finds this package, and what else PYTHONPATH names, from a temporary directory."""
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "fish.py").write_text("")
    (tmp_path / "program.py").write_text("import fish, minnow; print(minnow.__file__)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "extra")
    command = [sys.executable, str(tmp_path / "program.py")]
    if kind != "a program":
        command = python_command("import fish, minnow; print(minnow.__file__)")
    assert Path(run_child("A", command).strip()) == Path(minnow.__file__)
