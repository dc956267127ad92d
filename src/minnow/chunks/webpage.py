"""Reader of HTML: text without hidden parts and navigation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.chunks.outline import Document, Outline
from minnow.errors import MissingExtraError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode


def read_html(path: str, source: str) -> Document:
    """Read HTML, without its hidden parts and navigation.

    If a page marks its `main` part, only that is read, because all pages of a site repeat the rest.
    selectolax parses broken pages as browsers do, and takes 0.2 s for 5 MB.

    Args:
        path: The path of the document.
        source: Its content.

    Raises:
        MissingExtraError: The extra `index` is not installed.

    Source: https://html.spec.whatwg.org/multipage/parsing.html
    """
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise MissingExtraError("Reading HTML", "index") from error
    parser = LexborHTMLParser(source)
    outline = Outline()
    main = parser.css_first("main, [role=main]")
    top = main if main is not None and main.text(strip=True) else parser.root
    if top is not None:
        _feed(top, outline)
    title = parser.css_first("head > title")
    return outline.document(path, " ".join(title.text().split()) if title is not None else "")


def _feed(root: LexborNode, outline: Outline) -> None:
    """Feed a tree without recursion, because it may be deeper than Python's stack."""
    todo: list[LexborNode | str] = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            outline.close(node)
        elif node.is_text_node:
            outline.text(node.text_content or "")
        elif node.is_element_node and node.tag and not _is_anchor(node):
            outline.open(node.tag, {k: v or "" for k, v in node.attributes.items()})
            todo.append(node.tag)
            todo.extend(reversed(list(node.iter(include_text=True))))


def _is_anchor(node: LexborNode) -> bool:
    """Return whether a node is the ¶ or # that documentation generators add to a heading."""
    return (
        node.tag == "a"
        and (node.attributes.get("href") or "").startswith("#")
        and not any(character.isalnum() for character in node.text())
    )
