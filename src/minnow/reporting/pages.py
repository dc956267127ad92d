"""HTML pages that are complete in themselves: they run no script and load nothing."""

from __future__ import annotations

import re
import unicodedata
from functools import partial
from typing import TYPE_CHECKING

from minnow.errors import MissingExtraError
from minnow.files import whole_file
from minnow.reporting import numbers, plots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from jinja2 import Environment


_MAX_NAME = 60
_MAX_TEXT = 240
_RIGHT_TO_LEFT = {"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI"}

# Characters that HTML does not allow in a page, escaped or not.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def write_page(page: str, path: Path) -> None:
    """Write a page, under a temporary name until it is complete.

    Args:
        page: HTML, as `render` returns it.
        path: The file; an existing one is replaced.

    Raises:
        OutputError: It cannot be written; an existing one is kept.
    """
    with whole_file(path) as staged:
        staged.write_text(page, encoding="utf-8", newline="\n")


def render(
    package: str,
    values: Mapping[str, object],
    filters: Mapping[str, Callable[..., object]] | None = None,
) -> str:
    """Fill in the template `templates/report.html.jinja` of a package.

    It extends `page.html.jinja` and imports from `macros.html.jinja`, which are this package's.

    Args:
        package: The package that has the template.
        values: The template's variables.
        filters: Filters besides those for numbers and names.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    environment = _make_environment(package)
    environment.filters |= filters or {}
    page = environment.get_template("report.html.jinja").render(values)
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", page)


def _make_environment(package: str) -> Environment:
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("The report", "evaluate") from error
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("minnow.reporting")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = ("cosine", "count", "measure", "megabytes", "rate", "ratio", "seconds", "signed")
    environment.filters |= {name: getattr(numbers, name) for name in shown}
    environment.filters |= {
        "name": shorten_name,
        "words": partial(numbers.shorten, limit=_MAX_TEXT),
        "slug": lambda words: words.replace(" ", "-"),
    }
    environment.globals["interval"] = numbers.interval
    environment.globals["mark"] = lambda position: plots.legend_mark(plots.style_of(position))
    return environment


def shorten_name(name: str) -> str:
    """Return a name that fits on a line."""
    return numbers.shorten(name, _MAX_NAME)


def isolate(name: str) -> str:
    """Return a name for running text, isolated if its letters run from right to left."""
    turned = any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in name)
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" if turned else name
