"""Words of texts in many scripts, and what FTS5 makes of them."""

from __future__ import annotations

import sqlite3
import unicodedata

import pytest

from minnow.indexfile import words
from minnow.indexfile.words import REPLACED, TOKENIZE, divide, words_of


def fts_terms(texts: list[str]) -> list[list[str]]:
    """Return the terms that FTS5 makes of each text."""
    database = sqlite3.connect(":memory:")
    database.execute(f'CREATE VIRTUAL TABLE t USING fts5(text, tokenize="{TOKENIZE}")')
    database.execute("CREATE VIRTUAL TABLE seen USING fts5vocab('t', 'instance')")
    database.executemany("INSERT INTO t (rowid, text) VALUES (?, ?)", enumerate(texts))
    found: list[list[str]] = [[] for _ in texts]
    for number, term in database.execute("SELECT doc, term FROM seen ORDER BY doc, offset"):
        found[number].append(term)
    database.close()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("冷冻室", "冷冻 冻室 室"),
        ("锁", "锁"),
        ("重跑gen-itgc后", "重跑 跑 gen itgc 后"),
        ("冷\n冻", "冷冻 冻"),
        ("ﾌｨﾙﾀｰ ﾊﾞｽ", "フィ ィル ルタ ター ー バス ス"),
        ("\u304b\u3099", "が"),
        ("서울은", "서울 울은 은"),
        ("น้ำ", "นํ้า"),
        ("นํ้า", "นํ้า"),
        ("เเม่", "แม่"),
        ("ไทย", "ไทย ย"),
        ("ລາວ", "ລາວ ວ"),
        ("ខ្មែរ", "ខ្មែរ រ"),
        ("မြန်မာ", "မြန် န်မာ မာ"),
        ("पानी", "पानी"),
        ("क\u200d्ष", "क्ष"),
        ("المُرشِّح", "المرشح"),
        ("أكل آكل ٱكل اكل", "اكل اكل اكل اكل"),
        ("كـــتاب ﻛﺘﺎﺏ", "كتاب كتاب"),
        ("می\u200cخواهم ٢٠٢٤", "مي خواهم ميخواهم 2024"),
        ("کتاب\u200cخانه\u200cها", "كتاب خانه ها كتابخانهها"),
        ("مدرسة مدرسه", "مدرسه مدرسه"),
        ("đường Łódź Ærø cœur", "dường lódź aero coeur"),
        ("അവന്\u200d അവൻ", "അവന് അവന്"),
        ("ᾠδή ωδή ᾼ", "ωδη ωδη α"),
        ("שָׁלוֹם", "שלום"),
        ("Straße STRASSE STRAẞE", "strasse strasse strasse"),
        ("ışık IŞIK İş", "işik işik iş"),
        ("Σοφός ΣΟΦΟΣ", "σοφοσ σοφοσ"),
        ("Text\u00addatei", "textdatei"),
        ("ﬁle ＡＢＣ Ⅳ x² 𝐛𝐨𝐥𝐝", "file abc iv x2 bold"),
        ("об'єкт обʼєкт об’єкт", "об єкт об єкт об єкт"),
        ("за\u0301мок ёлка", "замок елка"),
        ("nice🤔 \u2066word\u2069 ₺5 Foo™", "nice word 5 foo"),
    ],
)  # fmt: skip
def test_words_of_many_scripts(text: str, expected: str) -> None:
    assert divide(text) == expected


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("text", ["Tiếng Việt", "école", "한국어", "がぎ", "ά ᾳ", "क़लम", "שָׁ"])
def test_normal_forms_are_alike(text: str, form: str) -> None:
    changed = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    assert fts_terms([divide(changed)]) == fts_terms([divide(text)])


def test_what_needs_nothing_is_not_stored() -> None:
    for text in ("plain English.", "naïve café – “quoted” … 5 €", "мой дом", "पानी की टंकी।", "ሰላም"):
        assert words_of(text) is None
    assert words_of("die Straße") == 1
    assert words_of("Αθήνα") == 2
    assert words_of("أكل") == 3
    assert words_of("Tiếng đường") == words_of("Łódź") == 4
    assert words_of("冰箱") == "冰箱 箱"


def test_fts5_reads_plain_characters_as_words_do() -> None:
    """Each character, within a word: FTS5 makes the same of the text and of its words."""
    pattern = words._plain()
    some = [chr(n) for n in range(0x80, 0x3000) if pattern.fullmatch(chr(n))]
    assert len(some) > 4000
    texts = [f"ax{character}xa" for character in some]
    read, divided = fts_terms(texts), fts_terms([divide(text) for text in texts])
    assert [c for c, a, b in zip(some, read, divided, strict=True) if a != b] == []


def test_replacements_in_sql_are_the_rule() -> None:
    for number, table in enumerate(REPLACED, start=1):
        for character in table:
            text = f"a{character}b"
            replaced = text.translate({ord(key): value for key, value in table.items()})
            assert fts_terms([replaced]) == fts_terms([divide(text)]), (number, character)


def test_the_view_reads_what_the_rule_says() -> None:
    texts = ["plain", "Straße\u00ad", "Αθήνα σοφός", "أُكل", "冰箱 ice", "x⁵"]
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE c (text TEXT, words)")
    database.executemany("INSERT INTO c VALUES (?, ?)", [(t, words_of(t)) for t in texts])
    read = [row[0] for row in database.execute(f"SELECT {words.reading('c')} FROM c")]
    assert fts_terms(read) == fts_terms([divide(text) for text in texts])
    database.close()
