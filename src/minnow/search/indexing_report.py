"""Result and progress of an indexing run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class IndexingReport:
    """The result of a run.

    Attributes:
        added: Number of new documents.
        changed: Number of documents that replaced older ones.
        unchanged: Number of documents that did not change.
        removed: Number of documents that were deleted, with their files or from them.
        embedded: Number of chunks that were embedded.
        repaired: Number of chunks and memories whose vectors were damaged in the file and were
            embedded again.
        reused: Number of chunks of changed documents that kept their vectors.
        skipped: A line for each document that could not be read, with the reason. Its older state
            stays in the index, if there is one.
        ignored: Files that are no documents, with the reason.
        notes: A line for each document of which a part is no text, such as pages of pictures.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    embedded: int = 0
    reused: int = 0
    repaired: int = 0
    skipped: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class IndexingState:
    """The progress of a run.

    Attributes:
        file: The file that is being read; empty at the end.
        done: Number of files that are done.
        files: Number of all files.
        report: The result so far; the run changes it.
    """

    file: str
    done: int
    files: int
    report: IndexingReport


Progress = Callable[[IndexingState], None]
