"""Options and arguments that several commands share."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minnow.cli.fields import option
from minnow.engines import AUTO, ENGINES, FASTEST, MNN, EngineOptions, MemoryMode
from minnow.engines.base import BackendName, PrecisionName
from minnow.errors import InputError
from minnow.model.spec import Choices, RolePrompts
from minnow.options import CANDIDATES, OnTruncate
from minnow.recipe import ReferenceName
from minnow.terminal import UsageError
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Unpack

    from minnow.embedder import Embedder
    from minnow.evaluate import RunOptions
    from minnow.reranker import Reranker
    from minnow.search.options import SearchOptions

EngineName = Enum("EngineName", {name: name for name in (AUTO, FASTEST, *ENGINES)}, type=str)  # type: ignore[misc]

MAX_TIMEOUT = 1_000_000

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Offline = Annotated[bool, typer.Option("--offline", help="Make no network call.")]
Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A Hub id, a folder, or package:NAME.")
]
Revision = Annotated[str | None, typer.Option(help="Take this branch, tag or commit of the Hub.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Write to this path.")]


def folder_of(name: str) -> Path:
    """Return the folder of the bundle that a user named, by its folder or by a model's name.

    A name is `hf:USER/NAME`, `package:NAME` or a Hub id, ORGANISATION/NAME; its bundle is in the
    cache, made first if it is not there. What could be a path of this machine is a folder.
    """
    if not _is_name(name):
        return Path(name)
    from minnow.cli.app import steps
    from minnow.model_cache import find_bundle

    return find_bundle(name, progress=steps()).folder


def _is_name(text: str) -> bool:
    if text.startswith(("hf:", "package:")):
        return True
    start, slash, rest = text.partition("/")
    if not slash or "/" in rest or start.startswith((".", "~")) or text.endswith(".minnow"):
        return False
    return bool(start and rest) and not (Path(start).exists() or "\\" in text)


_NAMES = "a folder that `minnow convert` wrote, or a model's name"
BundleFolder = Annotated[
    Path,
    typer.Argument(metavar="BUNDLE", help=f"{_NAMES.capitalize()}.", parser=folder_of),
]
_BUNDLE = typer.Option(
    "--bundle", "-b", metavar="BUNDLE", help=f"Use this model: {_NAMES}.", parser=folder_of
)
BundleOption = Annotated[Path | None, _BUNDLE]
RequiredBundle = Annotated[Path, _BUNDLE]
Texts = Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts, or give --input.")]
TextFile = Annotated[
    str | None,
    typer.Option("--input", "-i", help="Read a text per line (.jsonl: its `text`); - reads stdin."),
]
ReferenceOption = Annotated[
    ReferenceName, typer.Option("--reference", help="Compare the vectors with these.")
]
OriginOption = Annotated[
    str | None,
    typer.Option(
        "--source", help="Take the original model from here, not where the manifest says."
    ),
]
Timeout = Annotated[
    int,
    typer.Option(
        min=1,
        max=MAX_TIMEOUT,
        metavar="SECONDS",
        help="Stop a process that has not answered after this time.",
    ),
]
Window = Annotated[
    int | None,
    typer.Option(min=1, help="Give the LLM this many tokens; by default its folder's, else 2048."),
]


@dataclass(frozen=True)
class ModelChoices:
    """Choices of the user that replace those in a model's files."""

    pooling: Pooling | None = option(None, "Pool like this instead of as the source says.")
    normalize: bool | None = option(None, "Scale vectors to length 1, or do not.")
    max_tokens: int | None = option(None, "Cut texts off here, special tokens included.")
    query_prompt: str | None = option(None, "Put this before queries; may be empty.")
    document_prompt: str | None = option(None, "Put this before documents; may be empty.")

    def choices(self) -> Choices:
        """Return them as the library takes them."""
        return Choices(**vars(self))


@dataclass(frozen=True)
class EngineChoice:
    """The engine that runs a bundle."""

    engine: EngineName = option(
        EngineName(AUTO),
        "Run the model on this engine; auto is mnn for a few texts, and for many the fastest one "
        "that is installed and agrees.",
    )
    source: str | None = option(None, "Take the model for --engine from here, not where it was.")
    threads: int | None = option(None, "Use this many CPU threads.", min=1)

    def options(self) -> EngineOptions:
        """Return them as the library takes them."""
        return EngineOptions(**{**vars(self), "engine": self.engine.value})

    @contextmanager
    def reporting(self, opened: Embedder | Reranker) -> Iterator[None]:
        """Print on stderr, after a block, which engine ran and why.

        Nothing is printed where the user named MNN, or where "auto" never tried another engine.
        """
        from minnow.cli.app import with_flags
        from minnow.engine_choice import was_settled

        yield
        if self.engine.value != MNN and (self.engine.value != AUTO or was_settled(opened)):
            print(f"engine: {with_flags(opened.engine_reason)}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class RerankChoice:
    """The reranker that orders what a search found; it runs on MNN."""

    reranker: Path | None = option(
        None, "Order what was found by this reranker.", "--rerank", metavar="BUNDLE",
        parser=folder_of,
    )  # fmt: skip
    candidates: int | None = option(
        None, "Have it order this many hits; 50, or -k if that is more.", min=1, max=1000
    )

    @contextmanager
    def open(
        self, threads: int | None = None, *, on_truncate: OnTruncate = "warn"
    ) -> Iterator[Reranker | None]:
        """Open the reranker for a block; None where none is given."""
        if self.reranker is None:
            yield None
            return
        from minnow.reranker import Reranker

        with Reranker.open(self.reranker, threads=threads, on_truncate=on_truncate) as reranker:
            yield reranker


@dataclass(frozen=True)
class ScopeChoice:
    """The part of an index to search, and whether hits that repeat a better one are folded."""

    paths: tuple[str, ...] = option(
        (), "Search such files only, as 'docs/**/*.md' or a folder; may be given again.",
        metavar="GLOB",
    )  # fmt: skip
    since: str | None = option(
        None, "Search what has such a date or a later one: 2024-05-31, 2024-05 or 2024.",
        metavar="DATE",
    )  # fmt: skip
    until: str | None = option(
        None, "Search what has such a date or an earlier one.", metavar="DATE"
    )
    fold: bool = option(
        True, "Name hits that only repeat a better one with that one.", "--fold/--no-fold"
    )

    def options(self, **others: Unpack[SearchOptions]) -> SearchOptions:
        """Return them as `Index.search` takes them, with others."""
        others.update(
            {"paths": self.paths, "since": self.since, "until": self.until, "fold": self.fold}
        )
        return others


@dataclass(frozen=True)
class EngineMemoryChoice(EngineChoice):
    """The engine that runs a bundle, and how MNN computes."""

    memory: MemoryMode = option(
        MemoryMode.NORMAL, "Use less RAM (low) where weights are int8 or smaller; coarser vectors."
    )
    precision: PrecisionName = option(
        "normal", "Compute in half precision (low) where the CPU can, as on ARM."
    )
    backend: BackendName = option(
        "cpu",
        "Compute here; best tries all, and takes the fastest that gives the canaries' vectors.",
    )


@dataclass(frozen=True)
class RunChoice:
    """Options of the systems that are measured."""

    threads: int | None = option(None, "Use this many CPU threads for each system.", min=1)
    cache: Path | None = option(
        None, "Keep vectors in this folder; by default $MINNOW_CACHE or ~/.cache/minnow."
    )
    fresh: bool = option(False, "Make all vectors, and measure, again.", "--fresh")
    offline: bool = option(False, "Make no network call.", "--offline")
    timeout: int = option(
        3600,
        "Stop a system that takes longer to open, or to embed 512 texts.",
        min=1,
        max=MAX_TIMEOUT,
        metavar="SECONDS",
    )

    def options(self, prompts: RolePrompts | None = None) -> RunOptions:
        """Return them as the library takes them; progress is shown on stderr."""
        from minnow.cli.app import show_run
        from minnow.evaluate import RunOptions

        return RunOptions(prompts=prompts, progress=show_run, **vars(self))


@dataclass(frozen=True)
class MeasureChoice(RunChoice):
    """Options of systems that are measured, perhaps with rerankers."""

    candidates: int = option(
        CANDIDATES, "Have a reranker score this many documents of each query.", min=1, max=100
    )


@dataclass(frozen=True)
class PromptChoice:
    """Prompts for systems whose files state none."""

    query_prompt: str | None = option(None, "Put this before queries where a GGUF has no prompt.")
    document_prompt: str | None = option(
        None, "Put this before documents where a GGUF has no prompt."
    )

    def prompts(self) -> RolePrompts | None:
        """Return them as the library takes them; None where neither is given."""
        if self.query_prompt is None and self.document_prompt is None:
            return None
        return RolePrompts(self.query_prompt or "", self.document_prompt or "")


def check_texts_or_file(texts: Sequence[str] | None, file: str | None) -> None:
    """Refuse texts beside a file, and neither of them.

    Raises:
        UsageError: There is not exactly one of both.
    """
    if bool(texts) == bool(file):
        raise UsageError("Give texts as arguments, or a file with --input, and not both.")


def not_empty(question: str) -> str:
    """Return a question, unless it is empty or blank: its hits would mean nothing.

    Raises:
        typer.BadParameter: It is empty or blank.
    """
    if not question.strip():
        raise typer.BadParameter("it is empty")
    return question


def check_arguments(texts: Sequence[str]) -> None:
    """Refuse bytes that are not text, which Python keeps as halves of surrogate pairs.

    Raises:
        InputError: A text has some.
    """
    for number, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            encoding = sys.getfilesystemencoding().upper()
            raise InputError(
                f"Text {number} is not {encoding} (character {error.start}). Give "
                "texts in another encoding as a file, with --input."
            ) from error
