"""Checks a source's tokenizer: against its network, and against what transformers makes of it.

A bundle reads its tokenizer.json with the `tokenizers` library. transformers reads further files
and builds most tokenizers anew; `minnow.model.tokenizer_adoption` says which of both is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.errors import SourceError
from minnow.files import read_regular
from minnow.model.families import family_named, network_of
from minnow.model.network import LearnedPositions
from minnow.model.tokenizer import load_tokenizer
from minnow.model.tokenizer_adoption import (
    CASING,
    SourceTokenizer,
    TokenizerComparison,
    compare_with_transformers,
)
from minnow.model.tokenizer_files import (
    AS_IT_IS,
    TOKENIZER,
    TokenizerFiles,
    processor_tokens,
    read_tokenizer_files,
    tokenizer_file,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenizers import Tokenizer

    from minnow.model.source import ModelSource
    from minnow.model.spec import EncoderSpec


_RARE = "𐎠 ꙮ 鿿 🦔"
"""Letters and signs that few vocabularies have."""


def check_tokenizer(
    source: ModelSource, encoder: EncoderSpec, *, pairs: bool = False
) -> SourceTokenizer:
    """Check that a source's tokenizer files agree with each other and with the network.

    Args:
        source: The model's files.
        encoder: The network.
        pairs: Whether pairs of texts must have the same ids and token types too.

    Returns:
        Its tokenizer: the tokenizer.json as it is, or, where transformers 5 gives some text other
        ids, the one that transformers makes of all files.

    Raises:
        SourceError: Ids exceed the word table, the files contradict each other, or the tokenizer
            cannot be read; the message names all faults, and the ids where they differ.
        SourceNotFoundError: There is no tokenizer.json.
    """
    tokenizer = load_tokenizer(tokenizer_file(source))  # names a file that cannot be read
    content = read_regular(tokenizer_file(source))
    files = read_tokenizer_files(source)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    faults = _table_faults(vocabulary, encoder)
    faults += _vocabulary_faults(source, vocabulary)
    faults += _processor_faults(files, vocabulary)
    faults += _option_faults(files, tokenizer, encoder)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = TokenizerComparison()
    stated = _text_faults(tokenizer)
    if not any(fault.startswith(_NO_IDS) for fault in stated):
        found = compare_with_transformers(source, files, tokenizer, encoder.vocab_size, pairs=pairs)
    faults += [*stated, *found.faults]
    if found.rebuilt is not None and not faults:
        faults += _table_faults(found.rebuilt.get_vocab(with_added_tokens=True), encoder)
        faults += _text_faults(found.rebuilt)
    if faults:
        raise SourceError(f"{files.path} does not fit its model: {'; '.join(faults)}.")
    if found.rebuilt is None:
        return SourceTokenizer(content)
    note = f"{files.class_name} of transformers 5, in which {found.difference}"
    return SourceTokenizer(found.rebuilt.to_str(pretty=True).encode(), note)


def _table_faults(vocabulary: Mapping[str, int], encoder: EncoderSpec) -> list[str]:
    """Find an id that the word table lacks."""
    token, highest = max(vocabulary.items(), key=lambda row: row[1], default=("", -1))
    if highest < encoder.vocab_size:
        return []
    return [f"{token!r} has id {highest}, but the word table has {encoder.vocab_size} rows"]


_NO_IDS = "not every text has ids"


def _text_faults(tokenizer: Tokenizer) -> list[str]:
    """Find texts without ids, and token types other than 0."""
    try:
        types = [id_ for text in ("two words", _RARE) for id_ in tokenizer.encode(text).type_ids]
    except Exception as error:  # tokenizers raises bare Exception, as for a missing unknown token
        return [f"{_NO_IDS} ({error})"]
    return ["it gives a single text token type ids other than 0"] if any(types) else []


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


def _option_faults(files: TokenizerFiles, tokenizer: Tokenizer, encoder: EncoderSpec) -> list[str]:
    """Find options in tokenizer_config.json that minnow cannot follow, or that contradict."""
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
    """Find options of casing that no file states, and whose defaults contradict tokenizer.json."""
    stated = files.content.get("normalizer") or {}
    if files.class_name == AS_IT_IS or stated.get("type") != "BertNormalizer":
        return []
    return [
        f"its normalizer has {theirs} {stated.get(theirs)!r}, but tokenizer_config.json means "
        f"{key} {default!r}, since it has no such key"
        for key, (theirs, default) in CASING.items()
        if key not in files.config and stated.get(theirs) != default
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
