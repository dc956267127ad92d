"""The encoding of an HTML page, found as browsers find it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from minnow.errors import InputError
from minnow.text_files import decode_text, marked_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRESCANNED = 65_536
"""Bytes. Browsers search 1024 before they parse, and start again at a declaration that follows."""

_CHARSET = re.compile(r"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))", re.IGNORECASE)
_XML = re.compile(rb"<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([^\"'>]{1,40})[\"']")
_XML_IN_UTF16 = {"<?x".encode("utf-16-le"): "utf-16-le", "<?x".encode("utf-16-be"): "utf-16-be"}

_CODECS = {
    "utf-16le": "utf-8",  # a declaration that was read as ASCII is not in UTF-16
    "utf-16be": "utf-8",
    "x-user-defined": "cp1252",
    "windows-1252": "cp1252",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "big5": "big5hkscs",
    "iso-8859-8-i": "iso8859-8",
    "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "windows-874": "cp874",
}
"""Python's codecs for encodings of the Encoding Standard, where the names differ in meaning."""

_FEW = 500
"""A page is read although one character in this many is broken, and two are in any page."""


def decode_html(content: bytes, name: str) -> str:
    r"""Decode an HTML page; line ends become \n.

    A byte order mark counts first, then what a `meta` element or an XML declaration names, else the
    page is UTF-8. A label means what the Encoding Standard says: iso-8859-1 is windows-1252, gb2312
    is GB18030, and utf-16 in a `meta` element, which was read as ASCII, is UTF-8. A few broken
    characters become U+FFFD, as in a browser. There are two differences: a page that says
    windows-1252 and is valid UTF-8 is read as UTF-8, because servers and editors put that label on
    everything; and the encoding of a page that names none is not guessed.

    Args:
        content: The content of the file.
        name: Its name, for the error message.

    Raises:
        InputError: It is not in its encoding, browsers do not read that, the package that knows the
            labels is not installed, or the page holds a NUL byte.

    Source: https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding
        and https://encoding.spec.whatwg.org/#names-and-labels
    """
    for start, codec in _XML_IN_UTF16.items():
        if content.startswith(start):
            return decode_text(content.decode(codec, "replace").encode(), name)
    if marked_encoding(content)[0]:
        return decode_text(content, name)
    label, codec = _declared(content, name)
    if codec in ("", "cp1252"):
        try:
            return decode_text(content, name)
        except InputError as error:
            if not codec:
                if b"\0" in content:
                    raise
                problem = str(error).partition(";")[0]
                raise InputError(
                    f"{problem} and names no encoding; save it as UTF-8, or add <meta charset=...>."
                ) from error
    try:
        text = content.decode(codec)
    except UnicodeDecodeError:
        text = content.decode(codec, "replace")
        broken = text.count("\ufffd")
        if broken > max(2, len(text) // _FEW):
            raise InputError(
                f"{name} says that it is {label}, but {broken} of its characters are not."
            ) from None
    return decode_text(text.encode(), name)


def _declared(content: bytes, name: str) -> tuple[str, str]:
    """Return the label that a page declares, and Python's codec for it; both empty if none."""
    for label in _labels(content[:_PRESCANNED]):
        if label.strip().lower() in ("utf-8", "utf8"):
            return label, "utf-8"
        try:
            from webencodings import lookup
        except ImportError as error:
            raise InputError(
                f"{name} says that it is {label}, which needs the package webencodings: "
                "pip install 'minnow-embed[index]'"
            ) from error
        encoding = lookup(label)
        if encoding is not None and encoding.name == "replacement":
            raise InputError(f"{name} says that it is {label}, which browsers refuse to read.")
        if encoding is not None:
            return label, _CODECS.get(encoding.name, encoding.name)
    return "", ""


def _labels(start: bytes) -> Iterator[str]:
    """Yield the labels of encodings that the start of a page names, in order."""
    if b"charset" in start.lower():
        from selectolax.lexbor import LexborHTMLParser

        for meta in LexborHTMLParser(start.decode("latin-1")).css("meta"):
            values = meta.attributes
            if (charset := values.get("charset")) is not None:
                yield charset
            elif (values.get("http-equiv") or "").lower() == "content-type" and (
                found := _CHARSET.search(values.get("content") or "")
            ):
                yield next(filter(None, found.groups()), "")
    if found_xml := _XML.match(start):
        yield found_xml[1].decode("latin-1")
