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
from minnow.model.tokenizer_files import AS_IT_IS, MODEL_TOKENS, SPECIAL_KEYS

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

    from minnow.model.tokenizer_files import TokenizerFiles

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Vocabulary:
    """The parts of a tokenizer.json that a rebuilt tokenizer keeps.

    Attributes:
        vocab: Token -> id, or pairs of token and score (Unigram).
        merges: Pairs of tokens (BPE).
        charsmap: The character map of SentencePiece; None where the normalizer has none.
    """

    vocab: Any
    merges: list[tuple[str, str]]
    charsmap: bytes | None


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


# --- how each class builds ---------------------------------------------------------------


def _wordpiece(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    model = models.WordPiece(vocabulary.vocab, unk_token=str(options["unk_token"]))
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=options["tokenize_chinese_chars"],
        strip_accents=options["strip_accents"],
        lowercase=options["do_lower_case"],
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _byte_level(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers

    model = models.BPE(
        vocab=vocabulary.vocab,
        merges=vocabulary.merges,
        continuing_subword_prefix="",
        end_of_word_suffix="",
        fuse_unk=False,
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=options["add_prefix_space"])
    return tokenizer


def _unigram(unknown: int | str) -> Callable[[Vocabulary, Options], Tokenizer]:
    """Return a builder of Unigram, by the unknown token's id or the key that names the token."""

    def build(vocabulary: Vocabulary, options: Options) -> Tokenizer:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

        number = unknown
        if isinstance(number, str):
            texts = [text for text, _ in vocabulary.vocab]
            token = str(options[number])
            number = texts.index(token) if token in texts else 0
        model = models.Unigram(vocabulary.vocab, unk_id=number, byte_fallback=False)
        tokenizer = Tokenizer(model)
        if vocabulary.charsmap is not None:
            tokenizer.normalizer = normalizers.Precompiled(vocabulary.charsmap)
        scheme = "always" if options.get("add_prefix_space", True) else "never"
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme),
            ]
        )
        return tokenizer

    return build


def _albert(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    from tokenizers import normalizers

    tokenizer = _unigram(1)(vocabulary, options)
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not options["keep_accents"]:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if options["do_lower_case"]:
        steps.append(normalizers.Lowercase())
    if vocabulary.charsmap is not None:
        steps.append(normalizers.Precompiled(vocabulary.charsmap))
    tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def _gemma(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    model = models.BPE(
        vocab=vocabulary.vocab,
        merges=vocabulary.merges,
        fuse_unk=True,
        unk_token=str(options["unk_token"]),
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    return tokenizer


_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _qwen(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    model = models.BPE(
        vocab=vocabulary.vocab,
        merges=vocabulary.merges,
        continuing_subword_prefix="",
        end_of_word_suffix="",
        fuse_unk=False,
        byte_fallback=False,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(
                add_prefix_space=bool(options.get("add_prefix_space")), use_regex=False
            ),
        ]
    )
    return tokenizer


def _template(first: str | None, last: str) -> Callable[[Tokenizer, Options], Any]:
    """Put the special tokens of these keys around a text."""

    def around(tokenizer: Tokenizer, options: Options) -> Any:
        from tokenizers import processors

        texts = [str(options[key]) for key in (first, last) if key is not None]
        single = [texts[0], "$A", texts[1]] if first is not None else ["$A", texts[0]]
        ids = [(text, _id(tokenizer, text)) for text in texts]
        return processors.TemplateProcessing(single=single, special_tokens=ids)

    return around


def _named_template(tokenizer: Tokenizer, options: Options) -> Any:
    """Put `[CLS]` and `[SEP]` around a text, by the ids of `cls_token` and `sep_token`."""
    from tokenizers import processors

    keys = {"[CLS]": "cls_token", "[SEP]": "sep_token"}
    ids = [(text, _id(tokenizer, str(options[key]))) for text, key in keys.items()]
    return processors.TemplateProcessing(single=["[CLS]", "$A", "[SEP]"], special_tokens=ids)


def _t5_end(tokenizer: Tokenizer, options: Options) -> Any:
    """End a text with the token `</s>`, whatever its name, and the id of `eos_token`."""
    from tokenizers import processors

    number = _id(tokenizer, str(options["eos_token"]))
    return processors.TemplateProcessing(single=["$A", "</s>"], special_tokens=[("</s>", number)])


_AROUND = ("sep_token", "cls_token")


def _id(tokenizer: Tokenizer, text: str) -> int:
    number = tokenizer.token_to_id(text)
    if number is None:
        raise ValueError(f"{text!r} is not in the vocabulary")
    return number


def _roberta_processor(tokenizer: Tokenizer, options: Options) -> Any:
    from tokenizers import processors

    last, first = ((text := str(options[key]), _id(tokenizer, text)) for key in _AROUND)
    prefix = bool(options.get("add_prefix_space"))
    return processors.RobertaProcessing(last, first, add_prefix_space=prefix)


_BERT_SPECIALS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
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
        build=_wordpiece,
        around=_template("cls_token", "sep_token"),
        defaults={**_BERT_SPECIALS, **_CASING},
    ),
    TokenizerClass(
        names=("MPNetTokenizer",),
        model="WordPiece",
        build=_wordpiece,
        around=_roberta_processor,
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
        build=_byte_level,
        around=_roberta_processor,
        defaults={**_ROBERTA_SPECIALS, "add_prefix_space": False},
    ),
    TokenizerClass(
        names=("XLMRobertaTokenizer",),
        model="Unigram",
        build=_unigram(3),
        around=_template("bos_token", "eos_token"),
        defaults={**_ROBERTA_SPECIALS, "add_prefix_space": True},
    ),
    TokenizerClass(
        names=("CamembertTokenizer",),
        model="Unigram",
        build=_unigram("unk_token"),
        around=_template("bos_token", "eos_token"),
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
        build=_albert,
        around=_named_template,
        defaults={
            "bos_token": "[CLS]",
            "eos_token": "[SEP]",
            "unk_token": "<unk>",
            "sep_token": "[SEP]",
            "pad_token": "<pad>",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
            "do_lower_case": True,
            "keep_accents": False,
        },
    ),
    TokenizerClass(
        names=("T5Tokenizer",),
        model="Unigram",
        build=_unigram(2),
        around=_t5_end,
        defaults={"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        prepare=_prepare_t5,
    ),
    TokenizerClass(
        names=("GemmaTokenizer",),
        model="BPE",
        build=_gemma,
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
        build=_qwen,
        around=None,
        defaults=dict.fromkeys(("unk_token", "eos_token", "pad_token"), "<|endoftext|>"),
        marks_specials=True,
    ),
)
