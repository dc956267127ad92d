"""Tiny tokenizers of every class that minnow knows, with the files that transformers writes."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from fakes.checkpoint import VOCABULARY, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BERT_SPECIALS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ROBERTA_SPECIALS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
SPECIALS: dict[str, dict[str, str]] = {
    "bert": BERT_SPECIALS,
    "mpnet": {**ROBERTA_SPECIALS, "unk_token": "[UNK]"},
    "roberta": ROBERTA_SPECIALS,
    "xlm-roberta": ROBERTA_SPECIALS,
    "camembert": ROBERTA_SPECIALS,
    "albert": {
        "bos_token": "[CLS]",
        "eos_token": "[SEP]",
        "unk_token": "<unk>",
        "sep_token": "[SEP]",
        "pad_token": "<pad>",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    },
    "t5": {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    "gemma3_text": {
        "pad_token": "<pad>",
        "eos_token": "<eos>",
        "bos_token": "<bos>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    },
    "qwen3": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
}
"""`model_type` -> its special tokens."""

CLASSES = {
    "bert": "BertTokenizer",
    "mpnet": "MPNetTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
    "t5": "T5Tokenizer",
    "gemma3_text": "GemmaTokenizer",
    "qwen3": "Qwen2Tokenizer",
}
"""`model_type` -> `tokenizer_class`."""

_AROUND = {
    "bert": ("[CLS]", "[SEP]"),
    "albert": ("[CLS]", "[SEP]"),
    "t5": (None, "</s>"),
    "gemma3_text": ("<bos>", "<eos>"),
    "qwen3": (None, "<|endoftext|>"),
}
_WORDS = ("a", "fish", "sleep", "water", "river", "the", "how", "do", "not", "lamp")
_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_tokenizer_of(folder: Path, model_type: str, **config: Any) -> Path:
    """Write config.json and the tokenizer files of a model type.

    Args:
        folder: Where; made if need be.
        model_type: A key of CLASSES.
        **config: Replaces keys of tokenizer_config.json; None leaves a key out.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(model_type)
    tokenizer.save(str(folder / "tokenizer.json"))
    rows = tokenizer.get_vocab_size()
    write_json(folder / "config.json", {"model_type": model_type, "vocab_size": rows})
    stated = {"tokenizer_class": CLASSES[model_type], **SPECIALS[model_type], **config}
    stated = {key: value for key, value in stated.items() if value is not None}
    write_json(folder / "tokenizer_config.json", stated)
    return folder


def tokenizer_of(model_type: str) -> Tokenizer:
    """Build a tokenizer as the class of this model type does, with its special tokens."""
    special = list(dict.fromkeys(SPECIALS[model_type].values()))
    tokenizer = _BUILD[model_type](special)
    for token in special:
        strips = token == "<mask>" and model_type != "gemma3_text"
        tokenizer.add_special_tokens([AddedToken(token, lstrip=strips, special=True)])
    if model_type == "t5":
        tokenizer.add_special_tokens([f"<extra_id_{i}>" for i in range(100)])
    if model_type == "camembert":
        tokenizer.add_special_tokens(["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"])
    first, last = _AROUND.get(model_type, ("<s>", "</s>"))
    template = [token for token in (first, "$A", last) if token]
    ids = [(t, tokenizer.token_to_id(t)) for t in template if t != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    return tokenizer


def _wordpiece(special: list[str]) -> Tokenizer:
    words = [word for word in VOCABULARY if not word.startswith("[") or len(word) == 1]
    tokens = dict.fromkeys([*special, "[UNK]", *words, "é", "##é"])
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _merged(
    special: list[str], letters: list[str], marker: str
) -> tuple[dict[str, int], list[Any]]:
    """Return vocabulary and merges that spell each of a few words in one token."""
    tokens, merges = dict.fromkeys([*special, *letters]), list[tuple[str, str]]()
    for word in _WORDS:
        for start in ("", marker):
            done = start or word[0]
            for letter in word if start else word[1:]:
                merges.append((done, letter))
                done += letter
                tokens[done] = None
    return {token: i for i, token in enumerate(tokens)}, list(dict.fromkeys(merges))


def _byte_level(special: list[str]) -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary, merges = _merged(special, letters, "Ġ")
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _qwen(special: list[str]) -> Tokenizer:
    tokenizer = _byte_level(special)
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(_QWEN_WORDS), "isolated")
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pieces])
    return tokenizer


def _gemma(special: list[str]) -> Tokenizer:
    letters = [f"<0x{i:02X}>" for i in range(256)] + [c for c in VOCABULARY if len(c) == 1] + ["▁"]
    vocabulary, merges = _merged(special, letters, "▁")
    model = models.BPE(
        vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return tokenizer


def _unigram(special: list[str]) -> Tokenizer:
    rows = [(token, 0.0) for token in special]
    rows += [("▁", -2.0), *((c, -9.0) for c in VOCABULARY if len(c) == 1)]
    rows += [("▁" + word, -5.0) for word in _WORDS] + [(word, -7.0) for word in _WORDS]
    tokenizer = Tokenizer(models.Unigram(rows, special.index("<unk>"), byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    return tokenizer


def _albert(_: list[str]) -> Tokenizer:
    tokenizer = _unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    steps += [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def _fairseq(special: list[str]) -> Tokenizer:
    return _unigram(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])


_BUILD: dict[str, Callable[[list[str]], Tokenizer]] = {
    "bert": _wordpiece,
    "mpnet": _wordpiece,
    "roberta": _byte_level,
    "xlm-roberta": _fairseq,
    "camembert": _fairseq,
    "albert": _albert,
    "t5": _unigram,
    "gemma3_text": _gemma,
    "qwen3": _qwen,
}


def disturb_files(folder: Path, model_type: str, seed: int) -> Path:
    """Change the tokenizer files of a folder as people do, at random: each key, file and flag."""
    chance = random.Random(seed)

    def often(share: float) -> bool:
        return chance.random() < share

    def token(text: str) -> Any:
        flags = {"lstrip": often(0.3), "rstrip": False, "single_word": False}
        return {"content": text, **flags, "normalized": often(0.3)}

    stored = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    rows = len(stored["model"]["vocab"]) + 200
    if often(0.2):
        stored["post_processor"] = None
    stored["added_tokens"] = [row for row in stored["added_tokens"] if not often(0.05)]
    if often(0.2):
        config["added_tokens_decoder"] = {
            str(row["id"]): {key: flag for key, flag in row.items() if key != "id"}
            for row in stored["added_tokens"]
            if not often(0.05)
        }
    choices: dict[str, list[Any]] = {
        "tokenizer_class": [None, "PreTrainedTokenizerFast", CLASSES[model_type] + "Fast"],
        "do_lower_case": [True, False],
        "strip_accents": [None, True, False],
        "tokenize_chinese_chars": [True, False],
        "add_prefix_space": [True, False],
        "add_eos_token": [True, False],
        "additional_special_tokens": [[], ["<one>", "fish"]],
        "extra_special_tokens": [["<two>"], {"image_token": "<img>"}],
        "image_token": ["<img>"],
        "mask_token": [{"__type": "AddedToken", **token("<mask>")}],
        "cls_token": ["fish"],
        "do_basic_tokenize": [False],
    }
    for key, values in choices.items():
        if often(0.15):
            config[key] = chance.choice(values)
    if config.get("tokenizer_class", "") is None:
        del config["tokenizer_class"]
    write_json(folder / "tokenizer.json", stored)
    write_json(folder / "tokenizer_config.json", config)
    if often(0.3):
        special = {key: token(text) for key, text in SPECIALS[model_type].items()}
        write_json(folder / "special_tokens_map.json", special)
    if often(0.2):
        write_json(folder / "added_tokens.json", {"<mine>": rows, "the river": rows + 1})
    return folder
