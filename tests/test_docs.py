"""Documentation: pages that repeat the code are compared with it."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from minnow.cli import app
from minnow.cli.commands import COMMANDS as TABLE

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")),
    *sorted(
        path
        for room in ("docs", "examples", "findings", "native")
        for path in ROOT.glob(f"{room}/**/*.md")
    ),
]
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def section(command: str) -> str:
    """Return the section of docs/cli.md about a command."""
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    return page.split(f"## minnow {command}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_the_command_line_is_current(command: str) -> None:
    """Run `make docs` where this fails."""
    options = {
        option
        for parameter in COMMANDS[command].params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    described = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", section(command), re.MULTILINE))
    described |= set(re.findall(r"^  --[\w-]+ / (--[\w-]+)", section(command), re.MULTILINE))
    assert described - {"--help"} == options
    help_text = " ".join(section(command).split())
    assert " ".join(COMMANDS[command].help.split("\n\n")[0].split()) in help_text


def test_the_picture_has_every_module_and_nothing_else() -> None:
    drawn = _drawn_paths()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert sorted(modules - set(drawn)) == []
    assert [path for path in drawn if not (ROOT / path).exists()] == []
    assert len(drawn) == len(set(drawn))


def _drawn_paths() -> list[str]:
    """Return the paths in the picture: names that start a line, or stand behind a semicolon.

    A directory ends in a slash; what is in it is indented by two more spaces.
    """
    picture = ARCHITECTURE.split("```\n", 2)[1]
    paths, parents = [], [""]
    for line in picture.splitlines():
        found = re.match(r"((?:  ){0,3})([\w/.]+(?: [\w/.]+)*)(  .*|$)", line)
        if found is None:
            continue
        depth = len(found[1]) // 2
        names = found[2].split() + re.findall(r"; (\w+\.py)\b", found[3])
        paths += [parents[depth] + name for name in names]
        parents[depth + 1 :] = [paths[-1]]
    return paths


def test_the_table_of_commands_has_every_command_of_every_file() -> None:
    for path in (ROOT / "src/minnow/cli").glob("*.py"):
        pattern = r'^(?:@app\.command\(|app\.add_typer\(\w+, name=)"([^"]+)"'
        written = re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
        assert written == [name for name, home in TABLE.items() if home.module == path.stem]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_table_of_commands_repeats_the_first_line_of_their_help(command: str) -> None:
    assert TABLE[command].summary == COMMANDS[command].get_short_help_str(200)
    assert len(TABLE[command].summary) <= 80 - 2 - 6 - max(map(len, TABLE))


def test_the_layers_in_the_picture_are_the_contract() -> None:
    contract = re.search(
        r"layers = \[\n(.*?)\n\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL
    )
    assert contract is not None
    rows = [line.strip().strip('",') for line in contract[1].splitlines()]
    assert "```\n" + "\n".join(rows) + "\n```" in ARCHITECTURE


def test_every_extra_and_dependency_is_explained() -> None:
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    metadata = (ROOT / "pyproject.toml").read_text()
    block = metadata.split("dependencies = [", 1)[1].split("[dependency-groups]", 1)[0]
    for name in re.findall(r'"([a-z][a-z-]+)[<>=]', block):
        assert re.search(rf"\b{name}\b", page), name
    extras = metadata.split("[project.optional-dependencies]", 1)[1].split("\n[", 1)[0]
    for extra in re.findall(r"^([\w-]+) = \[", extras, re.MULTILINE):
        assert f"| {extra} |" in page


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_point_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        assert not anchor or anchor in _anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_imports_of_python_examples_exist(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("minnow"):
            pytest.importorskip(_EXTRAS.get(str(node.module), "minnow"))
            module = importlib.import_module(str(node.module))
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_of_shell_examples_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^ *\$? ?minnow (.+)$", "\n".join(_blocks(text)), re.M):
        words = re.split(
            r"[\s=\[\]]+", re.split(r" [#|<>] ?", re.sub(r"\"[^\"]*\"", "TEXT", line))[0]
        )
        if " ".join(words[:2]) in COMMANDS:
            words = [" ".join(words[:2]), *words[2:]]
        command, words = COMMANDS[words[0]], words[1:]
        if hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if re.match(r"-\D", word)} - known == set(), line


def _blocks(text: str) -> list[str]:
    """Return the blocks of code without a language."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.S | re.M)
    return [block for language, block in found if language in ("", "sh")]


_EXTRAS = {
    "minnow.adapters.haystack": "haystack",
    "minnow.adapters.langchain": "langchain_core",
    "minnow.adapters.llama_index": "llama_index.core",
    "minnow.adapters.mteb": "mteb",
    "minnow.cluster": "pyarrow",
    "minnow.cluster.ray": "ray",
    "minnow.cluster.spark": "pyspark",
}


def _prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
