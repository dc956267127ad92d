"""Source code, divided where its definitions begin."""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

from minnow.chunks.outline import Document, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTHON = (".py", ".pyi")
CODE = (
    *_PYTHON, ".c", ".cc", ".cpp", ".cs", ".cxx", ".dart", ".go", ".h", ".hpp", ".java", ".js",
    ".jsx", ".kt", ".kts", ".lua", ".m", ".mjs", ".mm", ".php", ".pl", ".proto", ".r", ".rb",
    ".rs", ".scala", ".sh", ".sql", ".swift", ".ts", ".tsx", ".zig",
)  # fmt: skip
"""How the names of files end that are read as source code, in lower case."""

_ENOUGH = 800
_BLOCK = re.compile(r"\n[^\S\n]*\n(?=[^\s)\]}])")
"""An empty line, and behind it one that is not indented and closes nothing."""


def read_code(path: str, source: str) -> Document:
    """Read source code: all of it is text, and sections are its definitions.

    Python is divided by its own parser: a section is a function, a method, or what is between
    them, under the names of the classes and functions that it is in. Other languages, and Python
    that does not parse, are divided at empty lines before lines that are not indented; short
    blocks that follow each other are one section.

    Args:
        path: The document's.
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
        warnings.simplefilter("ignore")  # of strange escapes and comparisons in what is read
        tree = ast.parse(source)
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    end = 0
    for names, first, last in _definitions(tree, ()):
        start = starts[first - 1]
        if source[end:start].strip():
            yield Section(_outer(names), end, start)
        end = min(starts[last], len(source))
        yield Section(names, start, end)
    if source[end:].strip():
        yield Section((), end, len(source))


def _outer(names: tuple[str, ...]) -> tuple[str, ...]:
    return names[:-1]


def _definitions(
    node: ast.AST, outer: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Names, first and last line of functions, and of methods in classes; nothing overlaps."""
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
        if match.end() - start >= _ENOUGH:
            yield Section((), start, match.end())
            start = match.end()
    if source[start:].strip():
        yield Section((), start, len(source))
