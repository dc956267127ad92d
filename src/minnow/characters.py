r"""Characters that no stored text may hold: halves of surrogate pairs, and NUL.

Programs that count in UTF-16 cut emoji in two, and JSON spells the half as an escape such as
`\ud83d`; PDF readers return both for glyphs that they cannot name. One such character should
not cost the texts beside it, so one rule holds wherever texts come in.
"""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"

_ESCAPE = re.compile(
    rb"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
    rb"|(?P<raw>(?:\xed[\xa0-\xbf][\x80-\xbf])+)",
    re.DOTALL,
)


def replace_halves(text: str) -> str:
    """Replace each half of a surrogate pair by U+FFFD; two halves that belong together are joined.

    A text without halves is returned unchanged.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_text(text: str) -> str:
    """Return a text that files, SQLite and JSON can hold.

    Halves of surrogate pairs become U+FFFD, as `replace_halves` says. NUL is dropped: PDF readers
    put it where a ligature has no character, and BERT's tokenizers drop it too.
    """
    return replace_halves(text).replace("\0", "")


def clean_values(value: object) -> object:
    """Clean every string in a value made of dicts, lists and strings; keys too.

    Other objects, and keys that would become equal, stay as they are.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        cleaned = {clean_values(key): clean_values(item) for key, item in value.items()}
        return cleaned if len(cleaned) == len(value) else value
    if isinstance(value, list):
        return [clean_values(item) for item in value]
    return value


def replace_json_halves(data: bytes) -> bytes:
    """Replace halves of surrogate pairs in JSON by U+FFFD; the rest stays as it is.

    They are escapes, which RFC 8259, section 8.2, allows without saying what they mean, or the
    three bytes that some programs write for each half in place of UTF-8.
    """
    return _ESCAPE.sub(_replacement, data)


def _replacement(found: re.Match[bytes]) -> bytes:
    if found["half"]:
        return rb"\ufffd"
    if found["raw"]:
        return replace_halves(found[0].decode("utf-8", "surrogatepass")).encode()
    return found[0]
