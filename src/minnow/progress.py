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
    """Show a bar on stderr; yield a function that advances it by a number of items.

    Args:
        task: The name of the work.
        total: The number of items, if known.
        unit: The name of the items, in the plural.
        show: Whether to show the bar.
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
