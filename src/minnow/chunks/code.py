"""Source code, divided into sections at its definitions."""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

from minnow.chunks.outline import Document, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTHON = (".py", ".pyi")
CODE_SUFFIXES = (
    *_PYTHON, ".c", ".cc", ".cpp", ".cs", ".cxx", ".dart", ".go", ".h", ".hpp", ".java", ".js",
    ".jsx", ".kt", ".kts", ".lua", ".m", ".mjs", ".mm", ".php", ".pl", ".proto", ".r", ".rb",
    ".rs", ".scala", ".sh", ".sql", ".swift", ".ts", ".tsx", ".zig",
)  # fmt: skip
"""Suffixes of files that are read as source code, in lower case."""

_MIN_SECTION = 800
_BLOCK = re.compile(r"\n[^\S\n]*\n(?=[^\s)\]}])")
"""An empty line before a line that is not indented and closes nothing."""


def read_code(path: str, source: str) -> Document:
    """Read source code: all of it is text, and its definitions are sections.

    Python is divided by its own parser: a section is a function, a method, or the code between
    them, under the names of the classes and functions that contain it. Other languages, and Python
    that does not parse, are divided at empty lines before lines that are not indented; consecutive
    short blocks are one section.

    Args:
        path: The path of the document.
        source: Its content.
    """
    if path.lower().endswith(_PYTHON):
        try:
            return Document(path, source, tuple(_python_sections(source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return Document(path, source, tuple(_blocks(source)))


def _python_sections(source: str) -> Iterator[Section]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes and comparisons in the source
        tree = ast.parse(source)
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    end = 0
    for names, first, last in _definitions(tree, ()):
        start = starts[first - 1]
        if source[end:start].strip():
            yield Section(names[:-1], end, start)
        end = min(starts[last], len(source))
        yield Section(names, start, end)
    if source[end:].strip():
        yield Section((), end, len(source))


def _definitions(
    node: ast.AST, outer: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Yield names, first and last line of functions and methods; they do not overlap."""
    for child in getattr(node, "body", []):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        names = (*outer, child.name)
        inner = list(_definitions(child, names)) if isinstance(child, ast.ClassDef) else []
        if inner:
            yield from inner
            continue
        first = min((child.lineno, *(d.lineno for d in child.decorator_list)))
        yield names, first, child.end_lineno or child.lineno


def _blocks(source: str) -> Iterator[Section]:
    start = 0
    for match in _BLOCK.finditer(source):
        if match.end() - start >= _MIN_SECTION:
            yield Section((), start, match.end())
            start = match.end()
    if source[start:].strip():
        yield Section((), start, len(source))
