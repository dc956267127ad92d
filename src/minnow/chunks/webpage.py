"""Reader of HTML: the text that a browser shows, without dialogs and navigation."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from minnow.chunks.formulas import is_formula, read_formula
from minnow.chunks.outline import Document, Outline, is_hidden
from minnow.errors import MissingExtraError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_DIALOGS = "dialog, [role=dialog], [role=alertdialog], [aria-modal=true]"
_BUTTONS = "button, input, [role=button], a[class*=btn i], a[class*=button i]"
_CONSENT_PARTS = (
    "cookie", "consent", "gdpr", "onetrust", "usercentrics", "qc-cmp", "sp_message", "didomi",
    "iubenda", "tarteaucitron", "axeptio", "klaro", "truste", "cky-", "cmplz", "osano", "cc-window",
    "termly", "cmpbox",
)  # fmt: skip
_CONSENT = ", ".join(
    f'[{name}*="{part}" i]' for part in _CONSENT_PARTS for name in ("id", "class", "aria-label")
)
_TOOLS = re.compile(
    r"onetrust-(?:consent-sdk|banner-sdk)|cybotcookiebotdialog|usercentrics-root|qc-cmp2?-\w+|"
    r"sp_message_container_\w+|didomi-host|iubenda-cs-banner|tarteaucitronroot|axeptio_overlay|"
    r"cookie-law-info-bar|borlabscookiebox|hs-eu-cookie-confirmation|klaro|truste-consent-\w+|"
    r"cky-consent-container|cmplz-cookiebanner-container|fc-consent-root|osano-cm-window|cc-window|"
    r"moove_gdpr_cookie_info_bar|termly-code-snippet-support|cmpbox|cookiebanner|cookieconsent",
    re.IGNORECASE,
)
"""Ids and classes that the usual tools for consent give to their banners."""

_BANNERS = re.compile(
    r"(?:^|[-_ ])(?:cookies?|consent|gdpr|ccpa)[-_ ]?(?:(?:law|consent|policy|info)[-_ ]?)?"
    r"(?:banner|bar|notice|notification|message|dialog|modal|popup|overlay|prompt|wall|alert|consent)"
    r"(?![a-z])",
    re.IGNORECASE,
)
"""Ids, classes and labels that sites give to their own."""

_MAY_BE_BAR = ", ".join(
    f'[{name}*="{part}" i]'
    for part in (
        "banner",
        "notice",
        "notification",
        "popup",
        "toast",
        "snackbar",
        "alert",
        "overlay",
        "modal",
        "privacy",
        "bar",
    )
    for name in ("id", "class", "aria-label")
)
_ASKS_FOR_COOKIES = re.compile(
    r"\b(?:uses?|using|accept\w*|agree\w*|allow|consent|verwende\w*|nutz\w*|akzept\w*|setzen|utilis\w*"
    r"|utiliz\w*|us[ao]n?|usamos|gebruik\w*|używa\w*)\b.{0,60}\bcookies?\b"
    r"|\bcookies?\b.{0,80}\b(?:accept|agree|consent|policy|privacy|preferences|settings|experience)",
    re.IGNORECASE | re.DOTALL,
)
"""Finds the words of a bar that asks for consent, whatever its id and class are."""

_LONGEST_BAR = 1000

_LOADING = re.compile(r"(?:please )?(?:wait|loading)\b.{0,40}", re.IGNORECASE)
_ASKS_FOR_SCRIPTS = re.compile(
    r"(?=.*\bjavascript).*(?:\b(?:enabled?|activated?|allow|requires?|required|needs?|needed|without"
    r"|disabled|turn(?:ed)? on|not (?:available|supported))\b"
    r"|\b(?:aktivier|activ[eéa]|nécessite|habilit|ativ[ae]|abilita|attiva|richiede|schakel|włącz|включ"
    r"|увімкн|etkin|aktiver|povol|zapn)|启用|啟用|开启|開啟|有効|사용|تفعيل|bật)",
    re.IGNORECASE,
)
"""What a page says before its scripts run, in the languages of many sites."""

_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
"""A place that a script fills."""

_FALLBACK = "p, li, table, article, h1, h2, h3"
_LONGEST_PLACEHOLDER = 200
_LONGEST_BANNER = 3000
"""Characters. What is longer is a page about cookies."""

_MOST_BANNERS = 300
"""Elements that are tried, because each may hold all that follow."""

_MAIN = "main, [role=main]"
_CONTENT = f"{_MAIN}, article, h1"
_NEVER_DECORATION = ("html", "body", "ruby", "rb")
"""Elements that are not decoration; Wikisource hides the characters under readings in `rb`."""

_WHOLE = ("html", "body")
_BLOCKS = "div, section, p, ul, ol, table, pre, blockquote, h1, h2, h3, h4, h5, h6"


def read_html(path: str, source: str) -> Document:
    """Read HTML as a browser shows it, without dialogs, banners that ask for consent, navigation.

    If a page marks its `main` part, only that is read, because all pages of a site repeat the rest.
    Dialogs are read if there is nothing else. A part that is hidden from screen readers alone
    (aria-hidden) is decoration, unless it holds the page: scripts hide that while a dialog is open.
    Of a formula its TeX is read once. selectolax parses broken pages as browsers do, and takes 0.2
    s for 5 MB.

    Args:
        path: The path of the document.
        source: Its content.

    Raises:
        MissingExtraError: The extra `index` is not installed.

    Source: https://html.spec.whatwg.org/multipage/parsing.html and, for what is hidden,
        https://html.spec.whatwg.org/multipage/rendering.html#hidden-elements
    """
    parser = _parse(source)
    if parser.root is None:
        return Document(path, "", ())
    outline = _read_page(parser, parser.root)
    if not outline.length and (fallback := _read_fallback(parser)) is not None:
        outline = fallback
    return outline.document(path, _title(parser))


def _read_fallback(parser: LexborHTMLParser) -> Outline | None:
    """Read what a page without text shows where scripts are off, unless it only asks for them."""
    fallback = Outline()
    for node in parser.css("body noscript"):
        inner = _parse(node.text())
        has_blocks = inner.css_first(_FALLBACK) is not None
        if has_blocks and inner.root and "javascript" not in inner.root.text().lower():
            _Reading().feed(inner.root, fallback)
    return fallback if fallback.length else None


def explain_missing_text(source: str | bytes) -> str:
    """Say why a page has no text, as a clause that follows "holds no text"."""
    parser = _parse(source)
    has_scripts = parser.css_first("script, noscript") is not None
    for node in parser.css("script, style, noscript, template, title"):
        node.decompose()
    text = parser.root.text(strip=True) if parser.root is not None else ""
    if text and not _is_placeholder(text):
        return "that is shown: it is hidden until a script runs, or only headings, dialogs, menus"
    return "before its scripts run; save it from a browser" if has_scripts else "at all"


def _parse(source: str | bytes) -> LexborHTMLParser:
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise MissingExtraError("Reading HTML", "index") from error
    return LexborHTMLParser(source, scripting=True)  # else text of a noscript may leave it


def _title(parser: LexborHTMLParser) -> str:
    """Return the title; what a head may not hold moves a title behind it into the body."""
    title = parser.css_first("head > title, body > title")
    return " ".join(title.text().split()) if title is not None else ""


def _read_page(parser: LexborHTMLParser, root: LexborNode) -> Outline:
    around = _Around(parser)
    windows = around(".modal-dialog, .modal-content")
    dialogs = {node.mem_id for node in parser.css(_DIALOGS)}
    dialogs |= {node.mem_id for node in parser.css(".modal") if node.mem_id in windows}
    content = around(_CONTENT)
    tools, banners = _find_banners(parser, content, around(_BUTTONS))
    veiled = parser.css("[aria-hidden=true i]")
    page = _Reading(
        skipped=frozenset(dialogs | tools),
        banners=frozenset(banners),
        shown=frozenset(
            node.mem_id
            for node in veiled
            if node.mem_id in content
            or node.tag in _NEVER_DECORATION
            or (dialogs and node.parent is not None and node.parent.tag == "body")
        ),
        has_sources=parser.css_first('script[type^="math/tex"]') is not None,
    )
    outline = page.read(root)
    blocks = around(_BLOCKS) & {node.mem_id for node in veiled} if veiled else set()
    if not blocks <= page.shown:
        more = replace(page, shown=page.shown | blocks).read(root)
        if more.length > 2 * outline.length:
            outline = more
    if not outline.length and dialogs:
        outline = replace(page, skipped=frozenset(tools)).read(root)
    return Outline() if _waits(parser, outline) else outline


def _waits(parser: LexborHTMLParser, outline: Outline) -> bool:
    """Return whether a page says nothing but that its scripts must run."""
    return parser.css_first("script") is not None and _is_placeholder(outline.text_so_far)


def _is_placeholder(text: str) -> bool:
    filled, places = _TEMPLATE.subn("", text)
    if places and not any(map(str.isalnum, filled)):
        return True
    lines = [line for line in map(str.strip, filled.splitlines()) if line]
    return len(text) <= _LONGEST_PLACEHOLDER and (
        any(map(_ASKS_FOR_SCRIPTS.search, lines))
        or (len(lines) == 1 and _LOADING.fullmatch(lines[0]) is not None)
    )


class _Around:
    """Finder of the elements that hold certain others, in time that grows with the page alone."""

    def __init__(self, parser: LexborHTMLParser) -> None:
        self._parser = parser

    def __call__(self, selector: str) -> set[int]:
        """Return the ids of the elements that match, and of all elements around them."""
        found: set[int] = set()
        for match in self._parser.css(selector):
            node: LexborNode | None = match
            while node is not None and node.mem_id not in found:
                found.add(node.mem_id)
                node = node.parent
        return found


def _find_banners(
    parser: LexborHTMLParser, content: set[int], buttons: set[int]
) -> tuple[set[int], set[int]]:
    """Return the ids of elements that ask for consent, made by known tools, and by sites."""
    tools, banners = set(), set()
    for node in islice(parser.css(_CONSENT), _MOST_BANNERS):
        names = [node.attributes.get(name) or "" for name in ("id", "aria-label")]
        names += (node.attributes.get("class") or "").split()
        if node.mem_id in content or node.tag in _WHOLE:
            continue
        if any(map(_TOOLS.fullmatch, names)):
            tools.add(node.mem_id)
        elif (
            node.mem_id in buttons
            and any(map(_BANNERS.search, names))
            and len(node.text()) <= _LONGEST_BANNER
        ):
            banners.add(node.mem_id)
    for node in islice(parser.css(_MAY_BE_BAR), _MOST_BANNERS):
        if node.mem_id in buttons and node.mem_id not in content and node.tag not in _WHOLE:
            text = node.text()
            if len(text) <= _LONGEST_BAR and _ASKS_FOR_COOKIES.search(text):
                banners.add(node.mem_id)
    return tools, banners


@dataclass(frozen=True)
class _Reading:
    """One way to read a page.

    Attributes:
        skipped: Ids of elements that are left out.
        banners: Ids of elements that are left out unless they are in the main part or an article.
        shown: Ids of elements whose aria-hidden does not count.
        has_sources: Whether scripts hold the TeX of formulas.
    """

    skipped: frozenset[int] = frozenset()
    banners: frozenset[int] = frozenset()
    shown: frozenset[int] = frozenset()
    has_sources: bool = False

    def read(self, root: LexborNode) -> Outline:
        """Read the main part, or all where that has no text."""
        if root.css_first(_MAIN) is not None:
            main = Outline()
            self.feed(root, main, only_main=True)
            if main.length:
                return main
        everything = Outline()
        self.feed(root, everything)
        return everything

    def feed(self, root: LexborNode, outline: Outline, *, only_main: bool = False) -> None:
        """Feed the tree without recursion, because it may be deeper than Python's stack."""
        todo: list[tuple[LexborNode | str, bool, bool]] = [(root, not only_main, False)]
        while todo:
            node, reads, is_inside = todo.pop()
            if isinstance(node, str):
                outline.close(node)
            elif node.is_text_node:
                if reads:
                    outline.text(node.text_content or "")
            elif node.is_element_node and node.tag:
                given = node.attributes
                attributes = {name: given[name] or "" for name in given} if given else {}
                is_shadow = node.tag == "template" and "shadowrootmode" in attributes
                tag = "div" if is_shadow else node.tag
                is_main = node.tag == "main" or attributes.get("role") == "main"
                reads, is_inside = reads or is_main, is_inside or is_main or node.tag == "article"
                if is_formula(node.tag, attributes):
                    if reads:
                        outline.text(read_formula(node, has_sources=self.has_sources))
                elif self._shows(node, tag, attributes, is_inside=is_inside):
                    if reads:
                        outline.open(tag, attributes)
                        todo.append((tag, True, is_inside))
                    holder = node if tag == node.tag else node.template_fragments()[0]
                    inner = reversed(list(holder.iter(include_text=True)))
                    todo.extend((child, reads, is_inside) for child in inner)

    def _shows(
        self, node: LexborNode, tag: str, attributes: dict[str, str], *, is_inside: bool
    ) -> bool:
        if node.mem_id in self.skipped or (node.mem_id in self.banners and not is_inside):
            return False
        if node.mem_id in self.shown:
            attributes.pop("aria-hidden", None)
        return not is_hidden(tag, attributes) and not _is_anchor(node, attributes)


def _is_anchor(node: LexborNode, attributes: dict[str, str]) -> bool:
    """Return whether a node is the ¶ or # that documentation generators add to a heading."""
    return (
        node.tag == "a"
        and attributes.get("href", "").startswith("#")
        and not any(character.isalnum() for character in node.text())
    )
