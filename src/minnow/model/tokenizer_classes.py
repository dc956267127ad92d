"""The tokenizers that transformers 5 builds: a table of its classes, and their construction.

Most classes of transformers 5 take only the vocabulary, the merges and the character map of a
tokenizer.json, and build normalizer, pre-tokenizer and post-processor anew, from the options in
tokenizer_config.json. A row of the table says how one class does that.

Source: transformers 5.24, `TokenizersBackend.__init__` and models/*/tokenization_*.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minnow.errors import SourceError, UnsupportedModelError
from minnow.model.tokenizer_builders import (
    Options,
    Vocabulary,
    build_albert,
    build_byte_level,
    build_deberta,
    build_gemma,
    build_qwen,
    build_wordpiece,
    put_albert_ends,
    put_roberta_ends,
    put_t5_end,
    template,
    unigram_builder,
)
from minnow.model.tokenizer_files import AS_IT_IS, MODEL_TOKENS, SPECIAL_KEYS

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

    from minnow.model.tokenizer_files import TokenizerFiles


@dataclass(frozen=True)
class TokenizerClass:
    """One row of the table.

    Attributes:
        names: Names of the class in `tokenizer_class`, without `Fast`.
        model: The type of model that it builds, as tokenizer.json names it.
        build: Makes the tokenizer without added tokens, from vocabulary and options.
        around: Makes the post-processor from the special tokens' texts and ids; None keeps
            that of tokenizer.json.
        defaults: Options that are in force where no file states them.
        prepare: Changes the options before they are used.
        marks_specials: Whether it adds every special token once more, not normalised.
    """

    names: tuple[str, ...]
    model: str
    build: Callable[[Vocabulary, Options], Any]
    around: Callable[[Any, Options], Any] | None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[dict[str, Any]], None] = lambda options: None
    marks_specials: bool = False


def rebuild_tokenizer(files: TokenizerFiles) -> Tokenizer:
    """Build the tokenizer that `AutoTokenizer` of transformers 5 gives for these files.

    Raises:
        UnsupportedModelError: transformers builds a class that is not in the table.
        SourceError: The vocabulary is of another type than the class makes.
        Exception: The `tokenizers` library cannot build what the files ask for.
    """
    from tokenizers import Tokenizer

    tokenizer: Tokenizer
    options = dict(files.options)
    if files.class_name == AS_IT_IS:
        tokenizer = Tokenizer.from_str(json.dumps(files.content))
        _add_tokens(tokenizer, files, options)
        return tokenizer
    row = tokenizer_class(files.class_name)
    options = {**row.defaults, **options}
    row.prepare(options)
    tokenizer = row.build(_vocabulary(files.content, row), options)
    _add_tokens(tokenizer, files, options)
    if row.marks_specials:
        tokenizer.add_tokens([_special(text) for text in _special_texts(options)])
    if row.around is not None:
        tokenizer.post_processor = row.around(tokenizer, options)
    else:
        tokenizer.post_processor = Tokenizer.from_str(json.dumps(files.content)).post_processor
    return tokenizer


def tokenizer_class(name: str) -> TokenizerClass:
    """Find the row of a class.

    Raises:
        UnsupportedModelError: There is none.
    """
    for row in _CLASSES:
        if name in row.names:
            return row
    raise UnsupportedModelError(
        f"its class in transformers, {name}, builds a tokenizer of its own that minnow does not "
        "know"
    )


# --- added tokens ------------------------------------------------------------------------


def _add_tokens(tokenizer: Tokenizer, files: TokenizerFiles, options: dict[str, Any]) -> None:
    """Add the tokens that the files name and the tokenizer lacks, in transformers' order."""
    padding = files.content.get("padding")
    if padding:
        options.setdefault("pad_token", padding.get("pad_token"))
    named, extra = _named_and_extra(options)
    present = tokenizer.get_added_tokens_decoder().values()
    reprs, contents = {repr(token) for token in present}, {token.content for token in present}
    new: list[Any] = [token for _, token in sorted(files.added.items()) if repr(token) not in reprs]
    contents |= {token.content for token in new}
    for token in (*named, *extra):
        if str(token) not in contents and token not in new:
            new.append(token)
    special = {str(token) for token in named}
    tokens = [_special(token) if isinstance(token, str) else token for token in new]
    for token in tokens:
        token.special = token.special or token.content in special
    if tokens:
        tokenizer.add_tokens(tokens)


def _named_and_extra(options: Options) -> tuple[list[Any], list[Any]]:
    """Return the special tokens that have a key of their own, and those in a list."""
    key = "extra_special_tokens"
    extra = options.get(key if key in options else "additional_special_tokens") or ()
    further = [value for name, value in options.items() if name.endswith("_token")]
    named = [*(options.get(name) for name in SPECIAL_KEYS), *further]
    named += options.get(MODEL_TOKENS, {}).values()
    return [token for token in named if _is_token(token)], list(extra)


def _is_token(value: Any) -> bool:
    return isinstance(value, str) or type(value).__name__ == "AddedToken"


def _special(text: str) -> AddedToken:
    from tokenizers import AddedToken

    return AddedToken(text, special=True)


def _special_texts(options: Options) -> list[str]:
    named, extra = _named_and_extra(options)
    return list(dict.fromkeys(map(str, (*named, *extra))))


def _prepare_t5(options: dict[str, Any]) -> None:
    """Add `<extra_id_N>` where the files name no such tokens; add_prefix_space has no effect."""
    options.pop("add_prefix_space", None)
    stated = options.get("additional_special_tokens")
    sentinels = [f"<extra_id_{i}>" for i in range(options.pop("extra_ids", 100))]
    if stated is None:
        options["additional_special_tokens"] = sentinels
    elif not any("<extra_id_" in str(token) for token in stated):
        options["additional_special_tokens"] = [*stated, *sentinels]


def _wrap_mpnet_tokens(options: dict[str, Any]) -> None:
    """Turn special tokens that are strings into tokens that are normalised, as MPNet has them."""
    from tokenizers import AddedToken

    for key in SPECIAL_KEYS:
        if isinstance(options.get(key), str):
            options[key] = AddedToken(options[key], lstrip=key == "mask_token")


def _wrap_camembert_mask(options: dict[str, Any]) -> None:
    from tokenizers import AddedToken

    if isinstance(options.get("mask_token"), str):
        options["mask_token"] = AddedToken(options["mask_token"], lstrip=True, special=True)


# --- parts of tokenizer.json -------------------------------------------------------------


def _vocabulary(content: Mapping[str, Any], row: TokenizerClass) -> Vocabulary:
    model = content.get("model") or {}
    kind = model.get("type", row.model)
    if kind != row.model:
        raise SourceError(
            f"its class in transformers 5, {row.names[0]}, makes a {row.model} tokenizer of a "
            f"vocabulary of type {kind}, with ids that mean nothing to the model; set "
            "tokenizer_class in tokenizer_config.json to PreTrainedTokenizerFast, which takes "
            "tokenizer.json as it is"
        )
    vocab = model.get("vocab")
    if isinstance(vocab, list):
        vocab = [tuple(pair) for pair in vocab]
    merges: list[Any] = [
        tuple(merge.split(" ") if isinstance(merge, str) else merge)
        for merge in model.get("merges") or ()
    ]
    return Vocabulary(vocab, merges, _charsmap(content.get("normalizer")))


def _charsmap(normalizer: Any) -> bytes | None:
    """Return the first character map among the outermost steps of a normalizer."""
    if not normalizer:
        return None
    steps = normalizer["normalizers"] if normalizer.get("type") == "Sequence" else [normalizer]
    for step in steps:
        if step.get("type") == "Precompiled" and "precompiled_charsmap" in step:
            return base64.b64decode(step["precompiled_charsmap"])
    return None


# --- the table ---------------------------------------------------------------------------

_BERT_SPECIALS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_LETTER_SPECIALS = {"bos_token": "[CLS]", "eos_token": "[SEP]", **_BERT_SPECIALS}
_ROBERTA_SPECIALS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_CASING = {"do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": None}

_CLASSES = (
    TokenizerClass(
        names=(
            "BertTokenizer",
            "DistilBertTokenizer",
            "ElectraTokenizer",
            "LxmertTokenizer",
            "MobileBertTokenizer",
            "SqueezeBertTokenizer",
        ),
        model="WordPiece",
        build=build_wordpiece,
        around=template("cls_token", "sep_token"),
        defaults={**_BERT_SPECIALS, **_CASING},
    ),
    TokenizerClass(
        names=("MPNetTokenizer",),
        model="WordPiece",
        build=build_wordpiece,
        around=put_roberta_ends,
        defaults={**_ROBERTA_SPECIALS, "unk_token": "[UNK]", **_CASING},
        prepare=_wrap_mpnet_tokens,
    ),
    TokenizerClass(
        names=(
            "RobertaTokenizer",
            "BartTokenizer",
            "LEDTokenizer",
            "LongformerTokenizer",
            "MvpTokenizer",
        ),
        model="BPE",
        build=build_byte_level,
        around=put_roberta_ends,
        defaults={**_ROBERTA_SPECIALS, "add_prefix_space": False},
    ),
    TokenizerClass(
        names=("XLMRobertaTokenizer",),
        model="Unigram",
        build=unigram_builder(3),
        around=template("bos_token", "eos_token", twice=True),
        defaults={**_ROBERTA_SPECIALS, "add_prefix_space": True},
    ),
    TokenizerClass(
        names=("CamembertTokenizer",),
        model="Unigram",
        build=unigram_builder("unk_token"),
        around=template("bos_token", "eos_token", twice=True),
        defaults={
            **_ROBERTA_SPECIALS,
            "add_prefix_space": True,
            "additional_special_tokens": ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"],
        },
        prepare=_wrap_camembert_mask,
    ),
    TokenizerClass(
        names=("AlbertTokenizer",),
        model="Unigram",
        build=build_albert,
        around=put_albert_ends,
        defaults={
            **_LETTER_SPECIALS,
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "do_lower_case": True,
            "keep_accents": False,
            "add_prefix_space": True,
        },
    ),
    TokenizerClass(
        names=("DebertaV2Tokenizer",),
        model="Unigram",
        build=build_deberta,
        around=template("cls_token", "sep_token"),
        defaults={
            **_LETTER_SPECIALS,
            "do_lower_case": False,
            "split_by_punct": False,
            "add_prefix_space": True,
            "unk_id": 1,
        },
    ),
    TokenizerClass(
        names=("T5Tokenizer",),
        model="Unigram",
        build=unigram_builder(2),
        around=put_t5_end,
        defaults={"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        prepare=_prepare_t5,
    ),
    TokenizerClass(
        names=("GemmaTokenizer",),
        model="BPE",
        build=build_gemma,
        around=None,
        defaults={
            "unk_token": "<unk>",
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
        },
    ),
    TokenizerClass(
        names=("Qwen2Tokenizer",),
        model="BPE",
        build=build_qwen,
        around=None,
        defaults=dict.fromkeys(("unk_token", "eos_token", "pad_token"), "<|endoftext|>"),
        marks_specials=True,
    ),
)
