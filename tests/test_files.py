"""Errors that say what could not be written, and renames that lose nothing."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.sealed import OLD, contents, make

from minnow.errors import OutputError
from minnow.files import replace_folder, temporary_beside, writing


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


def test_temporary_names_are_hidden_beside_and_never_the_same() -> None:
    found = {temporary_beside(Path("/some/where/file.npy")) for _ in range(100)}
    assert len(found) == 100
    assert {path.parent for path in found} == {Path("/some/where")}
    assert all(path.name.startswith(".file.npy.") for path in found)


def test_a_folder_that_cannot_be_moved_back_is_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst case: the newer one cannot take the place, and the older one cannot return."""
    make(tmp_path / "a")
    (tmp_path / "staged").mkdir()
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target == tmp_path / "a":
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="Input/output error"):
        replace_folder(tmp_path / "staged", tmp_path / "a")
    kept = [path for path in tmp_path.iterdir() if path.name.startswith(".a.")]
    assert [contents(path) for path in kept] == [OLD]
