r"""Formulas of web pages, once each.

KaTeX, MathJax, Wikipedia and LaTeXML write a formula two or three times: as MathML for screen
readers, as glyphs for the eyes, and as its source in TeX. The source is what a question is most
likely to spell, so a formula is its TeX if a page has that, else its MathML written in one line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selectolax.lexbor import LexborNode

_TEX_TYPES = ("application/x-tex", "application/x-latex", "text/x-tex", "tex", "latex")
_MATHJAX_2 = frozenset(
    ("MathJax", "MathJax_Display", "MathJax_Preview", "MathJax_SVG", "MathJax_SVG_Display",
     "MathJax_CHTML", "MathJax_MathML", "MJXc-display", "mjx-chtml"),
)  # fmt: skip
_CONTAINERS = _MATHJAX_2 | {"katex", "mwe-math-element"}
_WRAPPER = re.compile(r"\{\\(?:display|text)style (.*)\}\Z")
_MAX_DEPTH = 60
_SCRIPTS = {
    "msup": "^", "mover": "^", "msub": "_", "munder": "_", "msubsup": "_^", "munderover": "_^",
}  # fmt: skip


def is_formula(tag: str, attributes: Mapping[str, str]) -> bool:
    """Return whether an element is a formula, with all its forms in it."""
    return (
        tag in ("math", "mjx-container")
        or (tag == "script" and attributes.get("type", "").startswith("math/tex"))
        or not _CONTAINERS.isdisjoint(attributes.get("class", "").split())
    )


def read_formula(node: LexborNode, *, has_sources: bool) -> str:
    """Return a formula in one line: TeX, or what says the same.

    Args:
        node: An element that `is_formula`.
        has_sources: Whether the page has the TeX of its formulas in scripts, as MathJax 2 does. The
            formula is there then, and its other forms are empty.
    """
    if node.tag == "script":
        return _one_line(node.text() or "")
    classes = (node.attributes.get("class") or "").split()
    if has_sources and not _MATHJAX_2.isdisjoint(classes):
        return ""
    for annotation in node.css("annotation"):
        if (annotation.attributes.get("encoding") or "").lower() in _TEX_TYPES:
            return _one_line(annotation.text() or "")
    for selector, name in (("math", "alttext"), ("[data-latex]", "data-latex"), ("img", "alt")):
        found = node.css_first(selector)
        if found is not None and (text := found.attributes.get(name)):
            return _one_line(text)
    math = node if node.tag == "math" else node.css_first("math")
    text = _write(math) if math is not None else node.text()
    return _one_line(text or node.attributes.get("aria-label") or "")


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    wrapped = _WRAPPER.match(text)
    return wrapped[1].strip() if wrapped else text


def _write(node: LexborNode, depth: int = 0) -> str:
    """Write MathML in one line: fractions with /, roots with √, scripts with ^ and _."""
    children = [child for child in node.iter() if not (child.tag or "").startswith("annotation")]
    if not children or depth == _MAX_DEPTH:
        return (node.text() or "").strip()
    if node.tag == "semantics":
        return _write(children[0], depth + 1)
    parts = [_write(child, depth + 1) for child in children]
    if node.tag == "mfrac" and len(parts) == 2:
        return "/".join(map(_grouped, parts))
    if node.tag in _SCRIPTS and len(parts) == len(_SCRIPTS[node.tag]) + 1:
        marks = zip(_SCRIPTS[node.tag], parts[1:], strict=True)
        return _grouped(parts[0]) + "".join(mark + _grouped(part) for mark, part in marks)
    if node.tag in ("msqrt", "mroot"):
        return "√" + _grouped("".join(parts))
    return (" " if node.tag in ("mtr", "mtable") else "").join(parts)


def _grouped(text: str) -> str:
    return text if len(text) <= 1 or text.isalnum() else f"({text})"
