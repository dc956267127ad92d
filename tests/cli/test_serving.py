"""The key of a server from a file, in whatever encoding an editor wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from minnow.errors import ServeError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.extra("serve")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_key_file(tmp_path: Path, encoding: str) -> None:
    from minnow.cli.serving import _key

    (tmp_path / "key").write_bytes("geheim-ü\r\n".encode(encoding))
    assert _key("", tmp_path / "key") == "geheim-ü"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xe9\xe9", "is not UTF-8"), (b" \n", "is empty"), (None, "No such file")],
)
def test_a_key_file_that_holds_no_key(tmp_path: Path, content: bytes | None, message: str) -> None:
    from minnow.cli.serving import _key

    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ServeError, match=message):
        _key("", tmp_path / "key")
