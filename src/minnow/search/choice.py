"""The way of searching that suits a file's questions best, stored in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from minnow.indexfile.checks import reading_rows
from minnow.indexfile.documents import CHOICE
from minnow.indexfile.settings import from_json, to_json
from minnow.options import SearchMode

if TYPE_CHECKING:
    from minnow.indexfile.store import Store


@dataclass(frozen=True)
class SearchChoice:
    """The way of searching that was best for the questions of a file's user.

    Attributes:
        mode: The mode of search.
        reranker: The name of the reranker behind it; empty where none.
        ndcg: The mean nDCG@10 that it reached.
        questions: The number of questions.
    """

    mode: SearchMode
    reranker: str = ""
    ndcg: float = 0.0
    questions: int = 0

    def __str__(self) -> str:
        return self.mode + (f", reranked by {self.reranker}" if self.reranker else "")


def read_choice(store: Store) -> SearchChoice | None:
    """Return what a file stores, or None.

    Raises:
        IndexFileError: The fact is damaged.
    """
    text = store.fact(CHOICE)
    if text is None:
        return None
    choice = from_json(text, SearchChoice, "way of searching")
    with reading_rows(f"The way of searching of {store.path}"):
        if choice.mode not in get_args(SearchMode):
            raise ValueError(f"{choice.mode!r} is no mode")
    return choice


def write_choice(store: Store, choice: SearchChoice | None) -> None:
    """Store a way of searching in a file that is open for writing; None removes it."""
    if choice is not None:
        store.put_fact(CHOICE, to_json(choice))
        return
    with store.writing() as database:
        database.execute("DELETE FROM meta WHERE name = ?", (CHOICE,))
