"""Progress of long work, on stderr."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def show_progress(
    task: str, total: int | None, unit: str, *, show: bool
) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; yields what to call with the number of things done.

    Args:
        task: What is being done.
        total: How many things there are, if known.
        unit: What they are, in the plural.
        show: Whether to show anything at all.
    """
    if not show:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TextColumn(unit),
               TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        bar = progress.add_task(task, total=total)
        yield lambda done: progress.advance(bar, done)
