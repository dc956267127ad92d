"""Checks a source's tokenizer: against its network, and against what transformers makes of it.

A bundle carries the source's tokenizer.json and reads it with the `tokenizers` library.
transformers reads further files and builds most tokenizers anew. Where both would give the same
ids for every text the source passes; where they differ it is refused with a text that shows it.
"""

from __future__ import annotations

import json
import unicodedata
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from minnow.errors import SourceError, UnsupportedModelError
from minnow.files import read_regular
from minnow.model.families import family_named, network_of
from minnow.model.network import LearnedPositions
from minnow.model.tokenizer import load_tokenizer
from minnow.model.tokenizer_classes import rebuild_tokenizer
from minnow.model.tokenizer_files import (
    AS_IT_IS,
    TOKENIZER,
    TokenizerFiles,
    named_tokens,
    processor_tokens,
    read_tokenizer_files,
    resave_line,
    tokenizer_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tokenizers import Tokenizer

    from minnow.model.source import ModelSource
    from minnow.model.spec import EncoderSpec


_RARE = "𐎠 ꙮ 鿿 🦔"
"""Letters and signs that few vocabularies have."""


def check_tokenizer(source: ModelSource, encoder: EncoderSpec) -> None:
    """Check that a source's tokenizer files agree with each other and with the network.

    Raises:
        SourceError: Ids exceed the word table, the files contradict each other, transformers
            would give a text other ids, or the tokenizer cannot be read; the message names all
            faults, and the ids where they differ.
        SourceNotFoundError: There is no tokenizer.json.
    """
    tokenizer = load_tokenizer(tokenizer_file(source))
    files = read_tokenizer_files(source)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    faults = []
    token, highest = max(vocabulary.items(), key=lambda row: row[1], default=("", -1))
    if highest >= encoder.vocab_size:
        faults.append(
            f"{token!r} has id {highest}, but the word table has {encoder.vocab_size} rows"
        )
    faults += _vocabulary_faults(source, vocabulary)
    faults += _processor_faults(files, vocabulary)
    faults += _option_faults(files, tokenizer, encoder)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    try:
        types = [id_ for text in ("two words", _RARE) for id_ in tokenizer.encode(text).type_ids]
    except Exception as error:  # tokenizers raises bare Exception, as for a missing unknown token
        faults.append(f"not every text has ids ({error})")
    else:
        if any(types):
            faults.append("it gives a single text token type ids other than 0")
        faults += transformers_faults(source, files, tokenizer)
    if faults:
        raise SourceError(f"{files.path} does not fit its model: {'; '.join(faults)}.")


def _vocabulary_faults(source: ModelSource, vocabulary: dict[str, int]) -> list[str]:
    """Compare vocab.txt, where a source has one, with the vocabulary of tokenizer.json."""
    path = source.optional_file("vocab.txt")
    if path is None:
        return []
    try:
        text = read_regular(path).decode("utf-8", "replace")
    except OSError as error:
        return [f"vocab.txt cannot be read ({error.strerror})"]
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    stated = {line: i for i, line in enumerate(lines) if line.strip()}
    unlike = [line for line, i in stated.items() if vocabulary.get(line) != i]
    if not unlike:
        return []
    first = unlike[0]
    return [
        f"{len(unlike)} tokens of vocab.txt have another id in it ({first!r} has "
        f"{vocabulary.get(first, 'none')}, not {stated[first]})"
    ]


def _processor_faults(files: TokenizerFiles, vocabulary: Mapping[str, int]) -> list[str]:
    """Compare the ids that the post-processor writes with those of the same tokens."""
    return [
        f"its post-processor writes id {number} for {token!r}, whose id is "
        f"{vocabulary.get(token, 'none')}"
        for token, number in processor_tokens(files.content.get("post_processor"))
        if vocabulary.get(token) != number
    ]


_CASING = {
    "do_lower_case": ("lowercase", True),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
    "strip_accents": ("strip_accents", None),
}
"""Key of tokenizer_config.json -> key of BertNormalizer, and the value of a missing key."""


def _option_faults(files: TokenizerFiles, tokenizer: Tokenizer, encoder: EncoderSpec) -> list[str]:
    """Compare tokenizer_config.json, which transformers prefers, with tokenizer.json."""
    config, faults = files.config, []
    direction = (tokenizer.truncation or {}).get("direction", "right")
    if config.get("truncation_side", direction) != "right":
        faults.append("long texts should lose their beginning, but minnow cuts off the end")
    padding = (tokenizer.padding or {}).get("direction", "right")
    if config.get("padding_side", padding) == "left" and _counts_padding(encoder):
        faults.append(
            "texts are padded on the left, which shifts their positions in this network: "
            "a vector would depend on the other texts of its batch; set padding_side to right"
        )
    if "auto_map" in config:
        faults.append("tokenizer_config.json names code of its own (auto_map)")
    if config.get("split_special_tokens"):
        faults.append("tokenizer_config.json has split_special_tokens, which minnow lacks")
    if set(config.get("fast_tokenizer_files") or ()) - {TOKENIZER}:
        faults.append("tokenizer_config.json names other files in fast_tokenizer_files")
    if "attention_mask" not in config.get("model_input_names", ("attention_mask",)):
        faults.append("tokenizer_config.json asks for no attention mask (model_input_names)")
    return faults + _casing_faults(files) + _prefix_faults(files) + _ends_faults(files)


def _counts_padding(encoder: EncoderSpec) -> bool:
    """Return whether padding before a text moves the text's positions."""
    learned = isinstance(network_of(encoder).positions, LearnedPositions)
    return learned and not family_named(encoder.family).positions_after_padding


def _casing_faults(files: TokenizerFiles) -> list[str]:
    stated = files.content.get("normalizer") or {}
    if files.class_name == AS_IT_IS or stated.get("type") != "BertNormalizer":
        return []
    return [
        f"its normalizer has {theirs} {stated.get(theirs)!r}, but tokenizer_config.json "
        f"{'has' if key in files.config else 'means'} {key} {files.config.get(key, default)!r}"
        for key, (theirs, default) in _CASING.items()
        if files.config.get(key, default) != stated.get(theirs)
    ]


def _prefix_faults(files: TokenizerFiles) -> list[str]:
    """Find a prefix space that transformers 4 takes from tokenizer_config.json."""
    stored = (files.content.get("pre_tokenizer") or {}).get("add_prefix_space")
    stated = files.config.get("add_prefix_space", False)
    if files.class_name != AS_IT_IS or stored is None or stored == stated:
        return []
    return [
        f"its pre-tokenizer has add_prefix_space {stored!r}, which transformers 5 follows, but "
        f"transformers 4 follows tokenizer_config.json ({stated!r}); make them equal"
    ]


_PUTS_BY_OPTION = ("CodeLlamaTokenizer", "GemmaTokenizer", "LlamaTokenizer")
"""Classes that put `bos_token` and `eos_token` by options in transformers 4, without in 5."""


def _ends_faults(files: TokenizerFiles) -> list[str]:
    """Find tokens around a text that only transformers 4 takes from tokenizer_config.json."""
    names = {files.class_name, str(files.config.get("tokenizer_class")).removesuffix("Fast")}
    if not names & set(_PUTS_BY_OPTION):
        return []
    put = [token for token, _ in processor_tokens(files.content.get("post_processor"))]
    defaults = {"bos_token": "<bos>", "eos_token": "<eos>"}
    return [
        f"tokenizer_config.json has {key} {stated!r}, which transformers 4 follows, but "
        f"transformers 5 follows the post-processor of {TOKENIZER}; make them agree"
        for key, token in (("add_bos_token", "bos_token"), ("add_eos_token", "eos_token"))
        if (stated := files.config.get(key)) is not None
        and bool(stated) != (str(files.options.get(token, defaults[token])) in put)
    ]


# --- transformers ------------------------------------------------------------------------


def transformers_faults(source: ModelSource, files: TokenizerFiles, plain: Tokenizer) -> list[str]:
    """Find a text to which the class of transformers 5 gives other ids than tokenizer.json.

    Args:
        source: The model's files.
        files: The same, read.
        plain: Its tokenizer.json as it is, without padding and truncation.

    Returns:
        One fault, with the text and both rows of ids; or none.
    """
    try:
        rebuilt = rebuild_tokenizer(files)
        rebuilt.no_padding()
        rebuilt.no_truncation()
    except UnsupportedModelError as error:
        return [f"{error}; {_resave_as_it_is(source)}"]
    except SourceError as error:
        return [str(error)]
    except Exception as error:  # tokenizers raises bare Exception
        return [f"transformers cannot build a {files.class_name} of these files ({error})"]
    if _essence(plain) == _essence(rebuilt):
        return []
    try:
        found = _first_difference(plain, rebuilt, named_tokens(source))
    except Exception as error:  # tokenizers raises bare Exception, as for a missing unknown token
        return [f"not every text has ids in a {files.class_name} of these files ({error})"]
    if found is None:
        return []
    text, ours, theirs = found
    return [
        f"the text {text!r} has the ids {_shown(ours)} by {TOKENIZER}, but {_shown(theirs)} in "
        f"transformers 5, whose AutoTokenizer makes a {files.class_name} of all its files. Decide "
        "which is right, and have transformers write its own into a copy of the folder with "
        f"{resave_line(source)}, or correct tokenizer_config.json"
    ]


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
    plain: Tokenizer, rebuilt: Tokenizer, tokens: Iterable[str]
) -> tuple[str, list[int], list[int]] | None:
    """Return the first text whose ids differ, and both; None where no text shows a difference."""
    texts = chain(_TEXTS, _texts_of_tokens(tokens), _texts_of_characters())
    while block := list(islice(texts, 4096)):
        ours, theirs = plain.encode_batch(block), rebuilt.encode_batch(block)
        for text, one, other in zip(block, ours, theirs, strict=True):
            if one.ids != other.ids:
                return text, one.ids, other.ids
    return None


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


def _shown(ids: list[int]) -> str:
    most = 12
    return str(ids) if len(ids) <= most else f"[{', '.join(map(str, ids[:most]))}, ...]"
