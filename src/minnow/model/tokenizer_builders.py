"""How each tokenizer class of transformers 5 builds its parts, from vocabulary and options.

Source: transformers 5.24, models/*/tokenization_*.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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


# --- normalizer, pre-tokenizer and model ---------------------------------------------------


def build_wordpiece(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    """Build the tokenizer of BERT: WordPiece, with casing and accents by the options."""
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


def build_byte_level(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    """Build the tokenizer of RoBERTa: BPE over bytes."""
    from tokenizers import pre_tokenizers

    tokenizer = _byte_pairs(vocabulary)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=options["add_prefix_space"])
    return tokenizer


def _byte_pairs(vocabulary: Vocabulary) -> Tokenizer:
    """Make a tokenizer whose model joins pairs, without marks on the parts of a word."""
    from tokenizers import Tokenizer, models

    return Tokenizer(
        models.BPE(
            vocab=vocabulary.vocab,
            merges=vocabulary.merges,
            continuing_subword_prefix="",
            end_of_word_suffix="",
            fuse_unk=False,
        )
    )


def unigram_builder(unknown: int | str) -> Callable[[Vocabulary, Options], Tokenizer]:
    """Return a builder of Unigram, by the unknown token's id or the key that names the token."""

    def build(vocabulary: Vocabulary, options: Options) -> Tokenizer:
        from tokenizers import Tokenizer, models, normalizers

        number = unknown
        if isinstance(number, str):
            texts = [text for text, _ in vocabulary.vocab]
            token = str(options[number])
            number = texts.index(token) if token in texts else 0
        model = models.Unigram(vocabulary.vocab, unk_id=number, byte_fallback=False)
        tokenizer = Tokenizer(model)
        if vocabulary.charsmap is not None:
            tokenizer.normalizer = normalizers.Precompiled(vocabulary.charsmap)
        tokenizer.pre_tokenizer = _words_of_white_space(options.get("add_prefix_space", True))
        return tokenizer

    return build


def _words_of_white_space(prefix: object) -> Any:
    """Split at white space; mark the start of each word, if there is a prefix space."""
    from tokenizers import pre_tokenizers

    scheme = "always" if prefix else "never"
    marks = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme)
    return pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), marks])


def build_albert(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    """Build the tokenizer of ALBERT: Unigram, with casing and accents by the options."""
    from tokenizers import Tokenizer, models, normalizers

    tokenizer = Tokenizer(models.Unigram(vocabulary.vocab, unk_id=1, byte_fallback=False))
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not options["keep_accents"]:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if options["do_lower_case"]:
        steps.append(normalizers.Lowercase())
    if vocabulary.charsmap is not None:
        steps.append(normalizers.Precompiled(vocabulary.charsmap))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = _words_of_white_space(options["add_prefix_space"])
    return tokenizer


def build_deberta(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    """Build a tokenizer without the character map, as transformers does for DeBERTa."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    unknown = (str(options["unk_token"]), 0.0)
    number = vocabulary.vocab.index(unknown) if unknown in vocabulary.vocab else options["unk_id"]
    tokenizer = Tokenizer(models.Unigram(vocabulary.vocab, unk_id=number, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            *([normalizers.Lowercase()] if options["do_lower_case"] else []),
            normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
            normalizers.NFC(),
            normalizers.Strip(left=False, right=True),
        ]
    )
    scheme = "always" if options["add_prefix_space"] else "first"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *([pre_tokenizers.Punctuation("isolated")] if options["split_by_punct"] else []),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme),
        ]
    )
    return tokenizer


def build_gemma(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    """Build the tokenizer of Gemma: BPE, with bytes for unknown characters."""
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


def build_qwen(vocabulary: Vocabulary, options: Options) -> Tokenizer:
    """Build the tokenizer of Qwen 2: BPE over bytes, of words by a pattern."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    tokenizer = _byte_pairs(vocabulary)
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


# --- what goes around a text ---------------------------------------------------------------


def template(
    first: str | None, last: str, *, twice: bool = False
) -> Callable[[Tokenizer, Options], Any]:
    """Put the special tokens of these keys around a text, and around those of a pair.

    Args:
        first: Key of the token before a text; None for none.
        last: Key of the token behind it.
        twice: Put the last token twice between the texts of a pair, which then have one token
            type; otherwise the second text has token type 1.
    """

    def around(tokenizer: Tokenizer, options: Options) -> Any:
        from tokenizers import processors

        texts = [str(options[key]) for key in (first, last) if key is not None]
        ids = [(text, _id(tokenizer, text)) for text in texts]
        single = [*texts[:-1], "$A", texts[-1]]
        kind = 0 if twice else 1
        between = [texts[-1]] if twice else []
        pair = [*single, *between, f"$B:{kind}", f"{texts[-1]}:{kind}"]
        return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)

    return around


def put_albert_ends(tokenizer: Tokenizer, options: Options) -> Any:
    """Put `[CLS]` and `[SEP]` around a text, with the ids of `cls_token` and `sep_token`."""
    from tokenizers import processors

    first, last = (_id(tokenizer, str(options[key])) for key in ("cls_token", "sep_token"))
    return processors.TemplateProcessing(
        single=["[CLS]", "$A", "[SEP]"],
        pair=["[CLS]", "$A", "[SEP]", "$B:1", "[SEP]:1"],
        special_tokens=[("[CLS]", first), ("[SEP]", last)],
    )


def put_t5_end(tokenizer: Tokenizer, options: Options) -> Any:
    """End a text with the token `</s>`, whatever its name, and the id of `eos_token`."""
    from tokenizers import processors

    number = _id(tokenizer, str(options["eos_token"]))
    return processors.TemplateProcessing(
        single=["$A", "</s>"],
        pair=["$A", "</s>", "$B", "</s>"],
        special_tokens=[("</s>", number)],
    )


_AROUND = ("sep_token", "cls_token")


def _id(tokenizer: Tokenizer, text: str) -> int:
    number = tokenizer.token_to_id(text)
    if number is None:
        raise ValueError(f"{text!r} is not in the vocabulary")
    return number


def put_roberta_ends(tokenizer: Tokenizer, options: Options) -> Any:
    """Put `cls_token` and `sep_token` around a text."""
    from tokenizers import processors

    last, first = ((text := str(options[key]), _id(tokenizer, text)) for key in _AROUND)
    prefix = bool(options.get("add_prefix_space"))
    return processors.RobertaProcessing(last, first, add_prefix_space=prefix)
