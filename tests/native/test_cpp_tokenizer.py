"""The tokenizer of the library in C++ gives the ids of the `tokenizers` library, on any text."""

from __future__ import annotations

import json
import random
import runpy
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import SPECIALS
from fakes.native import NATIVE, Program
from fakes.sealed import MANIFEST_OF_A_TEST
from fakes.unicode import all_characters, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from minnow.bundle import seal, staging
from minnow.manifest import CARD, ENCODER, MANIFEST, TOKENIZER
from minnow.model.tokenizer import TextTokenizer
from minnow.proof.probes import probe_texts
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.native import CMakeBuild

pytestmark = pytest.mark.tool("g++")

LIMIT = 24
_SEED = 20


def probes() -> list[str]:
    return [probe.text for probe in probe_texts(LIMIT, lambda text: len(text.split()) + 2)]


def random_texts(count: int) -> list[str]:
    """Texts of all of Unicode, the first planes more often, and of special tokens."""
    source = random.Random(_SEED)
    everything = all_characters()
    near = everything[:0x3000]
    parts = (*SPECIALS, "[sep]", " ", "\t", "a", "##a", "İ", "ǅ", "한", "e\u0301")
    return [
        "".join(
            source.choice((source.choice(near), source.choice(everything), source.choice(parts)))
            for _ in range(source.randrange(16))
        )
        for _ in range(count)
    ]


def a_tokenizer(**steps: bool) -> Tokenizer:
    """A WordPiece tokenizer with a piece for most characters, in a word's beginning and within."""
    normalizer = normalizers.BertNormalizer(**steps)
    letters = sorted(
        {c for text in (*probes(), *random_texts(400)) for c in normalizer.normalize_str(text)}
    )
    pieces = (*SPECIALS, *letters, *("##" + letter for letter in letters), "the", "##ing", "new")
    ids = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=30))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def a_bundle(
    folder: Path, tokenizer: Tokenizer, *, lowercase: bool = False, limit: int = LIMIT
) -> Path:
    """A complete folder, except for an encoder that MNN could load."""
    embedding = replace(MANIFEST_OF_A_TEST.embedding, lowercase=lowercase, max_tokens=limit)
    encoder = replace(MANIFEST_OF_A_TEST.encoder, positions=max(40, limit))
    manifest = replace(MANIFEST_OF_A_TEST, embedding=embedding, encoder=encoder)
    with staging(folder) as staged:
        tokenizer.save(str(staged / TOKENIZER))
        (staged / ENCODER).write_bytes(b"no model")
        (staged / CARD).write_text("# A card\n")
        seal(staged, manifest, folder)
    return folder


def expected(
    folder: Path, texts: list[str], *, lowercase: bool = False, limit: int = LIMIT
) -> list[list[int]]:
    tokenizer = TextTokenizer(folder / TOKENIZER, max_tokens=limit, lowercase=lowercase)
    return [row.ids for row in tokenizer.tokenize(texts)]


@pytest.mark.parametrize(
    "steps",
    [
        {},
        {"lowercase": False},
        {"lowercase": False, "strip_accents": True},
        {"strip_accents": False},
        {"clean_text": False, "handle_chinese_chars": False},
    ],
    ids=str,
)
def test_ids_are_those_of_the_library(
    steps: dict[str, bool], tokenizer_program: Program, tmp_path: Path
) -> None:
    folder = a_bundle(tmp_path / "bundle", a_tokenizer(**steps))
    texts = [*probes(), *random_texts(2000)]
    found = tokenizer_program.rows(folder, texts, "--ids")
    unlike = [t for t, a, b in zip(texts, found, expected(folder, texts), strict=True) if a != b]
    assert unlike == []


@pytest.mark.tool("cmake")
@pytest.mark.parametrize("sanitized", [False, True])
def test_every_character_is_treated_as_the_library_treats_it(
    sanitized: bool, bridge: CMakeBuild, tokenizer_program: Program, tmp_path: Path
) -> None:
    """Between letters, so that it is seen whether it is dropped, or ends a word.

    With sanitizers the ends of all ranges, and some characters between them.
    """
    folder = a_bundle(tmp_path / "bundle", a_tokenizer(), limit=2000)
    everything = all_characters()
    assigned = [c for c in everything if ord(c) < 0x32400 or 0xE0000 <= ord(c) < 0xE0200]
    # And some that Unicode may yet assign; the rest are alike, in blocks of thousands.
    characters = [*assigned, *everything[::101]]
    program = tokenizer_program
    if sanitized:
        characters = sample("".join(characters))
    else:
        program = Program(bridge.make("minnow-embed") / "minnow-embed")
    texts = [
        " ".join(f"a{c}b {c}" for c in characters[n : n + 300])
        for n in range(0, len(characters), 300)
    ]
    found = program.rows(folder, texts, "--ids")
    assert found == expected(folder, texts, limit=2000)
    assert len({id_ for row in found for id_ in row}) > 500


def test_the_tables_are_what_the_library_says() -> None:
    """Run native/tools/write_unicode_tables.py where this fails."""
    scope = runpy.run_path(str(NATIVE / "tools/write_unicode_tables.py"))
    assert scope["table_text"]() == (NATIVE / "src/unicode_tables.inc").read_text()


def test_added_tokens_are_found_in_texts(tokenizer_program: Program, tmp_path: Path) -> None:
    tokenizer = a_tokenizer()
    tokenizer.add_tokens(
        [
            AddedToken("<left>", lstrip=True, normalized=False),
            AddedToken("<right>", rstrip=True, normalized=False),
            AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("<right>er", normalized=False),
            AddedToken("Größe", normalized=True),
            AddedToken("NEW", normalized=True, lstrip=True),
        ]
    )
    folder = a_bundle(tmp_path / "bundle", tokenizer)
    pieces = ["<left>", "<right>", "<both>", "<right>er", "größe", "GRÖẞE", "Grosse", "new", "x",
              " ", "\t", "\u3000", "[SEP]", "[MASK]", "renewed", "", "<righter>"]  # fmt: skip
    source = random.Random(_SEED)
    texts = ["".join(source.choices(pieces, k=source.randrange(9))) for _ in range(3000)]
    assert tokenizer_program.rows(folder, texts, "--ids") == expected(folder, texts)


@pytest.mark.parametrize("limit", [2, 3, 9])
@pytest.mark.parametrize("template", ["[CLS] $A [SEP]", "$A [SEP]", "[CLS] [MASK] $A", "$A"])
def test_templates_and_limits(
    template: str, limit: int, tokenizer_program: Program, tmp_path: Path
) -> None:
    tokenizer = a_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, pair="$A $B", special_tokens=[("[CLS]", 2), ("[SEP]", 3), ("[MASK]", 4)]
    )
    folder = a_bundle(tmp_path / "bundle", tokenizer, limit=limit)
    texts = ["", "a", "the new one of these things", "x " * 4000, "y" * 5000, "[SEP]" * 9]
    assert tokenizer_program.rows(folder, texts, "--ids") == expected(folder, texts, limit=limit)


def test_lowercase_comes_before_the_tokenizer_where_the_manifest_says_so(
    tokenizer_program: Program, tmp_path: Path
) -> None:
    tokenizer = a_tokenizer(lowercase=False, strip_accents=False)
    folder = a_bundle(tmp_path / "bundle", tokenizer, lowercase=True)
    texts = ["NEW İstanbul ΟΔΟΣ ǅ", *random_texts(300)]
    found = tokenizer_program.rows(folder, texts, "--ids")
    assert found == expected(folder, texts, lowercase=True)
    assert found != expected(folder, texts)


def test_roles_put_their_prompt_before_a_text(tokenizer_program: Program, tmp_path: Path) -> None:
    folder = a_bundle(tmp_path / "bundle", a_tokenizer())
    prompt = MANIFEST_OF_A_TEST.embedding.prompts["query"]
    assert tokenizer_program.rows(folder, ["whales"], "--ids", "--role", "query") == expected(
        folder, [prompt + "whales"]
    )
    assert tokenizer_program.rows(folder, ["whales"], "--ids", "--role", "document") == expected(
        folder, ["whales"]
    )


@settings(max_examples=60)
@given(lines=st.lists(st.binary(max_size=12), min_size=1, max_size=40))
def test_bytes_that_are_no_text_are_read_as_python_reads_them(
    lines: list[bytes], tokenizer_program: Program, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "bytes"
    if not folder.exists():
        a_bundle(folder, a_tokenizer(clean_text=False))
    texts = [line.replace(b"\n", b"") for line in lines]
    done = tokenizer_program.run(folder, "--ids", given=b"\n".join(texts) + b"\n")
    found = [json.loads(row) for row in done.stdout.splitlines()]
    assert found == expected(folder, [text.decode(errors="replace") for text in texts])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_bundle(tmp_path_factory.mktemp("whole") / "bundle", a_tokenizer())


def damaged(whole: Path, place: Path, name: str, change: Any) -> Path:
    """Write a copy with another tokenizer.json or manifest, whose size the manifest records."""
    place.mkdir()
    for path in whole.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    (place / name).write_bytes(change((whole / name).read_bytes()))
    if name != MANIFEST:
        manifest = json.loads((place / MANIFEST).read_text())
        manifest["files"][name]["size"] = (place / name).stat().st_size
        (place / MANIFEST).write_text(json.dumps(manifest))
    return place


def changed(path: tuple[str | int, ...], value: object) -> Any:
    def change(content: bytes) -> bytes:
        tree = json.loads(content)
        inner = tree
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return json.dumps(tree).encode()

    return change


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (MANIFEST, lambda content: content[: len(content) // 2], "is not JSON"),
        (MANIFEST, lambda _: b"", "there is no value"),
        (MANIFEST, lambda _: b"[" * 100_000, "too many brackets"),
        (MANIFEST, lambda _: b'{"a": "\\u12', "there are no four digits"),
        (MANIFEST, lambda _: b'{"a": "\\ud800\\u', "there are no four digits"),
        (MANIFEST, lambda content: content + b"x", "something follows the end"),
        (MANIFEST, lambda _: b"[]", '"format" is missing'),
        (MANIFEST, changed(("format",), 99), "it has an unsupported version"),
        (MANIFEST, changed(("embedding", "max_tokens"), -1), '"max_tokens" is out of range'),
        (MANIFEST, changed(("embedding", "max_tokens"), 1e300), '"max_tokens" is out of range'),
        (MANIFEST, changed(("encoder", "width"), "wide"), '"width" is missing or of another kind'),
        (MANIFEST, changed(("files", ENCODER, "size"), 7), f"{ENCODER} is missing or truncated"),
        (MANIFEST, changed(("files", "gone"), {"size": 7}), "gone is missing or truncated"),
        (TOKENIZER, changed(("model", "type"), "WordLevel"), "its model is WordLevel, which"),
        (TOKENIZER, changed(("model", "type"), "Unigram"), '"vocab" is missing or of another kind'),
        (TOKENIZER, changed(("normalizer", "type"), "Nmt"), "a step Nmt, which is missing here"),
        (TOKENIZER, changed(("pre_tokenizer", "type"), "Digits"), "a step Digits, which"),
        (TOKENIZER, changed(("pre_tokenizer", "type"), "Metaspace"), '"replacement" is missing'),
        (TOKENIZER, changed(("post_processor",), {"type": "Other"}), "post_processor is Other"),
        (TOKENIZER, changed(("model", "unk_token"), "[NO]"), "unknown token is not in its voc"),
        (TOKENIZER, changed(("model", "vocab", "the"), -4), '"the" is out of range'),
        (TOKENIZER, lambda content: content[:-9], "is not JSON"),
    ],
)  # fmt: skip
def test_damage_is_reported(
    name: str, change: Any, says: str, whole: Path, tokenizer_program: Program, tmp_path: Path
) -> None:
    said = tokenizer_program.refusal(
        damaged(whole, tmp_path / "bundle", name, change), "--ids", "a"
    )
    assert says in said
    assert name in said


@settings(max_examples=80)
@given(data=st.data())
def test_no_damage_crashes(
    data: st.DataObject,
    whole: Path,
    tokenizer_program: Program,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    name = data.draw(st.sampled_from([MANIFEST, TOKENIZER]))
    content = bytearray((whole / name).read_bytes())
    start = data.draw(st.integers(0, min(len(content) - 1, 3000)))
    content[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    folder = tmp_path_factory.mktemp("damage") / "bundle"
    damaged(whole, folder, name, lambda _: bytes(content))
    assert tokenizer_program.run(folder, "--ids", "a new one").returncode in (0, 1)


def test_wrong_arguments_are_reported(
    tokenizer_program: Program, whole: Path, tmp_path: Path
) -> None:
    def says(*arguments: object, code: int = 2, given: bytes = b"") -> str:
        return tokenizer_program.refusal(*arguments, code=code, given=given)

    assert "The first argument must be a bundle" in says()
    assert "no option --fast" in says(whole, "--fast")
    assert "--role should be one of document, none, query" in says(whole, "--role", "queen", "a")
    assert "from 1 to 999" in says(whole, "--threads", "0", "a")
    assert "from 1 to 999" in says(whole, "--threads", "99999999999", "a")
    assert "--raw needs a value" in says(whole, "--raw")
    assert "give no texts" in says(whole, "--json", "a")
    assert "minnow.json cannot be read" in says(tmp_path, "--ids", "a", code=1)
    assert "array of texts" in says(whole, "--ids", "--json", code=1, given=b'["a", 7]')
    assert "built without MNN" in says(whole, "a", code=1)
    assert "built without MNN" in says("--check", whole, code=1)


def test_help_names_every_option(tokenizer_program: Program) -> None:
    done = tokenizer_program.run("--help")
    source = (NATIVE / "programs/minnow_embed.cpp").read_text()
    options = {part.split('"')[0] for part in source.split('word == "')[1:]} - {"--", "--help"}
    assert len(options) > 10
    assert all(option.encode() in done.stdout for option in options)
