"""Makes a site of pages that are written for the repository; `mkdocs build` calls these hooks.

Pages at the root of the repository become pages of the site, README.md its start. What a page links
to elsewhere in the repository lies beside the site's pages, as it is; a link to a folder without a
README becomes plain text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md"} | {
    name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
}
"""Name in the repository -> name in the site."""
SOURCE = "repository"
"""The folder of the site with other files of the repository."""

_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages at the root, and all files that pages link to."""
    for name, place in PAGES.items():
        content = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=content))
    waiting, known = list(files.documentation_pages()), set[str]()
    while waiting:
        page = waiting.pop()
        for target in sorted(_targets(page.content_string, _place_of(page)) - known):
            known.add(target)
            path = str(ROOT / target)
            file = File.generated(config, f"{SOURCE}/{target}", abs_src_path=path)
            files.append(file)
            if target.endswith(".md"):
                waiting.append(file)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links where the site has what they mean."""
    del config, files
    place = _place_of(page.file)

    def led(found: re.Match[str]) -> str:
        text, link = found.groups()
        path, _, anchor = link.partition("#")
        if not path or ":" in path:
            return found[0]
        target = _resolve(place, path)
        if target is None:
            return text
        led_to = PAGES.get(target, f"{SOURCE}/{target}")
        if target.startswith("docs/"):
            led_to = target.removeprefix("docs/")
        led_to = os.path.relpath(led_to, os.path.dirname(page.file.src_uri) or ".")  # noqa: PTH120
        return f"[{text}]({led_to}{'#' if anchor else ''}{anchor})"

    return _outside_code(markdown, lambda part: _LINK.sub(led, part))


def _outside_code(markdown: str, change: Any) -> str:
    """Change a page's text, but not its blocks of code."""
    parts, at = [], 0
    for block in _FENCE.finditer(markdown):
        parts += [change(markdown[at : block.start()]), block[0]]
        at = block.end()
    return "".join([*parts, change(markdown[at:])])


def _place_of(file: File) -> str:
    """Return the path of a page's source in the repository."""
    root = next((name for name, place in PAGES.items() if place == file.src_uri), None)
    if file.src_uri.startswith(f"{SOURCE}/"):
        root = file.src_uri.removeprefix(f"{SOURCE}/")
    return root or f"docs/{file.src_uri}"


def _targets(markdown: str, place: str) -> set[str]:
    """Return the files that a page links to, beside pages of the site."""
    found = {
        _resolve(place, link.partition("#")[0])
        for _, link in _LINK.findall(_FENCE.sub("", markdown))
        if link.partition("#")[0] and ":" not in link
    }
    return {name for name in found if name and not name.startswith("docs/") and name not in PAGES}


def _resolve(place: str, link: str) -> str | None:
    """Return the path in the repository that a link of a page means; None for a bare folder."""
    parts: list[str] = []
    for part in (PurePosixPath(place).parent / link).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    target = "/".join(parts)
    if (ROOT / target).is_dir():
        target = f"{target}/README.md"
        if not (ROOT / target).is_file():
            return None
    return target
