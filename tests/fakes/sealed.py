"""Bundles that were never converted, and systems that fail on request."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from minnow.bundle import Bundle, seal, staging
from minnow.manifest import ENCODER, MANIFEST, TOKENIZER, Manifest, SourceRecord
from minnow.model.spec import Activation, Choices, EmbeddingSpec, EncoderSpec
from minnow.parity import Parity, ParityRun
from minnow.recipe import RECIPES
from minnow.sealing import DIGEST, stamp_record
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def a_run(worst: float = 0.99999, name: str = "one") -> ParityRun:
    return ParityRun(1, "one by one", 0.999999, 0.99999, worst, name, (1, 7))


MANIFEST_OF_A_TEST = Manifest(
    source=SourceRecord("tiny", "folder", None, None, "0" * 64, "mit"),
    encoder=EncoderSpec("bert", 99, 32, 2, 4, 64, 40, 0, 2, Activation.GELU, 1e-12, 0),
    embedding=EmbeddingSpec(
        Pooling.MEAN, normalize=True, max_tokens=24, prompts={"query": "für 鱼: "}
    ),
    choices=Choices(max_tokens=24),
    recipe=RECIPES["fp16"],
    parity=Parity("a reference", 131, 0.9999, (a_run(),)),
    tools={"python": "3.11"},
)

OLD = {ENCODER: b"old weights", TOKENIZER: b"old words", "1_Pooling/config.json": b"{}"}
NEW = {ENCODER: b"new weights", TOKENIZER: b"new words", "LICENSE": b"Apache-2.0"}


def make(destination: Path, files: dict[str, bytes] = OLD) -> Bundle:
    """Stage some files, and seal them."""
    with staging(destination) as folder:
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        return seal(folder, MANIFEST_OF_A_TEST, destination)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file except the manifest, of a complete bundle only."""
    bundle = Bundle.open(folder)
    bundle.check_files()
    paths = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    del found[MANIFEST]
    return found


def change_record(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the values of a record, and give it a new digest."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop(DIGEST, None)
    change(values)
    path.write_bytes(stamp_record(values))


def set_in_record(path: Path, part: str, name: str, value: object) -> None:
    """Set a value in a part of a record, and give the record a new digest."""
    change_record(path, lambda values: values[part].update({name: value}))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    error: BaseException | Callable[[], object],
    *,
    at: int = 0,
) -> None:
    """Make a function fail at a call, counted from 0; all other calls reach the real one."""
    real, calls = getattr(owner, name), iter(range(1_000_000))

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) != at:
            return real(*args, **kwargs)
        if isinstance(error, BaseException):
            raise error
        error()
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


FULL = OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """Mount a file system of one megabyte, or skip the test where that is not allowed."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "minnow-test", str(place)]
    try:
        refused = subprocess.run(mount, capture_output=True, check=False).returncode
    except OSError:
        refused = 1
    if refused:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)
