"""Pages: rendered with the extra, and written to a file complete or not at all."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from minnow.errors import MissingExtraError, OutputError
from minnow.reporting.pages import render, write_page

PAGE = "<p>\u2026 and \u202eso on</p>\n"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"The report needs .*\[evaluate\]"):
        render("minnow.evaluate", {})


class TestWriting:
    def test_the_file_is_the_page(self, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        path.write_text("an older one")
        write_page(PAGE, path)
        assert path.read_bytes() == PAGE.encode()
        assert list(tmp_path.iterdir()) == [path]

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="is a folder"):
            write_page(PAGE, tmp_path)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="is not a folder"):
            write_page(PAGE, tmp_path / "nowhere" / "report.html")

    def test_an_older_page_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "report.html"
        path.write_text("an older one")

        def replace(self: Path, target: Path) -> Path:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(OutputError, match="No space left on device"):
            write_page(PAGE, path)
        assert path.read_text() == "an older one"
        assert list(tmp_path.iterdir()) == [path]
