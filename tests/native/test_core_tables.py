"""What the library in C++ has of minnow's Python in generated files."""

from __future__ import annotations

import runpy
import sys
import unicodedata

import pytest
from fakes.native import NATIVE, UNICODE

TABLES = runpy.run_path(str(NATIVE / "tools/write_core_tables.py"))["TABLES"]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_it_is_current(name: str) -> None:
    """Run native/tools/write_core_tables.py where this fails."""
    if name == "word_tables.inc" and unicodedata.unidata_version != UNICODE:
        pytest.skip(f"Python {sys.version_info[:2]} has another Unicode than {UNICODE}")
    assert TABLES[name]() == (NATIVE / "src" / name).read_text()
