"""The tokenizer that `AutoTokenizer` of transformers 5 makes of a source, and what to do about it.

transformers 5 builds most tokenizers anew, from several files. Where that gives some text other
ids than tokenizer.json, the rebuilt tokenizer is adopted: sentence-transformers embeds with it. A
source is refused where transformers 4 and 5 disagree about ordinary texts, since its author may
then mean either.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from minnow.errors import SourceError, UnsupportedModelError
from minnow.model.tokenizer_classes import rebuild_tokenizer
from minnow.model.tokenizer_files import (
    AS_IT_IS,
    TOKENIZER,
    TokenizerFiles,
    named_tokens,
    resave_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from minnow.model.source import ModelSource


@dataclass(frozen=True)
class SourceTokenizer:
    """The tokenizer of a source, as a bundle carries it.

    Attributes:
        content: A tokenizer.json: the source's own, byte for byte, or the rebuilt one.
        rebuilt: The class of transformers that it was rebuilt as, and the first text whose ids
            differ from those of the source's tokenizer.json; None for the source's own.
    """

    content: bytes
    rebuilt: str | None = None


@dataclass(frozen=True)
class TokenizerComparison:
    """What the class of transformers 5 makes of the files, compared with tokenizer.json.

    Attributes:
        faults: Why neither can be taken, one sentence each; empty if one can.
        rebuilt: The rebuilt tokenizer, if some text has other ids in it.
        difference: The first such text, with both rows of ids; None if there is none.
    """

    faults: tuple[str, ...] = ()
    rebuilt: Tokenizer | None = None
    difference: str | None = None


def compare_with_transformers(
    source: ModelSource,
    files: TokenizerFiles,
    plain: Tokenizer,
    words: int,
    *,
    pairs: bool = False,
) -> TokenizerComparison:
    """Compare a tokenizer.json with what the class of transformers 5 makes of all files.

    Args:
        source: The model's files.
        files: The content of its files.
        plain: Its tokenizer.json as it is, without padding and truncation.
        words: Rows of the model's word table.
        pairs: Whether pairs of texts have to agree too.
    """
    try:
        rebuilt = _rebuild(files, plain, words, named_tokens(source))
    except UnsupportedModelError as error:
        return TokenizerComparison((f"{error}; {_resave_as_it_is(source)}",))
    except SourceError as error:
        return TokenizerComparison((str(error),))
    except Exception as error:  # tokenizers raises bare Exception
        fault = f"transformers cannot build a {files.class_name} of these files ({error})"
        return TokenizerComparison((fault,))
    if pairs and (pair_fault := _pair_fault(source, plain, rebuilt)):
        return TokenizerComparison((pair_fault,))
    if _essence(plain) == _essence(rebuilt):
        return TokenizerComparison()
    tokens = [*named_tokens(source), *_added(rebuilt), *_added(plain)]
    try:
        found = _first_difference(plain, rebuilt, _all_texts(dict.fromkeys(tokens)))
        unlike = found and _first_difference(_as_version_4(files, plain), rebuilt, _ORDINARY)
    except Exception as error:  # tokenizers raises bare Exception, as for a missing unknown token
        fault = f"not every text has ids in a {files.class_name} of these files ({error})"
        return TokenizerComparison((fault,))
    if found is None:
        return TokenizerComparison()
    if unlike is not None:
        return TokenizerComparison((_contradiction(source, files, unlike),))
    dropped = [token for token in _added(plain) if token not in _added(rebuilt)]
    if dropped:
        return TokenizerComparison((_dropped(source, files, dropped),))
    return TokenizerComparison((), rebuilt, _shown_difference(found))


def _rebuild(files: TokenizerFiles, plain: Tokenizer, words: int, named: list[str]) -> Tokenizer:
    """Build the tokenizer of transformers, without defaults of a class that the model lacks.

    A class adds its default tokens, as `[MASK]`, behind the vocabulary. One beyond the word table
    that no file names is left out: a text with it has no vector in transformers.
    """
    from tokenizers import Tokenizer

    rebuilt = rebuild_tokenizer(files)
    rebuilt.no_padding()
    rebuilt.no_truncation()
    if files.class_name != AS_IT_IS:
        rebuilt.decoder = plain.decoder
    content = json.loads(rebuilt.to_str())
    kept = [row for row in content["added_tokens"] if row["id"] < words or row["content"] in named]
    if len(kept) == len(content["added_tokens"]):
        return rebuilt
    shortened: Tokenizer = Tokenizer.from_str(json.dumps({**content, "added_tokens": kept}))
    return shortened


def _as_version_4(files: TokenizerFiles, plain: Tokenizer) -> Tokenizer:
    """Change a tokenizer as the fast classes of transformers 4 do after they have loaded it.

    They set the casing of a BertNormalizer and the prefix space of a ByteLevel by
    tokenizer_config.json, and keep all else.
    """
    from tokenizers import Tokenizer

    content = json.loads(plain.to_str())
    normalizer, splitter = content["normalizer"] or {}, content["pre_tokenizer"] or {}
    if normalizer.get("type") == "BertNormalizer" and files.class_name != AS_IT_IS:
        for key, (theirs, default) in CASING.items():
            normalizer[theirs] = files.config.get(key, default)
    if "add_prefix_space" in splitter:
        splitter["add_prefix_space"] = bool(files.config.get("add_prefix_space", False))
    changed: Tokenizer = Tokenizer.from_str(json.dumps(content))
    return changed


CASING = {
    "do_lower_case": ("lowercase", True),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
    "strip_accents": ("strip_accents", None),
}
"""Key of tokenizer_config.json -> key of BertNormalizer, and the value of a missing key."""


def _pair_fault(source: ModelSource, plain: Tokenizer, rebuilt: Tokenizer) -> str | None:
    """Compare the tokens around a pair, and the token types, in transformers 4 and 5."""
    one, other = (tokenizer.encode("lamp", "The lamp") for tokenizer in (plain, rebuilt))
    around = [
        [(i, t) for i, t, owner in zip(e.ids, e.type_ids, e.sequence_ids, strict=True)
         if owner is None] + sorted({(o, t) for o, t in zip(e.sequence_ids, e.type_ids, strict=True)
         if o is not None})
        for e in (one, other)
    ]  # fmt: skip
    if around[0] == around[1]:
        return None
    return (
        f"a pair of texts has the ids {one.ids} and types {one.type_ids} by {TOKENIZER}, as in "
        f"transformers 4, but {other.ids} and {other.type_ids} in transformers 5. "
        f"{_DECIDE.format(resave_line(source))}"
    )


def _contradiction(source: ModelSource, files: TokenizerFiles, found: _Difference) -> str:
    text, ours, theirs = found
    plain, rebuilt = show_rows(ours, theirs)
    return (
        f"the text {text!r} has the ids {plain} by {TOKENIZER}, as in transformers 4, but "
        f"{rebuilt} in transformers 5, whose AutoTokenizer makes a {files.class_name} of "
        f"all its files. {_DECIDE.format(resave_line(source))}"
    )


def _dropped(source: ModelSource, files: TokenizerFiles, tokens: list[str]) -> str:
    more = f" and {len(tokens) - 1} more" if len(tokens) > 1 else ""
    return (
        f"its added token {tokens[0]!r}{more} is missing in the {files.class_name} that "
        "transformers 5 makes of all its files, since added_tokens_decoder in "
        "tokenizer_config.json lacks it; transformers 4 has it. "
        f"{_DECIDE.format(resave_line(source))}"
    )


_DECIDE = (
    "Decide which is right, and have transformers write its own into a copy of the folder with "
    "{}, or correct tokenizer_config.json"
)


def _shown_difference(found: _Difference) -> str:
    text, ours, theirs = found
    plain, rebuilt = show_rows(ours, theirs)
    return f"{text!r} has the ids {rebuilt} instead of {plain}"


def _added(tokenizer: Tokenizer) -> list[str]:
    rows = tokenizer.get_added_tokens_decoder()
    return [str(rows[number].content) for number in sorted(rows)]


_Difference = tuple[str, list[int], list[int]]
"""A text, and its ids by two tokenizers."""


def _resave_as_it_is(source: ModelSource) -> str:
    return (
        f"write its tokenizer whole with {resave_line(source)}, then set tokenizer_class to "
        "PreTrainedTokenizerFast in tokenizer_config.json"
    )


def _essence(tokenizer: Tokenizer) -> dict[str, Any]:
    """Reduce a tokenizer to what its ids depend on."""
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    tokens = [
        {key: flag for key, flag in token.items() if key != "special"}
        for token in content["added_tokens"]
    ]
    parts = {part: _stated(content[part]) for part in ("normalizer", "pre_tokenizer", "model")}
    return {**parts, "added_tokens": tokens, "around": _around(content["post_processor"])}


def _stated(part: Any) -> Any:
    """Leave out what has no effect on ids: empty affixes, nulls, and how offsets are counted."""
    if isinstance(part, list):
        return [_stated(step) for step in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _stated(value) if key in ("normalizers", "pretokenizers") else value
        for key, value in part.items()
        if value not in (None, "") and key != "trim_offsets"
    }


def _around(processor: dict[str, Any] | None) -> Any:
    """Reduce a post-processor to the ids around a single text; leave an unknown one as it is."""
    kind = processor and processor["type"]
    if processor is None or kind == "ByteLevel":
        return ["$A"]
    if kind in ("BertProcessing", "RobertaProcessing"):
        return [[processor["cls"][1]], "$A", [processor["sep"][1]]]
    if kind != "TemplateProcessing":
        return processor
    special = processor["special_tokens"]
    return [
        special[piece["SpecialToken"]["id"]]["ids"] if "SpecialToken" in piece else "$A"
        for piece in processor["single"]
    ]


def _first_difference(
    plain: Tokenizer, rebuilt: Tokenizer, texts: Iterable[str]
) -> _Difference | None:
    """Return the first text whose ids differ, and both; None where no text shows a difference."""
    texts = iter(texts)
    while block := list(islice(texts, 4096)):
        ours, theirs = plain.encode_batch(block), rebuilt.encode_batch(block)
        for text, one, other in zip(block, ours, theirs, strict=True):
            if one.ids != other.ids:
                return text, one.ids, other.ids
    return None


def _all_texts(tokens: Iterable[str]) -> Iterator[str]:
    return chain(_TEXTS, _texts_of_tokens(tokens), _texts_of_characters())


_ORDINARY = (
    "lamp",
    "The lamp",
    "Two lamps, LIGHTS and a river.",
    "Café naïve ÉCOLE Straße",
    "图书馆 한국어 книга",
    "don't 3.14 a-b_c",
)
"""Texts in single-spaced words of common characters."""

_TEXTS = (
    "lamp",
    "",
    " ",
    "The lamp",
    "  two  spaces ",
    "lamp\tlamp\n\nlamp\r\n lamp",
    "Café naïve ÉCOLE Straße",
    "cafe\u0301 I\u0307 \u1100\u1161",
    "图书馆 ｶﾞ ﬁ 한국어",
    "don't 3.14 a-b_c '' `` ...",
    "\u2581lamp \u2581 lamp\u00a0lamp\u3000lamp\u200blamp\u0000lamp",
    "x" * 120,
)


def _texts_of_tokens(tokens: Iterable[str]) -> Iterator[str]:
    for token in tokens:
        for text in (token, token.lower(), token.upper()):
            yield from (text, f"a {text} b", f"a{text}b", f"{text}{text}", f"a  {text}  B")


def _texts_of_characters() -> Iterator[str]:
    """Yield a text or two of every assigned character, composed and decomposed."""
    for number in range(0x110000):
        character = chr(number)
        if unicodedata.category(character) not in ("Cn", "Co", "Cs"):
            yield f"a{character}b {character}"
            decomposed = unicodedata.normalize("NFD", character)
            if decomposed != character:
                yield decomposed


_MOST_SHOWN = 12
"""Ids of a text that a message shows."""


def show_rows(ours: list[int], theirs: list[int]) -> tuple[str, str]:
    """Return two rows of ids for a message, cut to a part in which they differ."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    first = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
    start = 0 if first < _MOST_SHOWN else first - _MOST_SHOWN // 2
    return _shown(ours, start), _shown(theirs, start)


def _shown(ids: list[int], start: int) -> str:
    before = ["..."] if start else []
    after = ["..."] if len(ids) > start + _MOST_SHOWN else []
    return f"[{', '.join([*before, *map(str, ids[start : start + _MOST_SHOWN]), *after])}]"
