"""The core alone, where no extra is installed, embeds with a bundle that was made elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minnow import Embedder
from minnow.errors import MissingExtraError

TEXTS = ["how do fish sleep?", "", "two small fish run in the river " * 9]
MADE = os.environ.get("MINNOW_TEST_BUNDLE", "")

pytestmark = pytest.mark.skipif(
    not MADE, reason="needs a bundle in $MINNOW_TEST_BUNDLE, which `make test-core` makes"
)


def test_the_core_gives_the_same_vectors() -> None:
    with Embedder.open(Path(MADE) / "bundle", on_truncate="ignore") as embedder:
        vectors = embedder.encode(TEXTS)
    np.testing.assert_allclose(vectors, np.load(Path(MADE) / "expected.npy"), atol=1e-6)


def test_the_command_line_embeds() -> None:
    command = [sys.executable, "-m", "minnow", "embed", str(Path(MADE) / "bundle"), "fish"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answer.startswith("[")


def test_what_needs_an_extra_names_it(tmp_path: Path) -> None:
    from minnow.convert import convert

    with pytest.raises(MissingExtraError, match=r"minnow-embed\[convert\]"):
        convert(str(Path(MADE) / "model"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
