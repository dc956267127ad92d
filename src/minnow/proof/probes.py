"""The texts a conversion is proven on.

Each probe is a shape that has hidden a fault in some converter: nothing to read, one token,
padding beside a long neighbour, characters a tokenizer drops, a text cut off at the limit. The
texts are in groups of a name and a text; the sized ones are built for the model at hand.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

from minnow.model.spec import LONG
from minnow.model.tokenizer import load_whole_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Text = str | tuple[str, str]
"""A text, or the two texts of a pair."""

SMALLEST_LIMIT = 8
"""Below this many tokens the sized probes are no longer different texts."""


@dataclass(frozen=True)
class Probe:
    """One text of the proof, or one pair of texts.

    Attributes:
        name: Unique and short, to be shown when this text is the worst.
        text: Any Unicode text without lone surrogates; may be empty.
        prompt: What stands before it, where pooling tells the two apart.
        second: The second text of a pair.
    """

    name: str
    text: str
    prompt: str = ""
    second: str | None = None

    @property
    def given(self) -> Text:
        """The text, or the pair, as an embedder or a reranker takes it."""
        return self.text if self.second is None else (self.text, self.second)

    @property
    def whole(self) -> Text:
        """The same behind its prompt."""
        text = self.prompt + self.text
        return text if self.second is None else (text, self.second)


_SHAPES = {
    "empty": "",
    "spaces": "   ",
    "whitespace-mix": " \t\r\n \n",
    "one-token": "ocean",
    "one-letter": "x",
    "two-tokens": "green tea",
    "punctuation": "?",
    "punctuation-run": "!?... -- ;;: (((,))) /\\ *** ~~",
    "digit": "7",
    "digits": "40817263549",
    "tabs-and-newlines": "name\tcount\nbolt\t12\nnut\t40\r\nwasher\t7\n",
    "padded-with-spaces": "     the   lamp      is    on        ",
    "lower-case": "the night train to the coast leaves at nine",
    "upper-case": "THE NIGHT TRAIN TO THE COAST LEAVES AT NINE",
    "title-case": "The Night Train To The Coast Leaves At Nine",
    "camel-case": "getUserNameById parseHTTPResponse snake_case_name kebab-case-name",
    "long-word": "unre" + "mark" * 26 + "able",
    "long-word-inside": "The label said " + "zq7" * 40 + " and nothing else.",
    "long-number": "3" + "0917" * 30,
    "repeated-word": "again " * 16,
    "repeated-letter": "n" + "o" * 30,
    "repeated-sentence": "It is raining. " * 4,
}

_QUERIES = {
    "query-cooking": "how long do I boil an egg so the yolk stays soft",
    "query-law": "can a landlord keep the deposit for normal wear?",
    "query-medicine": "is a fever of 38.5 in a toddler an emergency",
    "query-code": "python read large csv file line by line without loading it",
    "query-finance": "difference between a bond yield and its coupon",
    "query-geography": "which rivers flow into the Black Sea?",
    "query-keywords": "cheap waterproof hiking boots wide fit",
    "query-misspelled": "wat is teh captial of portugl",
}

_PASSAGES = {
    "cooking": "Rinse the rice until the water runs clear, then let it rest for twenty minutes. "
    "Bring it to a boil with a pinch of salt, cover the pot, and turn the heat as low as it goes. "
    "After twelve minutes take it off the stove, but keep the lid on; the steam does the rest.",
    "law": "The tenant may end this agreement by written notice of three months. If the owner "
    "fails to repair a defect within a reasonable time, the rent is reduced in proportion, unless "
    "the tenant caused the defect or hid it.",
    "medicine": "The patient, a 62-year-old woman with type 2 diabetes, reported numbness in both "
    "feet for six weeks. Reflexes at the ankle were absent. Metformin was continued at 850 mg "
    "twice daily and vitamin B12 was measured.",
    "finance": "Net revenue rose 4.2% to $318.6m, while the operating margin fell by 90 basis "
    "points because freight became dearer. The board proposes a dividend of €0.35 per share.",
    "geography": "The valley runs from the glacier in the north to a salt lake in the south. "
    "Villages lie on the sunny side only; the other slope is forest up to about 1,900 metres.",
    "history": "The first bridge was finished in 1871. It was built of pine by two brothers who "
    "owned the mill and wanted carts to reach it in winter, and for thirty years nobody paid to "
    "cross. In 1903 it burned in a single night.\n\nThe second one is of stone. The town borrowed "
    "the money, set a toll of one coin for a horse and nothing for a person on foot, and had paid "
    "back the loan before the war. In the dry summers one can still see the black stumps of the "
    "older bridge under the water, a little way down the river.",
    "biology": "Unlike its cousins, this beetle feeds on fungus that it grows itself in tunnels "
    "under the bark, and it will starve beside fresh leaves.",
    "physics": "A cold drop of water on a very hot plate does not boil away at once: it floats on "
    "its own vapour, which conducts heat badly.",
    "review": "Bought this kettle in March. Heats fast, BUT the lid leaks and the handle gets "
    "hot!! 2/5, would not buy again :(",
    "chat": "A: u there?\nB: yep, 5 min late, bus stuck lol\nA: np, got us a table outside",
    "support": "Since the last update the app closes when I open a photo. I have restarted twice "
    "and cleared the cache. Please advise, order no. KX-20417.",
    "dialogue": '"You knew?" she asked. "Not the day," he said, "only that it would come."',
}

_NOTATION = {
    "python": 'def mean(xs: list[float]) -> float:\n    """Zero when empty."""\n'
    "    return sum(xs) / len(xs) if xs else 0.0\n",
    "c-code": "for (int i = 0; i < n; ++i) { out[i] = (a[i] & 0xFF) << 2; } // scale",
    "sql": "SELECT city, COUNT(*) AS n FROM orders WHERE paid = TRUE GROUP BY city HAVING n > 3;",
    "shell": "find . -name '*.log' -mtime +7 -print0 | xargs -0 gzip -9 && echo \"done: $?\"",
    "error-log": "2031-02-07T04:11:59.083Z ERROR [worker-3] pool.c:214 timeout after 30000 ms "
    "(attempt 2/5): connect ECONNREFUSED 10.0.4.17:6432",
    "json": '{"id": 91, "tags": ["red", null, "x\\ty"], "price": 12.50, "ok": false, "sub": {}}',
    "markdown": "## Setup\n\n- [ ] run `make all`\n- **never** edit _build_\n\n> see [notes](n.md)",
    "html": '<p class="intro">Fish &amp; chips<br/>&nbsp;from <b>noon</b></p><!-- price? -->',
    "csv": "date,open,close\n2030-01-02,14.10,14.52\n2030-01-03,14.52,13.98",
    "url": "https://www.example.org/a/b_c/index.php?q=blue+whale&page=2#part-3",
    "email-address": "Write to anna.k+orders@mail.example.com or <help@example.net>.",
    "file-path": "C:\\Users\\mia\\Docs\\report (final).docx and /usr/local/lib/libz.so.1.3",
    "versions": "Needs v2.10.0-rc.1 or later; 2.9.17+build5 and <3 are not enough.",
    "dates": "From 3 May 2027, 08:30 to 05/06/27 (a Tuesday), 7 p.m. UTC+02:00",
    "formula": "f(x) = 3x^2 - 4x + 1, so f'(2) = 8 and f(x) = 0 at x = 1 or x = 1/3",
    "unicode-math": "∀ε>0 ∃δ: |x−a|<δ ⇒ |f(x)−L|<ε, ∑₁ⁿ k² ≈ n³⁄3, √2 ∉ ℚ, A ⊆ B ∪ ∅",
    "chemistry": "2-amino-3-methylbutanoic acid reacts with NaOH: C5H11NO2 + OH⁻ → C₅H₁₀NO₂⁻ + H2O",
    "units": "20 °C, 5 µm, 3×10⁸ m/s, ½ cup, 100 Ω, 12″ × 8′, №4, 7‰",
}

_COMPOSED = "Le café près du théâtre était fermé; Zoë naïvely ordered a piña crème brûlée."

_LANGUAGES = {
    "accents-composed": _COMPOSED,
    "accents-decomposed": unicodedata.normalize("NFD", _COMPOSED),
    "german": "Die Straße war weiß; Fußgänger grüßten den Donaudampfschifffahrtskapitän.",
    "german-upper": "STRASSE, STRAẞE, GRÖSSE",
    "spanish": "¿Dónde está la niña? ¡Mañana volverá con el pingüino!",
    "polish": "Zażyj świeżego powietrza, źdźbło łąki i cień wierzby.",
    "turkish-i": "İstanbul'da ılık bir ışık; IĞDIR, iğne, ISPARTA, sıfır.",
    "vietnamese": "Hôm nay trời đẹp, chúng tôi uống cà phê sữa đá ở Đà Nẵng.",
    "nordic": "Blåbærsyltetøy på brød, þetta er ágætt, ja även öl.",
    "chinese": "图书馆周末几点关门？我想借一本关于鲸鱼的书。",
    "chinese-traditional": "颱風過後，學校決定延後開學。",
    "japanese": "駅前のカフェで、友だちとコーヒーを飲みました。",
    "japanese-halfwidth": "ﾃﾚﾋﾞ と ＦＵＬＬＷＩＤＴＨ　１２３",
    "korean": "내일 아침에 기차를 타고 바다에 갑니다.",
    "korean-decomposed": unicodedata.normalize("NFD", "작은 배"),
    "arabic": "هل تفتح المكتبة يوم الجمعة؟ العدد ٢٥",
    "arabic-vowelled": "كَتَبَ الوَلَدُ",
    "hebrew": "הספר על השולחן, וְהַדֶּלֶת פתוחה.",
    "hindi": "कल सुबह हम नदी के किनारे मिलेंगे।",
    "thai": "ร้านนี้เปิดกี่โมง",
    "greek": "Ο σκύλος κοιμάται κάτω από το δέντρο. ΟΔΟΣ οδός",
    "cyrillic": "Ёжик нёс яблоко домой, а їжак співав пісню.",
    "georgian": "დილა მშვიდობისა",
    "mixed-scripts": "The word мир means 平和 or سلام, in Greek ειρήνη.",
}

_UNICODE = {
    "emoji": "🦊",
    "emoji-in-text": "We won the cup 🏆🎉 see you tonight 😅",
    "emoji-family": "our home: 👨\u200d👩\u200d👧\u200d👦 and 🐕\u200d🦺",
    "emoji-flags": "flights 🇯🇵 → 🇧🇷",
    "emoji-flag-of-tags": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "emoji-skin-tone": "thanks 👍🏽👋🏿 👩🏻\u200d🚒",
    "emoji-variation": "\u2764 and \u2764\ufe0f, 1\ufe0f\u20e3",
    "zero-width": "in\u200bvis\u200cib\u200dle\u2060 gaps",
    "byte-order-mark": "\ufeffThe file starts with a mark.",
    "soft-hyphen": "con\u00adver\u00adsion of a hy\u00adphen\u00adated word",
    "nul": "before\x00after",
    "control-characters": "ring\x07 the\x08 bell\x1b[31m now\x7f\x85 ok",
    "only-controls": "\x00\x01\x02\u200b\ufeff",
    "replacement-character": "broken \ufffd\ufffd text",
    "bidi-marks": "price \u202e123\u202c and \u200fabc\u200e",
    "combining-marks": "z\u0351\u036b\u0343a\u0321\u034el\u0301\u0316g\u0348\u0303o\u0337 \u0301x",
    "private-use": "icon \ue0a0 and \U000f1234",
    "astral-letters": "𝓗𝓮𝓵𝓵𝓸 𝔻𝕒𝕥𝕒 𐍈 𠜎",
    "compatibility-forms": "ﬁne oﬃce ① Ⅳ ㎏ ™ x² ﷺ",
    "typographic": "“Don’t”—she paused… – ‘then go’ «là» „so“",
    "no-break-space": "10\u00a0km is\u202f6\u2009mi\u3000away",
    "line-separators": "first\u2028second\u2029third\x0bfourth\x0cfifth",
    "currency-and-marks": "€5 £6 ¥7 ₹8 ₿9 © ® ¶ § † ‡ • ‽",
}

_TWINS = {
    "plain": "The bridge is open to trucks.",
    "negated": "The bridge is not open to trucks.",
    "advice": "You should take this tablet with food.",
    "advice-negated": "You should never take this tablet with food.",
    "number": "The lease ends after 12 months.",
    "other-number": "The lease ends after 72 months.",
    "order": "The cat chased the dog.",
    "other-order": "The dog chased the cat.",
    "without-full-stop": "The bridge is open to trucks",
}

_MARKUP = {
    "bert-tokens": "a [CLS] b [SEP] c [PAD] d [MASK] e [UNK] f",
    "bert-tokens-lower": "[cls] start [sep] end [pad]",
    "only-separator": "[SEP]",
    "only-padding": "[PAD] [PAD]",
    "roberta-tokens": "<s> one </s> two <pad> three <mask> four <unk>",
    "word-pieces": "##ing play ##ed ▁under Ġspace",
    "prompt-bge": "Represent this sentence for searching relevant passages: how do whales sleep",
    "prompt-bge-zh": "为这个句子生成表示以用于检索相关文章：鲸鱼怎么睡觉",
    "prompt-query": "query: how do whales sleep",
    "prompt-passage": "passage: Whales rest one half of the brain at a time.",
}

GROUPS = (_SHAPES, _QUERIES, _PASSAGES, _NOTATION, _LANGUAGES, _UNICODE, _TWINS, _MARKUP)

_STORY = (
    "we left the house early and walked along the river until the sun came up over the hill "
    "there was a small boat near the old bridge and an old man sat in it with his dog he said "
    "that the water had been high all spring but now it was low enough to cross on foot so my "
    "brother took off his shoes and went first while the rest of us stood and watched him go"
)
_WORDS = _STORY.split()

_FILLERS = (" a", " 1", " .", " 的")


def probe_texts(
    limit: int, count_tokens: Callable[[str], int], tokens: Sequence[str] = ()
) -> list[Probe]:
    """List the probes for one model, the same ones in the same order every time.

    Two are made of the model's own added and special tokens. The last five are sized for the
    model: `half-limit`, `below-limit` (by one token), `at-limit`, `above-limit` (by one) and
    `beyond-limit` (twice as long). Their sizes are exact. Each begins at another word, so that
    they are still different texts once cut off.

    Args:
        limit: The longest text the model reads, in tokens, special tokens included.
        count_tokens: Counts the tokens of a text, special tokens included, not cut off.
        tokens: Added and special tokens that the files of the tokenizer name.

    Returns:
        About 130 probes, with unique names and unique texts.

    Raises:
        ValueError: The limit is below `SMALLEST_LIMIT`, or the tokenizer is so unusual that no
            text of an exact size was found.
    """
    if limit < SMALLEST_LIMIT:
        raise ValueError(f"A limit of {limit} tokens is too small; give at least {SMALLEST_LIMIT}.")
    sizes = {
        "half-limit": limit // 2,
        "below-limit": limit - 1,
        "at-limit": limit,
        "above-limit": limit + 1,
        "beyond-limit": 2 * limit,
    }
    if limit >= LONG:
        del sizes["below-limit"], sizes["beyond-limit"]
    fixed = [Probe(name, text) for group in GROUPS for name, text in group.items()]
    sized = [
        Probe(name, text_of_size(size, count_tokens, first_word=11 * i))
        for i, (name, size) in enumerate(sizes.items())
    ]
    return fixed + probes_of_tokens(tokens, limit) + sized


def probes_of_tokens(tokens: Sequence[str], limit: int) -> list[Probe]:
    """Spell tokens between words and inside a word; of too many, take some from all over."""
    most = max(limit // 3, 1)
    some = tokens[:: -(-len(tokens) // most)] if tokens else ()
    if not some:
        return []
    between = "".join(f"{token} {word} " for token, word in zip(some, cycle(_WORDS), strict=False))
    inside = "".join(f"{token}ab" for token in reversed(some))
    return [Probe("named-tokens", f"read {between}"), Probe("named-tokens-inside", f"ab{inside}")]


def token_counter(tokenizer_json: Path | bytes, *, lowercase: bool = False) -> Callable[[str], int]:
    """Return a function from a text to the number of its ids in a tokenizer, uncut."""
    tokenizer = load_whole_tokenizer(tokenizer_json, lowercase=lowercase)
    return lambda text: len(tokenizer.encode(text).ids)


def text_of_size(size: int, count_tokens: Callable[[str], int], *, first_word: int) -> str:
    """Build a text of exactly `size` tokens.

    The first guess, one token per word, is right for most English vocabularies. Otherwise the
    largest number of words that fit is found by bisection, and the rest is filled with tokens of
    one character.
    """
    words_at_most = max(size - count_tokens(""), 0)
    text = _running_text(words_at_most, first_word)
    missing = size - count_tokens(text)
    if missing < 0:
        fits, too_many = 0, words_at_most
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            if count_tokens(_running_text(middle, first_word)) <= size:
                fits = middle
            else:
                too_many = middle
        text = _running_text(fits, first_word)
        missing = size - count_tokens(text)
    if missing == 0:
        return text
    for filler in _FILLERS:
        filled = text + filler * missing
        if count_tokens(filled) == size:
            return filled
    raise ValueError(f"No text of exactly {size} tokens was found for this tokenizer.")


def _running_text(words: int, first_word: int) -> str:
    start = first_word % len(_WORDS)
    return " ".join(islice(cycle(_WORDS), start, start + words))
