"""Source code: divided where its definitions begin, and nothing of it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.chunks.code import CODE_SUFFIXES, read_code

PYTHON = '''"""What it is."""

import os

LIMIT = 3


@cache
def first(a: int) -> int:
    def inner() -> None: ...
    return a


class Box:
    """A box."""

    size = 1

    def open(self) -> None:
        print("ä")

    class Lid:
        async def lift(self) -> None: ...


print(first(1))
'''


def sections(path: str, source: str) -> list[tuple[tuple[str, ...], str]]:
    document = read_code(path, source)
    assert document.text == source
    return [(s.headings, source[s.start : s.end].strip()) for s in document.sections]


def test_python_is_divided_by_its_parser() -> None:
    found = sections("a.py", PYTHON)
    assert [".".join(headings) for headings, _ in found] == [
        "", "first", "Box", "Box.open", "Box.Lid", "Box.Lid.lift", "",
    ]  # fmt: skip
    texts = dict(found)
    assert texts["first",].startswith("@cache\ndef first")
    assert texts["Box", "open"] == 'def open(self) -> None:\n        print("ä")'
    assert found[0][1].endswith("LIMIT = 3")
    assert found[-1][1] == "print(first(1))"


def test_python_that_does_not_parse_is_text() -> None:
    assert sections("a.py", "def broken(:\n    pass\n") == [((), "def broken(:\n    pass")]


def test_other_languages_are_divided_between_their_blocks() -> None:
    body = "{\n    int x;\n\n    return x;\n}  // " + "x" * 500
    blocks = [f"int f{n}(void)\n{body}" for n in range(4)]
    found = sections("a.c", "\n\n".join(blocks))
    assert [text for _, text in found] == ["\n\n".join(blocks[:2]), "\n\n".join(blocks[2:])]


LINES = ["def f():", "  pass", "class A:", "", "\x0c", "x = 1", "  def g(self): pass", "}"]
SOURCES = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(LINES)).map("\n".join))


@pytest.mark.parametrize("kind", [".py", ".rs"])
@given(source=SOURCES)
def test_all_of_it_is_in_a_section_and_none_of_it_in_two(kind: str, source: str) -> None:
    document, end = read_code("a" + kind, source), 0
    for section in document.sections:
        assert not source[end : section.start].strip()
        assert section.start >= end
        end = section.end
    assert not source[end:].strip()
    assert end <= len(source)


def test_classes_in_classes_take_no_longer_than_others() -> None:
    lines = [f"{' ' * depth}class A{depth}:" for depth in range(60)]
    document = read_code("a.py", "\n".join([*lines, " " * 60 + "def f(): pass\n"]))
    assert document.sections[-1].headings == (*(f"A{depth}" for depth in range(60)), "f")


def test_our_own_code() -> None:
    path = Path(__file__).parents[2] / "src/minnow/embedder.py"
    names = {headings for headings, _ in sections("embedder.py", path.read_text(encoding="utf-8"))}
    assert ("Embedder", "from_parts") in names


def test_kinds_are_lower_case_endings() -> None:
    assert all(kind.startswith(".") and kind == kind.lower() for kind in CODE_SUFFIXES)
