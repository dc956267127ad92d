"""What README.md and docs/memory.md print is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.programs import run_minnow

if TYPE_CHECKING:
    from fakes.bundles import BundleStore

ROOT = Path(__file__).parents[2]


def sessions(page: str) -> list[tuple[list[str], list[str]]]:
    """Return the commands on memories with a printed answer, and the lines of those answers."""
    text = (ROOT / page).read_text(encoding="utf-8")
    block = next(block for block in text.split("```")[1::2] if "$ minnow memory recall" in block)
    found: list[tuple[list[str], list[str]]] = []
    for line in block.strip().splitlines():
        if line.startswith("$ minnow "):
            found.append((shlex.split(line[len("$ minnow ") :]), []))
        elif found:
            found[-1][1].append(line)
    return found


def plain(lines: list[str]) -> list[str]:
    """Return lines without the time of day, which is that of the run."""
    return [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", line) for line in lines]


@pytest.mark.weights
@pytest.mark.extra("convert")
@pytest.mark.parametrize("page", ["README.md", "docs/memory.md"])
def test_commands_print_what_the_page_says(
    page: str, tmp_path: Path, bundle_store: BundleStore
) -> None:
    for arguments, printed in sessions(page):
        given = [
            str(bundle_store.packaged().folder) if part.endswith(".minnow") else part
            for part in arguments
        ]
        done = run_minnow(*given, cwd=tmp_path)
        assert plain(done.stdout.splitlines()) == plain(printed)
