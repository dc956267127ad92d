"""Pages of HTML that need nothing else: no script, no network."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

from minnow.errors import MissingExtraError
from minnow.files import check_file, temporary_beside, writing
from minnow.reporting import numbers, plots
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from jinja2 import Environment


OURS = "minnow.reporting"
_NAME = 60
_TEXT = 240
_TURNING = {"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI"}

# What HTML does not allow in a page, escaped or not.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def write_page(page: str, path: Path) -> None:
    """Write a page, under a temporary name until it is whole.

    Args:
        page: What `render` gave.
        path: The file; an older one is replaced.

    Raises:
        OutputError: It cannot be written; an older one is kept.
    """
    target = check_file(path)
    unfinished = temporary_beside(target)
    try:
        with writing(path):
            unfinished.write_text(page, encoding="utf-8", newline="\n")
            unfinished.replace(target)
    finally:
        with uninterrupted(), suppress(OSError):
            unfinished.unlink()


def render(
    template: str,
    values: Mapping[str, object],
    *,
    room: str = OURS,
    filters: Mapping[str, Callable[..., object]] | None = None,
) -> str:
    """Fill in a template, which may extend `page.html.jinja`.

    Args:
        template: A file among a room's templates.
        values: What the template calls by name.
        room: The package that it is in; what is not there is looked for among ours.
        filters: The template's own, besides those of numbers and names.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    environment = _environment(room)
    environment.filters |= filters or {}
    return _FORBIDDEN.sub(
        "\N{REPLACEMENT CHARACTER}", environment.get_template(template).render(values)
    )


def _environment(room: str) -> Environment:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("The report", "evaluate") from error
    environment = Environment(
        loader=FunctionLoader(lambda name: _template(room, name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = ("cosine", "count", "measure", "megabytes", "rate", "ratio", "seconds")
    environment.filters |= {name: getattr(numbers, name) for name in (*shown, "signed")}
    environment.filters |= {
        "name": short_name,
        "words": _words,
        "interval": _interval,
        "slug": _slug,
    }
    environment.globals["mark"] = lambda position: plots.mark_alone(plots.look_of(position))
    return environment


def _template(room: str, name: str) -> str:
    for place in (room, OURS):
        file = files(place) / "templates" / name
        if file.is_file():
            break
    return file.read_text(encoding="utf-8")


def short_name(words: str) -> str:
    """A name, so that it is not longer than a line."""
    return numbers.shorten(words, _NAME)


def isolated(name: str) -> str:
    """A name in running text, whose letters may run the other way."""
    turned = any(unicodedata.bidirectional(letter) in _TURNING for letter in name)
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" if turned else name


def _words(words: str) -> str:
    return numbers.shorten(words, _TEXT)


class _Interval(Protocol):
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def _interval(interval: _Interval) -> str:
    return f"{numbers.signed(interval.low)} to {numbers.signed(interval.high)}"


def _slug(words: str) -> str:
    return words.replace(" ", "-")
