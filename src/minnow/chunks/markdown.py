"""Markdown as readers see it: CommonMark with tables and raw HTML."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from minnow.chunks.outline import Document, Outline
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

_MAX_NESTING = 100
_FRONT_MATTER = re.compile(
    r"---[ \t]*\n"
    r"(?P<yaml>(?:(?:[\w'\"][\w.'\"-]*[ \t]*:.*|[ \t#\-].*|)\n)*?)"
    r"(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
    r"|\+\+\+[ \t]*\n(?P<toml>(?:.*\n)*?)\+\+\+[ \t]*(?:\n|\Z)"
)
_TITLE = re.compile(
    r"^title[ \t]*[:=][ \t]*(?P<quote>[\"']?)(?P<title>[^\s>|].*?)(?P=quote)[ \t]*$", re.MULTILINE
)
_HEADING_ID = re.compile(r"\{#[^{}\s]+\}\s*$")
_VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source",
    "track", "wbr",
}  # fmt: skip
_HTML = _VOID | {
    "a", "abbr", "acronym", "address", "article", "aside", "audio", "b", "bdi", "bdo", "big",
    "blockquote", "body", "button", "canvas", "caption", "center", "cite", "code", "colgroup",
    "data", "datalist", "dd", "del", "details", "dfn", "dialog", "div", "dl", "dt", "em",
    "fieldset", "figcaption", "figure", "font", "footer", "form", "h1", "h2", "h3", "h4", "h5",
    "h6", "head", "header", "hgroup", "html", "i", "iframe", "ins", "kbd", "label", "legend",
    "li", "main", "map", "mark", "math", "menu", "meter", "nav", "noscript", "object", "ol",
    "optgroup", "option", "output", "p", "picture", "pre", "progress", "q", "rp", "rt", "ruby",
    "s", "samp", "script", "search", "section", "select", "slot", "small", "span", "strike",
    "strong", "style", "sub", "summary", "sup", "svg", "table", "tbody", "td", "template",
    "textarea", "tfoot", "th", "thead", "time", "title", "tr", "tt", "u", "ul", "var", "video",
}  # fmt: skip


def read_markdown(path: str, source: str) -> Document:
    """Read Markdown.

    Front matter is left out, except for its title, and so are ids of headings, as in
    `# Title {#id}`. An unknown tag without attributes is a placeholder such as `<job>`, and is kept
    as text.

    Args:
        path: The path of the document.
        source: Its content, with Unix line ends.

    Raises:
        InputError: Lists or quotes are nested so deep that the parser would drop text.

    Source: https://spec.commonmark.org/0.31.2/
    """
    title = ""
    if front := _FRONT_MATTER.match(source):
        found = _TITLE.search(front["yaml"] or front["toml"] or "")
        title = found["title"].strip() if found else ""
    tokens = _parser().parse(source[front.end() :] if front else source)
    if max((token.level for token in tokens), default=0) >= _MAX_NESTING - 1:
        raise InputError(f"{path} nests lists or quotes more than {_MAX_NESTING // 2 - 1} deep.")
    for before, token in pairwise(tokens):
        if before.type == "heading_open" and token.children:
            last = token.children[-1]
            last.content = _HEADING_ID.sub("", last.content)
    outline = Outline()
    _feed(tokens, outline)
    return outline.document(path, title)


@cache
def _parser() -> MarkdownIt:
    """Return a parser; the default limit of nesting, 20, would drop the eleventh nested list."""
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING})
    return parser.enable(["table", "strikethrough"])


def _feed(tokens: Sequence[Token], outline: Outline) -> None:
    for token in tokens:
        if token.type == "inline":
            _feed(token.children or (), outline)
        elif token.type in ("html_block", "html_inline"):
            raw = _RawHtml(outline)
            raw.feed(token.content)
            raw.close()
        elif token.type in ("fence", "code_block"):
            outline.open("pre")
            outline.text(token.content)
            outline.close("pre")
        elif token.type == "image":
            outline.text(_plain(token.children or ()))
        elif token.type == "softbreak":
            outline.text(" ")
        elif token.nesting == 0 and token.content:
            outline.text(token.content)
        elif not token.hidden:
            _feed_element(token, outline)


def _feed_element(token: Token, outline: Outline) -> None:
    if token.nesting >= 0:
        outline.open(token.tag, {name: str(value) for name, value in token.attrs.items()})
    if token.nesting <= 0:
        outline.close(token.tag)


def _plain(tokens: Sequence[Token]) -> str:
    """Return the text of an image's description."""
    return "".join(
        _plain(token.children or ()) or token.content or (" " if token.tag == "br" else "")
        for token in tokens
    )


class _RawHtml(HTMLParser):
    """Parser of one piece of HTML, whose elements may be closed in a later piece."""

    def __init__(self, outline: Outline) -> None:
        super().__init__()
        self._outline = outline

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        if tag not in _HTML and not attrs:
            self._outline.text(self.get_starttag_text() or "")
            return
        self._outline.open(tag, {name: value or "" for name, value in attrs})
        if tag in _VOID:
            self._outline.close(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin and end an element."""
        self._outline.open(tag, dict(attrs))
        self._outline.close(tag)

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        if tag not in _VOID:
            self._outline.close(tag)

    def handle_data(self, data: str) -> None:
        """Add text."""
        self._outline.text(data)
