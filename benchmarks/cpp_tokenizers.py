"""Compare the token ids of the tokenizer in C++ with the `tokenizers` package, at realistic size.

    PYTHONPATH=src:tests python benchmarks/cpp_tokenizers.py MODEL TEXTS [KIND ...]

MODEL is a Unigram model of SentencePiece with its table `nmt_nfkc`, TEXTS a file with a text on
each line. Each kind is a tokenizer.json with MODEL's pieces and the steps of a family; one kind
has as many pieces as XLM-R, and Gemma's has pieces learned by BPE from TEXTS instead. Compares all
characters of Unicode, the lines, and random texts. Prints the CPU time and the peak of memory of
loading in C++, each with its share of the package's, and the CPU times of encoding.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fakes.native import PROGRAM, compile_program
from mnn_llm_characters import CHARACTERS, all_characters, random_texts
from native.test_cpp_tokenizer import a_bundle
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, trainers
from tokenizers.pre_tokenizers import Metaspace, Sequence, Split, WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers.utils import sentencepiece_model_pb2_new as proto

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1_000_000
AT_ONCE = 2000
LONGEST = 16
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
MEASURE = """import os, sys
_, _, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)"""
IMPORT = "import sys, tokenizers"
LOAD = f"{IMPORT}; tokenizers.Tokenizer.from_file(sys.argv[1]).encode('a')"


class Model:
    """The pieces and the table of a model of SentencePiece."""

    def __init__(self, path: Path) -> None:
        """Read the file."""
        messages: Any = proto  # protobuf makes its classes when it is imported
        stated = messages.ModelProto.FromString(path.read_bytes())
        self.table = normalizers.Precompiled(stated.normalizer_spec.precompiled_charsmap)
        self.pieces = [(row.piece, row.score) for row in stated.pieces if row.type == 1]

    def enlarge(self, size: int) -> Model:
        """Add pieces made of two, with lower scores, up to a size; return this model."""
        drawn, scores = random.Random(0), dict(self.pieces)
        known, least = list(scores), min(scores.values())
        while len(scores) < size:
            both = drawn.choice(known) + drawn.choice(known).lstrip("▁")
            if len(both) <= LONGEST:
                scores.setdefault(both, least - drawn.random())
        self.pieces = list(scores.items())
        return self

    def unigram(self, split: Any, *steps: Any, byte_fallback: bool = False) -> Tokenizer:
        """Return a tokenizer of these pieces; its steps come after the table."""
        names = [*SPECIALS, *(BYTES if byte_fallback else [])]
        rows = [*((name, 0.0) for name in names), *self.pieces]
        tokenizer = Tokenizer(models.Unigram(rows, SPECIALS.index("<unk>"), byte_fallback))
        tokenizer.normalizer = normalizers.Sequence([self.table, *steps])
        tokenizer.pre_tokenizer = split
        return with_ends(tokenizer)


def with_ends(tokenizer: Tokenizer) -> Tokenizer:
    """Add the special tokens, and a template with two of them."""
    tokenizer.add_special_tokens([*SPECIALS, AddedToken("<mask>", lstrip=True)])
    ends = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = TemplateProcessing("<s> $A </s>", special_tokens=ends)
    return tokenizer


def gemma(lines: list[str]) -> Tokenizer:
    """Learn BPE pieces of the lines, with bytes for the characters that have none."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=32_000, special_tokens=[*SPECIALS, *BYTES], limit_alphabet=3000,
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.pre_tokenizer = Split(" ", "merged_with_previous")
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    return with_ends(tokenizer)


def beginnings(tokenizer: Tokenizer) -> list[str]:
    """Return texts that begin with each character that the normalizer changes."""
    change = [c for c in CHARACTERS if tokenizer.normalizer.normalize_str(c) != c]
    return [text for c in change for text in (f"{c}a {c}", f"<s>{c}a", f"{c}{c} a<s>{c}")]


def kinds(model: Model, lines: list[str]) -> dict[str, Callable[[], Tokenizer]]:
    """Return a maker of each tokenizer."""
    t5 = (normalizers.Strip(left=False), normalizers.Replace(Regex(" {2,}"), "▁"))
    words = Sequence([WhitespaceSplit(), Metaspace()])
    return {
        "XLM-R": lambda: model.unigram(words),
        "T5": lambda: model.unigram(Metaspace(), *t5),
        "T5 with bytes": lambda: model.unigram(Metaspace(), *t5, byte_fallback=True),
        "Metaspace first": lambda: model.unigram(Metaspace(prepend_scheme="first")),
        "Metaspace never": lambda: model.unigram(Metaspace(prepend_scheme="never", split=False)),
        "Gemma": lambda: gemma(lines),
        "XLM-R, 250 000 pieces": lambda: model.enlarge(250_000).unigram(words),
    }


def measure(*command: str, given: bytes = b"") -> tuple[bytes, float, float]:
    """Run a command; return its output, its CPU seconds, and its peak of memory in MB.

    A small process starts it, as Linux counts the memory of the starting process too.
    """
    small = [sys.executable, "-S", "-c", MEASURE, *command]
    done = subprocess.run(small, input=given, capture_output=True, check=True)
    seconds, peak = map(float, done.stderr.splitlines()[-1].split())
    return done.stdout, seconds, peak


def loading(program: str, folder: Path) -> str:
    """Return the CPU seconds and the memory of loading, and their shares of the package's."""
    file = str(folder / "tokenizer.json")
    _, seconds, peak = measure(program, str(folder), "--ids", "a")
    _, time_before, peak_before = measure(sys.executable, "-c", IMPORT)
    _, time_after, peak_after = measure(sys.executable, "-c", LOAD, file)
    shares = seconds / (time_after - time_before), peak / (peak_after - peak_before)
    return f"{seconds:.2f} s ({shares[0]:.2f}) | {peak:.0f} MB ({shares[1]:.2f})"


def compare(program: str, folder: Path, texts: list[str]) -> tuple[int, float, float]:
    """Return how many texts have other ids, and the CPU seconds of C++ and of the package."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    unlike, ours, theirs = 0, 0.0, 0.0
    for first in range(0, len(texts), AT_ONCE):
        some = texts[first : first + AT_ONCE]
        given = json.dumps(some).encode()
        output, seconds, _ = measure(program, str(folder), "--ids", "--json", given=given)
        found = [json.loads(row) for row in output.splitlines()]
        start = time.process_time()
        right = [tokenizer.encode(text).ids for text in some]
        theirs += time.process_time() - start
        ours += seconds
        pairs = [row for row in zip(some, found, right, strict=True) if row[1] != row[2]]
        unlike += len(pairs)
        for text, a, b in pairs[:1]:
            print(f"    {text[:60]!r}: {a[:20]}, not {b[:20]}", flush=True)
    return unlike, ours, theirs


def main() -> None:
    """Make each tokenizer, compare, and print a row of a Markdown table."""
    path, lines_file, *chosen = sys.argv[1:]
    lines = Path(lines_file).read_text().splitlines()
    makers = kinds(Model(Path(path)), lines)
    with TemporaryDirectory() as work:
        program = str(compile_program(Path(work) / "minnow-embed", PROGRAM, "-O2"))
        for name in chosen or makers:
            tokenizer = makers[name]()
            folder = a_bundle(Path(work) / name, tokenizer, limit=LIMIT)
            size = tokenizer.get_vocab_size()
            print(f"| {name} | {size} | {loading(program, folder)} |", flush=True)
            groups = {
                "texts of all characters": all_characters(),
                "texts that begin with a character that changes": beginnings(tokenizer),
                "lines": lines,
                "random texts": random_texts(tokenizer),
            }
            for group, texts in groups.items():
                unlike, ours, theirs = compare(program, folder, texts)
                print(
                    f"{len(texts)} {group}, {unlike} with other ids;"
                    f" {ours:.1f} s, the package {theirs:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
