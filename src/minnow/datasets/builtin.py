"""The built-in data set: docstrings of the Python library on the user's machine, and questions.

Nothing is downloaded and no text is copied. Sources are parsed, not imported, so that no code
runs, `python -OO` changes nothing, and all systems with the same version of Python have the same
documents. Another version has slightly different ones, which the data set's fingerprint shows.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.datasets.dataset import Dataset
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORTEST = 40

_MODULES = (
    "argparse", "ast", "asyncio", "base64", "bisect", "calendar", "collections",
    "concurrent.futures", "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime",
    "difflib", "enum", "filecmp", "fileinput", "fnmatch", "fractions", "functools", "getpass",
    "glob", "graphlib", "gzip", "heapq", "hmac", "html", "inspect", "ipaddress", "json", "locale",
    "logging", "mimetypes", "operator", "os", "os.path", "pprint", "queue", "random", "re",
    "secrets", "shelve", "shlex", "shutil", "statistics", "string", "subprocess", "tarfile",
    "tempfile", "textwrap", "threading", "timeit", "tracemalloc", "unittest", "unittest.mock",
    "urllib.parse", "urllib.robotparser", "uuid", "warnings", "weakref", "xml.etree.ElementTree",
    "zipfile",
)  # fmt: skip

_DEFINED_IN = {  # modules whose names are defined in other files
    "asyncio": (
        "asyncio.tasks",
        "asyncio.locks",
        "asyncio.queues",
        "asyncio.streams",
        "asyncio.threads",
    ),
    "concurrent.futures": ("concurrent.futures._base",),
    "datetime": ("_pydatetime", "datetime"),
    "json": ("json", "json.decoder", "json.encoder"),
    "os.path": ("genericpath", "posixpath"),
    "unittest": ("unittest.case",),
    "warnings": ("_py_warnings", "warnings"),
}


def builtin_dataset() -> Dataset:
    """Collect docstrings of the standard library, with questions about them.

    A document is a public function, class or method: its id is the qualified name, its text the
    name and the docstring. Docstrings of fewer than 40 characters and repeated ones are left out,
    as are questions whose answers this version of Python lacks; 3.10 to 3.14 have all of them.

    Raises:
        InputError: This Python was installed without the sources of its library.
    """
    documents = dict(_documents(Path(sysconfig.get_path("stdlib"))))
    if not documents:
        raise InputError(
            "This Python was installed without the sources of its library. Name a data set."
        )
    queries, qrels = {}, {}
    for number, (question, answers) in enumerate(read_questions(), start=1):
        judged = {answer: 1 for answer in answers if answer in documents}
        if judged:
            queries[f"q{number}"], qrels[f"q{number}"] = question, judged
    name = "python-{}.{}-docstrings".format(*sys.version_info)
    return Dataset(name=name, documents=documents, queries=queries, qrels=qrels)


@cache
def _documents(library: Path) -> dict[str, str]:
    """Return the documents by name; a process parses 70 files once, which takes half a second."""
    documents: dict[str, str] = {}
    seen: set[str] = set()
    for name, docstring in _docstrings(library):
        words = " ".join(docstring.split())
        if len(docstring) >= _SHORTEST and name not in documents and words not in seen:
            seen.add(words)
            documents[name] = f"{name}: {docstring}"
    return documents


def read_questions() -> list[tuple[str, list[str]]]:
    """Return each question with the names of the docstrings that answer it."""
    path = files("minnow.datasets") / "builtin_questions.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return [(question, answers.split()) for question, answers in rows]


def _docstrings(library: Path) -> Iterator[tuple[str, str]]:
    """Yield qualified names and docstrings, module by module, in the order of their sources."""
    for module in _MODULES:
        for defined_in in _DEFINED_IN.get(module, (module,)):
            source = _source(library, defined_in)
            if source is not None:
                yield from _public(_parse(source), module)


def _parse(source: Path) -> list[ast.stmt]:
    """Parse a file; unlike `ast.parse` this keeps docstrings with -OO on Python 3.14 too."""
    flags = ast.PyCF_ONLY_AST
    module: ast.Module = compile(
        source.read_bytes(), str(source), "exec", flags, dont_inherit=True, optimize=0
    )
    return module.body


def _source(library: Path, module: str) -> Path | None:
    stem = library.joinpath(*module.split("."))
    paths = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in paths if path.is_file()), None)


def _public(body: list[ast.stmt], owner: str) -> Iterator[tuple[str, str]]:
    """Yield the public definitions of a module or class, those in `if`, `try` and `with` too."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name.startswith("_"):
                continue
            name = f"{owner}.{node.name}"
            docstring = ast.get_docstring(node)
            if docstring is not None:
                yield name, docstring
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, name)
        else:
            for blocks in ("body", "handlers", "orelse", "finalbody"):
                yield from _public(getattr(node, blocks, []), owner)
