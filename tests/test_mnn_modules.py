"""MNN's modules where the C library refuses to load them; the refusal is made here."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.embedder import Embedder
from minnow.mnn_modules import import_mnn_module, without_executable_stack

if TYPE_CHECKING:
    from fakes.bundles import Tiny

STACK, WRITABLE = 0x6474E551, 6
REFUSING = """
import importlib, sys
plain = importlib.import_module
def refuse(name, *arguments):
    if name in ("_mnncengine", "_tools"):
        raise ImportError("cannot enable executable stack as shared object requires")
    return plain(name, *arguments)
importlib.import_module = refuse
"""
EMBED = """
import numpy as np
from minnow.embedder import Embedder
with Embedder.open(sys.argv[1], engine="mnn") as embedder:
    np.save(sys.argv[2], embedder.encode(["fish sleep", "how?"]))
"""
CONVERT = """
from minnow.mnn_modules import import_mnn_module
tools, engine = import_mnn_module("_tools"), import_mnn_module("_mnncengine")
import MNN
assert MNN.Interpreter is engine.Interpreter and callable(tools.mnnconvert)
print(tools.__file__ != engine.__file__, tools.__file__)
"""


def library(*headers: tuple[int, int], size: int = 56) -> bytes:
    """Return the beginning of an ELF file with program headers of these kinds and flags."""
    head = b"\x7fELF\x02\x01".ljust(0x20, b"\0") + struct.pack("<Q", 64)
    head = head.ljust(0x36, b"\0") + struct.pack("<HH", size, len(headers))
    rows = (struct.pack("<II", *header).ljust(size, b"\0") for header in headers)
    return head.ljust(64, b"\0") + b"".join(rows)


def test_a_library_that_asks_for_an_executable_stack_does_so_no_more() -> None:
    asking = library((1, 5), (STACK, 7), (2, 7))
    assert without_executable_stack(asking) == library((1, 5), (STACK, WRITABLE), (2, 7))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MZ" + bytes(100),
        library(),
        library((1, 5)),
        library((STACK, WRITABLE)),
        library((STACK, 7))[:66],
        library((1, 5), (STACK, 7), size=0),
        library((STACK, 7)).replace(b"\x7fELF\x02", b"\x7fELF\x01"),
    ],
)
def test_others_are_left(content: bytes) -> None:
    assert without_executable_stack(content) is None


@given(st.binary(max_size=200))
def test_no_content_is_an_error(content: bytes) -> None:
    without_executable_stack(b"\x7fELF\x02\x01" + content)


def test_a_module_that_is_not_installed_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="_no_such_module"):
        import_mnn_module("_no_such_module")  # type: ignore[arg-type]


def needs_an_asking_wheel() -> None:
    found = importlib.util.find_spec("_mnncengine")
    assert found is not None
    assert found.origin is not None
    if without_executable_stack(Path(found.origin).read_bytes()) is None:
        pytest.skip("MNN's wheel for this machine asks for no executable stack")


def run(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", REFUSING + program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.extra("convert")
def test_vectors_are_the_same_where_the_runtime_is_refused(made: Tiny, tmp_path: Path) -> None:
    needs_an_asking_wheel()
    run(EMBED, made.bundle.folder, tmp_path / "vectors.npy")
    with Embedder.open(made.bundle, engine="mnn") as embedder:
        expected = embedder.encode(["fish sleep", "how?"])
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), expected)


def test_both_modules_are_loaded_where_they_are_refused() -> None:
    needs_an_asking_wheel()
    assert "True /proc/self/fd/" in run(CONVERT)
