from __future__ import annotations

import dataclasses
import re
import string
import unicodedata
from typing import TYPE_CHECKING

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from minnow.model.prompts import KNOWN_PROMPTS
from minnow.proof.probes import SMALLEST_LIMIT, Probe, probe_texts

if TYPE_CHECKING:
    from collections.abc import Callable

SIZED = ("half-limit", "below-limit", "at-limit", "above-limit", "beyond-limit")
SPECIALS = 2


def count_words(text: str) -> int:
    """A tokenizer that knows every word, with one token before the text and one after."""
    return len(text.split()) + SPECIALS


def letter_tokenizer() -> Tokenizer:
    """A WordPiece tokenizer that knows letters only, so that a word is as many tokens."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *characters, *(f"##{c}" for c in characters)]
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def count_letters(text: str) -> int:
    return len(letter_tokenizer().encode(text).ids)


def by_name(limit: int = 64, count: Callable[[str], int] = count_words) -> dict[str, str]:
    return {probe.name: probe.text for probe in probe_texts(limit, count)}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return by_name()


def decomposed(text: str) -> bool:
    return unicodedata.normalize("NFC", text) != text and unicodedata.is_normalized("NFD", text)


def any_character(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.search(pattern, text) is not None


SHAPES: dict[str, Callable[[str], bool]] = {
    "nothing": lambda text: text == "",
    "whitespace only": lambda text: text != "" and text.strip() == "",
    "one word": lambda text: text.isalpha() and text.isascii() and 1 < len(text) < 10,
    "two words": lambda text: re.fullmatch("[a-z]+ [a-z]+", text) is not None,
    "one mark": lambda text: len(text) == 1 and text in string.punctuation,
    "digits only": lambda text: text.isdigit(),
    "question": lambda text: text.endswith("?") and count_words(text) > 6,
    "long word": lambda text: text.isalpha() and len(text) > 100,
    "long number": lambda text: text.isdigit() and len(text) > 100,
    "long word inside": any_character(r"\w \w{101,} \w"),
    "repeated word": lambda text: len(text.split()) > 8 and len(set(text.split())) == 1,
    "tabs": any_character("\t"),
    "newlines": any_character("\n"),
    "carriage returns": any_character("\r\n"),
    "paragraphs": any_character("\n\n"),
    "upper case": lambda text: text.isupper() and text.isascii() and len(text.split()) > 4,
    "title case": lambda text: text.istitle() and len(text.split()) > 4,
    "JSON": any_character(r'^\{"'),
    "Markdown": any_character("^## "),
    "HTML": any_character("^<p "),
    "SQL": any_character("^SELECT "),
    "Python": any_character("^def "),
    "URL": any_character(r"https?://\S+\?\S+#"),
    "e-mail address": any_character(r"\w@\w"),
    "Windows path": any_character(r"[A-Z]:\\"),
    "Unix path": any_character(r" /usr/"),
    "version": any_character(r"v\d+\.\d+\.\d+"),
    "date": any_character(r"\d\d?/\d\d?/\d\d"),
    "log line": any_character(r"^\d{4}-\d\d-\d\dT.* ERROR "),
    "formula": any_character(r"\w\^2"),
    "mathematics": any_character("[∀-⋿]"),
    "subscripts": any_character("[₀-₉]"),
    "NFD": decomposed,
    "eszett": any_character("ß"),
    "dotless i": any_character("ı"),
    "dotted capital I": any_character("İ"),
    "Polish": any_character("[łźż]"),
    "Vietnamese": any_character("[ạ-ỹ]"),
    "Chinese only": lambda text: bool(
        re.search("[一-鿿]", text) and not re.search("[ぁ-ヿ]", text)
    ),
    "Japanese": any_character("[ぁ-ゖ].*[ァ-ヺ]"),
    "half-width forms": any_character("[ｦ-ﾝ]"),
    "Korean": any_character("[가-힣]"),
    "Korean letters": any_character("[\u1100-\u11ff]"),
    "Arabic": any_character("[ا-ي]"),
    "Hebrew": any_character("[א-ת]"),
    "Hindi": any_character("[\u0900-\u097f]"),
    "Thai": any_character("[\u0e00-\u0e7f]"),
    "Greek": any_character("[α-ω]"),
    "Cyrillic": any_character("[а-я]"),
    "one emoji": lambda text: len(text) == 1 and ord(text) > 0x1F000,
    "family": any_character("👨\u200d👩\u200d👧"),
    "flag": any_character("[\U0001f1e6-\U0001f1ff]{2}"),
    "flag of tags": any_character("\U000e007f"),
    "skin tone": any_character("[\U0001f3fb-\U0001f3ff]"),
    "keycap": any_character("\u20e3"),
    "zero width": any_character("\u200b"),
    "byte order mark": any_character("^\ufeff"),
    "soft hyphen": any_character("\u00ad"),
    "NUL": any_character("\x00"),
    "escape": any_character("\x1b"),
    "no-break space": any_character("\u00a0"),
    "line separator": any_character("\u2028"),
    "right-to-left override": any_character("\u202e"),
    "combining marks": any_character("[\u0300-\u036f]{3}"),
    "curly quotes": any_character("“.*”.*’|’.*”"),
    "dash and ellipsis": any_character("—.*…"),
    "private use": any_character("[\ue000-\uf8ff]"),
    "ligature": any_character("ﬁ"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_some_text_has_the_shape(shape: str, texts: dict[str, str]) -> None:
    assert any(SHAPES[shape](text) for text in texts.values())


@pytest.mark.parametrize(
    "token",
    ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "<s>", "</s>", "<pad>", "<mask>", "<unk>", "##"],
)
def test_some_text_spells_out_the_special_token(token: str, texts: dict[str, str]) -> None:
    assert any(token in text for text in texts.values())


@pytest.mark.parametrize("prompt", sorted({row.query for row in KNOWN_PROMPTS.values()}))
def test_some_text_begins_with_the_known_query_prompt(prompt: str, texts: dict[str, str]) -> None:
    assert any(text.startswith(prompt) and text != prompt for text in texts.values())


@pytest.mark.parametrize("prompt", sorted({row.document for row in KNOWN_PROMPTS.values()} - {""}))
def test_some_text_begins_with_the_known_document_prompt(
    prompt: str, texts: dict[str, str]
) -> None:
    assert any(text.startswith(prompt) for text in texts.values())


def test_the_same_sentence_comes_in_three_cases(texts: dict[str, str]) -> None:
    assert texts["lower-case"].upper() == texts["upper-case"]
    assert texts["lower-case"].title() == texts["title-case"]


def test_the_same_sentence_comes_composed_and_decomposed(texts: dict[str, str]) -> None:
    composed, apart = texts["accents-composed"], texts["accents-decomposed"]

    assert composed != apart
    assert unicodedata.normalize("NFC", apart) == composed


@pytest.mark.parametrize(
    ("name", "twin", "differing"),
    [
        ("plain", "negated", {"not"}),
        ("advice", "advice-negated", {"never"}),
        ("number", "other-number", {"12", "72"}),
        ("plain", "without-full-stop", {"trucks", "trucks."}),
    ],
)
def test_twins_differ_in_one_thing(
    name: str, twin: str, differing: set[str], texts: dict[str, str]
) -> None:
    assert set(texts[name].split()) ^ set(texts[twin].split()) == differing


def test_many_unique_probes() -> None:
    probes = probe_texts(64, count_words)

    assert len(probes) >= 72
    assert len({probe.name for probe in probes}) == len(probes)
    assert len({probe.text for probe in probes}) == len(probes)


def test_names_are_short_slugs(texts: dict[str, str]) -> None:
    for name in texts:
        assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name)
        assert len(name) <= 24


def test_texts_can_be_encoded(texts: dict[str, str]) -> None:
    for text in texts.values():
        assert text.encode().decode() == text


def test_many_are_passages(texts: dict[str, str]) -> None:
    fixed = [text for name, text in texts.items() if name not in SIZED]

    assert sum(15 <= len(text.split()) <= 120 for text in fixed) >= 12
    assert sum(len(text.split()) for text in fixed) < 1500


@pytest.mark.parametrize("limit", [SMALLEST_LIMIT, 9, 32, 128, 512])
@pytest.mark.parametrize("count", [count_words, count_letters])
def test_sizes_are_exact(limit: int, count: Callable[[str], int]) -> None:
    texts = by_name(limit, count)

    sizes = {name: count(texts[name]) for name in SIZED}

    assert sizes == {
        "half-limit": limit // 2,
        "below-limit": limit - 1,
        "at-limit": limit,
        "above-limit": limit + 1,
        "beyond-limit": 2 * limit,
    }


@pytest.mark.parametrize("limit", [SMALLEST_LIMIT, 64, 512])
def test_sized_texts_stay_different_when_cut_off(limit: int) -> None:
    texts = by_name(limit)

    cut_off = {tuple(texts[name].split()[: limit - SPECIALS]) for name in SIZED}

    assert len(cut_off) == len(SIZED)


def test_all_texts_stay_different_at_the_smallest_limit() -> None:
    texts = by_name(SMALLEST_LIMIT)

    assert len(set(texts.values())) == len(texts)


def test_only_the_sized_texts_depend_on_the_model() -> None:
    short, long = by_name(64), by_name(512, count_letters)

    assert list(short) == list(long)
    assert {name for name in short if short[name] != long[name]} == set(SIZED)


@pytest.mark.parametrize("count", [count_words, count_letters])
def test_the_same_every_time(count: Callable[[str], int]) -> None:
    assert probe_texts(64, count) == probe_texts(64, count)


@pytest.mark.parametrize(("count", "most_calls"), [(count_words, 10), (count_letters, 70)])
def test_counts_few_texts(count: Callable[[str], int], most_calls: int) -> None:
    counted = []

    def spy(text: str) -> int:
        counted.append(text)
        return count(text)

    probe_texts(512, spy)

    assert len(counted) <= most_calls


@pytest.mark.parametrize("limit", [SMALLEST_LIMIT - 1, 0, -1])
def test_too_small_a_limit_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="at least 8"):
        probe_texts(limit, count_words)


def test_a_tokenizer_with_no_text_of_the_size_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly 63 tokens"):
        probe_texts(64, lambda text: 2 * count_words(text))


def test_a_probe_cannot_be_changed() -> None:
    probe = Probe("a", "b")

    with pytest.raises(dataclasses.FrozenInstanceError):
        probe.text = "c"  # type: ignore[misc]


# --- tokens that the files of a tokenizer name -------------------------------------------


def test_tokens_of_the_model_stand_between_words_and_inside_them() -> None:
    tokens = ["[CLS]", "<one>", "covid"]

    probes = {p.name: p.text for p in probe_texts(64, count_words, tokens)}

    between, inside = probes["named-tokens"], probes["named-tokens-inside"]
    for token in tokens:
        assert re.search(rf" {re.escape(token)} [a-z]", between)
        assert re.search(rf"[a-z]{re.escape(token)}[a-z]", inside)
    assert set(by_name()) == set(probes) - {"named-tokens", "named-tokens-inside"}


@pytest.mark.parametrize("count", [1, 20, 21, 22, 43, 5000])
def test_of_many_tokens_some_from_all_over_are_taken(count: int) -> None:
    tokens = [f"<{i}>" for i in range(count)]

    (text,) = (p.text for p in probe_texts(64, count_words, tokens) if p.name == "named-tokens")

    found = [int(number) for number in re.findall(r"<(\d+)>", text)]
    assert min(count, 10) < len(found) + 1 <= 64 // 3 + 1
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] >= 0.8 * (count - 1)
