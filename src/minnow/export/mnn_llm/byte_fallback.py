"""A tokenizer.json of Gemma's kind in the form of an mtok, so that MNN's engine gives the same ids.

Its BPE merges characters, and a character that is no token becomes tokens of its bytes, `<0xE9>`.
Spaces are `▁`, and no step divides a text: it is one word, in which merges begin anew after each
space that follows something else, if no merge reaches across. So the file divides a text there, as
the engine's time grows with the square of a word's length.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from minnow.export.mnn_llm.mtok import (
    AddedToken,
    Bpe,
    Replace,
    ReplaceSpaces,
    Split,
    TokenizerFile,
    require_expressible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenizers import Tokenizer

_SPACE = "\u2581"
_WORDS = " *[^ ]+| +"
_SPACES_REPLACED = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
_NO_SPACE_LEFT = {"type": "Split", "pattern": {"String": " "}, "invert": False}
"""The step that divides text at spaces; there are none any more."""


def byte_fallback_file(tokenizer: Tokenizer, template: str) -> TokenizerFile:
    """Express a tokenizer as an mtok.

    Args:
        tokenizer: The tokenizer, without truncation and padding; its model is BPE that falls back
            to bytes.
        template: The chat template, which puts special tokens around a text.

    Raises:
        InputError: The format cannot express the tokenizer; all reasons are named.
    """
    stated = json.loads(tokenizer.to_str())
    require_expressible(list(_faults(stated)))
    vocabulary: dict[str, int] = stated["model"]["vocab"]
    added: list[dict[str, Any]] = stated["added_tokens"]
    tokens = {number: token for token, number in vocabulary.items()}
    for row in added:
        tokens.setdefault(row["id"], f"??{row['content']}")
    merges = [tuple(merge) for merge in stated["model"]["merges"]]
    ranks = {(vocabulary[a], vocabulary[b]): rank for rank, (a, b) in enumerate(merges)}
    across = any(a[-1] != _SPACE and b[0] == _SPACE for a, b in merges)
    return TokenizerFile(
        normalizers=(Replace(_SPACE.encode(), b" "),),
        pre_tokenizers=(*([] if across else [Split(_WORDS)]), ReplaceSpaces(_SPACE)),
        model=Bpe(tuple(tokens.get(n, f"??{n}") for n in range(max(tokens) + 1)), ranks),
        added=tuple(AddedToken(row["id"], row["content"], row["special"]) for row in added),
        template=template,
    )


def _faults(stated: dict[str, Any]) -> Iterator[str]:
    """Yield why the format cannot express the tokenizer."""
    model, split = stated["model"], stated["pre_tokenizer"]
    if stated["normalizer"] != _SPACES_REPLACED:
        yield "its normalizer does more, or less, than to write spaces as ▁"
    if split is not None and not _NO_SPACE_LEFT.items() <= split.items():
        yield "its pre-tokenizer divides more than at spaces"
    vocabulary = model["vocab"]
    if not vocabulary.keys() >= {f"<0x{byte:02X}>" for byte in range(256)}:
        yield "its vocabulary lacks some of the 256 bytes"
    if model["dropout"]:
        yield "its BPE drops merges at random"
    if model["continuing_subword_prefix"] or model["end_of_word_suffix"]:
        yield "its BPE marks where a word begins or ends"
    if model["ignore_merges"]:
        yield "its BPE takes whole words without merging"
    for row in stated["added_tokens"]:
        if row["single_word"] or row["lstrip"] or row["rstrip"] or row["normalized"]:
            yield (
                f"its token {row['content']!r} is a word of its own only, takes white space "
                "beside it, or is looked for in normalised text"
            )
