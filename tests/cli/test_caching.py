"""`minnow cache`: what it lists, and what it removes."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from fakes.programs import refused, run_minnow

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

pytestmark = pytest.mark.extra("convert")

DIGITS = "0123456789abcdef"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Tiny) -> Path:
    """A cache with a bundle, a broken one, vectors, a form, and files that are not minnow's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MINNOW_CACHE", str(folder))
    shutil.copytree(made.bundle.folder, folder / "bundles" / f"tiny-{DIGITS}")
    (folder / "bundles" / f"broken-{DIGITS}").mkdir()
    (folder / f"vectors-1-{DIGITS * 2}.sqlite").write_bytes(b"x" * 1000)
    (folder / f"vectors-1-{DIGITS * 2}.sqlite-wal").write_bytes(b"x" * 10)
    (folder / f"tokenizer-{DIGITS * 2}").mkdir()
    (folder / f"tokenizer-{DIGITS * 2}" / "tokenizer.json").write_bytes(b"x" * 100)
    (folder / "thesis.tex").write_text("not minnow's")
    (folder / "bundles" / "mine").mkdir()
    (folder / f"linked-{DIGITS * 2}").symlink_to(tmp_path)
    return folder


def names(*arguments: str) -> list[str]:
    done = run_minnow("cache", "list", "--json", *arguments)
    return [entry["name"] for entry in json.loads(done.stdout)]


def test_it_lists_what_is_its_own(cache: Path, made: Tiny) -> None:
    done = run_minnow("cache", "list", "--json")
    entries = json.loads(done.stdout)
    assert [(entry["kind"], entry["size_bytes"]) for entry in entries[1:]] == [
        ("bundle", sum(f.stat().st_size for f in made.bundle.folder.rglob("*") if f.is_file())),
        ("form", 100),
        ("vectors", 1010),
    ]
    assert entries[1]["model"] == made.bundle.manifest.source.name
    assert entries[0]["model"] is None
    shown = run_minnow("cache", "list")
    assert str(cache) in shown.stderr
    assert f"bundle   tiny-{DIGITS}  ({made.bundle.manifest.source.name})" in shown.stdout


def test_it_removes_by_the_name_of_the_model_or_the_entry(cache: Path, made: Tiny) -> None:
    assert run_minnow("cache", "prune", made.bundle.manifest.source.name).code == 0
    assert run_minnow("cache", "prune", f"vectors-1-{DIGITS * 2}.sqlite").code == 0
    assert names() == [f"broken-{DIGITS}", f"tokenizer-{DIGITS * 2}"]
    assert not list(cache.glob("vectors*"))
    message = refused(run_minnow("cache", "prune", "absent"), 8)
    assert "The cache holds nothing named absent" in message


def test_it_removes_what_is_not_used(cache: Path) -> None:
    old = time.time() - 40 * 24 * 3600
    for path in cache.glob("tokenizer-*/*"):
        os.utime(path, (old, old))
    assert run_minnow("cache", "prune", "--unused", "30").code == 0
    assert f"tokenizer-{DIGITS * 2}" not in names()
    assert f"tiny-{DIGITS}" in names()


def test_all_of_it_is_what_minnow_made(cache: Path, tmp_path: Path) -> None:
    assert run_minnow("cache", "prune", "--all").code == 0
    assert names() == []
    left = sorted(path.name for path in cache.rglob("*") if not path.name.startswith("."))
    assert left[:3] == ["bundles", f"linked-{DIGITS * 2}", "mine"]
    assert "thesis.tex" in left
    assert tmp_path.is_dir()


@pytest.mark.parametrize("arguments", [(), ("--all", "--unused", "3"), ("a", "--all")])
def test_exactly_one_way_is_given(cache: Path, arguments: tuple[str, ...]) -> None:
    assert cache.is_dir()
    assert "Give names, --unused or --all" in refused(run_minnow("cache", "prune", *arguments), 2)


def test_an_absent_cache_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "absent"))
    assert names() == []


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number which is no user."""

    def no_such_user(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("MINNOW_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_such_user)
    assert "Set MINNOW_CACHE to a folder" in refused(run_minnow("cache", "list"), 9)
