"""Working folders: locked while their run lives, and removed by the next run when it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from fakes.sealed import NEW, OLD, contents, make, names

from minnow import workfolder
from minnow.errors import OutputError
from minnow.exchange import exchange
from minnow.files import staging_folder, whole_file
from minnow.workfolder import REPLACED, scratch_folder, work_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGE = """
import sys, time
from pathlib import Path
from minnow.files import staging_folder
with staging_folder(Path(sys.argv[1])) as staged:
    (staged / "half").write_text("a bundle")
    print("ready", flush=True)
    time.sleep(60)
"""

REPLACE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from fakes.sealed import NEW, make
from minnow import files
if sys.argv[3] == "two steps":
    files.exchange = lambda *_: False
print("ready", flush=True)
make(Path(sys.argv[1]), NEW)
"""


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run that stages `a` and hangs."""
    process = start(STAGE, str(tmp_path / "a"))
    yield process
    kill(process)


def test_the_next_run_removes_what_a_killed_one_left(
    tmp_path: Path, staging: subprocess.Popen[bytes]
) -> None:
    kill(staging)
    assert len(names(tmp_path)) == 1
    with whole_file(tmp_path / "b") as staged:
        staged.write_text("of another destination")
    assert len(names(tmp_path)) == 2
    make(tmp_path / "a")
    assert names(tmp_path) == ["a", "b"]


def test_a_run_that_lives_keeps_its_folder(
    tmp_path: Path, staging: subprocess.Popen[bytes]
) -> None:
    [left] = names(tmp_path)
    os.kill(staging.pid, signal.SIGSTOP)  # alive, if not at work
    make(tmp_path / "a")
    os.kill(staging.pid, signal.SIGCONT)
    assert names(tmp_path) == [left, "a"]
    assert (tmp_path / left / "a" / "half").read_text() == "a bundle"


def test_a_folder_of_another_machine_is_removed_after_a_week(
    tmp_path: Path, staging: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(staging)
    monkeypatch.setattr(workfolder, "_machine", lambda: ("other", "machine"))
    make(tmp_path / "a")
    assert len(names(tmp_path)) == 2
    [lock] = tmp_path.glob(".a.*/lock-*")
    os.utime(lock, (0, time.time() - 8 * 24 * 3600))
    make(tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_after_a_restart_the_machine_is_known_by_its_name(
    tmp_path: Path, staging: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(staging)
    name = workfolder._machine()[1]
    monkeypatch.setattr(workfolder, "_machine", lambda: ("restarted", name))
    make(tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_where_nothing_can_be_locked_a_young_folder_is_kept(
    tmp_path: Path, staging: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(staging)
    monkeypatch.setattr(workfolder, "fcntl", None)
    make(tmp_path / "a")
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize("name", [".a.notes", ".a.12345678", ".a.1234567g", ".ab.12345678"])
def test_hidden_folders_of_others_are_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").write_text("mine")
    make(tmp_path / "a")
    assert (tmp_path / name / "mine").read_text() == "mine"


def test_a_folder_that_was_killed_before_its_lock_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.12345678").mkdir()
    make(tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_two_runs_at_once_have_a_folder_each(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "a") as one, staging_folder(tmp_path / "a") as other:
        assert one != other
        assert one.is_dir()
        assert other.is_dir()
    assert names(tmp_path) == []


@pytest.mark.parametrize("run", ["opening", "converting"])
def test_a_bundle_that_was_moved_aside_returns(tmp_path: Path, run: str) -> None:
    """The process was killed between the two steps of a system that cannot exchange."""
    make(tmp_path / "a")
    with work_folder(tmp_path / "a") as folder:
        lock = next(folder.glob("lock-*")).name
    left = tmp_path / ".a.0123abcd"
    left.mkdir()
    (left / lock).touch()
    (tmp_path / "a").rename(left / REPLACED)
    if run == "converting":
        with staging_folder(tmp_path / "a"):
            assert contents(tmp_path / "a") == OLD
        assert names(tmp_path) == ["a"]
    assert contents(tmp_path / "a") == OLD


@pytest.mark.parametrize("how", ["one step", "two steps"])
def test_a_killed_replacement_leaves_the_old_or_the_new(tmp_path: Path, how: str) -> None:
    here = os.path.dirname(__file__)  # noqa: PTH120
    for number in range(6):
        make(tmp_path / "a")
        process = start(REPLACE, str(tmp_path / "a"), here, how)
        time.sleep(0.0004 * number)
        kill(process)
        if how == "one step":
            assert (tmp_path / "a").is_dir()
        assert contents(tmp_path / "a") in (OLD, NEW)
        make(tmp_path / "a")
        assert names(tmp_path) == ["a"]


def test_exchange_swaps_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    (tmp_path / "folder").mkdir()
    if not exchange(tmp_path / "file", tmp_path / "folder"):
        pytest.skip("this file system cannot exchange")
    assert (tmp_path / "file").is_dir()
    assert (tmp_path / "folder").read_text() == "file"
    assert not exchange(tmp_path / "file", tmp_path / "gone")
    assert (tmp_path / "file").is_dir()


def test_without_a_place_for_temporary_files_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose file system is read only."""

    def no_folder() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in []")

    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"Not a directory\. Set TMPDIR"), scratch_folder():
        pass
    monkeypatch.setattr("tempfile.gettempdir", no_folder)
    with pytest.raises(OutputError, match=r"No usable temp.*\. Set TMPDIR"), scratch_folder():
        pass
