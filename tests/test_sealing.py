"""Sealing a bundle: complete or not at all, and never over anything that is not a bundle."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from fakes.sealed import (
    FULL,
    MANIFEST_OF_A_TEST,
    NEW,
    OLD,
    contents,
    fail,
    make,
    names,
    press_ctrl_c,
    small_disk,
)

from minnow import files
from minnow.bundle import seal, staging
from minnow.errors import MinnowError, OutputError
from minnow.manifest import ENCODER, FORMAT, MANIFEST, TOKENIZER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "a.minnow")
    return tmp_path / "a.minnow"


STEPS = [
    pytest.param(True, Path, "mkdir", 0, id="making the staging folder"),
    pytest.param(True, Path, "write_bytes", 1, id="writing a staged file"),
    pytest.param(True, Path, "write_bytes", 3, id="writing the manifest"),
    pytest.param(True, os, "fsync", 0, id="syncing the first file"),
    pytest.param(True, os, "fsync", 2, id="syncing a later file"),
    pytest.param(True, Path, "rename", 0, id="moving the older one aside"),
    pytest.param(True, Path, "rename", 1, id="moving the newer one there"),
    pytest.param(False, Path, "mkdir", 0, id="making the staging folder, nothing there"),
    pytest.param(False, Path, "write_bytes", 3, id="writing the manifest, nothing there"),
    pytest.param(False, os, "fsync", 2, id="syncing a later file, nothing there"),
    pytest.param(False, Path, "rename", 0, id="the only rename, nothing there"),
]


class TestSealWholeOrNotAtAll:
    def test_an_older_bundle_is_replaced_by_all_of_the_newer(self, folder: Path) -> None:
        make(folder, NEW)
        assert contents(folder) == NEW
        assert names(folder.parent) == ["a.minnow"]

    def test_a_staging_folder_is_deleted_if_nothing_is_sealed(self, folder: Path) -> None:
        with staging(folder) as staged:
            (staged / "a").mkdir()
            (staged / "a" / "b").write_text("c")
        assert contents(folder) == OLD
        assert names(folder.parent) == ["a.minnow"]

    @pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
    @pytest.mark.parametrize(("older", "owner", "name", "at"), STEPS)
    def test_a_failure_leaves_what_was(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        owner: Any,
        name: str,
        at: int,
        error: BaseException,
        older: bool,
    ) -> None:
        destination = tmp_path / "a.minnow"
        if older:
            make(destination)
        with monkeypatch.context() as patched:
            patched.setattr(files, "exchange", lambda *_: False)
            fail(patched, owner, name, error, at=at)
            with pytest.raises(OutputError if error is FULL else KeyboardInterrupt) as caught:
                make(destination, NEW)

        if error is FULL:
            assert "a.minnow: No space left on device. Nothing was written" in str(caught.value)
        assert names(tmp_path) == (["a.minnow"] if older else [])
        assert not older or contents(destination) == OLD

    @pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
    def test_a_failure_in_the_body_is_no_different(
        self, folder: Path, error: BaseException
    ) -> None:
        with pytest.raises((OutputError, KeyboardInterrupt)), staging(folder):
            raise error
        assert contents(folder) == OLD
        assert names(folder.parent) == ["a.minnow"]

    def test_our_errors_pass_through(self, folder: Path) -> None:
        with pytest.raises(MinnowError, match="of ours"), staging(folder):
            raise MinnowError("an error of ours")
        assert names(folder.parent) == ["a.minnow"]

    def test_a_folder_that_cannot_be_synced_is_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Some file systems do not know how, and by then the bundle is in place."""
        real = os.fsync

        def refuse_folders(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "Invalid argument")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", refuse_folders)
        make(tmp_path / "a.minnow")
        assert contents(tmp_path / "a.minnow") == OLD

    @pytest.mark.parametrize("at", [0, 1])
    def test_a_signal_while_renaming_waits_until_the_new_bundle_is_in_place(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, at: int
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(files, "exchange", lambda *_: False)
            fail(patched, Path, "rename", press_ctrl_c, at=at)
            with pytest.raises(KeyboardInterrupt):
                make(folder, NEW)
        assert contents(folder) == NEW
        assert names(folder.parent) == ["a.minnow"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_signal_while_exchanging_waits_too(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            fail(patched, files, "exchange", press_ctrl_c)
            with pytest.raises(KeyboardInterrupt):
                make(folder, NEW)
        assert contents(folder) == NEW
        assert names(folder.parent) == ["a.minnow"]

    def test_a_second_ctrl_c_does_not_stop_the_cleaning_up(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def convert() -> None:
            with staging(folder) as staged:
                (staged / "half").write_text("a bundle")
                press_ctrl_c()

        fail(monkeypatch, shutil, "rmtree", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            convert()
        assert names(folder.parent) == ["a.minnow"]

    def test_parents_are_made(self, tmp_path: Path) -> None:
        make(tmp_path / "some" / "where" / "a.minnow")
        assert contents(tmp_path / "some" / "where" / "a.minnow") == OLD

    def test_parents_that_were_made_for_nothing_are_removed(self, tmp_path: Path) -> None:
        (tmp_path / "some").mkdir()
        with pytest.raises(OutputError), staging(tmp_path / "some" / "where" / "to" / "a.minnow"):
            raise FULL
        assert names(tmp_path) == ["some"]
        assert names(tmp_path / "some") == []

    def test_a_bundle_has_the_permissions_of_other_new_folders(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        make(tmp_path / "a.minnow")
        modes = [path.stat().st_mode for path in (tmp_path / "other", tmp_path / "a.minnow")]
        assert modes[0] == modes[1]


class TestDestination:
    def test_an_empty_folder_will_do(self, tmp_path: Path) -> None:
        (tmp_path / "a.minnow").mkdir()
        make(tmp_path / "a.minnow")
        assert contents(tmp_path / "a.minnow") == OLD

    @pytest.mark.parametrize("link", [False, True], ids=["a file", "a link to nowhere"])
    def test_what_is_no_folder_is_kept(self, tmp_path: Path, link: bool) -> None:
        destination = tmp_path / "mine"
        if link:
            destination.symlink_to("nowhere")
        else:
            destination.write_text("mine")
        with pytest.raises(OutputError, match="is not a folder"):
            make(destination)
        assert names(tmp_path) == ["mine"]
        assert destination.is_symlink() == link

    @pytest.mark.parametrize(
        "files",
        [
            {"thesis.txt": "mine"},
            {"src/minnow.json": "mine"},
            {MANIFEST: '{"some": "other program\'s"}', "src": "mine"},
            {MANIFEST: json.dumps({"format": FORMAT + 1})},
        ],
        ids=["foreign", "a manifest further down", "another's minnow.json", "of a newer minnow"],
    )
    def test_a_folder_with_files_that_are_no_bundle_is_kept(
        self, tmp_path: Path, files: dict[str, str]
    ) -> None:
        destination = tmp_path / "mine"
        for name, text in files.items():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            (destination / name).write_text(text)
        with pytest.raises(OutputError, match="holds files that are not a bundle"):
            make(destination)
        assert {name: (destination / name).read_text() for name in files} == files
        assert names(tmp_path) == ["mine"]

    @pytest.mark.parametrize("name", ["notes.txt", ".git/config", "1_Pooling/notes.txt"])
    def test_a_bundle_with_files_of_the_users_is_kept(self, folder: Path, name: str) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
        with pytest.raises(OutputError, match=f"holds {name}, not listed"):
            make(folder, NEW)
        assert (folder / name).read_text() == "mine"
        assert contents(folder) == {**OLD, name: b"mine"}

    def test_a_file_that_appears_while_converting_is_kept(self, folder: Path) -> None:
        def convert() -> None:
            with staging(folder) as staged:
                for name in (ENCODER, TOKENIZER):
                    (staged / name).write_bytes(b"new")
                (folder / "late.txt").write_text("mine")
                seal(staged, MANIFEST_OF_A_TEST, folder)

        with pytest.raises(OutputError, match=r"holds late\.txt"):
            convert()
        assert contents(folder) == {**OLD, "late.txt": b"mine"}

    def test_a_broken_bundle_may_be_replaced(self, folder: Path) -> None:
        (folder / ENCODER).write_bytes(b"half")
        (folder / TOKENIZER).unlink()
        make(folder, NEW)
        assert contents(folder) == NEW

    def test_a_link_to_a_bundle_stays_a_link(self, folder: Path) -> None:
        link = folder.parent / "current"
        link.symlink_to(folder.name)
        bundle = make(link, NEW)
        assert link.is_symlink()
        assert contents(folder) == NEW
        assert bundle.folder == link
        assert names(folder.parent) == ["a.minnow", "current"]

    def test_a_parent_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(OutputError, match="Cannot write"):
            make(tmp_path / "file" / "a.minnow")
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_parent_that_may_not_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fail(monkeypatch, Path, "mkdir", PermissionError(errno.EACCES, "Permission denied"))
        with pytest.raises(OutputError, match=r"a\.minnow: Permission denied\. Nothing was"):
            make(tmp_path / "a.minnow")

    def test_a_disk_that_is_full(self, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        with small_disk(disk):
            make(disk / "a.minnow")
            with pytest.raises(OutputError, match="No space left on device"):
                make(disk / "a.minnow", {**NEW, ENCODER: b"w" * 2_000_000})
            assert contents(disk / "a.minnow") == OLD
            assert names(disk) == ["a.minnow"]
