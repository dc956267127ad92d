"""The classes of characters in the patterns of the `tokenizers` library and of MNN's engine."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from minnow.errors import ConversionError
from minnow.export.mnn_llm.engine import engine_ids
from minnow.export.mnn_llm.mtok import Bpe, Split, TokenizerFile, VisibleBytes, mtok_bytes
from minnow.export.mnn_llm.settings import MODEL, TOKENIZER, write_settings
from minnow.workfolder import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

LETTER, NUMBER, SPACE, OTHER = r"\p{L}", r"\p{N}", r"\s", r"[^\s\p{L}\p{N}]"
_MARKERS = {LETTER: "\x0e", NUMBER: "\x0f", SPACE: "\x10", OTHER: "\x11"}
_FIRST = 0x13
"""Control characters before it get other bytes, whatever class they are in."""
_CHARACTERS = (*range(_FIRST, 0x40000), *range(0xE0000, 0xE1000))
"""All that Unicode may make letters of: the planes that it fills, and their neighbour."""
_BLOCK = 1024
"""Characters that the library splits at a time; it takes minutes for all of them."""
_TEMPLATE = "{{ messages[0]['content'] }}"


def visible_bytes() -> list[str]:
    """Return the visible character of each byte, as in GPT-2.

    A byte that is no visible character in Latin-1 gets the next one from U+0100 on.
    """
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(b if b in seen else 256 + hidden.index(b)) for b in range(256)]


@functools.cache
def misjudged() -> Mapping[str, str]:
    """Find the characters whose class the installed engine takes for another.

    The engine itself answers: each character stands behind a marker of its class in the
    library, and the engine removes the pairs that it judges alike.

    Returns:
        Character -> its class in the library: LETTER, NUMBER or SPACE.

    Raises:
        ConversionError: The engine does not run, or takes a character for a letter, a number or
            white space that is none in the library.
    """
    text = "".join(marker + c for name, marker in _MARKERS.items() for c in _members(name))
    pattern = "|".join(f"\\x{ord(marker):02x}{name}" for name, marker in _MARKERS.items())
    file = TokenizerFile(
        normalizers=(),
        pre_tokenizers=(Split(pattern, removed=True), VisibleBytes()),
        model=Bpe(tuple(visible_bytes()), {}),
        added=(),
        template=_TEMPLATE,
    )
    with scratch_folder() as work:
        (work / TOKENIZER).write_bytes(mtok_bytes(file))
        (work / MODEL).write_bytes(b"no model; the tokenizer does not need it")
        write_settings(work, 32, _TEMPLATE, None)
        (ids,) = engine_ids(work, [text], work)
    left = bytes(ids).decode()
    names = {marker: name for name, marker in _MARKERS.items()}
    found = {c: names[marker] for marker, c in zip(left[::2], left[1::2], strict=True)}
    wrong = next((c for c, name in found.items() if name == OTHER), None)
    if wrong is not None:
        raise ConversionError(
            f"MNN's engine takes U+{ord(wrong):04X} for a letter, a number or white space, the "
            "tokenizers package does not; update the package, or take MNN 3.6.1."
        )
    return found


def _members(name: str) -> str:
    """Return all characters of a class in the library."""
    from tokenizers import Regex, pre_tokenizers

    other = name.replace("[^", "[") if name == OTHER else f"[^{name}]"
    split = pre_tokenizers.Split(Regex(other), "removed")
    every = [chr(c) for c in _CHARACTERS if not 0xD800 <= c < 0xE000]
    blocks = ("".join(every[n : n + _BLOCK]) for n in range(0, len(every), _BLOCK))
    return "".join(part for block in blocks for part, _ in split.pre_tokenize_str(block))
