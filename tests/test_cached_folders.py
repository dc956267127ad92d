"""Folders in the user's cache: made once, intact, and not too many."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from minnow.cached_folders import RECORD, sealed_once
from minnow.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path))
    return tmp_path


def writer(content: bytes, made: list[bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        made.append(content)
        (folder / "model").write_bytes(content)

    return write


def test_it_is_made_once() -> None:
    made: list[bytes] = []
    folders = {sealed_once("kind/a", writer(b"first", made), 1000) for _ in range(3)}
    (folder,) = folders
    assert (folder / "model").read_bytes() == b"first"
    assert made == [b"first"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model", b"f1rst"),
        ("model", b"first "),
        ("model", None),
        (RECORD, b"{}"),
        (RECORD, b""),
        (RECORD, None),
    ],
)
def test_what_is_damaged_is_made_again(name: str, content: bytes | None) -> None:
    made: list[bytes] = []
    folder = sealed_once("kind/a", writer(b"first", made), 1000)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    assert (sealed_once("kind/a", writer(b"first", made), 1000) / "model").read_bytes() == b"first"
    assert len(made) == 2


def test_a_failure_leaves_nothing(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "model").write_bytes(b"half")
        raise EngineError("It is out of order.")

    with pytest.raises(EngineError):
        sealed_once("kind/a", fail, 1000)
    assert not (cache / "kind" / "a").exists()


def test_the_least_recently_used_are_deleted(cache: Path) -> None:
    for age, name in enumerate("abc", start=1):
        folder = sealed_once(f"kind/{name}", writer(b"x" * 1000, []), 10_000)
        os.utime(folder, (1000 * age, 1000 * age))
    sealed_once("kind/a", writer(b"", []), 10_000)  # used again
    sealed_once("kind/d", writer(b"x" * 1000, []), 3900)
    assert sorted(folder.name for folder in (cache / "kind").iterdir()) == ["a", "c", "d"]
    sealed_once("kind/e", writer(b"x" * 9000, []), 3900)  # it stays, whatever its size is
    assert [folder.name for folder in (cache / "kind").iterdir()] == ["e"]
