from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import EXTRAS
from fakes.programs import answer_of

import minnow
from minnow.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CHANGELOG = ROOT / "CHANGELOG.md"


def test_importing_minnow_is_cheap() -> None:
    code = "import sys, json, minnow; print(json.dumps(sorted(sys.modules)))"

    shown = subprocess.check_output([sys.executable, "-c", code], text=True)

    packages = {name.partition(".")[0] for name in json.loads(shown)}
    heavy = {"numpy", "MNN", "torch", "onnx", "huggingface_hub", "tokenizers", "scipy", "typer"}
    assert "minnow" in packages
    assert packages & heavy == set()


@pytest.mark.parametrize(("arguments", "loaded"), [("--help", set()), ("info nowhere", {"facts"})])
def test_the_program_loads_only_the_command_that_runs(arguments: str, loaded: set[str]) -> None:
    code = """
import sys
from minnow import cli, terminal
terminal.outcome(cli.app, sys.argv[1:])
print(*sys.modules)
"""
    modules = set(answer_of(code, *arguments.split()).splitlines()[-1].split())
    assert {
        home.module for home in COMMANDS.values() if f"minnow.cli.{home.module}" in modules
    } == loaded
    assert modules.isdisjoint({"rich", "MNN", "tokenizers", "huggingface_hub"})
    assert bool(loaded) == ("numpy" in modules)


def test_only_adapters_clusters_and_the_server_need_an_extra_when_imported() -> None:
    """Everything else imports its optional dependencies where it uses them."""
    code = """
import importlib, pkgutil, sys
import minnow

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
for module in pkgutil.walk_packages(minnow.__path__, "minnow."):
    try:
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    except (ImportError, minnow.errors.MissingExtraError):
        print(module.name)
"""
    modules = {module for modules in EXTRAS.values() for module in modules}
    refused = answer_of(code, *modules, "torch", "transformers", "threadpoolctl").split()

    adapters = {f"minnow.adapters.{name}" for name in ("haystack", "langchain", "llama_index")}
    others = [
        name
        for name in refused
        if not name.startswith(("minnow.cluster", "minnow.serve.", *adapters))
    ]
    assert others == []
    assert adapters < set(refused)


@pytest.mark.parametrize("name", minnow.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(minnow, name)

    assert getattr(value, "__module__", "minnow.bundle").startswith("minnow.")


def test_the_names_and_the_version_can_be_listed() -> None:
    assert set(dir(minnow)) > {*minnow.__all__, "__version__"}
    assert minnow.__version__ == metadata.version("minnow-embed")


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'minnow' has no attribute 'convort'"):
        minnow.convort  # noqa: B018


def test_the_docstring_names_every_public_name() -> None:
    assert set(re.findall(r"`(\w+)`", str(minnow.__doc__))) >= set(minnow.__all__)


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, by statement or by name as a string."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return names


@pytest.mark.parametrize(
    "line",
    [
        "import MNN.tools.mnnconvert",
        "from MNN import tools",
        "from MNN.tools import mnnconvert",
        "import_module('MNN.tools')",
    ],
)
def test_an_import_of_the_tools_that_phone_home_would_be_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"def f():\n    {line}\n")

    assert any(name.startswith("MNN.tools") for name in imported(path))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_imports_the_tools_that_phone_home(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith("MNN.tools")]


@pytest.mark.skipif(not CHANGELOG.exists(), reason="there is no CHANGELOG.md")
def test_the_changelog_tells_of_this_version() -> None:
    versions = re.findall(r"^## \[?v?(\d+\.\d+\.\d+\w*)", CHANGELOG.read_text(), re.MULTILINE)

    assert versions[:1] == [metadata.version("minnow-embed")]


def test_no_two_public_classes_have_one_name() -> None:
    """But for classes of the adapters, each of which is named for another library's users."""
    homes: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(path.parent.name)

    twice = {name: rooms for name, rooms in homes.items() if len(rooms) > 1}

    both = ["adapters", "adapters"]
    assert twice == {"MinnowReranker": both, "MinnowVectorStore": both}
