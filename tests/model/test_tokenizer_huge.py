from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import VOCABULARY, change_tokenizer, write_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from minnow.model.tokenizer import TextTokenizer, load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Encoding

    from minnow.model.tokenizer import TokenizedText

MEGABYTES = 10_000_000
CLS, SEP, UNK = (VOCABULARY.index(token) for token in ("[CLS]", "[SEP]", "[UNK]"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder / "tokenizer.json"


def tokenize(path: Path, *texts: str, max_tokens: int = 8, **options: Any) -> list[TokenizedText]:
    return TextTokenizer(path, max_tokens=max_tokens, **options).tokenize(texts)


class Spy:
    """A tokenizer that remembers the longest text it was asked to tokenise."""

    def __init__(self, inner: Tokenizer) -> None:
        self.inner = inner
        self.longest = 0

    def encode(self, text: str, *, add_special_tokens: bool = True) -> Encoding:
        self.longest = max(self.longest, len(text))
        return self.inner.encode(text, add_special_tokens=add_special_tokens)

    def encode_batch(self, texts: list[str], *, add_special_tokens: bool = True) -> list[Encoding]:
        return [self.encode(text, add_special_tokens=add_special_tokens) for text in texts]


@pytest.mark.parametrize(
    "unit",
    [
        "the fish ",
        "the\tfish\n",
        "fish,",
        "一条鱼",
        "fish\u3000the\u2028",
        "  \n\n  ",
        "é.",
        "[SEP]",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("lead", ["", " " * 1000, "x" * 5000], ids=["", "space", "word"])
def test_no_more_of_a_huge_text_is_tokenised_than_its_first_tokens_need(
    path: Path, monkeypatch: pytest.MonkeyPatch, unit: str, lead: str
) -> None:
    text = lead + unit * (MEGABYTES // len(unit.encode()))
    tokenizer = TextTokenizer(path, max_tokens=24)
    spy = Spy(load_tokenizer_with_limit(path, 24))
    monkeypatch.setattr(tokenizer, "_tokenizer", spy)

    huge = tokenizer.tokenize([text])[0]

    assert huge.ids == load_tokenizer_with_limit(path, 24).encode(text[:20_000]).ids
    assert huge.truncated is bool(unit.strip())
    assert spy.longest < 30_000


def load_tokenizer_with_limit(path: Path, max_tokens: int) -> Tokenizer:
    tokenizer = load_tokenizer(path)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def test_a_huge_word_is_one_unknown_token(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TextTokenizer(path, max_tokens=24)
    spy = Spy(load_tokenizer_with_limit(path, 24))
    monkeypatch.setattr(tokenizer, "_tokenizer", spy)

    texts = [
        "a" * MEGABYTES,
        "the " + "0aF" * (MEGABYTES // 3) + " fish",
        "X" * MEGABYTES + "! one",
    ]
    huge = tokenizer.tokenize(texts)

    assert [text.ids for text in huge] == [
        [CLS, UNK, SEP],
        [CLS, VOCABULARY.index("the"), UNK, VOCABULARY.index("fish"), SEP],
        [CLS, UNK, VOCABULARY.index("!"), VOCABULARY.index("one"), SEP],
    ]
    assert not any(text.truncated for text in huge)
    assert spy.longest < 30_000


CORPUS = [
    "how do fish sleep in the water of a small river",
    "zwei Fische 123 schlafen, nicht wahr?",
]


def byte_level(path: Path) -> None:
    """A tokenizer as RoBERTa's: runs of white space are tokens too."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [*CORPUS, "spaces    of      many        sizes \n\n\n\n  \t\t  "] * 9,
        trainers.BpeTrainer(
            vocab_size=400,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<s>", "</s>"],
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    tokenizer.save(str(path))


def unigram(path: Path) -> None:
    """A tokenizer as XLM-RoBERTa's: the pieces of a word are chosen together."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.train_from_iterator(
        CORPUS * 9,
        trainers.UnigramTrainer(
            vocab_size=60,
            special_tokens=["<s>", "</s>", "<unk>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save(str(path))


@pytest.fixture(scope="module", params=["word-piece", "byte-level", "unigram"])
def any_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any")
    if request.param == "word-piece":
        write_tokenizer(folder)
    else:
        {"byte-level": byte_level, "unigram": unigram}[request.param](folder / "tokenizer.json")
    return folder / "tokenizer.json"


PARTS = st.one_of(
    st.sampled_from(["fish", "the ", " of", "\n", "    ", "\t", "[SEP]", "<mask>", "</s>", "'s"]),
    st.sampled_from(["鱼", "が", "É", "e\u0301\u0323", "1234", "!?", "ﷺ", "한", "\u0600 "]),
    st.text(max_size=6).filter(lambda text: text.isprintable()),
    st.builds(lambda part, count: part * count, st.sampled_from("ab7. 鱼é"), st.integers(1, 120)),
)


@settings(max_examples=150)
@given(
    parts=st.lists(PARTS, max_size=60), max_tokens=st.integers(3, 12), characters=st.integers(1, 9)
)
def test_the_head_of_a_text_gives_the_tokens_of_the_whole(
    any_path: Path, parts: list[str], max_tokens: int, characters: int
) -> None:
    text = "".join(parts)
    whole = load_tokenizer(any_path)
    whole.no_padding()
    whole.no_truncation()
    expected = whole.encode(text).ids

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minnow.model.tokenizer._CHARACTERS_PER_TOKEN", characters)
        found = tokenize(any_path, text, max_tokens=max_tokens)[0]

    assert found.truncated is (len(expected) > max_tokens)
    if found.truncated:
        expected = [*expected[: max_tokens - 1], expected[-1]]
    assert found.ids == expected


@given(
    words=st.lists(
        st.tuples(
            st.sampled_from("aZ9é鱼 \t\v"), st.sampled_from([1, 99, 100, 101, 998, 1000, 1001])
        ),
        max_size=4,
    ),
    between=st.sampled_from(["", " ", ".", "[SEP]"]),
)
def test_shortening_a_run_changes_nothing(
    path: Path, words: list[tuple[str, int]], between: str
) -> None:
    text = between.join(letter * count for letter, count in words) + "fish" * 400
    expected = load_tokenizer_with_limit(path, 24).encode(text).ids

    assert tokenize(path, text, max_tokens=24)[0].ids == expected


def test_a_word_is_not_shortened_where_a_token_may_begin_within_it(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    path = change_tokenizer(
        tmp_path / "tokenizer.json", lambda t: t.add_tokens([AddedToken("covid", normalized=False)])
    )

    ids = tokenize(path, "x" * 5000 + "covid" + "x" * 5000)[0].ids

    assert ids == [CLS, UNK, len(VOCABULARY), UNK, SEP]
