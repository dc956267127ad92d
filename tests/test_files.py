"""Errors that say what could not be written, and renames that lose nothing."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.sealed import OLD, contents, make

from minnow import files
from minnow.errors import OutputError
from minnow.files import check_file, replace_folder, staging_folder, whole_file, writing


def test_bundles_can_be_sealed_in_any_thread(tmp_path: Path) -> None:
    places = [tmp_path / name for name in "abcd"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, places))
    assert all(contents(place) == OLD for place in places)


class TestWriting:
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (OSError(errno.ENOSPC, "No space left"), "Cannot write a/b: No space left. Nothing"),
            (OSError("odd"), "Cannot write a/b: odd. Nothing"),
            (PermissionError(13, "Denied", "/other"), "Cannot write a/b: Denied (/other). Nothing"),
            (PermissionError(13, "Denied", "a/.b.12345678"), "Cannot write a/b: Denied. Nothing"),
        ],
    )
    def test_an_error_names_the_destination_and_not_our_temporary_file(
        self, error: OSError, message: str
    ) -> None:
        with pytest.raises(OutputError) as caught, writing(Path("a/b")):
            raise error
        assert str(caught.value).startswith(message)


class TestWholeFile:
    def test_it_replaces_an_older_one_behind_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        (tmp_path / "link").symlink_to("a")
        with whole_file(tmp_path / "link") as staged:
            staged.write_text("new")
            assert (tmp_path / "a").read_text() == "old"
        assert (tmp_path / "a").read_text() == "new"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "link"]

    def test_a_folder_that_takes_no_file_is_named_before_any_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "old").write_text("old")
        monkeypatch.setattr("minnow.files.os.access", lambda *_: False)  # root may write anywhere
        with pytest.raises(OutputError, match="no file can be made in its folder"):
            check_file(tmp_path / "new")
        assert check_file(tmp_path / "old") == tmp_path / "old"

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
    def test_a_failure_keeps_the_older_one(self, tmp_path: Path, error: BaseException) -> None:
        (tmp_path / "a").write_text("old")

        def write() -> None:
            with whole_file(tmp_path / "a") as staged:
                staged.write_text("half")
                raise error

        with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
            write()
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_staging_folder_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def write() -> None:
        with staging_folder(tmp_path / "new" / "newer" / "a") as staged:
            assert staged.parent.parent == tmp_path / "new" / "newer"
            assert staged.name == "a"
            (staged / "file").write_text("half")
            raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_moved_back_is_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst case: the newer one cannot take the place, and the older one cannot return."""
    make(tmp_path / "a")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target == tmp_path / "a":
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        patched.setattr(files, "exchange", lambda *_: False)
        with (
            pytest.raises(OutputError, match="Input/output error"),
            staging_folder(tmp_path / "a") as staged,
        ):
            replace_folder(staged, tmp_path / "a")
    assert [path.name.startswith(".a.") for path in tmp_path.iterdir()] == [True]
    assert contents(tmp_path / "a") == OLD  # opening it returns it to its place
    make(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
