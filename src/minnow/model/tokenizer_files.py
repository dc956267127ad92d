"""The files that transformers makes a tokenizer of, read as `AutoTokenizer` reads them.

The rules are those of transformers 5 (docs/tokenizers.md names the functions): which class it
chooses, which of tokenizer_config.json, special_tokens_map.json and added_tokens.json wins, and
which tokens they add to those of tokenizer.json.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.errors import AmbiguousModelError, SourceError, SourceNotFoundError
from minnow.model.config import read_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tokenizers import AddedToken

    from minnow.model.source import ModelSource

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
SPECIAL_MAP = "special_tokens_map.json"
ADDED = "added_tokens.json"

SPECIAL_KEYS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
"""Keys of special tokens, in the order in which transformers adds missing ones."""

MODEL_TOKENS = "model_specific_special_tokens"
"""Option that holds special tokens by names of the model's own."""

AS_IT_IS = "TokenizersBackend"
"""The class that takes tokenizer.json as it is; transformers 4 names it PreTrainedTokenizerFast."""

_GENERIC = (AS_IT_IS, "PreTrainedTokenizer", "PreTrainedTokenizerFast", "PythonBackend")

_CLASS_OF_MODEL = {
    "albert": "AlbertTokenizer",
    "bert": "BertTokenizer",
    "camembert": "CamembertTokenizer",
    "convbert": "BertTokenizer",
    "data2vec-text": "RobertaTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "distilbert": "BertTokenizer",
    "electra": "BertTokenizer",
    "ernie": "BertTokenizer",
    "gemma": "GemmaTokenizer",
    "gemma2": "GemmaTokenizer",
    "gemma3_text": "GemmaTokenizer",
    "gte": "XLMRobertaTokenizer",
    "jina_embeddings_v3": "XLMRobertaTokenizer",
    "longformer": "RobertaTokenizer",
    "megatron-bert": "BertTokenizer",
    "modernbert": AS_IT_IS,
    "mpnet": "MPNetTokenizer",
    "mt5": "T5Tokenizer",
    "nomic_bert": "BertTokenizer",
    "qwen2": "Qwen2Tokenizer",
    "qwen3": "Qwen2Tokenizer",
    "roberta": "RobertaTokenizer",
    "t5": "T5Tokenizer",
    "umt5": AS_IT_IS,
    "xlm-roberta": "XLMRobertaTokenizer",
    "xlm-roberta-xl": AS_IT_IS,
}
"""`model_type` of config.json -> its class in transformers (TOKENIZER_MAPPING_NAMES)."""

_CONFIG_CLASS_IS_WRONG = ("modernbert", "qwen2")
"""Types whose own class wins over `tokenizer_class` (MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS)."""


@dataclass(frozen=True)
class TokenizerFiles:
    """What the files of a source say about its tokenizer.

    Attributes:
        path: The tokenizer.json.
        content: Its content.
        class_name: The class that transformers chooses, without `Fast`.
        options: Arguments of that class: tokenizer_config.json, and the older files where
            transformers reads them. Special tokens are strings or `AddedToken`s.
        added: Tokens to add (`AddedToken`), by id.
        config: tokenizer_config.json as it is.
    """

    path: Path
    content: dict[str, Any]
    class_name: str
    options: dict[str, Any]
    added: dict[int, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def read_tokenizer_files(source: ModelSource) -> TokenizerFiles:
    """Read the tokenizer files of a source as transformers reads them.

    Raises:
        SourceError: A file is not of the form that transformers writes.
        SourceNotFoundError: There is no tokenizer.json; the message says how to write one.
    """
    path = tokenizer_file(source)
    content = read_object(path)
    config = read_object(source.optional_file(CONFIG))
    name = _class_name(config, read_object(source.optional_file("config.json")), content)
    options = {key: value for key, value in config.items() if key != "tokenizer_class"}
    try:
        added = _read_tokens(source, content, options)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise SourceError(
            f"A token in the tokenizer files of {source.name} is not as transformers writes it "
            f"({error!r})."
        ) from error
    return TokenizerFiles(path, content, name, options, added, config)


_OLDER = ("vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model")


def tokenizer_file(source: ModelSource) -> Path:
    """Locate the tokenizer.json of a source.

    Raises:
        SourceNotFoundError: There is none; the message says how to write one.
    """
    path = source.optional_file(TOKENIZER)
    if path is not None:
        return path
    found = [name for name in _OLDER if source.optional_file(name)]
    has = f", only {found[0]} of an older tokenizer" if found else ""
    raise SourceNotFoundError(
        f"{source.name} has no {TOKENIZER}{has} (looked in {source.folder}). Have transformers "
        f"write one into a copy of the folder: {resave_line(source)}"
    )


def resave_line(source: ModelSource) -> str:
    """Return the line of Python that writes a source's tokenizer whole into its folder."""
    target = "FOLDER" if source.kind == "hub" else str(source.folder)
    name = source.name if source.kind == "hub" else target
    return f"AutoTokenizer.from_pretrained({name!r}).save_pretrained({target!r})"


def named_tokens(source: ModelSource) -> list[str]:
    """List every added or special token that a file of the tokenizer names, each once.

    Raises:
        SourceError: A file is not of the form that transformers writes.
    """
    content = read_object(source.optional_file(TOKENIZER))
    maps = [read_object(source.optional_file(name)) for name in (CONFIG, SPECIAL_MAP)]
    found = [
        *_contents(content.get("added_tokens")),
        *(token for options in maps for token in _contents_of_options(options)),
        *map(str, read_object(source.optional_file(ADDED))),
        *(token for token, _ in processor_tokens(content.get("post_processor"))),
    ]
    return [token for token in dict.fromkeys(found) if token]


def processor_tokens(processor: Any) -> Iterator[tuple[str, int]]:
    """Yield each token that a post-processor puts around texts, and the id that it writes."""
    if not isinstance(processor, dict):
        return
    for inner in processor.get("processors") or ():
        yield from processor_tokens(inner)
    for pair in (processor.get("cls"), processor.get("sep")):
        if isinstance(pair, list) and len(pair) == 2:
            yield str(pair[0]), pair[1]
    for row in (processor.get("special_tokens") or {}).values():
        yield from zip(row.get("tokens") or (), row.get("ids") or (), strict=False)


# --- the class ---------------------------------------------------------------------------


def model_class(model_type: str) -> str | None:
    """Return the class that transformers registers for a `model_type`; None for none."""
    return _CLASS_OF_MODEL.get(model_type)


def _class_name(config: Mapping[str, Any], model: Mapping[str, Any], content: Any) -> str:
    """Choose the class as `AutoTokenizer.from_pretrained` does, without code of the model's own."""
    stated = config.get("tokenizer_class") or model.get("tokenizer_class")
    kind = model.get("model_type")
    registered = model_class(str(kind))
    if stated is None:
        return registered or AS_IT_IS
    name = str(stated).removesuffix("Fast")
    if name == "LlamaTokenizer" and "ByteLevel" in str(content.get("pre_tokenizer")):
        return AS_IT_IS
    differs = registered is not None and registered != name
    if differs and (registered in _GENERIC or kind in _CONFIG_CLASS_IS_WRONG):
        return registered or AS_IT_IS
    return AS_IT_IS if name in _GENERIC or str(stated) in _GENERIC else name


_WITH_TYPES = ("BertTokenizer", "DebertaV2Tokenizer")
_WITHOUT_TYPES = (
    "CamembertTokenizer",
    "DistilBertTokenizer",
    "MPNetTokenizer",
    "RobertaTokenizer",
    "XLMRobertaTokenizer",
)
"""Classes that give a network token types, and that do not, in transformers 4 and 5 alike."""


def gives_token_types(files: TokenizerFiles) -> bool:
    """Return whether transformers gives the network the token types of a pair.

    Raises:
        AmbiguousModelError: No file says so, and the default of the class differs between
            transformers 4 and 5 (`model_input_names`), or is unknown here.
    """
    names = files.config.get("model_input_names")
    if names is not None:
        return "token_type_ids" in names
    if files.class_name in (*_WITH_TYPES, *_WITHOUT_TYPES):
        return files.class_name in _WITH_TYPES
    raise AmbiguousModelError(
        f"{files.path.parent / CONFIG} does not say whether the network is given token types: for "
        f"a {files.class_name} transformers 4 gives them, and transformers 5 does not. Add "
        '"model_input_names" to a copy of it: ["input_ids", "token_type_ids", "attention_mask"], '
        'or without "token_type_ids".'
    )


# --- tokens ------------------------------------------------------------------------------


def _read_tokens(
    source: ModelSource, content: Mapping[str, Any], options: dict[str, Any]
) -> dict[int, AddedToken]:
    """Complete the options by the older files; return the tokens to add, by id.

    tokenizer_config.json with `added_tokens_decoder` replaces special_tokens_map.json,
    added_tokens.json and the added tokens of tokenizer.json.
    """
    from tokenizers import AddedToken

    if "additional_special_tokens" in options and not options.get("extra_special_tokens"):
        options["extra_special_tokens"] = options.pop("additional_special_tokens")
    if "added_tokens_decoder" in options:
        rows = options.pop("added_tokens_decoder").items()
        added = {int(number): AddedToken(**row) for number, row in rows}
    else:
        _merge_special_map(options, read_object(source.optional_file(SPECIAL_MAP)))
        added = _older_added_tokens(source, options)
        for row in content.get("added_tokens") or ():
            fields = {key: value for key, value in row.items() if key != "id"}
            added[row["id"]] = AddedToken(**fields)
    if isinstance(options.get("extra_special_tokens"), dict):
        options[MODEL_TOKENS] = options.pop("extra_special_tokens")
    by_content = {token.content: token for token in added.values()}
    for key, value in list(options.items()):
        options[key] = _as_token(value)
        if key in SPECIAL_KEYS and options[key] is not None:
            options[key] = by_content.get(str(options[key]), options[key])
    return added


def _merge_special_map(options: dict[str, Any], special: Mapping[str, Any]) -> None:
    from tokenizers import AddedToken

    for key, value in special.items():
        if isinstance(value, dict) and key != "extra_special_tokens":
            fields = {name: flag for name, flag in value.items() if name != "special"}
            options[key] = AddedToken(**fields, special=True)
        elif key == "extra_special_tokens" and isinstance(value, list):
            stated = list(options.get(key) or ())
            options[key] = stated + [
                token for token in map(_as_token, value) if token not in stated
            ]
        else:
            options[key] = value


def _older_added_tokens(source: ModelSource, options: Mapping[str, Any]) -> dict[int, AddedToken]:
    from tokenizers import AddedToken

    special = {str(options[key]) for key in SPECIAL_KEYS if options.get(key)}
    special |= set(map(str, options.get("extra_special_tokens") or ()))
    return {
        number: AddedToken(token, normalized=token not in special, special=token in special)
        for token, number in read_object(source.optional_file(ADDED)).items()
    }


def _as_token(value: Any) -> Any:
    """Turn `{"__type": "AddedToken", ...}` into a token, in lists and objects too."""
    from tokenizers import AddedToken

    if isinstance(value, dict):
        if value.get("__type") == "AddedToken":
            return AddedToken(**{key: flag for key, flag in value.items() if key != "__type"})
        return {key: _as_token(inner) for key, inner in value.items()}
    return [_as_token(inner) for inner in value] if isinstance(value, list) else value


def _contents(rows: Any) -> Iterator[str]:
    """Yield the text of each token in a list or object of strings and objects with `content`."""
    for row in rows.values() if isinstance(rows, dict) else rows or ():
        text = row.get("content") if isinstance(row, dict) else row
        if isinstance(text, str):
            yield text


def _contents_of_options(options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        if key.endswith("_token"):
            yield from _contents([value])
        elif key in ("additional_special_tokens", "extra_special_tokens", "added_tokens_decoder"):
            yield from _contents(value)
