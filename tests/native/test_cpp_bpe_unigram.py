"""BPE and Unigram in the library in C++: the ids of the `tokenizers` library, on any text."""

from __future__ import annotations

import base64
import json
import math
import random
import runpy
import struct
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from fakes.native import NATIVE, Program
from fakes.tokenizers import CLASSES, tokenizer_of
from fakes.unicode import all_characters
from native.test_cpp_tokenizer import a_bundle, expected
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from fakes.native import CMakeBuild

pytestmark = pytest.mark.tool("g++")

LIMIT = 4000
LANGUAGES = (
    "Where do the whales sleep, and who'll wake them? They don't; it's 12,345 m deep.",
    "Où dorment les baleines ? L'été, près de l'île ; naïve façade…",
    "Wo schlafen die Wale? In der Größe eines Straßenzuges.",
    "Где спят киты? В тёплых морях, ещё южнее.",
    "Πού κοιμούνται οι φάλαινες; Στη θάλασσα.",
    "איפה ישנים הלווייתנים? בַּיָּם.",
    "أين تنام الحيتان؟ فِي البَحْرِ ١٢٣.",
    "نهنگ‌ها کجا می‌خوابند؟",
    "व्हेल कहाँ सोती हैं? क्षेत्र में १२३।",
    "তিমি কোথায় ঘুমায়? সমুদ্রে।",
    "திமிங்கலங்கள் எங்கே தூங்குகின்றன?",
    "తిమింగలాలు ఎక్కడ నిద్రిస్తాయి?",
    "ವೇಲ್‌ಗಳು ಎಲ್ಲಿ ಮಲಗುತ್ತವೆ?",
    "วาฬนอนที่ไหน น้ำลึก",
    "ປາວານນອນຢູ່ໃສ",
    "ဝေလငါးတွေ ဘယ်မှာ အိပ်လဲ",
    "ត្រីបាឡែនដេកនៅឯណា",
    "고래는 어디에서 자나요? 바다에서.",
    "クジラはどこで眠りますか。ガギグ㌔①",
    "鲸鱼在哪里睡觉?在海里。",
    "სად სძინავთ ვეშაპებს?",
    "Որտե՞ղ են քնում կետերը։",
    "ዓሣ ነባሪዎች የት ይተኛሉ?",
    "Cá voi ngủ ở đâu? Ở dưới biển.",
    "🐋🏳️‍🌈👩🏽‍🚀 🇩🇪🇫🇷 ©️®‍™",
)
_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
_PARTS = (
    " ", "  ", "\n", "\r\n", "\t", "\u3000", "\u2028", "\x85", "a", "A", "'s", "'S", "'ſ", "'ll",
    "12", "3456", "½", "é", "e\u0301", "a\u0327\u0301", "한", "ᄒ", "ᅡ", "ᆫ", "\u200d", "©\u200d®",
    "\u0600", "क\u094dक", "\u0903", "ﷺ", "...", "aaaa", "▁", "ß", "İ", "K", "word", "<mask>", "<s>",
)  # fmt: skip


@cache
def texts() -> list[str]:
    """Sentences in many scripts, every block of Unicode, and random mixes."""
    drawn, everything = random.Random(7), all_characters()[1:]
    near = everything[:0x3400]
    mixed = [
        "".join(
            drawn.choice((drawn.choice(near), drawn.choice(everything), drawn.choice(_PARTS)))
            for _ in range(drawn.randrange(1, 20))
        )
        for _ in range(1500)
    ]
    some = [*everything[:0x600], *everything[0x600:0x3400:3], *everything[0x3400::127]]
    around = [f"a{c}b {c}{c}1{c}\u0301" for c in some]
    swept = ["\n".join(around[n : n + 64]) for n in range(0, len(around), 64)]
    return ["", *LANGUAGES, *mixed, *swept]


def byte_level(pre: Any, normalizer: Any = None) -> Tokenizer:
    """Train byte-level BPE on the sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=_SPECIALS,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(LANGUAGES * 3, trainer)
    return _with_ends(tokenizer)


def unigram(pre: Any, *steps: Any) -> Tokenizer:
    """Score the parts of the sentences' words by how often they occur."""
    words = ("▁" + word for sentence in LANGUAGES for word in sentence.split())
    parts = Counter(
        word[n : n + size] for word in words for n in range(len(word)) for size in range(1, 6)
    )
    total = sum(parts.values())
    pieces = [(part, math.log(n / total)) for part, n in parts.items() if n > 1 or len(part) < 3]
    tokenizer = Tokenizer(models.Unigram([*((s, 0.0) for s in _SPECIALS), *pieces], 3))
    tokenizer.pre_tokenizer = pre
    if steps:
        tokenizer.normalizer = normalizers.Sequence(list(steps))
    return _with_ends(tokenizer)


def _with_ends(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens([*_SPECIALS, AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def with_pattern(pattern: str) -> Any:
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip


def precompiled(rows: Mapping[str, str]) -> Any:
    """Write a table of SentencePiece: a double-array trie, built greedily."""
    keys = {key.encode(): value for key, value in rows.items()}
    text, values = b"\0", dict[bytes, int]()
    for key, value in keys.items():
        values[key] = len(text)
        text += value.encode() + b"\0"
    units = [0] * 65536
    used = {0}

    def place(prefix: bytes, at: int) -> int:
        """Place the children of a node; return the bits that find them."""
        below = {key[len(prefix)] for key in keys if key[: len(prefix)] == prefix != key}
        labels = below | ({0} if prefix in values else set())
        base = next(b for b in range(1, 60000) if not any((b ^ label) in used for label in labels))
        used.update(base ^ label for label in labels)
        for label in below:
            child = prefix + bytes([label])
            offset = place(child, base ^ label)
            units[base ^ label] = offset | (child in values) << 8 | label
        if prefix in values:
            units[base] = 1 << 31 | values[prefix]
        return (at ^ base) << 10

    units[0] = place(b"", 0)
    blob = struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + text
    stated = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()}
    empty = json.loads(Tokenizer(models.BPE()).to_str()) | {"normalizer": stated}
    return Tokenizer.from_str(json.dumps(empty)).normalizer


TABLE = {
    "\t": " ", "\n": " ", "\u3000": " ", "\u200b": "", "ﷺ": "صلى", "①": "1", "K": "K",
    "e\u0301": "é", "Å": "Å", "©": "(c)", "ガ": "ガ", "ｶ": "カ", "\u0903": ":",
    "가": "ga", "½": "1/2", "𝐀": "A",
}  # fmt: skip
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _whole_words(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_tokens([
        AddedToken("  ", normalized=True), AddedToken("é", normalized=True),
        AddedToken("word", single_word=True), AddedToken("12", rstrip=True),
    ])  # fmt: skip
    return tokenizer


def _split(**options: Any) -> Any:
    return pre_tokenizers.Metaspace(**options)


def _words_then_first() -> Any:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), _split(prepend_scheme="first")]
    )


MAKERS = {
    "RoBERTa": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "with a space": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "ModernBERT": lambda: _whole_words(
        byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC())
    ),
    "Qwen2": lambda: byte_level(with_pattern(QWEN), normalizers.NFC()),
    "Llama 3": lambda: byte_level(with_pattern(QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|"))),
    "NFKC": lambda: byte_level(with_pattern(r"\s?\S++|\s+"), normalizers.NFKC()),
    "XLM-R": lambda: unigram(
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), _split()]), precompiled(TABLE)
    ),
    "T5": lambda: unigram(
        _split(prepend_scheme="always"),
        precompiled(TABLE),
        normalizers.Strip(left=False),
        normalizers.Replace(Regex(" {2,}"), "▁"),
    ),
    "Metaspace at the start": lambda: unigram(_split(prepend_scheme="first")),
    "Prepend": lambda: unigram(
        _split(prepend_scheme="never", split=False),
        normalizers.Prepend("▁"),
        normalizers.NFD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
    ),
}


@pytest.mark.tool("cmake")
@pytest.mark.parametrize("name", MAKERS)
def test_ids_are_those_of_the_library(
    name: str, bridge: CMakeBuild, tokenizer_program: Program, tmp_path: Path
) -> None:
    """Of all texts, and of some with sanitizers."""
    program = Program(bridge.make("minnow-embed") / "minnow-embed")
    folder = assert_alike(MAKERS[name](), program, tmp_path)
    some = texts()[::7]
    assert tokenizer_program.rows(folder, some, "--ids") == program.rows(folder, some, "--ids")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_of_tokenizer_is_read(
    kind: str, tokenizer_program: Program, tmp_path: Path
) -> None:
    given = ["", "  the fish's river\n\n do not   sleep <mask>", *LANGUAGES, *texts()[26:200]]
    assert_alike(tokenizer_of(kind), tokenizer_program, tmp_path, given)


@pytest.mark.parametrize(
    "make",
    [
        lambda: unigram(_split(prepend_scheme="first"), precompiled(TABLE), normalizers.NFKC()),
        lambda: unigram(_words_then_first()),
    ],
    ids=["Metaspace", "words, then Metaspace"],
)
def test_a_mark_is_put_first_whatever_begins_a_text(
    make: Callable[[], Tokenizer], tokenizer_program: Program, tmp_path: Path
) -> None:
    """Characters that become a space and more, or nothing; white space; a token before them."""
    begins = [*TABLE, "¨", "゛", "ﱞ", "￣", "⑴", "İ", " ", "\x85", "\u3000", "<s>"]
    around = [start + c + rest for c in begins for start in ("", c, "<s>") for rest in ("", "a b")]
    assert_alike(make(), tokenizer_program, tmp_path, [*LANGUAGES, *around])


def assert_alike(
    tokenizer: Tokenizer, program: Program, place: Path, given: Iterable[str] | None = None
) -> Path:
    """Compare the ids of texts; return the bundle."""
    folder = a_bundle(place / "bundle", tokenizer, limit=LIMIT)
    every = list(texts() if given is None else given)
    found, right = program.rows(folder, every, "--ids"), expected(folder, every, limit=LIMIT)
    assert [t for t, a, b in zip(every, found, right, strict=True) if a != b] == []
    assert len({i for row in found for i in row}) > 40
    return folder


def _stated(tokenizer: Tokenizer, **changes: Any) -> Tokenizer:
    stated = json.loads(tokenizer.to_str())
    for path, value in changes.items():
        part, _, key = path.partition("__")
        stated[part][key] = value
    return Tokenizer.from_str(json.dumps(stated))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: _stated(tokenizer_of("roberta"), model__end_of_word_suffix="</w>"),
            "end_of_word_suffix",
        ),
        (lambda: _stated(tokenizer_of("roberta"), model__dropout=0.5), "has dropout"),
        (
            lambda: _stated(tokenizer_of("roberta"), model__byte_fallback=True),
            "lacks some of the 256",
        ),
        (lambda: _stated(tokenizer_of("t5"), model__unk_id=None), "has no unknown token"),
        (
            lambda: unigram(_split(prepend_scheme="first"), normalizers.Strip()),
            "prepend_scheme first after a normalizer that drops characters",
        ),
        (
            lambda: unigram(_words_then_first(), normalizers.NFKC()),
            "prepend_scheme first after a normalizer and another pre-tokenizer",
        ),
    ],
)
def test_what_is_missing_is_named(
    make: Callable[[], Tokenizer], says: str, tokenizer_program: Program, tmp_path: Path
) -> None:
    folder = a_bundle(tmp_path / "bundle", make())
    assert says in tokenizer_program.refusal(folder, "--ids", "a")


@pytest.mark.parametrize("pattern", [r"(?<=a)b", r"\p{Lu}+", r"a+?", r"(ab)+", r"[a&&b]", r"^a"])
def test_patterns_beyond_it_are_refused(
    pattern: str, tokenizer_program: Program, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of("roberta")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    folder = a_bundle(tmp_path / "bundle", tokenizer)
    assert "part that is unknown here" in tokenizer_program.refusal(folder, "--ids", "a")


def test_the_tables_are_what_the_library_says() -> None:
    """Run native/tools/write_character_tables.py where this fails; the other tables take long."""
    scope = runpy.run_path(str(NATIVE / "tools/write_character_tables.py"))
    written = (NATIVE / "src/character_tables.inc").read_text()
    canonical = scope["decompositions"](normalizers.NFD())
    assert "".join(scope["text_rows"](canonical, scope["Pool"]())) in written.replace(
        ",\n", ""
    ).replace("},{", "}{")
    assert all(
        f"{{{a:#x},{b:#x},{c:#x}}}" in written for a, b, c in scope["compositions"](canonical)
    )
